package toolbox

import (
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/spf13/pflag"
)

// Exit codes, as shells use them.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
	// exitTerminated is 128 plus the number of SIGTERM.
	exitTerminated = 143
)

// Getenv returns a variable, "" when it is not set.
func (p *Process) Getenv(name string) string {
	value, _ := p.lookupEnv(name)
	return value
}

func (p *Process) lookupEnv(name string) (string, bool) {
	for i := len(p.Env) - 1; i >= 0; i-- { // the last one counts
		if key, value, ok := strings.Cut(p.Env[i], "="); ok && key == name {
			return value, true
		}
	}
	return "", false
}

// path makes a name absolute.
func (p *Process) path(name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return path.Join("/", p.Dir, name)
}

// stdin is never nil.
func (p *Process) stdin() io.Reader {
	if p.Stdin == nil {
		return strings.NewReader("")
	}
	return p.Stdin
}

func (p *Process) printf(format string, args ...any) { fmt.Fprintf(p.Stdout, format, args...) }

// fail says what went wrong under the program's name, and returns the exit code of a failure.
func (p *Process) fail(format string, args ...any) int {
	fmt.Fprintf(p.Stderr, p.Args[0]+": "+format+"\n", args...)
	return exitFailure
}

// flags starts a program's options. Errors are returned by parse, which also answers --help.
func (p *Process) flags() *pflag.FlagSet {
	set := pflag.NewFlagSet(p.Args[0], pflag.ContinueOnError)
	set.SetOutput(p.Stderr)
	return set
}

// parse reads the options. When ok is false the program ends with the code.
func (p *Process) parse(set *pflag.FlagSet) (code int, ok bool) {
	switch err := set.Parse(p.Args[1:]); {
	case err == pflag.ErrHelp:
		return exitOK, false
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v\n", p.Args[0], err)
		return exitUsage, false
	}
	return exitOK, true
}

// inputs opens the files that arguments name, or standard input for none and for "-", and gives each to a function. It
// goes on after a file that cannot be read, and then fails in the end, as the tools do.
func (p *Process) inputs(names []string, each func(name string, content io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	code := exitOK
	for _, name := range names {
		if err := p.input(name, each); err != nil {
			code = p.fail("%s: %s", name, reason(err))
		}
	}
	return code
}

func (p *Process) input(name string, each func(name string, content io.Reader) error) error {
	if name == "-" {
		return each(name, p.stdin())
	}
	file, err := p.open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return each(name, file)
}
