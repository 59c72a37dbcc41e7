package main

import (
	"bufio"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	jsonMedia     = "application/json"
	protobufMedia = "application/vnd.kubernetes.protobuf"

	alonePath    = "/api/v1/namespaces/default/configmaps"
	togetherPath = "/api/v1/namespaces/kube-public/configmaps"
	listPath     = "/api/v1/namespaces/kube-node-lease/configmaps"
	watchPath    = "/api/v1/namespaces/kube-system/configmaps"
)

func configMap(name string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"},"data":{"key":"value"}}`
}

// alone makes one request after the other, while a watch tells of each write.
func alone(ctx context.Context, s *server, _ plan) ([]row, error) {
	const requests = 1000
	c, err := connect(ctx, s.config, jsonMedia)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	seen, end, err := watch(ctx, s, alonePath)
	if err != nil {
		return nil, err
	}
	defer end()
	var creates, gets, delivered samples
	for i := range requests {
		name := fmt.Sprintf("alone-%d", i)
		begun := time.Now()
		if _, err := c.request("POST", alonePath, configMap(name)); err != nil {
			return nil, err
		}
		answered := time.Now()
		creates = append(creates, answered.Sub(begun))
		for event := range seen {
			if strings.Contains(event.line, `"name":"`+name+`"`) {
				delivered = append(delivered, max(0, event.at.Sub(answered)))
				break
			}
		}
	}
	for i := range requests {
		begun := time.Now()
		if _, err := c.request("GET", fmt.Sprintf("%s/alone-%d", alonePath, i), ""); err != nil {
			return nil, err
		}
		gets = append(gets, time.Since(begun))
	}
	return []row{
		{"create, one after the other", creates.tail(), "p50 < 1 ms", "p50 1.8 ms"},
		{"get, one after the other", gets.tail(), "", ""},
		{"event at a watcher, after the answer", delivered.tail(), "p50 < 1 ms", ""},
	}, nil
}

// seenEvent is a line of a watch.
type seenEvent struct {
	line string
	at   time.Time
}

// watch follows a path. The caller calls end.
func watch(ctx context.Context, s *server, path string) (_ <-chan seenEvent, end func(), err error) {
	c, err := connect(ctx, s.config, jsonMedia)
	if err != nil {
		return nil, nil, err
	}
	if err := c.send("GET", path+"?watch=1", ""); err != nil {
		return nil, nil, err
	}
	code, body, err := c.head()
	if err != nil || code != 200 {
		return nil, nil, fmt.Errorf("watch %s: %d, %w", path, code, err)
	}
	events := make(chan seenEvent, 64)
	go func() {
		defer close(events)
		lines := bufio.NewReader(body)
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			events <- seenEvent{line, time.Now()}
		}
	}()
	return events, func() {
		_ = c.Close()
		for range events { // to its end
		}
	}, nil
}

// together loads the API from many connections.
func together(ctx context.Context, s *server, p plan) ([]row, error) {
	var names atomic.Int64
	made, err := load(ctx, s, p, jsonMedia, func(c *connection) error {
		_, err := c.request("POST", togetherPath, configMap(fmt.Sprintf("m-%d", names.Add(1))))
		return err
	})
	if err != nil {
		return nil, err
	}
	rows := []row{{fmt.Sprintf("creates from %d connections", p.connections), made.String(), "5,000/s", "1,670/s"}}
	for _, as := range []struct{ media, name, goal, kubernetes string }{
		{jsonMedia, "", "12,000/s", "3,590/s"},
		{protobufMedia, ", protobuf", "", ""},
	} {
		var next atomic.Int64
		read, err := load(ctx, s, p, as.media, func(c *connection) error {
			_, err := c.request("GET", fmt.Sprintf("%s/m-%d", togetherPath, next.Add(1)%min(names.Load(), 1000)+1), "")
			return err
		})
		if err != nil {
			return rows, err
		}
		rows = append(rows, row{fmt.Sprintf("gets from %d connections%s", p.connections, as.name), read.String(), as.goal, as.kubernetes})
	}
	return rows, nil
}

// rate is how many requests there were in a second, and how long the server's processors worked for each: the latter says
// the same on a machine that is busy with other things.
type rate struct {
	inSecond float64
	cost     time.Duration
}

func (r rate) String() string {
	if r.cost == 0 {
		return fmt.Sprintf("%.0f/s", r.inSecond)
	}
	return fmt.Sprintf("%.0f/s, %d µs of processor each", r.inSecond, r.cost.Microseconds())
}

// load makes requests from many connections for some time.
func load(ctx context.Context, s *server, p plan, media string, request func(*connection) error) (rate, error) {
	connections := make([]*connection, p.connections)
	for i := range connections {
		var err error
		if connections[i], err = connect(ctx, s.config, media); err != nil {
			return rate{}, err
		}
		defer connections[i].Close()
	}
	runtime.GC() // not in the middle
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var group sync.WaitGroup
	begun, ticks := time.Now(), s.ticks()
	for _, c := range connections {
		group.Go(func() {
			for time.Since(begun) < p.busy && ctx.Err() == nil && failed.Load() == nil {
				if err := request(c); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return rate{}, *err
	}
	worked := time.Duration(s.ticks()-ticks) * 10 * time.Millisecond
	return rate{
		inSecond: float64(done.Load()) / time.Since(begun).Seconds(),
		cost:     worked / time.Duration(max(1, done.Load())),
	}, ctx.Err()
}

// fill makes objects from many connections, numbered from first to last, and returns how long that took.
func fill(ctx context.Context, s *server, p plan, path string, first, last int) (time.Duration, error) {
	var next atomic.Int64
	next.Store(int64(first) - 1)
	p.busy = time.Hour // until they are all made
	begun := time.Now()
	_, err := load(ctx, s, p, jsonMedia, func(c *connection) error {
		i := next.Add(1)
		if i > int64(last) {
			return errFull
		}
		_, err := c.request("POST", path, configMap(fmt.Sprintf("n-%d", i)))
		return err
	})
	if err == errFull { //nolint:errorlint // it comes as it is
		err = nil
	}
	return time.Since(begun), err
}

// lists reads 5,000 objects at once.
func lists(ctx context.Context, s *server, p plan) ([]row, error) {
	const listed = 5000
	if _, err := fill(ctx, s, p, listPath, 1, listed); err != nil {
		return nil, err
	}
	var rows []row
	for _, as := range []struct{ media, name, goal, kubernetes string }{
		{jsonMedia, "", "30 ms", "44 ms"},
		{protobufMedia, ", protobuf", "", ""},
	} {
		c, err := connect(ctx, s.config, as.media)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		var took samples
		for range 20 {
			begun := time.Now()
			if _, err := c.request("GET", listPath, ""); err != nil {
				return nil, err
			}
			took = append(took, time.Since(begun))
		}
		rows = append(rows, row{fmt.Sprintf("list of %d objects%s", listed, as.name), took.tail(), as.goal, as.kubernetes})
	}
	return rows, nil
}

// watching has many watchers see the same writes, on a server of their own, so that its memory is theirs.
func watching(ctx context.Context, dir string, p plan) ([]row, error) {
	if p.watchers == 0 {
		return nil, nil
	}
	const writes = 50
	s, err := start(ctx, dir, "watched", "")
	if err != nil {
		return nil, err
	}
	defer s.kill()
	before, known := s.memory()
	var group sync.WaitGroup
	var delivered atomic.Int64
	var ends []func()
	defer func() {
		for _, end := range ends {
			end()
		}
		group.Wait()
	}()
	for range p.watchers {
		seen, end, err := watch(ctx, s, watchPath)
		if err != nil {
			return nil, err
		}
		ends = append(ends, end)
		group.Go(func() {
			for range seen {
				delivered.Add(1)
			}
		})
	}
	there := delivered.Load()
	c, err := connect(ctx, s.config, jsonMedia)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	begun := time.Now()
	for i := range writes {
		if _, err := c.request("POST", watchPath, configMap(fmt.Sprintf("w-%d", i))); err != nil {
			return nil, err
		}
	}
	for wanted := int64(writes * p.watchers); delivered.Load()-there < wanted && time.Since(begun) < 30*time.Second; {
		time.Sleep(time.Millisecond)
	}
	rate := float64(delivered.Load()-there) / time.Since(begun).Seconds()
	rows := []row{{fmt.Sprintf("events to %d watchers", p.watchers), fmt.Sprintf("%.0f/s", rate), "", ""}}
	if after, _ := s.memory(); known {
		rows = append(rows, row{fmt.Sprintf("memory with %d watchers", p.watchers),
			fmt.Sprintf("%d MB, %d KB for each", after/1e6, (after-before)/int64(p.watchers)/1000), "bounded", ""})
	}
	return rows, nil
}

// samples are how long the same thing took several times.
type samples []time.Duration

// rank is the value below which a part of the samples lies: 0.5 for the median.
func (s samples) rank(part float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

func (s samples) tail() string {
	return fmt.Sprintf("p50 %s, p99 %s", short(s.rank(0.5)), short(s.rank(0.99)))
}

// short is a duration in the digits that mean something.
func short(d time.Duration) string {
	if d >= time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}
