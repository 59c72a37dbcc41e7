package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"kubette/client"
)

// Kinds of faults that a user can make, to see what the cluster does.
const (
	FaultCrash    = "crash"       // ends a container, as a crash of its program; nothing to undo
	FaultStopNode = "stop-node"   // a power cut
	FaultCutNode  = "cut-node"    // the node's network is cut, its containers run on
	FaultFillNode = "fill-node"   // a pod requests all that is free on the node; or its memory, disk or process numbers are used up
	FaultProbes   = "fail-probes" // a pod's probes fail, whatever it answers
	FaultSlowAPI  = "slow-api"    // each request to the API server takes longer
)

// ErrFaultUnknown: there is no such fault to undo.
var ErrFaultUnknown = errors.New("there is no such fault")

// Fault is something that was broken on purpose.
type Fault struct {
	Name      string `json:"name,omitempty"` // to undo it by; a crash has none
	Kind      string `json:"kind"`
	Target    string `json:"target,omitempty"`    // the node, or the pod
	Namespace string `json:"namespace,omitempty"` // the pod's
	Container string `json:"container,omitempty"`
	// Delay is how much longer each request takes, with slow-api: 500ms.
	Delay string `json:"delay,omitempty"`
	// With is what fill-node uses up: memory, disk or pids; "" is what pods may request.
	With  string    `json:"with,omitempty"`
	Since time.Time `json:"since"`
}

// faultList knows what is broken on purpose now.
type faultList struct {
	mu     sync.Mutex
	faults map[string]*undoable
	cuts   map[string]*cut // by node
	probes map[probed]bool // those that fail
	delay  delay
}

type undoable struct {
	Fault
	undo func(ctx context.Context) error
}

// Faults lists what is broken on purpose, by name.
func (c *Cluster) Faults() []Fault {
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	all := []Fault{}
	for _, name := range slices.Sorted(maps.Keys(l.faults)) {
		all = append(all, l.faults[name].Fault)
	}
	return all
}

// Break does what a fault says. The result bears the name to undo it by.
func (c *Cluster) Break(ctx context.Context, fault Fault) (Fault, error) {
	fault.Since = time.Now()
	var undo func(ctx context.Context) error
	var err error
	switch fault.Kind {
	case FaultCrash:
		return fault, c.crash(ctx, &fault)
	case FaultStopNode:
		undo, err = c.stopNode(ctx, fault.Target)
	case FaultCutNode:
		undo, err = c.cutNode(fault.Target)
	case FaultFillNode:
		undo, err = c.fillNode(ctx, fault.Target, fault.With)
	case FaultProbes:
		undo, err = c.failProbes(ctx, &fault)
	case FaultSlowAPI:
		fault.Target = ""
		undo, err = c.slowAPI(fault.Delay)
	default:
		return fault, fmt.Errorf("there is no kind of fault %q; there are: %s", fault.Kind,
			strings.Join([]string{FaultCrash, FaultStopNode, FaultCutNode, FaultFillNode, FaultProbes, FaultSlowAPI}, ", "))
	}
	if err != nil {
		return fault, err
	}
	fault.Name = fault.Kind
	if fault.Target != "" {
		fault.Name += "-" + fault.Target
	}
	if fault.With != "" {
		fault.Name += "-" + fault.With
	}
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.faults == nil {
		l.faults = map[string]*undoable{}
	}
	l.faults[fault.Name] = &undoable{fault, undo}
	return fault, nil
}

// Mend undoes a fault. It returns ErrFaultUnknown when there is none of that name.
func (c *Cluster) Mend(ctx context.Context, name string) error {
	l := &c.explaining.faults
	l.mu.Lock()
	found := l.faults[name]
	delete(l.faults, name)
	l.mu.Unlock()
	if found == nil {
		return fmt.Errorf("%q: %w", name, ErrFaultUnknown)
	}
	return found.undo(ctx)
}

func (c *Cluster) serveFaults(w http.ResponseWriter, _ *http.Request) { answer(w, c.Faults(), nil) }

func (c *Cluster) addFault(w http.ResponseWriter, r *http.Request) {
	var fault Fault
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&fault); err != nil {
		http.Error(w, "a fault is JSON with kind, target, namespace, container, delay, with: "+err.Error(), http.StatusBadRequest)
		return
	}
	made, err := c.Break(r.Context(), fault)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	answer(w, made, nil)
}

func (c *Cluster) undoFault(w http.ResponseWriter, r *http.Request) {
	err := c.Mend(r.Context(), r.PathValue("name"))
	switch {
	case errors.Is(err, ErrFaultUnknown):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		answer(w, c.Faults(), nil)
	}
}

// Faults asks what is broken on purpose.
func (c *Control) Faults(ctx context.Context) ([]Fault, error) {
	var faults []Fault
	err := c.do(ctx, http.MethodGet, "faults", nil, &faults)
	return faults, err
}

// Break asks for a fault.
func (c *Control) Break(ctx context.Context, fault Fault) (*Fault, error) {
	made := &Fault{}
	err := c.do(ctx, http.MethodPost, "faults", fault, made)
	return made, err
}

// Mend asks to undo a fault.
func (c *Control) Mend(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodDelete, "faults/"+url.PathEscape(name), nil, nil)
}

// cuttable is a node's client that a fault can cut off.
func (c *Cluster) cuttable(node string, own client.Interface) client.Interface {
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cuts == nil {
		l.cuts = map[string]*cut{}
	}
	l.cuts[node] = &cut{Interface: own}
	return l.cuts[node]
}
