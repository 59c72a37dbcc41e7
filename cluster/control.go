package cluster

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"kubette/apiserver"
	"kubette/store"
)

// controlPrefix is where kubette's own small API is, beside Kubernetes': how another kubette process asks a running
// cluster for what Kubernetes has no word for.
const controlPrefix = "/kubette/"

// Status describes a running cluster.
type Status struct {
	Name       string            `json:"name"`
	Version    string            `json:"version"`
	PID        int               `json:"pid"`
	Runtime    string            `json:"runtime"`
	DataDir    string            `json:"dataDir"`
	Ephemeral  bool              `json:"ephemeral"`
	Etcd       []string          `json:"etcd,omitempty"`
	APIURL     string            `json:"apiURL"`
	HTTPURL    string            `json:"httpURL"`
	HTTPSURL   string            `json:"httpsURL"`
	PACURL     string            `json:"pacURL"`
	Hosts      []IngressHost     `json:"hosts"`
	ConsoleURL string            `json:"consoleURL,omitempty"` // good once; `kubette status` asks for it
	Revision   int64             `json:"revision"`
	Nodes      []NodeStatus      `json:"nodes"`
	Components []ComponentStatus `json:"components"`
}

// IngressHost is a host that an ingress names.
type IngressHost struct {
	Name string `json:"name"`          // may be a wildcard, *.example.org
	TLS  bool   `json:"tls,omitempty"` // plain requests are sent to https
}

// NodeStatus is a node in one line.
type NodeStatus struct {
	Name  string `json:"name"`
	Role  string `json:"role"`
	Ready bool   `json:"ready"`
	// Power is PowerOn or PowerOff; "" for a Node object that is none of the cluster's own nodes.
	Power   string `json:"power,omitempty"`
	Address string `json:"address"`
	Pods    int    `json:"pods"`
}

// ComponentStatus is a part of the control plane, or a node's agent.
type ComponentStatus struct {
	Name   string `json:"name"`
	Queue  int    `json:"queue"` // keys that wait
	Paused bool   `json:"paused,omitempty"`
}

// withControl serves kubette's own API to who may do everything, and Kubernetes' to everybody else.
func (c *Cluster) withControl(api http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+controlPrefix+"status", func(w http.ResponseWriter, r *http.Request) {
		status, err := c.Status(r.Context())
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(status)
	})
	mux.HandleFunc("POST "+controlPrefix+"stop", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		c.stopOnce.Do(func() { close(c.stopAsked) })
	})
	mux.HandleFunc("POST "+controlPrefix+"components/{name}/{action}", c.steer)
	mux.HandleFunc("GET "+controlPrefix+"snapshot", c.snapshot)
	mux.HandleFunc("POST "+controlPrefix+"restore", c.restore)
	mux.HandleFunc("POST "+controlPrefix+"console", c.openConsole)
	c.nodeRoutes(mux)
	c.explainRoutes(mux)
	outer := http.NewServeMux()
	outer.Handle(controlPrefix, c.onlyAdmin(mux))
	outer.Handle("/", c.explaining.faults.delay.reads(api))
	return outer
}

// What can be done to a component.
const (
	ActionPause  = "pause"
	ActionResume = "resume"
	ActionStep   = "step"
)

// steer pauses a component before its next step, lets it go on, or lets it take some steps.
func (c *Cluster) steer(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	known := c.machine.Depths()
	if _, ok := known[name]; !ok {
		http.Error(w, fmt.Sprintf("there is no component %q; there are: %s", name,
			strings.Join(slices.Sorted(maps.Keys(known)), ", ")), http.StatusNotFound)
		return
	}
	gate := c.machine.Gate(name)
	switch r.PathValue("action") {
	case ActionPause:
		gate.Pause()
	case ActionResume:
		gate.Resume()
	case ActionStep:
		steps := 1
		if text := r.URL.Query().Get("steps"); text != "" {
			var err error
			if steps, err = strconv.Atoi(text); err != nil || steps < 1 {
				http.Error(w, fmt.Sprintf("steps must be a number from 1 on, not %q", text), http.StatusBadRequest)
				return
			}
		}
		if !gate.Paused() {
			http.Error(w, fmt.Sprintf("component %s runs; pause it first", name), http.StatusConflict)
			return
		}
		gate.Step(steps)
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(ComponentStatus{Name: name, Queue: known[name], Paused: gate.Paused()})
}

func (c *Cluster) onlyAdmin(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who, known, err := c.authenticator.Authenticate(r)
		if err != nil || !known {
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
			return
		}
		allowed, _, err := c.authorizer.Authorize(r.Context(), apiserver.Attributes{User: who, Verb: "*", Path: r.URL.Path})
		if err != nil || !allowed {
			http.Error(w, "Forbidden: only who may do everything may control the cluster", http.StatusForbidden)
			return
		}
		if command := r.Header.Get(commandHeader); command != "" {
			r = r.WithContext(store.WithCause(r.Context(), store.CommandCause+command))
		}
		next.ServeHTTP(w, r)
	})
}

// commandHeader names the command for which something is asked, so that what it writes is known as the command's.
const commandHeader = "Kubette-Command"

// Control talks to a running cluster from another process.
type Control struct {
	url, token string
	http       *http.Client
	// Command is the identifier of the command that is followed, if this process is a part of one.
	Command string
}

// controlTime bounds a short question to a running cluster.
const controlTime = 10 * time.Second

// ErrNotRunning: no process runs the cluster.
var ErrNotRunning = errors.New("it is not running")

// Connect returns the way to control a cluster. It returns ErrNotRunning when nobody runs it.
func (s *State) Connect() (*Control, error) {
	if s.Running == nil || !s.Alive() {
		return nil, fmt.Errorf("cluster %s: %w; start it with `kubette up --name %s`", s.Name, ErrNotRunning, s.Name)
	}
	config, err := clientcmd.LoadFromFile(s.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("read the credentials of cluster %s: %w", s.Name, err)
	}
	id := ContextName(s.Name)
	cluster, account := config.Clusters[id], config.AuthInfos[id]
	if cluster == nil || account == nil {
		return nil, fmt.Errorf("%s has no context %s: restart the cluster", s.Kubeconfig(), id)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(cluster.CertificateAuthorityData)
	return &Control{url: cluster.Server, token: account.Token, http: &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true},
	}}, nil
}

// Status asks how the cluster is.
func (c *Control) Status(ctx context.Context) (*Status, error) {
	status := &Status{}
	return status, c.do(ctx, http.MethodGet, "status", nil, status)
}

// Stop asks the cluster to stop; it does so soon after the answer.
func (c *Control) Stop(ctx context.Context) error {
	return c.do(ctx, http.MethodPost, "stop", nil, nil)
}

// Steer pauses, resumes or steps a component, and says how it is then.
func (c *Control) Steer(ctx context.Context, component, action string, steps int) (*ComponentStatus, error) {
	status := &ComponentStatus{}
	path := "components/" + url.PathEscape(component) + "/" + action
	if action == ActionStep {
		path += "?steps=" + strconv.Itoa(steps)
	}
	return status, c.do(ctx, http.MethodPost, path, nil, status)
}

// maxAnswer bounds what is read of an answer, in bytes.
const maxAnswer = 16 << 20

// request sends a request and returns the answer, whose body the caller closes; an answer that is no success is an error.
func (c *Control) request(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.url+controlPrefix+path, body)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	if c.Command != "" {
		request.Header.Set(commandHeader, c.Command)
	}
	answer, err := c.http.Do(request)
	if err != nil {
		return nil, fmt.Errorf("ask the cluster: %w", err)
	}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
		return nil, fmt.Errorf("the cluster answered %s: %s", answer.Status, bytes.TrimSpace(text))
	}
	return answer, nil
}

func (c *Control) do(ctx context.Context, method, path string, in, out any) error {
	return c.doWithin(ctx, controlTime, method, path, in, out)
}

// doWithin is do for what may take longer.
func (c *Control) doWithin(ctx context.Context, limit time.Duration, method, path string, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer, err := c.request(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask the cluster: %w", err)
	}
	if out != nil {
		return json.Unmarshal(data, out)
	}
	return nil
}

// download copies an answer of any size.
func (c *Control) download(ctx context.Context, path string, to io.Writer) error {
	answer, err := c.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(to, answer.Body); err != nil {
		return fmt.Errorf("ask the cluster: %w", err)
	}
	return nil
}
