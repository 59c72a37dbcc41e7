package cluster

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/kubelet"
)

// Whether a node runs.
const (
	PowerOn  = "on"
	PowerOff = "off"
)

// fleet are the nodes that run in this process. Nodes come and go while the cluster runs.
type fleet struct {
	mu      sync.Mutex // held while the fleet changes
	alive   context.Context
	group   sync.WaitGroup
	members map[string]*member
}

// member is one node.
type member struct {
	plan    nodePlan
	kubelet *kubelet.Kubelet
	stop    context.CancelFunc
	ended   chan struct{}
}

// numbers are those of the workers.
func (f *fleet) numbers() []int {
	var numbers []int
	for _, m := range f.members {
		if m.plan.number != controlPlaneNumber {
			numbers = append(numbers, m.plan.number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// startNodes runs the nodes that the cluster begins with.
func (c *Cluster) startNodes(ctx context.Context, down *teardown) error {
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	f := &c.fleet
	f.alive, f.members = alive, map[string]*member{}
	down.add(func(context.Context) error {
		f.mu.Lock()
		cancel()
		f.mu.Unlock()
		f.group.Wait()
		return nil
	})
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, plan := range c.nodePlans() {
		if err := c.launch(plan); err != nil {
			return err
		}
	}
	return nil
}

// launch runs a node; the fleet's lock is held.
func (c *Cluster) launch(plan nodePlan) error {
	f := &c.fleet
	if f.alive.Err() != nil {
		return errors.New("the cluster is being stopped")
	}
	k, parts, err := c.node(plan)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(f.alive)
	m := &member{plan: plan, kubelet: k, stop: stop, ended: make(chan struct{})}
	f.members[plan.name] = m
	c.mu.Lock()
	c.kubelets[plan.name] = k
	c.mu.Unlock()
	f.group.Go(func() {
		defer close(m.ended)
		run(ctx, parts)
		k.Close()
	})
	return nil
}

// AddNode makes another worker, which has the next number, and returns its name when it is ready. The cluster has it
// again after a restart.
func (c *Cluster) AddNode(ctx context.Context) (string, error) {
	plan, err := c.addNode()
	if err != nil {
		return "", err
	}
	return plan.name, c.waitFor(ctx, []nodePlan{plan}, nodeReady)
}

func (c *Cluster) addNode() (nodePlan, error) {
	f := &c.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	number := c.firstNode + 1
	if numbers := f.numbers(); len(numbers) > 0 {
		number = numbers[len(numbers)-1] + 1
	}
	plan := planOf(number)
	most := c.ranges.mostWorkers()
	if c.shared() {
		most = min(most, c.firstNode+nodesPerServer-1)
	}
	if number > most {
		return plan, fmt.Errorf("the last worker node that there are addresses for is worker-%d, so there can be no %s", most, plan.name)
	}
	if err := c.launch(plan); err != nil {
		return plan, err
	}
	c.state.Workers = f.numbers()
	return plan, c.state.write()
}

// RemoveNode cuts a worker's power, removes its containers, and deletes its Node. Nothing is drained before: its pods are
// lost with it, and whoever owns them makes others.
func (c *Cluster) RemoveNode(ctx context.Context, name string) error {
	f := &c.fleet
	f.mu.Lock()
	defer f.mu.Unlock()
	m := f.members[name]
	switch {
	case m == nil:
		return fmt.Errorf("there is no node %q", name)
	case m.plan.number == controlPlaneNumber:
		return errors.New("the control plane's node cannot be removed; `kubette down` stops the cluster")
	case len(f.numbers()) == 1:
		return fmt.Errorf("%s is the last worker node, and a cluster needs one", name)
	}
	if err := m.kubelet.Stop(ctx); err != nil {
		return err
	}
	if err := m.kubelet.Wipe(ctx); err != nil {
		return err
	}
	m.stop()
	<-m.ended
	delete(f.members, name)
	c.mu.Lock()
	delete(c.kubelets, name)
	c.mu.Unlock()
	c.forgetFaults(name)
	c.state.Workers = f.numbers()
	err := client.Of[*corev1.Node](c.AdminClient()).Delete(ctx, "", name, metav1.DeleteOptions{})
	if apierrors.IsNotFound(err) {
		err = nil
	}
	return errors.Join(err, c.state.write())
}

// StopNode cuts a node's power.
func (c *Cluster) StopNode(ctx context.Context, name string) error {
	k, err := c.nodeNamed(name)
	if err != nil {
		return err
	}
	if !k.Powered() {
		return fmt.Errorf("node %s is off already", name)
	}
	return k.Stop(ctx)
}

// StartNode switches a node on again, whoever has switched it off.
func (c *Cluster) StartNode(ctx context.Context, name string) error {
	k, err := c.nodeNamed(name)
	if err != nil {
		return err
	}
	if k.Powered() {
		return fmt.Errorf("node %s is on already", name)
	}
	c.forgetFaults(name)
	return k.Start(ctx)
}

// forgetFaults drops the power cut of a node that was made as a fault.
func (c *Cluster) forgetFaults(node string) {
	l := &c.explaining.faults
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.faults, FaultStopNode+"-"+node)
}

func (c *Cluster) nodeRoutes(mux *http.ServeMux) {
	mux.HandleFunc("POST "+controlPrefix+"nodes", func(w http.ResponseWriter, r *http.Request) {
		name, err := c.AddNode(r.Context())
		answerNode(w, name, err)
	})
	mux.HandleFunc("DELETE "+controlPrefix+"nodes/{name}", func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		answerNode(w, name, c.RemoveNode(r.Context(), name))
	})
	for action, do := range map[string]func(context.Context, string) error{"stop": c.StopNode, "start": c.StartNode} {
		mux.HandleFunc("POST "+controlPrefix+"nodes/{name}/"+action, func(w http.ResponseWriter, r *http.Request) {
			name := r.PathValue("name")
			answerNode(w, name, do(r.Context(), name))
		})
	}
}

func answerNode(w http.ResponseWriter, name string, err error) {
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	answer(w, NodeStatus{Name: name}, nil)
}

// nodeTime bounds what is done to a node: an engine may have many containers to end.
const nodeTime = 2 * time.Minute

// AddNode asks for another worker node, and returns its name when it is ready.
func (c *Control) AddNode(ctx context.Context) (string, error) {
	made := &NodeStatus{}
	err := c.doWithin(ctx, nodeTime, http.MethodPost, "nodes", nil, made)
	return made.Name, err
}

// RemoveNode asks to remove a node.
func (c *Control) RemoveNode(ctx context.Context, name string) error {
	return c.doWithin(ctx, nodeTime, http.MethodDelete, "nodes/"+url.PathEscape(name), nil, nil)
}

// StopNode asks for a power cut.
func (c *Control) StopNode(ctx context.Context, name string) error {
	return c.doWithin(ctx, nodeTime, http.MethodPost, "nodes/"+url.PathEscape(name)+"/stop", nil, nil)
}

// StartNode asks to switch a node on.
func (c *Control) StartNode(ctx context.Context, name string) error {
	return c.doWithin(ctx, nodeTime, http.MethodPost, "nodes/"+url.PathEscape(name)+"/start", nil, nil)
}
