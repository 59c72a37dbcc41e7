package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// The hosts of the course's application.
const (
	backendHost  = "api-users-ensai.kub.sspcloud.fr"
	frontendHost = "users-ensai.kub.sspcloud.fr"
)

// visitor requests the application through the ingress, as a browser or curl would.
type visitor struct {
	story *story
	base  string // http://127.0.0.1:PORT
}

// application asks for everything that the course's application can do.
func (v *visitor) application(ctx context.Context) error {
	steps := []visit{
		{host: backendHost, method: http.MethodGet, path: "/", want: `"ok"`},
		{host: backendHost, method: http.MethodPost, path: "/users/", body: `{"username":"ada","password":"lovelace"}`, want: "ada"},
		{host: backendHost, method: http.MethodGet, path: "/users/", want: "ada"},
		{host: frontendHost, method: http.MethodGet, path: "/", want: "<title>"},
	}
	for _, step := range steps {
		if err := v.request(ctx, step); err != nil {
			return err
		}
	}
	v.story.line("(the host is in the Host header; in a browser, %s.localhost leads to the same)", frontendHost)
	return nil
}

// afterCrash shows that the service answers again, and what a container that is made anew has lost.
func (v *visitor) afterCrash(ctx context.Context) error {
	if err := v.request(ctx, visit{host: backendHost, method: http.MethodGet, path: "/users/", want: "[]"}); err != nil {
		return err
	}
	v.story.line("the users are gone: they were kept inside the container, and that was made anew")
	return nil
}

// visit is one request, and a piece of text that the answer must hold.
type visit struct{ host, method, path, body, want string }

// settle is how long the ingress may take to learn of a pod that is ready.
const settle = 15 * time.Second

// request sends a request until the answer is the wanted one, and prints the last answer.
func (v *visitor) request(ctx context.Context, step visit) error {
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for {
		status, pod, body, err := v.send(ctx, step)
		if err == nil && status == http.StatusOK && strings.Contains(body, step.want) {
			v.story.line("%-4s %s%s", step.method, step.host, step.path)
			v.story.line("     %s %s  (from pod %s)", v.story.paint(green, fmt.Sprint(status)), summary(body), pod)
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s %s%s answered %d (%w): %s", step.method, step.host, step.path, status, orNone(err), summary(body))
		}
	}
}

func orNone(err error) error {
	if err == nil {
		return fmt.Errorf("no error")
	}
	return err
}

func (v *visitor) send(ctx context.Context, step visit) (status int, pod, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, step.method, v.base+step.path, bytes.NewBufferString(step.body))
	if err != nil {
		return 0, "", "", err
	}
	request.Host = step.host
	if step.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	pod = answer.Header.Get("X-Pod")
	if pod == "" {
		pod = "unknown: the real image does not say"
	}
	return answer.StatusCode, pod, string(data), err
}

// summary is an answer in one line.
func summary(body string) string {
	if start := strings.Index(body, "<title>"); start >= 0 {
		if end := strings.Index(body, "</title>"); end > start {
			return "a page titled “" + body[start+len("<title>"):end] + "”"
		}
	}
	line, _, more := strings.Cut(strings.TrimSpace(body), "\n")
	if more {
		line += " …"
	}
	return line
}
