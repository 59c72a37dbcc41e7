package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"

	"k8s.io/client-go/rest"
)

// connection is one TLS connection that carries one request at a time.
type connection struct {
	*tls.Conn
	reader  *bufio.Reader
	headers string
	buffer  []byte
}

// connect opens a connection to a server. With a media type, answers are asked for in it.
func connect(ctx context.Context, config *rest.Config, media string) (*connection, error) {
	secure, err := rest.TLSConfigFor(config)
	if err != nil {
		return nil, err
	}
	secure.NextProtos = []string{"http/1.1"}
	address, err := url.Parse(config.Host)
	if err != nil {
		return nil, err
	}
	raw, err := (&tls.Dialer{Config: secure}).DialContext(ctx, "tcp", address.Host)
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() { _ = raw.Close() }) // so that nobody waits for an answer for ever
	return &connection{
		Conn: raw.(*tls.Conn), reader: bufio.NewReaderSize(raw, 64<<10),
		headers: fmt.Sprintf("Host: %s\r\nAuthorization: Bearer %s\r\nUser-Agent: load/1\r\nAccept: %s\r\n", address.Host, config.BearerToken, media),
	}, nil
}

// send writes a request.
func (c *connection) send(method, path, body string) error {
	c.buffer = fmt.Appendf(c.buffer[:0], "%s %s HTTP/1.1\r\n%s", method, path, c.headers)
	if body != "" {
		c.buffer = fmt.Appendf(c.buffer, "Content-Type: application/json\r\nContent-Length: %d\r\n", len(body))
	}
	c.buffer = append(append(c.buffer, "\r\n"...), body...)
	_, err := c.Write(c.buffer)
	return err
}

// head reads an answer's status and headers, and returns its body: to its end, and then the connection is free again.
func (c *connection) head() (code int, body io.Reader, err error) {
	line, err := c.reader.ReadString('\n')
	if err != nil {
		return 0, nil, err
	}
	if _, text, found := strings.Cut(line, " "); found && len(text) >= 3 {
		code, _ = strconv.Atoi(text[:3])
	}
	body = io.LimitReader(c.reader, 0)
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		if len(line) <= 2 {
			return code, body, nil
		}
		name, value, _ := strings.Cut(strings.TrimSpace(string(line)), ": ")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			length, err := strconv.ParseInt(value, 10, 64)
			if err != nil {
				return 0, nil, err
			}
			body = io.LimitReader(c.reader, length)
		case strings.EqualFold(name, "Transfer-Encoding"):
			body = httputil.NewChunkedReader(c.reader)
		}
	}
}

// request sends a request and reads the answer, of which it returns the length.
func (c *connection) request(method, path, body string) (int64, error) {
	if err := c.send(method, path, body); err != nil {
		return 0, err
	}
	code, answer, err := c.head()
	if err != nil {
		return 0, err
	}
	if code >= 300 {
		text, _ := io.ReadAll(answer)
		return 0, fmt.Errorf("%s %s: %d %s", method, path, code, strings.TrimSpace(string(text)))
	}
	n, err := io.Copy(io.Discard, answer)
	if _, chunked := answer.(*io.LimitedReader); !chunked && err == nil {
		_, err = c.reader.ReadSlice('\n') // behind the last chunk is an empty line
	}
	return n, err
}
