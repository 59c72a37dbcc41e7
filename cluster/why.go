package cluster

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"kubette/client"
	"kubette/explain"
	"kubette/scheduler"
)

// Why is the explanation of an object's present state.
type Why struct {
	Object   explain.Ref `json:"object"`
	Exists   bool        `json:"exists"`
	Revision int64       `json:"revision"` // that of the store when it was looked at
	// Gone says, of an object that does not exist, what is known of it instead.
	Gone     string               `json:"gone,omitempty"`
	Findings []explain.Finding    `json:"findings"`
	Chain    []explain.Link       `json:"chain"` // newest first
	Attempts []scheduler.Decision `json:"attempts,omitempty"`
}

func (c *Cluster) serveWhy(w http.ResponseWriter, r *http.Request) {
	records := c.recorder()
	object, err := records.named(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	why, err := c.why(r.Context(), records, object, languageOf(r))
	answer(w, why, err)
}

// why explains an object.
func (c *Cluster) why(ctx context.Context, records *recorder, object explain.Ref, language string) (*Why, error) {
	why := &Why{Object: object, Revision: c.store.Revision(), Findings: []explain.Finding{}, Chain: []explain.Link{}}
	snapshot, err := explain.Read(ctx, c.AdminClient(), "")
	if err != nil {
		return nil, err
	}
	// One object is asked for again and again: each of its writes may have led to the next.
	known := map[explain.Ref][]explain.Write{}
	journal := explain.Journal{Step: records.step, Writes: func(object explain.Ref) []explain.Write {
		writes, ok := known[object]
		if !ok {
			writes = records.writes(ctx, object, true)
			known[object] = writes
		}
		return writes
	}}
	why.Chain = append(why.Chain, explain.Chain(journal, object, snapshot.Events(object))...)
	if object.Resource == "pods" {
		why.Attempts = c.decisions(object.Namespace, object.Name)
	}
	if found, ok := snapshot.Object(object); ok {
		why.Exists = true
		why.Findings = append(why.Findings, explain.Diagnose(ctx, snapshot, c.facts(), found)...)
		explain.Render(why.Findings, language)
		return why, nil
	}
	if stored, ok := c.server.Cluster().Get(object.Group, object.Resource, object.Namespace, object.Name); ok && stored != nil {
		why.Exists = true // of a kind that nothing is known about
		return why, nil
	}
	why.Gone = snapshot.Missing(object, journal.Writes(object), language)
	return why, nil
}

// facts are what a diagnosis may ask, beside the objects.
func (c *Cluster) facts() explain.Facts {
	faults := c.Faults()
	return explain.Facts{
		Decisions: c.decisions,
		Log:       c.logEnd,
		Listens:   c.listens,
		Paused: func(component string) bool {
			_, known := c.machine.Depths()[component]
			return known && c.machine.Gate(component).Paused()
		},
		Broken: func(node string) string {
			for _, f := range faults {
				if f.Target == node {
					return f.Name
				}
			}
			return ""
		},
	}
}

// logEnd returns the last lines of a container's log.
func (c *Cluster) logEnd(ctx context.Context, pod *corev1.Pod, container string, previous bool, count int64) []string {
	k, ok := c.kubelet(pod.Spec.NodeName)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	log, err := k.Logs(ctx, pod.Namespace, pod.Name, &corev1.PodLogOptions{Container: container, Previous: previous, TailLines: &count})
	if err != nil {
		return nil
	}
	defer log.Close()
	var lines []string
	scanner := bufio.NewScanner(io.LimitReader(log, 64<<10))
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
	}
	return lines
}

// askTime bounds how long a diagnosis waits for one answer of a container.
const askTime = 2 * time.Second

// listens connects to a port of a pod.
func (c *Cluster) listens(ctx context.Context, pod *corev1.Pod, port int32) explain.Listening {
	address, err := netip.ParseAddr(pod.Status.PodIP)
	if err != nil || c.recordOnly(pod) {
		return explain.ListenUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	conn, err := c.dialPod(ctx, "tcp", netip.AddrPortFrom(address, uint16(port)))
	if err == nil {
		_ = conn.Close()
		return explain.ListenYes
	}
	if ctx.Err() != nil {
		return explain.ListenUnknown
	}
	if c.listensInside(ctx, pod, port) {
		return explain.ListenLoopback
	}
	return explain.ListenRefused
}

// listensInside connects as `kubectl port-forward` does: also to what listens on the pod's loopback address only.
func (c *Cluster) listensInside(ctx context.Context, pod *corev1.Pod, port int32) bool {
	k, ok := c.kubelet(pod.Spec.NodeName)
	if !ok {
		return false
	}
	ours, theirs := net.Pipe()
	_ = ours.Close() // there is nothing to say
	return k.PortForward(ctx, pod.Namespace, pod.Name, port, theirs) == nil
}

// recordOnly says of a pod that one of its containers is only a record: nothing of it can be asked.
func (c *Cluster) recordOnly(pod *corev1.Pod) bool {
	s, ok := c.machines.(*simulation)
	return ok && s.recordOnly(pod)
}

// recordOnly says of a pod that one of its containers is only a record, without a program.
func (s *simulation) recordOnly(pod *corev1.Pod) bool {
	r, ok := s.nodes[pod.Spec.NodeName]
	if !ok {
		return false
	}
	for _, status := range pod.Status.ContainerStatuses {
		if _, id, _ := strings.Cut(status.ContainerID, "://"); status.State.Running != nil && r.Simulated(id) {
			return true
		}
	}
	return false
}

// Difference is the comparison of wanted and present.
type Difference struct {
	Revision int64          `json:"revision"`
	Rows     []*explain.Row `json:"rows"`
}

// serveDiff compares wanted and present: of a namespace, of all, or of one object (kind and name); at a revision, if one is
// asked for.
func (c *Cluster) serveDiff(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	difference := &Difference{Revision: c.store.Revision(), Rows: []*explain.Row{}}
	facts := c.facts()
	facts.Listens, facts.Log = nil, nil // too much to ask for a whole namespace
	if query.Get("revision") != "" {
		if _, err := fmt.Sscan(query.Get("revision"), &difference.Revision); err != nil {
			http.Error(w, fmt.Sprintf("revision must be a number, not %q", query.Get("revision")), http.StatusBadRequest)
			return
		}
		facts = explain.Facts{} // what is recorded beside the objects is of now
	}
	snapshot, err := explain.Read(r.Context(), c.AdminClient(), query.Get("revision"))
	if err != nil {
		answer(w, nil, err)
		return
	}
	if kind := query.Get("kind"); kind != "" {
		found, err := c.objectFor(snapshot, kind, query.Get("namespace"), query.Get("name"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
			return
		}
		difference.Rows = append(difference.Rows, explain.TreeOf(r.Context(), snapshot, facts, found))
	} else {
		difference.Rows = append(difference.Rows, explain.Tree(r.Context(), snapshot, facts, query.Get("namespace"))...)
	}
	explain.RenderRows(difference.Rows, languageOf(r))
	answer(w, difference, nil)
}

func (c *Cluster) objectFor(snapshot *explain.Snapshot, kind, namespace, name string) (client.Object, error) {
	records := c.recorder()
	row, err := records.kind(kind)
	if err != nil {
		return nil, err
	}
	object := records.ref(row, namespace, name)
	found, ok := snapshot.Object(object)
	if !ok {
		return nil, fmt.Errorf("there is no %s %s", object.Kind, object)
	}
	return found, nil
}

// Why asks for the explanation of an object, in a language.
func (c *Control) Why(ctx context.Context, kind, namespace, name, language string) (*Why, error) {
	why := &Why{}
	return why, c.do(ctx, http.MethodGet, objectPath("why", kind, namespace, name)+"?lang="+url.QueryEscape(language), nil, why)
}

// Diff asks for the comparison of wanted and present, of one object, or with an empty kind of a namespace ("" for all).
func (c *Control) Diff(ctx context.Context, kind, namespace, name, language string) (*Difference, error) {
	query := url.Values{"lang": {language}, "namespace": {namespace}}
	if kind != "" {
		query.Set("kind", kind)
		query.Set("name", name)
	}
	difference := &Difference{}
	return difference, c.do(ctx, http.MethodGet, "diff?"+query.Encode(), nil, difference)
}
