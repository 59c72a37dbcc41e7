package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"kubette/client"
)

// often calls a function so many times a second until the context ends.
func often(ctx context.Context, group *sync.WaitGroup, rate int, do func(n int)) {
	group.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(rate))
		defer ticker.Stop()
		for n := 0; ; n++ {
			select {
			case <-ticker.C:
				do(n)
			case <-ctx.Done():
				return
			}
		}
	})
}

// The measure: 200 dots on their way, while the pods behind them change fifty times a second.
func TestManyDotsAreQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("dots are watched for seconds")
	}
	c := startCluster(t, 3)
	const pods = 20
	c.deploy("web", pods)
	c.expose("web", "web")
	b := openTab(t, c, "")
	b.ready(pods)
	b.visit("#/network")
	b.until(`document.querySelectorAll(".net [data-point]").length === 22`)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	address := fmt.Sprintf("http://127.0.0.1:%d/", c.State().HTTPPort)
	for range 2 {
		often(ctx, &group, 120, func(int) {
			request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
			if err != nil {
				return
			}
			request.Host = "web.example.org"
			if response, err := http.DefaultClient.Do(request); err == nil {
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	api := client.Of[*corev1.Pod](c.AdminClient())
	list, err := api.List(ctx, "default", metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	often(ctx, &group, 50, func(n int) {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"n":"%d"}}}`, n)
		_, _ = api.Patch(ctx, "default", list[n%pods].Name, types.MergePatchType, []byte(patch))
	})
	b.until(`document.getElementById("dots").dataset.dots === "200"`)
	measured := value[struct {
		Frames []float64
		Dots   []int
		Writes int
		Long   int
	}](b, `(async () => {
		const frames = [], dots = [], of = Number(document.documentElement.dataset.rev)
		let long = 0, last = performance.now()
		new PerformanceObserver(list => { long += list.getEntries().length }).observe({type: "longtask"})
		for (const began = last; last - began < 5000;) {
			const now = await new Promise(requestAnimationFrame)
			frames.push(now - last)
			dots.push(Number(document.getElementById("dots").dataset.dots))
			last = now
		}
		return {Frames: frames.slice(1), Dots: dots, Writes: Number(document.documentElement.dataset.rev) - of, Long: long}
	})()`)
	sum := 0.0
	for _, took := range measured.Frames {
		sum += took
	}
	slices.Sort(measured.Frames)
	slices.Sort(measured.Dots)
	n := len(measured.Frames)
	report, _ := json.Marshal(map[string]any{"frames per second": 1000 * float64(n) / sum, "frame p95 ms": measured.Frames[n*95/100], "frame max ms": measured.Frames[n-1],
		"dots p50": measured.Dots[len(measured.Dots)/2], "writes per second": float64(measured.Writes) * 1000 / sum, "long tasks": measured.Long})
	t.Logf("%s", report)
	b.check("many dots")
}
