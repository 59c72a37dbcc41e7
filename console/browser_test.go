package console_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/cluster"
	"kubette/cluster/clustertest"
	"kubette/network/gateway"
	"kubette/toolbox"
)

// browserVariable says that a browser must be there: "required". Without it, tests are skipped where there is none.
const browserVariable = "KUBETTE_TEST_BROWSER"

// picturesVariable names a folder into which pictures of the pages are put.
const picturesVariable = "KUBETTE_TEST_PICTURES"

func findBrowser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv(browserVariable) == "required" {
		t.Fatal("no Chromium is found, and " + browserVariable + " says that it must be")
	}
	t.Skip("no Chromium is found")
	return ""
}

// TestMain makes this executable what runs inside kubette's own images, too: on Docker they are made from it.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == gateway.Program:
		os.Exit(gateway.Main())
	case toolbox.IsProgram(name):
		os.Exit(toolbox.Main(os.Args))
	}
	os.Exit(m.Run())
}

// running is a whole cluster.
type running struct {
	*cluster.Cluster
	t *testing.T
}

// startCluster runs a cluster on simulated containers until the test ends.
func startCluster(t *testing.T, workers int) *running {
	t.Helper()
	return &running{clustertest.Start(t, cluster.Config{Runtime: cluster.RuntimeSim, Workers: workers}), t}
}

// deploy asks for a deployment of web servers.
func (r *running) deploy(name string, replicas int32) {
	r.t.Helper()
	labels := map[string]string{"app": name}
	_, err := client.Of[*appsv1.Deployment](r.AdminClient()).Create(r.t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "nginx"}}}}},
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// tab is a browser's tab that shows the console of a cluster. It notes whatever goes wrong in it.
type tab struct {
	t       *testing.T
	ctx     context.Context
	origin  string
	mu      sync.Mutex
	wrongs  []string
	changed bool // the browser noticed that this machine's networks changed
	foreign []string
}

func openTab(t *testing.T, c *running, fragment string) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(findBrowser(t)), chromedp.NoSandbox,
		chromedp.WindowSize(1440, 900), chromedp.Flag("lang", "en-US"))
	allocator, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	// The driver complains about events that are newer than itself: that says nothing about the page.
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	link := c.ConsoleURL()
	b := &tab{t: t, ctx: ctx, origin: strings.TrimSuffix(link[:strings.Index(link, "?")], "/")}
	chromedp.ListenTarget(ctx, b.hear)
	b.do(network.Enable(), log.Enable(), chromedp.EmulateViewport(1440, 900), chromedp.Navigate(link+fragment))
	// A change of the machine's networks may have broken off even the first files: nobody is there then to begin again.
	short, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if chromedp.Run(short, chromedp.Poll(`Number(document.documentElement.dataset.rev) > 0`, nil)) != nil {
		b.do(chromedp.Reload())
	}
	b.until(`Number(document.documentElement.dataset.rev) > 0`)
	return b
}

// hear takes in what the browser tells. A change of the machine's networks, as when a container starts elsewhere, breaks off
// requests and is no fault of the page's, which goes on by itself.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.APITypeError || e.Type == runtime.APITypeWarning {
			for _, arg := range e.Args {
				b.wrongs = append(b.wrongs, string(arg.Value)+arg.Description)
			}
		}
	case *runtime.EventExceptionThrown:
		b.wrongs = append(b.wrongs, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		changed := strings.Contains(e.Entry.Text, "ERR_NETWORK_CHANGED")
		b.changed = b.changed || changed
		if e.Entry.Level == log.LevelError && !changed {
			b.wrongs = append(b.wrongs, e.Entry.Text+" "+e.Entry.URL)
		}
	case *network.EventRequestWillBeSent:
		if !strings.HasPrefix(e.Request.URL, b.origin+"/") && !strings.HasPrefix(e.Request.URL, "data:") {
			b.foreign = append(b.foreign, e.Request.URL)
		}
	case *network.EventWebSocketCreated:
		if !strings.HasPrefix(e.URL, strings.Replace(b.origin, "http", "ws", 1)+"/") {
			b.foreign = append(b.foreign, e.URL)
		}
	}
}

// check fails the test for everything that went wrong so far.
func (b *tab) check(where string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, wrong := range b.wrongs {
		if b.changed && strings.Contains(wrong, "Failed to fetch") {
			continue // another test's network came or went, and the browser gave up what was under way
		}
		b.t.Errorf("%s: the browser says: %s", where, wrong)
	}
	for _, url := range b.foreign {
		b.t.Errorf("%s: a request to another origin: %s", where, url)
	}
	b.wrongs, b.foreign = nil, nil
}

func (b *tab) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// codes are those of keys that are no characters.
var codes = map[string]int64{"Enter": 13, "Backspace": 8, "Escape": 27, "ArrowRight": 39}

// press presses keys as a keyboard does: a character is typed only where the page leaves it to the browser.
func (b *tab) press(keys ...string) {
	b.t.Helper()
	for _, key := range keys {
		down := input.DispatchKeyEvent(input.KeyDown).WithKey(key)
		up := input.DispatchKeyEvent(input.KeyUp).WithKey(key)
		if code, ok := codes[key]; ok {
			down, up = down.WithWindowsVirtualKeyCode(code), up.WithWindowsVirtualKeyCode(code)
		}
		switch {
		case key == "Enter":
			down = down.WithText("\r")
		case len(key) == 1:
			down = down.WithText(key)
		}
		b.do(down, up)
	}
}

// value evaluates an expression in the page.
func value[T any](b *tab, expression string) T {
	b.t.Helper()
	var got T
	b.do(chromedp.Evaluate(expression, &got, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return got
}

// until waits for a condition in the page, looking once per frame; for one that is a promise, until it is kept.
func (b *tab) until(condition string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Run(ctx, chromedp.Poll(condition, nil, chromedp.WithPollingTimeout(30*time.Second))); err != nil {
		text := ""
		_ = chromedp.Run(b.ctx, chromedp.Evaluate(`location.hash + "\n" + document.body.innerText.slice(0, 1500)`, &text))
		b.check("waiting")
		b.t.Fatalf("%s does not come true (%v); the page shows:\n%s", condition, err, text)
	}
}

// visit goes to a page as its address.
func (b *tab) visit(address string) {
	b.t.Helper()
	b.do(chromedp.Evaluate(fmt.Sprintf("location.hash = %q", address), nil))
	page, _, _ := strings.Cut(strings.TrimPrefix(address, "#/"), "?")
	page, _, _ = strings.Cut(page, "/")
	b.until(fmt.Sprintf(`document.getElementById("main").className === %q && document.querySelector("#main h1") !== null`, page))
}

// picture keeps what the page looks like, where somebody wants to see it.
func (b *tab) picture(name string) {
	b.t.Helper()
	folder := os.Getenv(picturesVariable)
	if folder == "" {
		return
	}
	var data []byte
	b.do(chromedp.CaptureScreenshot(&data))
	if err := os.WriteFile(filepath.Join(folder, name+".png"), data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// ready waits until so many pods are shown as ready.
func (b *tab) ready(count int) {
	b.t.Helper()
	b.until(fmt.Sprintf(`document.querySelectorAll("#map .pod.ready").length === %d && document.querySelectorAll("#map .pod").length === %d`, count, count))
}

func TestEveryPageLoads(t *testing.T) {
	c := startCluster(t, 2)
	c.deploy("web", 3)
	b := openTab(t, c, "")
	b.ready(3)
	pod := value[string](b, `document.querySelector("#map .pod").dataset.id.replace(/^pods/, "pods")`)
	for _, language := range []string{"en", "fr"} {
		b.do(chromedp.Click(`[data-act=language][data-arg=`+language+`]`, chromedp.ByQuery))
		b.until(`document.documentElement.lang === "` + language + `"`)
		for _, page := range []string{"cluster", "workloads", "list/pods", "list/events", "network", "machine", "apply", "legend",
			"object/" + pod, "object/" + pod + "?tab=yaml", "object/" + pod + "?tab=events", "object/" + pod + "?tab=logs", "object/" + pod + "?tab=history",
			"object/deployments.apps/default/web", "why/" + pod, "rollout/default/web"} {
			b.visit("#/" + page)
			b.until(`!/Reading …|Lecture …/.test(document.getElementById("main").innerText)`)
			if text := value[string](b, `document.body.innerText`); strings.Contains(text, "undefined") || strings.Contains(text, "[object") || strings.Contains(text, "NaN") {
				t.Errorf("%s (%s) shows undefined, [object or NaN:\n%s", page, language, text)
			}
			if page == "machine" && language == "fr" {
				b.until(`document.getElementById("main").innerText.includes(" modifié")`)
				if found := value[[]string](b, `document.getElementById("main").innerText.match(/← .*(added|updated|changed|deleted|relist|retry|timer|done)$/gm) || []`); len(found) > 0 {
					t.Errorf("causes in English: %q", found)
				}
			}
			b.check(page + " in " + language)
			b.picture(strings.NewReplacer("/", "-", "?", "-", "=", "-", pod, "pod").Replace(page) + "-" + language)
		}
	}
}

func TestWhatIsAppliedIsSeenRunning(t *testing.T) {
	c := startCluster(t, 2)
	b := openTab(t, c, "#/apply")
	b.until(`document.querySelector("#result[data-good=true][data-applied=false] .created") !== null`)
	before := value[int64](b, `Number(document.documentElement.dataset.rev)`)
	b.do(chromedp.Click(`[data-act="apply.now"]`, chromedp.ByQuery))
	b.until(`document.querySelector("#result[data-applied=true]") !== null`)
	b.visit("#/cluster")
	b.ready(3)
	if after := value[int64](b, `Number(document.documentElement.dataset.rev)`); after <= before {
		t.Errorf("the revision was %d and is %d", before, after)
	}
	// What is wrong is said while it is typed, and nothing is kept.
	b.visit("#/apply")
	b.do(chromedp.SetValue("#manifest", "apiVersion: v1\nkind: Pod\nmetadata: {name: Wrong_Name}\nspec: {containers: []}\n", chromedp.ByID),
		chromedp.Evaluate(`document.getElementById("manifest").dispatchEvent(new Event("input", {bubbles: true}))`, nil))
	b.until(`document.querySelector("#result .refused .problem")?.textContent.includes("Invalid value") === true`)
	b.check("apply")
}

func TestThePastIsShownAndCannotBeChanged(t *testing.T) {
	c := startCluster(t, 2)
	b := openTab(t, c, "")
	empty := value[int64](b, `Number(document.documentElement.dataset.rev)`)
	c.deploy("web", 4)
	b.ready(4)
	full := value[int64](b, `Number(document.documentElement.dataset.rev)`)
	b.do(chromedp.Focus(".tl-canvas", chromedp.ByQuery))
	b.press(",") // the cluster may still be at work: the first step only stops at a moment
	b.until(`document.documentElement.dataset.live === "false"`)
	for range 3 { // by keyboard, change by change
		rev := value[string](b, `document.documentElement.dataset.rev`)
		b.press(",")
		b.until(`Number(document.documentElement.dataset.rev) < ` + rev)
	}
	// Random jumps: what is shown then equals what a page shows that was opened there.
	what := `JSON.stringify([...document.querySelectorAll("#map .pod")].map(p => [p.closest(".node").dataset.node, p.dataset.id, p.className.replace(" cursor", "")]))`
	for _, rev := range []int64{empty + 2, full - 3, (empty + full) / 2, full - 1} {
		b.visit(fmt.Sprintf("#/cluster?rev=%d", rev))
		b.until(fmt.Sprintf(`document.documentElement.dataset.rev === "%d"`, rev))
		jumped := value[string](b, what)
		fresh := openTab(t, c, fmt.Sprintf("#/cluster?rev=%d", rev))
		fresh.until(fmt.Sprintf(`document.documentElement.dataset.rev === "%d"`, rev))
		if opened := value[string](fresh, what); opened != jumped {
			t.Errorf("revision %d is shown as\n%s\nafter a jump, and as\n%s\nwhen it is opened", rev, jumped, opened)
		}
		fresh.check("opened in the past")
	}
	b.visit(fmt.Sprintf("#/cluster?rev=%d", empty))
	b.until(`document.querySelectorAll("#map .pod").length === 0`)
	if banner := value[string](b, `document.getElementById("banner").innerText`); !strings.Contains(banner, fmt.Sprint(empty)) {
		t.Errorf("the banner says %q", banner)
	}
	b.visit(fmt.Sprintf("#/apply?rev=%d", full))
	b.until(`document.querySelector('[data-act="apply.now"]').disabled`)
	b.visit(fmt.Sprintf("#/cluster?rev=%d", full))
	b.do(chromedp.Click(`#top [data-act=live]`, chromedp.ByQuery))
	b.until(`document.documentElement.dataset.live === "true"`)
	b.ready(4)
	b.check("the past")
}

func TestAPausedSchedulerIsSteppedInTheBrowser(t *testing.T) {
	c := startCluster(t, 2)
	b := openTab(t, c, "#/machine")
	station := `document.getElementById("station-default-scheduler")`
	b.until(station + ` !== null`)
	b.do(chromedp.Click(`[data-act="machine.pause"][data-arg="default-scheduler"]`, chromedp.ByQuery))
	b.until(station + `.querySelector("[data-state=paused]") !== null`)
	c.deploy("web", 2)
	// A gate lets go what is under way: what waits is shown in the queue, or in the hands of the scheduler.
	b.visit("#/cluster")
	b.until(`document.querySelectorAll("#map .tray .pod.pending").length === 2`)
	for left := 1; left >= 0; left-- {
		b.visit("#/machine")
		b.do(chromedp.Click(`[data-act="machine.step"][data-arg="default-scheduler"]`, chromedp.ByQuery))
		b.visit("#/cluster")
		b.until(fmt.Sprintf(`document.querySelectorAll("#map .tray .pod").length === %d`, left))
	}
	b.ready(2)
	b.check("pause and step")
}

func TestPodsMoveAwayFromACordonedNode(t *testing.T) {
	c := startCluster(t, 2)
	b := openTab(t, c, "")
	b.do(chromedp.Click(`[data-act="node.menu"][data-arg="worker-1"]`, chromedp.ByQuery))
	b.do(chromedp.Click(`[data-act="node.cordon"]`, chromedp.ByQuery))
	b.until(`document.querySelector('[data-node="worker-1"] .tag.warn') !== null`)
	c.deploy("web", 3)
	b.until(`document.querySelectorAll('[data-node="worker-2"] .pod.ready').length === 3`)
	b.check("cordon")
}

func TestTheConsoleIsUsedByKeyboardAlone(t *testing.T) {
	c := startCluster(t, 2)
	c.deploy("web", 3)
	b := openTab(t, c, "")
	b.ready(3)
	key := b.press
	b.do(chromedp.Focus("#map", chromedp.ByID))
	key("ArrowRight")
	b.until(`document.querySelector("#map .cursor") !== null && document.getElementById("map").getAttribute("aria-activedescendant") === document.querySelector("#map .cursor").id`)
	key("Enter")
	b.until(`!document.getElementById("inspector").hidden && location.hash.includes("sel=pods/")`)
	b.until(`document.querySelector("#inspector h2").textContent.includes("web-")`)
	key("y")
	b.until(`location.hash.startsWith("#/object/pods/") && document.querySelector("#main pre.code")?.textContent.includes("kind: Pod") === true`)
	key("g", "l")
	b.until(`document.querySelectorAll("#main.list tbody tr[data-key]").length === 3`)
	key("/")
	b.until(`document.activeElement.id === "find"`)
	key("n", "o", "n", "e")
	b.until(`document.querySelectorAll("#main.list tbody tr[data-key]").length === 0`)
	key("Backspace", "Backspace", "Backspace", "Backspace")
	b.until(`document.querySelectorAll("#main.list tbody tr[data-key]").length === 3`)
	key("Escape")
	key(":")
	b.until(`document.getElementById("ask") !== null`)
	key("d", "e", "p", "l", "o", "y", "Enter")
	b.until(`location.hash.startsWith("#/list/deployments.apps")`)
	key("?")
	b.until(`document.getElementById("help")?.open === true`)
	b.check("keyboard")
}

// The tests rest on it: what waits for a condition waits for its promises, too, and what it says.
func TestWaitingIsForPromisesToo(t *testing.T) {
	b := openTab(t, startCluster(t, 1), "")
	b.do(chromedp.Evaluate(`window.asked = 0`, nil))
	b.until(`(async () => { await new Promise(done => setTimeout(done, 30)); return ++window.asked >= 3 })()`)
	if asked := value[int](b, `window.asked`); asked != 3 {
		t.Errorf("the condition was looked at %d times, want 3: two promises said no", asked)
	}
	b.check("promises")
}

// Names and markup that come from users are text, never a page.
func TestMarkupInObjectsIsText(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("first", 1)
	b := openTab(t, c, "")
	b.ready(1) // by then the namespace has its service account
	name := strings.Repeat("n", 63)
	_, err := client.Of[*corev1.Pod](c.AdminClient()).Create(t.Context(), &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Annotations: map[string]string{"note": `<img src=x onerror="window.hurt=1"><script>window.hurt=1</script>`}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "nginx", Env: []corev1.EnvVar{{Name: "A", Value: `"><svg onload="window.hurt=1">`}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	b.visit("#/object/pods/default/" + name + "?tab=yaml")
	b.until(`document.querySelector("#main pre.code")?.textContent.includes("onerror") === true`)
	b.visit("#/cluster?sel=pods/default/" + name)
	b.until(`document.querySelector("#inspector h2")?.textContent.includes("nnn") === true`)
	if value[bool](b, `window.hurt === 1 || document.querySelector("main img, main script") !== null`) {
		t.Error("markup of an object became part of the page")
	}
	if value[bool](b, `document.documentElement.scrollWidth > innerWidth`) {
		t.Error("a long name makes the page wider than the window")
	}
	b.check("markup")
}

// Everything that can be used has a role and a name, and one place in the order of the Tab key.
func TestEverythingHasAName(t *testing.T) {
	c := startCluster(t, 2)
	c.deploy("web", 3)
	b := openTab(t, c, "")
	b.ready(3)
	nameless := `[...document.querySelectorAll("button, a[href], input, select, textarea, [role=slider], [role=listbox], [role=option]")].filter(e => {
		const label = e.getAttribute("aria-label") || e.textContent.trim() || e.title || (e.labels && [...e.labels].map(l => l.textContent.trim()).join(""))
		return !label && e.offsetParent !== null }).map(e => e.outerHTML.slice(0, 160))`
	for _, page := range []string{"cluster", "list/pods", "network", "machine", "apply", "workloads", "legend", "rollout/default/web"} {
		b.visit("#/" + page)
		if found := value[[]string](b, nameless); len(found) > 0 {
			t.Errorf("%s: without a name: %s", page, strings.Join(found, "\n"))
		}
		small := value[[]string](b, `[...document.querySelectorAll("button, select, a.button")].filter(e => { const r = e.getBoundingClientRect(); return r.width > 0 && (r.height < 23.5 || r.width < 23.5) }).map(e => e.outerHTML.slice(0, 120))`)
		if len(small) > 0 {
			t.Errorf("%s: smaller than 24 pixels: %s", page, strings.Join(small, "\n"))
		}
	}
	b.visit("#/cluster")
	if stops := value[int](b, `[...document.querySelectorAll("#map .pod")].filter(e => e.tabIndex >= 0).length`); stops != 0 {
		t.Errorf("%d pods are stops of the Tab key: the map is one", stops)
	}
	b.check("names")
}

// The measures: a thousand pods on fifty nodes.
func TestAThousandPodsAreQuick(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand pods take seconds")
	}
	c := startCluster(t, 50)
	c.deploy("many", 1000)
	b := openTab(t, c, "")
	b.ready(1000)
	b.do(chromedp.Reload())
	b.ready(1000)
	paint := value[float64](b, `performance.getEntriesByName("first-contentful-paint")[0]?.startTime || -1`)
	b.picture("thousand")
	// Write to pixels: from before a write is sent until a frame shows its revision.
	// Networks that come and go, as those of other tests' clusters do, abort what a browser has under way: it is sent again.
	const send = `const send = async (...what) => { for (;;) try { return await fetch(...what) } catch { await new Promise(done => setTimeout(done, 20)) } }
		`
	written := value[[]float64](b, `(async () => {
		`+send+`const took = []
		for (let i = 0; i < 30; i++) {
			const began = performance.now()
			const answer = await send("/api/v1/namespaces/default", {method: "PATCH", headers: {"Content-Type": "application/merge-patch+json"}, body: JSON.stringify({metadata: {labels: {n: "v" + i}}})})
			const rev = Number((await answer.json()).metadata.resourceVersion)
			while (Number(document.documentElement.dataset.rev) < rev) await new Promise(requestAnimationFrame)
			took.push(performance.now() - began)
		}
		return took
	})()`)
	// Frames, while fifty pods change in each second.
	frames := value[struct {
		Frames []float64
		Long   int
	}](b, `(async () => {
		`+send+`const frames = []
		let long = 0, last = performance.now(), go = true
		new PerformanceObserver(list => { long += list.getEntries().length }).observe({type: "longtask"})
		const pods = [...document.querySelectorAll("#map .pod")].slice(0, 100).map(p => p.dataset.id.split("/")[2])
		const loop = now => { frames.push(now - last); last = now; if (go) requestAnimationFrame(loop) }
		requestAnimationFrame(loop)
		for (let i = 0; i < 100; i++) {
			send("/api/v1/namespaces/default/pods/" + pods[i], {method: "PATCH", headers: {"Content-Type": "application/merge-patch+json"}, body: JSON.stringify({metadata: {labels: {n: "v" + i}}})})
			await new Promise(done => setTimeout(done, 20))
		}
		go = false
		return {Frames: frames.slice(1), Long: long}
	})()`)
	// Scrubbing: to anywhere in the last writes, until the page shows that revision. The first move goes there by the server,
	// and has the log read; the others find it in the browser.
	jump := `const jump = async rev => {
		const began = performance.now()
		location.hash = "#/cluster?rev=" + rev
		while (Number(document.documentElement.dataset.rev) !== rev) await new Promise(requestAnimationFrame)
		return performance.now() - began
	}
	const newest = Number(document.documentElement.dataset.rev), kept = Math.min(9000, newest - 300);`
	far := value[float64](b, `(async () => { `+jump+` return jump(newest - kept) })()`)
	stretches := `performance.getEntriesByType("resource").filter(e => e.name.includes("/console/log")).length`
	for read := -1; read != value[int](b, stretches); { // until the log gets no longer
		read = value[int](b, stretches)
		_ = value[bool](b, `new Promise(done => setTimeout(done, 500, true))`)
	}
	scrubbed := value[[]float64](b, `(async () => {
		`+jump+`
		const took = []
		for (let i = 1; i <= 60; i++) took.push(await jump(newest - 1 - (i * 7919) % kept))
		return took
	})()`)
	slices.Sort(scrubbed)
	slices.Sort(written)
	slices.Sort(frames.Frames)
	heap := value[float64](b, `performance.memory?.usedJSHeapSize / 1048576 || 0`)
	report, _ := json.Marshal(map[string]any{"first paint ms": paint, "write to pixels p50 ms": written[len(written)/2], "p95 ms": written[len(written)*95/100],
		"first far move ms": far, "scrub p50 ms": scrubbed[len(scrubbed)/2], "scrub p95 ms": scrubbed[len(scrubbed)*95/100], "frames": len(frames.Frames), "frame p50 ms": frames.Frames[len(frames.Frames)/2], "frame p95 ms": frames.Frames[len(frames.Frames)*95/100], "frame max ms": frames.Frames[len(frames.Frames)-1], "long tasks": frames.Long, "heap MB": heap})
	t.Logf("%s", report)
	b.check("a thousand pods")
}
