package loop

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// Record is one step of one component: what led to it, what it saw, what it decided. It is data, not text: a Note has a
// reason key and arguments, so that it can be shown in any language.
type Record struct {
	ID        string        `json:"id"` // component/number, the cause of the writes made in this step
	Component string        `json:"component"`
	Key       string        `json:"key"`
	Cause     string        `json:"cause,omitempty"`
	Time      time.Time     `json:"time"`
	Took      time.Duration `json:"took"` // nanoseconds
	Notes     []Note        `json:"notes,omitempty"`
	Error     string        `json:"error,omitempty"`
	Again     time.Duration `json:"again,omitempty"` // when the step asked to be repeated after a delay

	machine *Machine
	mu      sync.Mutex
}

// Note is one observation or decision, for example {"TooFewPods", {"wanted", 3, "there", 2}}.
type Note struct {
	Reason string `json:"reason"`
	Args   Args   `json:"args,omitempty"`
}

// Args are keys and values by turns: many notes are kept and few are ever read. In JSON they are an object.
type Args []any

// Map returns the values by their keys.
func (a Args) Map() map[string]any {
	values := make(map[string]any, len(a)/2)
	for i := 0; i+1 < len(a); i += 2 {
		values[fmt.Sprint(a[i])] = a[i+1]
	}
	return values
}

// MarshalJSON implements json.Marshaler.
func (a Args) MarshalJSON() ([]byte, error) { return json.Marshal(a.Map()) }

// UnmarshalJSON implements json.Unmarshaler.
func (a *Args) UnmarshalJSON(data []byte) error {
	var values map[string]any
	if err := json.Unmarshal(data, &values); err != nil {
		return err
	}
	*a = nil
	for _, key := range slices.Sorted(maps.Keys(values)) {
		*a = append(*a, key, values[key])
	}
	return nil
}

type recordKey struct{}

// Say notes in the step under way what was observed or decided: a reason in CamelCase, then keys and values by turns, as
// for slog. Outside a step it does nothing.
func Say(ctx context.Context, reason string, args ...any) {
	if record, ok := ctx.Value(recordKey{}).(*Record); ok {
		record.say(reason, args...)
	}
}

func (r *Record) say(reason string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Notes = append(r.Notes, Note{Reason: reason, Args: args})
}

func (r *Record) end(again time.Duration, err error) {
	r.Took, r.Again = time.Since(r.Time), again
	if err != nil {
		r.Error = err.Error()
	}
	r.machine.keep(r)
}

// Machine knows the components of a cluster that run on loops: their gates, their queues, and the trace of what they
// did, newest last, bounded. A nil Machine has open gates and no trace.
type Machine struct {
	limit int

	mu      sync.Mutex
	gates   map[string]*Gate
	depths  map[string]func() int
	counter uint64
	records []*Record
	change  chan struct{}
}

// NewMachine makes a machine that keeps the newest records, up to a limit.
func NewMachine(limit int) *Machine {
	return &Machine{limit: limit, gates: map[string]*Gate{}, depths: map[string]func() int{}, change: make(chan struct{})}
}

// Gate returns a component's gate.
func (m *Machine) Gate(component string) *Gate {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	gate, ok := m.gates[component]
	if !ok {
		gate = &Gate{}
		m.gates[component] = gate
	}
	return gate
}

// Depths returns the length of each component's queue, by component.
func (m *Machine) Depths() map[string]int {
	m.mu.Lock()
	depths := make(map[string]func() int, len(m.depths))
	for name, depth := range m.depths {
		depths[name] = depth
	}
	m.mu.Unlock()
	counts := make(map[string]int, len(depths))
	for name, depth := range depths {
		counts[name] = depth()
	}
	return counts
}

// After returns the kept records that follow the one with an ID ("" for all kept), and a channel that is closed when
// there are more.
func (m *Machine) After(id string) ([]*Record, <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := 0
	for i := len(m.records) - 1; i >= 0 && id != ""; i-- {
		if m.records[i].ID == id {
			from = i + 1
			break
		}
	}
	return append([]*Record(nil), m.records[from:]...), m.change
}

// Register makes a component known, with the length of its queue. Loops do this themselves; a component with a queue of
// its own does it when it is made.
func (m *Machine) Register(component string, depth func() int) {
	if m == nil {
		return
	}
	m.Gate(component)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.depths[component] = depth
}

func (m *Machine) begin(component, key, cause string) *Record {
	record := &Record{Component: component, Key: key, Cause: cause, Time: time.Now(), machine: m}
	if m != nil {
		m.mu.Lock()
		m.counter++
		record.ID = fmt.Sprintf("%s/%d", component, m.counter)
		m.mu.Unlock()
	}
	return record
}

func (m *Machine) keep(record *Record) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.records = append(m.records, record)
	if over := len(m.records) - m.limit; over > m.limit/4 {
		m.records = append([]*Record(nil), m.records[over:]...)
	}
	close(m.change)
	m.change = make(chan struct{})
}
