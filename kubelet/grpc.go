package kubelet

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"google.golang.org/grpc/codes"
	corev1 "k8s.io/api/core/v1"

	"kubette/kubelet/runtime"
)

// probeGRPC asks a container's gRPC health service, grpc.health.v1.Health/Check. The two messages have one field each, so
// they are written and read by hand: a gRPC library would weigh more than all of the kubelet.
func (s *session) probeGRPC(ctx context.Context, sandbox *runtime.Sandbox, action *corev1.GRPCAction, timeout time.Duration) (bool, string) {
	service := valueOr(action.Service, "")
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		Protocols:         &protocols,
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return s.dial(ctx, sandbox, action.Port)
		},
	}
	defer transport.CloseIdleConnections()
	address := net.JoinHostPort(sandbox.Address.String(), strconv.Itoa(int(action.Port)))
	answer, err := askHealth(ctx, &http.Client{Transport: transport}, address, service)
	if err != nil {
		return false, fmt.Sprintf("timeout: failed to connect service %q within %v: %v", address, timeout, context.DeadlineExceeded)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, probeBodyLimit))
	if err != nil {
		return false, fmt.Sprintf("timeout: health rpc did not complete within %v", timeout)
	}
	if answer.StatusCode != http.StatusOK {
		return false, fmt.Sprintf("error: health rpc failed with HTTP status %d", answer.StatusCode)
	}
	switch code, message := grpcStatus(answer); code {
	case codes.OK:
	case codes.Unimplemented:
		return false, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health): " + message
	default:
		return false, fmt.Sprintf("error: health rpc probe failed: rpc error: code = %s desc = %s", code, message)
	}
	if status := healthStatus(body); status != servingStatus {
		return false, fmt.Sprintf("service unhealthy (responded with %q)", healthName(status))
	}
	return true, ""
}

// askHealth asks until it is answered or the time is up, once a second: Kubernetes' probe waits for a connection, too, so
// that a port where nobody listens, or somebody who does not speak HTTP/2, is one that was not connected to in time.
func askHealth(ctx context.Context, c *http.Client, address, service string) (*http.Response, error) {
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+"/grpc.health.v1.Health/Check",
			bytes.NewReader(grpcFrame(healthRequest(service))))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Content-Type", "application/grpc")
		request.Header.Set("TE", "trailers")
		request.Header.Set("User-Agent", "kube-probe/"+userAgentVersion)
		answer, err := c.Do(request)
		if err == nil {
			return answer, nil
		}
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, err
		}
	}
}

// grpcStatus is what a server thinks of a call; without a body it says so in the header.
func grpcStatus(answer *http.Response) (codes.Code, string) {
	from := answer.Trailer
	if from.Get("grpc-status") == "" {
		from = answer.Header
	}
	code, _ := strconv.ParseUint(from.Get("grpc-status"), 10, 32)
	message, err := url.PathUnescape(from.Get("grpc-message"))
	if err != nil {
		message = from.Get("grpc-message")
	}
	return codes.Code(code), message
}

// grpcFrame is a message with its length before it, not compressed.
func grpcFrame(message []byte) []byte {
	frame := make([]byte, 5, 5+len(message))
	binary.BigEndian.PutUint32(frame[1:], uint32(len(message)))
	return append(frame, message...)
}

// healthRequest is HealthCheckRequest{service = 1: string}.
func healthRequest(service string) []byte {
	if service == "" {
		return nil
	}
	message := []byte{1<<3 | 2}
	message = binary.AppendUvarint(message, uint64(len(service)))
	return append(message, service...)
}

const servingStatus = 1

// healthStatus reads HealthCheckResponse{status = 1: enum}.
func healthStatus(frame []byte) uint64 {
	if len(frame) < 7 || frame[5] != 1<<3 {
		return 0
	}
	status, _ := binary.Uvarint(frame[6:])
	return status
}

func healthName(status uint64) string {
	switch status {
	case servingStatus:
		return "SERVING"
	case 2:
		return "NOT_SERVING"
	case 3:
		return "SERVICE_UNKNOWN"
	}
	return "UNKNOWN"
}
