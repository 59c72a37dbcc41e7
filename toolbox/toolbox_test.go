package toolbox

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// rooted shows a directory of this machine as the root of a file system.
type rooted struct {
	osFiles
	dir string
}

func (r rooted) at(name string) string { return filepath.Join(r.dir, filepath.FromSlash(name)) }

func (r rooted) OpenFile(name string, flag int, mode os.FileMode) (File, error) {
	return os.OpenFile(r.at(name), flag, mode)
}
func (r rooted) Stat(name string) (os.FileInfo, error)        { return os.Stat(r.at(name)) }
func (r rooted) ReadDir(name string) ([]os.DirEntry, error)   { return os.ReadDir(r.at(name)) }
func (r rooted) MkdirAll(name string, mode os.FileMode) error { return os.MkdirAll(r.at(name), mode) }
func (r rooted) RemoveAll(name string) error                  { return r.osFiles.RemoveAll(r.at(name)) }
func (r rooted) Rename(from, to string) error                 { return os.Rename(r.at(from), r.at(to)) }

// runProgram runs a program in an empty file system and returns what it printed, its complaints and its exit code.
func runProgram(t *testing.T, files Files, stdin string, args ...string) (out, complaints string, code int) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	p := &Process{Args: args, Env: []string{"HOME=/", "GREETING=hello"}, Dir: "/", Hostname: "web-1", Stdin: strings.NewReader(stdin),
		Stdout: &stdout, Stderr: &stderr, Files: files}
	program, ok := Programs()[args[0]]
	if !ok {
		t.Fatalf("there is no program %s", args[0])
	}
	code = program(t.Context(), p)
	return stdout.String(), stderr.String(), code
}

func TestScriptsDoWhatAShellDoes(t *testing.T) {
	for _, test := range []struct {
		script, out string
		code        int
	}{
		{"echo $GREETING", "hello\n", 0},
		{"exit 7", "", 7},
		{"false || echo saved", "saved\n", 0},
		{"for i in $(seq 3); do echo $i; done | sort -rn | head -n 2", "3\n2\n", 0},
		{"echo one > /a; echo two >> /a; cat /a | wc -l", "2\n", 0},
		{"mkdir -p /x/y && touch /x/y/z && ls /x/y", "z\n", 0},
		{"cp /missing /b", "", 1},
		{"pwd; echo here > beside; cat /beside; mkdir -p /x/y; cd /x; pwd; touch y2; ls; cd y; ls ..; cat ../../beside", "/\nhere\n/x\ny\ny2\ny\ny2\nhere\n", 0},
		{"[ -f /a ] && echo there || echo missing", "missing\n", 0},
		{"printf 'b\\na\\nb\\n' | sort -u | tr a-z A-Z", "A\nB\n", 0},
		{"echo 'x:y:z' | cut -d: -f2-", "y:z\n", 0},
		{"echo -n kubette | base64", "a3ViZXR0ZQ==\n", 0},
		{"echo a3ViZXR0ZQ== | base64 -d", "kubette", 0},
		{"printf 'a\\nb\\nab\\n' | grep -c a", "2\n", 0},
		{"printf 'a\\n' | grep -q b", "", 1},
		{"seq 5 | tail -n 2", "4\n5\n", 0},
		{"hostname", "web-1\n", 0},
		{"X=1 env | grep ^X", "X=1\n", 0},
		{"sleep 0.01 && echo awake", "awake\n", 0},
		{"nothere", "", 127},
		{"echo to null > /dev/null", "", 0},
		{"trap 'echo bye' EXIT; echo hi", "hi\nbye\n", 0},
		{"cd /; mkdir d; cd d; echo in > f; cat /d/f", "in\n", 0},
		{"if [ \"$1\" = b ]; then echo $0 $1; fi", "", 0},
	} {
		t.Run(test.script, func(t *testing.T) {
			out, complaints, code := runProgram(t, rooted{dir: t.TempDir()}, "", "sh", "-c", test.script)
			if out != test.out || code != test.code {
				t.Errorf("printed %q with code %d, want %q with %d; complaints: %s", out, code, test.out, test.code, complaints)
			}
		})
	}
}

func TestAShellReadsCommandsAndFiles(t *testing.T) {
	files := rooted{dir: t.TempDir()}
	if out, _, code := runProgram(t, files, "echo one\nif true; then\necho two\nfi\nexit 4\necho never\n", "sh"); out != "one\ntwo\n" || code != 4 {
		t.Errorf("from standard input: %q, code %d", out, code)
	}
	if err := os.WriteFile(files.at("/s.sh"), []byte("echo script $1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, _, code := runProgram(t, files, "", "sh", "/s.sh", "arg"); out != "script arg\n" || code != 0 {
		t.Errorf("from a file: %q, code %d", out, code)
	}
	if _, complaints, code := runProgram(t, files, "", "sh", "-c", "if"); code != 2 || complaints == "" {
		t.Errorf("a syntax error: code %d, complaints %q", code, complaints)
	}
}

// What is after a script is its arguments: with -c, the first is its name.
func TestAScriptsArguments(t *testing.T) {
	files := rooted{dir: t.TempDir()}
	if out, _, code := runProgram(t, files, "", "sh", "-c", `echo $# "$1" "$2"`, "name", "a", "b c"); out != "2 a b c\n" || code != 0 {
		t.Errorf("%q, code %d", out, code)
	}
}

// test is a program, too: kubectl cp asks it whether there is a directory.
func TestConditions(t *testing.T) {
	files := rooted{dir: t.TempDir()}
	if _, complaints, code := runProgram(t, files, "", "sh", "-c", "mkdir /d; echo x > '/a b'"); code != 0 {
		t.Fatal(complaints)
	}
	for _, test := range []struct {
		args []string
		code int
	}{
		{[]string{"test", "-d", "/d"}, 0},
		{[]string{"test", "-d", "/a b"}, 1},
		{[]string{"test", "-f", "/a b"}, 0},
		{[]string{"test", "-e", "/none"}, 1},
		{[]string{"test", "a", "=", "a"}, 0},
		{[]string{"test", "!", "-e", "/d"}, 1},
		{[]string{"test", "2", "-gt", "10"}, 1},
		{[]string{"test"}, 1},
		{[]string{"[", "-d", "/d", "]"}, 0},
		{[]string{"[", "-d", "/d"}, 2},
	} {
		if _, complaints, code := runProgram(t, files, "", test.args...); code != test.code {
			t.Errorf("%q ends with %d, want %d: %s", test.args, code, test.code, complaints)
		}
	}
}

func TestTarCarriesATree(t *testing.T) {
	from, to := rooted{dir: t.TempDir()}, rooted{dir: t.TempDir()}
	if _, complaints, code := runProgram(t, from, "", "sh", "-c", "mkdir -p /d/e; echo deep > /d/e/f; echo flat > /d/g"); code != 0 {
		t.Fatal(complaints)
	}
	archive, complaints, code := runProgram(t, from, "", "tar", "cf", "-", "-C", "/", "d")
	if code != 0 {
		t.Fatal(complaints)
	}
	if _, complaints, code := runProgram(t, to, archive, "tar", "xmf", "-", "-C", "/target"); code != 0 {
		t.Fatal(complaints)
	}
	for name, want := range map[string]string{"/target/d/e/f": "deep\n", "/target/d/g": "flat\n"} {
		if got, err := os.ReadFile(to.at(name)); err != nil || string(got) != want {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
}

func TestLookupGoesByRepository(t *testing.T) {
	for image, want := range map[string]string{
		"nginx": "kubette.local/web", "nginx:1.27-alpine": "kubette.local/web", "docker.io/library/nginx:latest": "kubette.local/web",
		"ragatzino/backend-demo-conception-logicielle:latest": "kubette.local/backend", "busybox": "kubette.local/shell",
		"kubette.local/web": "kubette.local/web", "example.org/nginx": "", "NOT an image": "", "": "",
	} {
		found, ok := Lookup(image)
		if found.Name != want || ok != (want != "") {
			t.Errorf("%q finds %q, want %q", image, found.Name, want)
		}
	}
}

func TestEveryImageStartsAProgramThatIsThere(t *testing.T) {
	for _, image := range Images() {
		command := append(append([]string(nil), image.Entrypoint...), image.Command...)
		if len(command) == 0 || Programs()[command[0]] == nil {
			t.Errorf("%s starts %v", image.Name, command)
		}
	}
}

// serveProgram runs a server in memory and returns a client for its port.
func serveProgram(t *testing.T, env []string, args ...string) *http.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan int, 1)
	go func() {
		ended <- Programs()[args[0]](ctx, &Process{Args: args, Env: env, Hostname: "pod-1", Stdout: io.Discard, Stderr: io.Discard,
			Listen: func(string, string) (net.Listener, error) { return listener, nil }})
	}()
	t.Cleanup(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("%s ended with code %d when it was told to stop", args[0], code)
		}
	})
	transport := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, listener.Addr().String())
	}}
	return &http.Client{Transport: transport}
}

func ask(t *testing.T, client *http.Client, method, url, body string) (int, string, http.Header) {
	t.Helper()
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, strings.TrimSpace(string(data)), answer.Header
}

func TestTheBackEndAnswersItsPaths(t *testing.T) {
	client := serveProgram(t, []string{"APP_TITLE=Course"}, "backend")
	for _, step := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/", "", 200, `{"status":"ok"}`},
		{"GET", "/health", "", 200, `{"status":"healthy"}`},
		{"GET", "/users/", "", 200, `[]`},
		{"POST", "/users/", `{"username":"ada","password":"x"}`, 200, `{"username":"ada"}`},
		{"POST", "/users/", `{"username":"ada","password":"x"}`, 409, `{"detail":"User already exists"}`},
		{"GET", "/users/", "", 200, `[{"username":"ada"}]`},
		{"POST", "/users/connect", `{"username":"ada","password":"x"}`, 200, `{"username":"ada"}`},
		{"POST", "/users/connect", `{"username":"bob","password":"x"}`, 404, `{"detail":"User not found"}`},
		{"POST", "/users/", `{}`, 422, `{"detail":[{"loc":["body","username"],"msg":"Field required","type":"missing"}]}`},
		{"POST", "/users/", `{`, 422, `{"detail":[{"loc":["body"],"msg":"JSON decode error","type":"json_invalid"}]}`},
		{"GET", "/nothing", "", 404, `{"detail":"Not Found"}`},
		{"DELETE", "/users/", "", 405, `{"detail":"Method Not Allowed"}`},
	} {
		status, body, header := ask(t, client, step.method, "http://backend"+step.path, step.body)
		if status != step.status || body != step.want {
			t.Errorf("%s %s %s: %d %s, want %d %s", step.method, step.path, step.body, status, body, step.status, step.want)
		}
		if header.Get("Access-Control-Allow-Origin") != "*" || header.Get("X-Pod") != "pod-1" {
			t.Errorf("%s %s: headers %v", step.method, step.path, header)
		}
	}
	if _, body, _ := ask(t, client, "GET", "http://backend/docs", ""); !strings.Contains(body, "Course") || !strings.Contains(body, "stand-in") {
		t.Errorf("/docs shows %s", body)
	}
	_, body, _ := ask(t, client, "GET", "http://backend/openapi.json", "")
	if !json.Valid([]byte(body)) {
		t.Errorf("/openapi.json is %s", body)
	}
}

func TestTheFrontEndRefusesHostsAsViteDoes(t *testing.T) {
	client := serveProgram(t, []string{"VITE_API_URL=https://api.example.org/", "VITE_ENVIRONNEMENT=course",
		"__VITE_ADDITIONAL_SERVER_ALLOWED_HOSTS=users.example.org, .trusted.test"}, "frontend")
	for host, want := range map[string]int{
		"users.example.org": 200, "users.example.org:8080": 200, "localhost": 200, "users.example.org.localhost": 200, "10.97.1.5": 200,
		"a.trusted.test": 200, "trusted.test": 200, "other.example.org": 403, "nottrusted.test": 403,
	} {
		status, body, _ := ask(t, client, "GET", "http://"+host+"/", "")
		if status != want {
			t.Errorf("host %s: status %d, want %d", host, status, want)
		}
		if status == 200 && (!strings.Contains(body, "course") || !strings.Contains(body, `"https://api.example.org"`) || !strings.Contains(body, "pod-1")) {
			t.Errorf("host %s: the page does not show its variables:\n%s", host, body)
		}
		if status == 403 && !strings.Contains(body, host) {
			t.Errorf("host %s: the refusal does not name it: %s", host, body)
		}
	}
}

func TestSleepTimes(t *testing.T) {
	for text, ok := range map[string]bool{"1": true, "0.5": true, "2m": true, "1d": true, "infinity": true, "1e30": true, "": false, "-1": false, "x": false, "s": false} {
		if _, got := sleepTime(text); got != ok {
			t.Errorf("sleep %q: understood %v, want %v", text, got, ok)
		}
	}
}
