package docker_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// median of ten or so.
func median(times []time.Duration) time.Duration {
	slices.Sort(times)
	return times[len(times)/2]
}

// BenchmarkStart measures what `docker run -d` takes beside a pod of one container of the same image, in turns, so that
// whatever else the machine does falls on both.
func BenchmarkStart(b *testing.B) {
	c := newCluster(b)
	if _, err := exec.LookPath("docker"); err != nil {
		b.Skip("the docker command is not here to compare with")
	}
	var pods, runs []time.Duration
	round := 0
	for b.Loop() {
		start := time.Now()
		out, err := exec.Command("docker", "run", "-d", "--label", "kubette="+c.config.Name, "kubette.test/program:1", "sleep").Output()
		runs = append(runs, time.Since(start))
		if err != nil {
			b.Fatal(err)
		}
		start = time.Now()
		name := fmt.Sprintf("pod-%d", round)
		round++
		sandbox := c.pod(name)
		c.run(sandbox, name, "main", []string{"sleep"})
		pods = append(pods, time.Since(start))
		c.node.RemovePodSandbox(b.Context(), sandbox)
		exec.Command("docker", "rm", "-f", strings.TrimSpace(string(out))).Run()
	}
	b.ReportMetric(float64(median(pods).Milliseconds()), "ms/pod")
	b.ReportMetric(float64(median(runs).Milliseconds()), "ms/docker-run")
}

// BenchmarkFiftyPods measures fifty pods of one container at once, until all run, and their removal.
func BenchmarkFiftyPods(b *testing.B) {
	c := newCluster(b)
	var up, down []time.Duration
	round := 0
	for b.Loop() {
		round++
		sandboxes := make([]string, 50)
		start := time.Now()
		var wait sync.WaitGroup
		for i := range sandboxes {
			wait.Go(func() {
				name := fmt.Sprintf("pod-%d-%d", round, i)
				sandboxes[i] = c.pod(name)
				c.run(sandboxes[i], name, "main", []string{"sleep"})
			})
		}
		wait.Wait()
		up = append(up, time.Since(start))
		start = time.Now()
		for _, sandbox := range sandboxes {
			wait.Go(func() {
				if err := c.node.RemovePodSandbox(b.Context(), sandbox); err != nil {
					b.Error(err)
				}
			})
		}
		wait.Wait()
		down = append(down, time.Since(start))
	}
	b.ReportMetric(median(up).Seconds(), "s/up")
	b.ReportMetric(median(down).Seconds(), "s/down")
}
