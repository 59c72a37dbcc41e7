package console

import (
	"crypto/rand"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// door decides who comes in.
type door struct {
	mu       sync.Mutex
	keys     []string             // not used yet, oldest first
	sessions map[string]time.Time // when each was last used
}

const (
	maxKeys     = 64
	maxSessions = 256
)

func newDoor() *door { return &door{sessions: map[string]time.Time{}} }

func (d *door) newKey() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := rand.Text()
	d.keys = append(d.keys, key)
	if over := len(d.keys) - maxKeys; over > 0 {
		d.keys = slices.Clone(d.keys[over:])
	}
	return key
}

// open turns a key into a session, once.
func (d *door) open(key string) (session string, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	at := slices.Index(d.keys, key)
	if at < 0 {
		return "", false
	}
	d.keys = slices.Delete(d.keys, at, at+1)
	if len(d.sessions) >= maxSessions {
		d.forgetOldest()
	}
	session = rand.Text()
	d.sessions[session] = time.Now()
	return session, true
}

func (d *door) forgetOldest() {
	oldest := ""
	for session, used := range d.sessions {
		if oldest == "" || used.Before(d.sessions[oldest]) {
			oldest = session
		}
	}
	delete(d.sessions, oldest)
}

// cookieName has the port in it: cookies of all ports of a host are in one jar.
func cookieName(r *http.Request) string {
	_, port, _ := net.SplitHostPort(r.Host)
	return "kubette-console-" + port
}

func (d *door) known(r *http.Request) bool {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.sessions[cookie.Value]; !ok {
		return false
	}
	d.sessions[cookie.Value] = time.Now()
	return true
}

// enter lets in who has a session already, or a good key.
func (d *door) enter(w http.ResponseWriter, r *http.Request) bool {
	if d.known(r) {
		return true
	}
	session, ok := d.open(r.URL.Query().Get("key"))
	if ok {
		http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: session, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
	}
	return ok
}

func (d *door) onlyWithSession(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !d.known(r) {
			http.Error(w, "this browser has no session: open the link that `kubette status` prints", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// policy is what the console's pages may do: nothing but use the console's own files, and talk to the console.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
	"manifest-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// guard refuses requests that do not come from a page of the console's own, or that reached it by another name than this
// machine's: a page on the internet may point a name of its own at 127.0.0.1 (DNS rebinding), or send a form here.
func (d *door) guard(port int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("X-Frame-Options", "DENY")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		if !isLoopback(r.Host, port) {
			http.Error(w, "the console is at http://127.0.0.1:"+strconv.Itoa(port), http.StatusMisdirectedRequest)
			return
		}
		if !ofOurs(r) {
			http.Error(w, "only the console's own pages may ask this", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(hostPort string, port int) bool {
	host, number, err := net.SplitHostPort(hostPort)
	if err != nil || number != strconv.Itoa(port) {
		return false
	}
	return slices.Contains([]string{"127.0.0.1", "localhost", "::1"}, strings.ToLower(host))
}

// ofOurs says whether a request may come from where it comes from. Browsers name the origin of every request that writes
// and of every WebSocket. Of others they name how the asking site is related to ours: another port of this machine is the
// same site for them, but not for us.
func ofOurs(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	reads := r.Method == http.MethodGet || r.Method == http.MethodHead
	if origin == "" && (!reads || r.Header.Get("Upgrade") != "") {
		return false
	}
	if origin != "" {
		from, err := url.Parse(origin)
		if err != nil || from.Scheme != "http" || !strings.EqualFold(from.Host, r.Host) {
			return false
		}
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return true
	}
	// A link to the console from elsewhere may be followed; it gets the page, which is nobody's secret.
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document" && r.URL.Path == "/"
}
