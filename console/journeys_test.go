package console_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kubette/client"
	"kubette/cluster"
	"kubette/cluster/clustertest"
)

// types types into what has the focus.
func (b *tab) types(text string) {
	b.t.Helper()
	b.do(chromedp.KeyEvent(text))
}

// control presses Ctrl with a letter.
func (b *tab) control(letter string) {
	b.t.Helper()
	b.do(input.DispatchKeyEvent(input.KeyDown).WithKey(letter).WithModifiers(input.ModifierCtrl),
		input.DispatchKeyEvent(input.KeyUp).WithKey(letter).WithModifiers(input.ModifierCtrl))
}

// pod is the address of the first pod on the map: pods/NAMESPACE/NAME.
func (b *tab) pod() string {
	b.t.Helper()
	return value[string](b, `document.querySelector("#map .pod").dataset.id`)
}

func TestAShellInAPod(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 1)
	b := openTab(t, c, "")
	b.ready(1)
	shellJourney(b)
}

// The same with real containers, and what the engine has of them.
func TestTheConsoleOnDocker(t *testing.T) {
	c := &running{clustertest.Start(t, cluster.Config{Runtime: cluster.RuntimeDocker, Workers: 1}), t}
	c.deploy("web", 1)
	b := openTab(t, c, "")
	b.ready(1)
	pod := b.pod()
	shellJourney(b)
	b.visit("#/object/" + pod)
	b.until(`document.querySelectorAll(".pairs thead th").length === 4 && document.querySelector(".pairs").textContent.includes("Running")`)
	b.check("the console on Docker")
}

func shellJourney(b *tab) {
	b.visit("#/object/" + b.pod() + "?tab=shell")
	b.until(`document.querySelector('[data-act="shell.start"]') !== null`)
	b.do(chromedp.Click(`[data-act="shell.start"]`, chromedp.ByQuery))
	b.until(`document.activeElement.id === "terminal" && /[$#] $|[$#]$/.test(document.getElementById("terminal").textContent.trimEnd())`)
	b.types("echo one-$((20+1))x")
	b.press("Backspace")
	b.types("\r")
	b.until(`document.getElementById("terminal").textContent.includes("\none-21\n")`)
	b.types("sleep 600\r")
	b.until(`document.getElementById("terminal").textContent.includes("sleep 600")`)
	b.control("c")
	b.until(`/\^C[^]*[$#]$/.test(document.getElementById("terminal").textContent.trimEnd())`)
	b.types("echo still-$((1+1))\r")
	// What the shell writes while it is left would come after the end of the connection.
	b.until(`/\nstill-2\n[^]*[$#]$/.test(document.getElementById("terminal").textContent.trimEnd())`)
	b.do(chromedp.Click(`[data-act="shell.stop"]`, chromedp.ByQuery))
	b.until(`document.querySelector('[data-act="shell.start"]') !== null`)
	b.picture("shell")
	b.check("the shell")
}

// What is wanted, what the API server knows and what the container runtime has stand side by side.
func TestAPodIsWantedReportedAndObserved(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 1)
	b := openTab(t, c, "")
	b.ready(1)
	b.visit("#/object/" + b.pod())
	row := `[...[...document.querySelectorAll(".pairs tbody tr")].find(r => r.cells[0].textContent.trim() === "web").cells].slice(1).map(c => c.textContent).join()`
	b.until(`document.querySelectorAll(".pairs thead th").length === 4 && ` + row + ` === "running,running,Running"`)
	before := value[int64](b, `Number(document.documentElement.dataset.rev)`)
	// Two revisions of an object, compared.
	b.visit(fmt.Sprintf("#/object/deployments.apps/default/web?tab=yaml&from=%d", before))
	b.until(`document.querySelector("#main .diff")?.textContent === "Nothing differs."`)
	b.do(chromedp.Evaluate(`fetch("/apis/apps/v1/namespaces/default/deployments/web", {method: "PATCH", headers: {"Content-Type": "application/merge-patch+json"}, body: '{"spec":{"replicas":2}}'})`, nil))
	b.until(`document.querySelector("#main .diff .del")?.textContent.trim() !== undefined && document.querySelector("#main .diff").textContent.includes("+  replicas: 2")`)
	b.check("observed")
}

// expose makes a service for the pods of an app, and an ingress that leads to it from NAME.example.org.
func (r *running) expose(name, app string) {
	r.t.Helper()
	api, kind := r.AdminClient(), networkingv1.PathTypePrefix
	if _, err := client.Of[*corev1.Service](api).Create(r.t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: corev1.ServiceSpec{Selector: map[string]string{"app": app}, Ports: []corev1.ServicePort{{Port: 80}}}}); err != nil {
		r.t.Fatal(err)
	}
	if _, err := client.Of[*networkingv1.Ingress](api).Create(r.t.Context(), &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"},
		Spec: networkingv1.IngressSpec{Rules: []networkingv1.IngressRule{{Host: name + ".example.org", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{
			Paths: []networkingv1.HTTPIngressPath{{Path: "/", PathType: &kind, Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: name, Port: networkingv1.ServiceBackendPort{Number: 80}}}}}}}}}}}); err != nil {
		r.t.Fatal(err)
	}
}

// Requests are counted by the proxies themselves, on their whole way.
func TestTheNetworkCountsRequestsAndFailures(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 1)
	c.expose("web", "web")
	c.expose("nobody", "nobody")
	b := openTab(t, c, "")
	b.ready(1)
	b.visit("#/network")
	b.until(`document.querySelectorAll(".net [data-point]").length === 5 && document.querySelectorAll(".net .box .problem").length === 1`)
	send := func(host string, times int) {
		_ = value[bool](b, fmt.Sprintf(`(async () => { for (let i = 0; i < %d; i++) await fetch("/console/visit", {method: "POST", body: JSON.stringify({method: "GET", host: %q, path: "/"})}); return true })()`, times, host))
	}
	send("web.example.org", 7)
	send("nobody.example.org", 3)
	send("unknown.example.org", 2)
	text := func(point string) string {
		return `document.querySelector('[data-point^="` + point + `"]').textContent`
	}
	for _, want := range []string{text("h/default/web/") + `.includes("7 requests")`, text("s/default/web") + `.includes("7 requests")`, text("p/default/web-") + `.includes("7 requests")`,
		text("h/default/nobody/") + `.includes("3 requests ✕ 3 failed")`, text("s/default/nobody") + `.includes("3 failed")`, `document.querySelector(".net").textContent.includes("2 requests fit no rule")`} {
		b.until(want)
	}
	b.picture("network-counts")
	b.check("counts")
}

// Requests are seen on their way: as dots, the failed ones as diamonds, and only where and while they are wanted.
func TestTrafficMovesOnlyWhereItIsWanted(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 1)
	c.expose("web", "web")
	c.expose("nobody", "nobody")
	b := openTab(t, c, "")
	b.ready(1)
	b.visit("#/network")
	b.until(`document.querySelectorAll(".net [data-point]").length === 5`)
	send := func() {
		_ = value[bool](b, `(async () => { for (let i = 0; i < 20; i++) for (const host of ["web", "nobody"]) await fetch("/console/visit", {method: "POST", body: JSON.stringify({method: "GET", host: host + ".example.org", path: "/"})}); return true })()`)
	}
	b.until(`document.getElementById("dots").dataset.dots === "0"`)
	send()
	b.until(`Number(document.getElementById("dots").dataset.diamonds) > 0 && Number(document.getElementById("dots").dataset.dots) > Number(document.getElementById("dots").dataset.diamonds)`)
	b.picture("network-dots")
	b.until(`document.getElementById("dots").dataset.dots === "0"`) // nothing new, and no more dots
	// Whoever wants no motion reads the numbers, which go on.
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	b.do(chromedp.Evaluate(`window.seen = 0; new MutationObserver(() => { window.seen = Math.max(window.seen, Number(document.getElementById("dots").dataset.dots)) }).observe(document.getElementById("dots"), {attributes: true})`, nil))
	send()
	b.until(`document.querySelector('[data-point^="h/default/web/"] .rate')?.textContent.includes(" ms") === true`)
	b.until(`document.querySelector('[data-point^="h/default/web/"] .rate') === null`)
	if seen := value[int](b, `window.seen`); seen != 0 {
		t.Errorf("%d dots moved where no motion is wanted", seen)
	}
	// The past has no traffic.
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}))
	send()
	b.until(`Number(document.getElementById("dots").dataset.dots) > 0`)
	b.picture("network-dots-dark")
	b.do(chromedp.Evaluate(`location.hash = "#/network?rev=" + document.documentElement.dataset.rev`, nil))
	b.until(`document.documentElement.dataset.live === "false" && document.getElementById("dots").dataset.dots === "0"`)
	b.check("dots")
}

// Two revisions, compared on any page: set and ended by a key, kept in the address, told in words.
func TestTwoRevisionsAreCompared(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("old", 1)
	b := openTab(t, c, "")
	b.ready(1)
	gone := b.pod()
	b.press("=")
	b.until(`location.hash.includes("from=") && document.getElementById("difference").textContent.includes("0 added")`)
	if err := client.Of[*appsv1.Deployment](c.AdminClient()).Delete(t.Context(), "default", "old", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	c.deploy("web", 2)
	b.until(`document.querySelectorAll("#map .pod.ready[data-diff='+'][aria-description=added]").length === 2 && document.querySelectorAll("#map .pod").length === 2`)
	b.until(`[...document.querySelectorAll("#difference .removed s")].some(e => e.textContent.includes("` + strings.Split(gone, "/")[2] + `"))`)
	link := value[string](b, `location.hash + "&rev=" + document.documentElement.dataset.rev`)
	b.picture("compared")
	for _, page := range []string{"workloads", "list/pods", "network", "rollout/default/web"} {
		b.visit("#/" + page + link[strings.Index(link, "?"):])
		b.until(`document.querySelector("#difference .added")?.textContent.trim().startsWith("+ ") === true`)
		if page != "network" {
			b.until(`document.querySelector("#main [data-diff='+']") !== null`)
		}
		// What was removed is at its place: in tables, and with its family in the tree.
		switch name := strings.Split(gone, "/")[2]; page {
		case "list/pods":
			b.until(`document.querySelectorAll("#main tr.gone").length === 1 && document.querySelector("#main tbody tr[data-key]").matches(".gone[data-diff='−'][aria-description=removed]")`)
			b.until(`document.querySelector("#main tr.gone s").textContent === "` + name + `"`)
		case "workloads":
			b.until(`["old", "` + strings.Join(strings.Split(name, "-")[:2], "-") + `", "` + name + `"].every((name, i) => document.querySelectorAll("#main tr.gone s")[i]?.textContent === name)`)
			b.until(`document.querySelectorAll("#main tr.gone s").length === 4 && document.querySelector("#main tr.gone .sentence").textContent === "removed"`)
		}
		b.picture("compared-" + strings.ReplaceAll(page, "/", "-"))
	}
	b.do(chromedp.Click(`[data-act=language][data-arg=fr]`, chromedp.ByQuery))
	b.until(`document.getElementById("difference").textContent.includes("ajouté")`)
	b.do(chromedp.Focus("#main", chromedp.ByID))
	b.press("=")
	b.until(`!location.hash.includes("from=") && document.getElementById("difference").childNodes.length === 0 && document.querySelector("[data-diff]") === null`)
	b.check("compared")
}

// What a component noted in its steps is told in words, in the language of the page.
func TestTheMachineTellsItsStepsInWords(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 2)
	b := openTab(t, c, "")
	b.ready(2)
	b.visit("#/machine")
	b.until(`document.querySelector("#station-default-scheduler .note")?.textContent.includes("chose worker-1: ") === true`)
	b.do(chromedp.Click(`[data-act=language][data-arg=fr]`, chromedp.ByQuery))
	b.until(`document.querySelector("#station-default-scheduler .note")?.textContent.includes("a choisi worker-1 : ") === true`)
	if raw := value[[]string](b, `[...document.querySelectorAll(".note")].map(e => e.textContent.trim()).filter(text => /^[A-Z][a-z]+[A-Z]\w*( \w+=|$)|\?/.test(text))`); len(raw) > 0 {
		t.Errorf("without words, or without what they are about: %q", raw)
	}
	b.picture("machine-words-fr")
	b.check("steps in words")
}

// A connection that breaks off is taken up where it was: nothing is lost, and what is selected stays.
func TestABrokenFeedIsTakenUpAgain(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 1)
	b := openTab(t, c, "")
	b.do(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`const Real = WebSocket; window.sockets = []; window.held = false
			window.WebSocket = function (...a) { const s = new Real(...(window.held ? ["ws://" + location.host + "/nowhere"] : a)); window.sockets.push(s); return s }`).Do(ctx)
		return err
	}), chromedp.Reload())
	b.until(`Number(document.documentElement.dataset.rev) > 0`)
	b.ready(1)
	b.do(chromedp.Click(`#map .pod`, chromedp.ByQuery))
	b.until(`location.hash.includes("sel=pods")`)
	b.do(chromedp.Evaluate(`window.held = true; window.sockets.forEach(s => s.close())`, nil))
	b.until(`document.querySelector("#top .badge.lost") !== null`)
	c.deploy("more", 2)
	b.do(chromedp.Evaluate(`window.held = false`, nil))
	b.until(`document.querySelector("#top .badge.live") !== null`)
	b.ready(3)
	b.until(`location.hash.includes("sel=pods") && !document.getElementById("inspector").hidden`)
	b.mu.Lock()
	b.wrongs = nil // the browser says of the address that is nowhere that it is not there
	b.mu.Unlock()
	b.check("a broken feed")
}

// Two tabs of one browser: one looks at the past while the other goes on.
func TestTwoTabs(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 1)
	first := openTab(t, c, "")
	first.ready(1)
	rev := value[string](first, `document.documentElement.dataset.rev`)
	ctx, cancel := chromedp.NewContext(first.ctx)
	defer cancel()
	second := &tab{t: t, ctx: ctx, origin: first.origin}
	chromedp.ListenTarget(ctx, second.hear)
	second.do(chromedp.EmulateViewport(1440, 900), chromedp.Navigate(first.origin+"/#/cluster?rev="+rev))
	second.until(`document.documentElement.dataset.live === "false"`)
	second.ready(1)
	c.deploy("more", 2)
	second.until(`Number(document.querySelector(".tl-canvas").getAttribute("aria-valuemax")) > ` + rev + ` + 20`)
	second.ready(1)
	second.do(chromedp.Click(`#top [data-act=live]`, chromedp.ByQuery))
	second.ready(3)
	first.do(page.BringToFront()) // a hidden tab draws nothing
	first.ready(3)
	first.check("the first tab")
	second.check("the second tab")
}

// What a user asked of the system is honoured: dark, and no motion.
func TestThemeAndMotionFollowTheSystem(t *testing.T) {
	c := startCluster(t, 1)
	b := openTab(t, c, "")
	light := value[string](b, `getComputedStyle(document.body).backgroundColor`)
	b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}, {Name: "prefers-reduced-motion", Value: "reduce"}}))
	b.until(`getComputedStyle(document.body).backgroundColor !== "` + light + `"`)
	b.do(chromedp.Evaluate(`window.flown = 0; const animate = Element.prototype.animate; Element.prototype.animate = function (...a) { window.flown++; return animate.apply(this, a) }`, nil))
	c.deploy("web", 3)
	b.ready(3)
	if flown := value[int](b, `window.flown`); flown != 0 {
		t.Errorf("%d pods moved, though the user wants no motion", flown)
	}
	b.check("dark and still")
}

// What a screen reader gets: landmarks, and a name for whatever can be used.
func TestTheAccessibilityTree(t *testing.T) {
	c := startCluster(t, 1)
	c.deploy("web", 2)
	b := openTab(t, c, "")
	b.ready(2)
	named := map[string]bool{"button": true, "link": true, "textbox": true, "searchbox": true, "combobox": true, "checkbox": true, "slider": true, "listbox": true, "option": true, "navigation": true}
	for _, address := range []string{"cluster", "workloads", "list/pods", "network", "machine", "apply", "legend", "object/" + b.pod()} {
		b.visit("#/" + address)
		var tree struct { // the driver's own type does not know all that newer browsers say
			Nodes []struct {
				Ignored bool `json:"ignored"`
				Role    struct {
					Value any `json:"value"`
				} `json:"role"`
				Name struct {
					Value any `json:"value"`
				} `json:"name"`
			} `json:"nodes"`
		}
		b.do(chromedp.ActionFunc(func(ctx context.Context) error {
			return cdp.Execute(ctx, "Accessibility.getFullAXTree", nil, &tree)
		}))
		roles := map[string]int{}
		for _, node := range tree.Nodes {
			role, _ := node.Role.Value.(string)
			if node.Ignored || role == "" {
				continue
			}
			roles[role]++
			if name, _ := node.Name.Value.(string); named[role] && name == "" {
				t.Errorf("%s: a %s has no name", address, role)
			}
		}
		for _, role := range []string{"banner", "navigation", "main", "contentinfo", "heading"} {
			if roles[role] == 0 {
				t.Errorf("%s has no %s: %v", address, role, roles)
			}
		}
	}
	b.check("the accessibility tree")
}

// A page of somebody else's gets nothing, however it tries.
func TestAnotherOriginGetsNothing(t *testing.T) {
	c := startCluster(t, 1)
	b := openTab(t, c, "")
	var tried string
	b.do(chromedp.Navigate("data:text/html,<body>"), chromedp.Evaluate(fmt.Sprintf(`(async () => {
		const out = []
		for (const [path, options] of [["/api/v1/pods", {}], ["/console/snapshot?resources=pods", {credentials: "include"}], ["/console/apply", {method: "POST", body: "x", mode: "no-cors", credentials: "include"}]]) {
			try { const r = await fetch(%q + path, options); out.push(r.type === "opaque" ? "opaque" : r.status) } catch { out.push("failed") }
		}
		out.push(await new Promise(done => { const s = new WebSocket(%q); s.onopen = () => done("open"); s.onerror = () => done("refused") }))
		return out.join()
	})()`, b.origin, strings.Replace(b.origin, "http", "ws", 1)+"/console/feed?after=0"), &tried, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	if tried != "failed,failed,failed,refused" && tried != "failed,failed,opaque,refused" {
		t.Errorf("got %s", tried)
	}
}
