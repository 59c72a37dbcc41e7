package kubelet

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

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
	target := "http://" + net.JoinHostPort(sandbox.Address.String(), strconv.Itoa(int(action.Port))) + "/grpc.health.v1.Health/Check"
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(grpcFrame(healthRequest(service))))
	if err != nil {
		return false, err.Error()
	}
	request.Header.Set("Content-Type", "application/grpc")
	request.Header.Set("TE", "trailers")
	request.Header.Set("User-Agent", "kube-probe/"+userAgentVersion)
	answer, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		if ctx.Err() != nil {
			return false, fmt.Sprintf("timeout: failed to connect service %q within %v: context deadline exceeded", target, timeout)
		}
		return false, "error: " + err.Error()
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, probeBodyLimit))
	if err != nil {
		return false, "error: " + err.Error()
	}
	code := answer.Trailer.Get("grpc-status")
	if code == "" {
		code = answer.Header.Get("grpc-status")
	}
	switch {
	case answer.StatusCode != http.StatusOK:
		return false, fmt.Sprintf("error: health rpc failed with HTTP status %d", answer.StatusCode)
	case code == "12":
		return false, "error: this server does not implement the grpc health protocol (grpc.health.v1.Health)"
	case code != "" && code != "0":
		return false, fmt.Sprintf("error: health rpc probe failed with gRPC status %s: %s", code, answer.Trailer.Get("grpc-message"))
	}
	if status := healthStatus(body); status != servingStatus {
		return false, fmt.Sprintf("service unhealthy (responded with %q)", healthName(status))
	}
	return true, ""
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
