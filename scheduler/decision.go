package scheduler

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"

	"kubette/scheduler/framework"
	"kubette/store"
)

// Outcomes of an attempt.
const (
	OutcomeAssigned      = "Assigned"
	OutcomeUnschedulable = "Unschedulable"
	OutcomeError         = "Error"
)

// Decision is one attempt to place a pod: what was looked at and what came of it.
type Decision struct {
	Attempt int           `json:"attempt"`
	Time    time.Time     `json:"time"`
	Took    time.Duration `json:"took"`            // nanoseconds, for the choice alone
	Trace   string        `json:"trace,omitempty"` // the step in the trace
	Outcome string        `json:"outcome"`
	Node    string        `json:"node,omitempty"`    // the winner
	Message string        `json:"message,omitempty"` // why there is none, as in the pod's event
	// Refusal is that of a plugin which refused the pod before any node was looked at.
	Refusal *Refusal `json:"refusal,omitempty"`
	// Nodes that were looked at, the best first, then those that were refused. Of an old decision they are forgotten.
	Nodes []NodeVerdict `json:"nodes,omitempty"`
	// NotShown is how many nodes of a big cluster were looked at but are not in Nodes.
	NotShown int `json:"notShown,omitempty"`
	// NotLookedAt is how many nodes were left out because enough others could run the pod.
	NotLookedAt int         `json:"notLookedAt,omitempty"`
	Preemption  *Preemption `json:"preemption,omitempty"`
}

// Refusal is why a plugin said no.
type Refusal struct {
	Plugin  string   `json:"plugin"`
	Code    string   `json:"code"`
	Reasons []string `json:"reasons"`
}

// NodeVerdict is what was found out about a node: a refusal, or its points. There are no points when there was only one
// node to choose from.
type NodeVerdict struct {
	Node    string        `json:"node"`
	Refusal *Refusal      `json:"refusal,omitempty"`
	Total   int64         `json:"total,omitempty"`
	Scores  []PluginScore `json:"scores,omitempty"`
}

// PluginScore is what one plugin gave a node: the raw score in the plugin's own units, from 0 to 100, and what that is
// worth in the total.
type PluginScore struct {
	Plugin     string `json:"plugin"`
	Raw        int64  `json:"raw"`
	Normalized int64  `json:"normalized"`
	Weight     int64  `json:"weight"`
	Weighted   int64  `json:"weighted"`
}

// Preemption is what became of the search for pods to evict.
type Preemption struct {
	Node             string   `json:"node,omitempty"`
	Victims          []string `json:"victims,omitempty"` // namespace/name
	BudgetViolations int      `json:"budgetViolations,omitempty"`
	Message          string   `json:"message,omitempty"` // why there was nobody to evict
}

// What is kept: so many decisions of one pod, so many of all, and the details of so many nodes: of one decision those of
// the best and of as many that were refused, and of all so many.
const (
	perPod      = 10
	inAll       = 10_000
	detailsEach = 100
	detailsAll  = 20_000
)

// record is a decision as it is kept: compact, and put into words only when somebody asks.
type record struct {
	attempt int
	began   time.Time
	took    time.Duration
	trace   string

	outcome, node, message string
	refusal                *verdict
	preemption             *Preemption

	refused []refused
	ratings
	plugins   []ratedBy
	unrefused int // nodes refused beyond those
	unrated   int // nodes rated beyond those
	unseen    int // nodes that were not looked at
}

type refused struct {
	node, plugin string
	status       *framework.Status
}

// ratings are the nodes that were rated, and the memory that their points are in.
type ratings struct {
	rated  []rated
	memory []points
}

type rated struct {
	node   string
	total  int64
	points []points // in the order of the record's plugins
}

type points struct{ raw, normal int64 }

type ratedBy struct {
	plugin string
	weight int64
}

// decisions keeps records, bounded. The oldest go first, their details before them.
type decisions struct {
	mu       sync.Mutex
	byPod    map[string][]*record
	order    []kept  // oldest first
	detailed int     // index in order of the oldest that still has its details
	nodes    int     // details that are kept
	spare    ratings // of a record that was dropped, for the next: of most decisions the details are soon forgotten
}

type kept struct {
	pod string
	*record
}

func newDecisions() *decisions { return &decisions{byPod: map[string][]*record{}} }

func (d *decisions) keep(pod string, r *record) {
	d.mu.Lock()
	defer d.mu.Unlock()
	records := append(d.byPod[pod], r)
	if len(records) > perPod {
		d.drop(records[0])
		records = records[1:]
	}
	d.byPod[pod] = records
	d.order = append(d.order, kept{pod, r})
	d.nodes += r.size()
	for ; d.nodes > detailsAll && d.detailed < len(d.order)-1; d.detailed++ {
		d.drop(d.order[d.detailed].record)
	}
	if over := len(d.order) - inAll; over > inAll/10 {
		for _, old := range d.order[:over] {
			d.drop(old.record)
			d.forget(old)
		}
		d.order = append([]kept(nil), d.order[over:]...)
		d.detailed = max(d.detailed-over, 0)
	}
}

func (r *record) size() int { return len(r.refused) + len(r.rated) }

// drop forgets a record's details.
func (d *decisions) drop(r *record) {
	d.nodes -= r.size()
	if cap(r.rated) > 0 {
		d.spare = r.ratings
	}
	r.refused, r.ratings, r.plugins = nil, ratings{}, nil
}

// takeSpare returns memory for the ratings of another record.
func (d *decisions) takeSpare() ratings {
	d.mu.Lock()
	defer d.mu.Unlock()
	taken := d.spare
	d.spare = ratings{}
	return taken
}

func (d *decisions) forget(old kept) {
	records := slices.DeleteFunc(d.byPod[old.pod], func(r *record) bool { return r == old.record })
	if len(records) == 0 {
		delete(d.byPod, old.pod)
		return
	}
	d.byPod[old.pod] = records
}

// amend changes a record that is kept already.
func (d *decisions) amend(_ *record, change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *decisions) of(pod string) []Decision {
	d.mu.Lock()
	defer d.mu.Unlock()
	var found []Decision
	for _, r := range d.byPod[pod] {
		found = append(found, r.decision())
	}
	return found
}

// note takes the verdicts of a trial into its record.
func (r *record) note(t *trial, nodes int) {
	r.unseen = nodes - len(t.verdicts)
	for _, v := range t.verdicts {
		switch {
		case v.status == nil:
			if len(r.rated) == 0 { // the only one, so it was not rated
				r.rated = []rated{{node: v.node.Name}}
			}
		case len(r.refused) < detailsEach:
			r.refused = append(r.refused, refused{v.node.Name, v.plugin, v.status})
		default:
			r.unrefused++
		}
	}
}

// rate takes the points of nodes into the record: of all, or of the chosen one and the best others. It uses spare memory.
func (r *record) rate(spare ratings, nodes []*framework.Node, totals []int64, all []scores, chosen int) {
	shown := make([]int, 0, len(nodes))
	least := int64(math.MinInt64)
	if len(nodes) > detailsEach {
		ordered := slices.Clone(totals)
		slices.Sort(ordered)
		least = ordered[len(ordered)-detailsEach]
	}
	for i := range nodes {
		if i == chosen || totals[i] >= least && len(shown) < detailsEach {
			shown = append(shown, i)
		}
	}
	r.unrated = len(nodes) - len(shown)
	for _, s := range all {
		r.plugins = append(r.plugins, ratedBy{s.plugin, s.weight})
	}
	r.rated = slices.Grow(spare.rated[:0], len(shown))
	r.memory = slices.Grow(spare.memory[:0], len(shown)*len(all))[:len(shown)*len(all)]
	memory := r.memory
	for _, i := range shown {
		n := rated{node: nodes[i].Name, total: totals[i], points: memory[:len(all):len(all)]}
		memory = memory[len(all):]
		for j := range all {
			n.points[j] = points{all[j].raw[i], all[j].normal[i]}
		}
		r.rated = append(r.rated, n)
	}
}

// decision puts a record into words.
func (r *record) decision() Decision {
	d := Decision{
		Attempt: r.attempt, Time: r.began, Took: r.took, Trace: r.trace, Outcome: r.outcome, Node: r.node, Message: r.message,
		NotShown: r.unrefused + r.unrated, NotLookedAt: r.unseen, Preemption: r.preemption,
	}
	if r.refusal != nil {
		d.Refusal = refusal(r.refusal.plugin, r.refusal.status)
	}
	for _, n := range r.rated {
		verdict := NodeVerdict{Node: n.node, Total: n.total}
		for i, p := range n.points {
			by := r.plugins[i]
			verdict.Scores = append(verdict.Scores, PluginScore{
				Plugin: by.plugin, Raw: p.raw, Normalized: p.normal, Weight: by.weight, Weighted: by.weight * p.normal,
			})
		}
		d.Nodes = append(d.Nodes, verdict)
	}
	slices.SortStableFunc(d.Nodes, func(a, b NodeVerdict) int { return int(b.Total - a.Total) })
	for _, n := range r.refused {
		d.Nodes = append(d.Nodes, NodeVerdict{Node: n.node, Refusal: refusal(n.plugin, n.status)})
	}
	return d
}

func refusal(plugin string, status *framework.Status) *Refusal {
	return &Refusal{Plugin: plugin, Code: status.Code.String(), Reasons: status.Reasons}
}

func traceID(ctx context.Context) string { return store.CauseFrom(ctx) }
