package toolbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// shellProgram is sh: `sh -c COMMAND`, `sh FILE`, or commands from standard input, with a prompt when asked for (-i).
// The language is mvdan.cc/sh's; the tools are this package's own, so that it works behind simulated containers, too.
func shellProgram(ctx context.Context, p *Process) int {
	options, args := shellOptions(p.Args[1:])
	stdin := p.Stdin
	if _, file := stdin.(*os.File); !file && !options.command && len(args) == 0 {
		// The script comes from standard input. The interpreter would copy what it is given there, and take it from the script.
		stdin = nil
	}
	runner, err := p.runner(ctx, stdin, positional(options, args))
	if err != nil {
		return p.fail("%v", err)
	}
	switch {
	case options.command:
		if len(args) == 0 {
			fmt.Fprintln(p.Stderr, "sh: -c requires an argument")
			return exitUsage
		}
		return p.runScript(ctx, runner, strings.NewReader(args[0]), "sh")
	case len(args) > 0:
		file, err := p.open(args[0])
		if err != nil {
			fmt.Fprintf(p.Stderr, "sh: can't open '%s': %s\n", args[0], reason(err))
			return exitUsage
		}
		defer file.Close()
		return p.runScript(ctx, runner, file, args[0])
	}
	return p.interact(ctx, runner)
}

type shellFlags struct{ command bool }

// shellOptions takes the options of a shell off its arguments: -c, and those that change nothing here (-e -i -l -u -x …).
func shellOptions(args []string) (options shellFlags, rest []string) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		options.command = options.command || !strings.HasPrefix(args[0], "--") && strings.Contains(args[0], "c")
		args = args[1:]
	}
	return options, args
}

// positional are the arguments that a script knows as $1, $2 and so on: those after its file or, with -c, after its name.
func positional(options shellFlags, args []string) []string {
	before := 1
	if options.command {
		before = 2
	}
	return args[min(before, len(args)):]
}

// condition is test EXPRESSION, or [ EXPRESSION ]: what the shell has built in, for who calls it as a program, such as
// `kubectl cp`.
func condition(ctx context.Context, p *Process) int {
	args := p.Args[1:]
	if p.Args[0] == "[" {
		if len(args) == 0 || args[len(args)-1] != "]" {
			fmt.Fprintln(p.Stderr, "[: missing ]")
			return exitUsage
		}
		args = args[:len(args)-1]
	}
	inner := *p
	inner.Args = append([]string{"sh", "-c", `test "$@"`, "test"}, args...)
	return shellProgram(ctx, &inner)
}

func (p *Process) runner(ctx context.Context, stdin io.Reader, arguments []string) (*interp.Runner, error) {
	params := append([]string{"--"}, arguments...)
	runner, err := interp.New(
		interp.Env(expand.ListEnviron(p.Env...)),
		interp.Params(params...),
		interp.StdIO(stdin, p.Stdout, p.Stderr),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc { return p.execute }),
		interp.OpenHandler(func(ctx context.Context, name string, flag int, mode os.FileMode) (io.ReadWriteCloser, error) {
			if name == "/dev/null" {
				return devNull{}, nil
			}
			return p.files().OpenFile(p.full(ctx, name), flag, mode)
		}),
		interp.ReadDirHandler2(func(ctx context.Context, name string) ([]fs.DirEntry, error) {
			return p.files().ReadDir(p.full(ctx, name))
		}),
		interp.AccessHandler(func(ctx context.Context, name string, _ interp.AccessMode) error {
			_, err := p.files().Stat(p.full(ctx, name)) // who may do what is told when it is done
			return err
		}),
		interp.StatHandler(func(ctx context.Context, name string, _ bool) (fs.FileInfo, error) {
			return p.files().Stat(p.full(ctx, name))
		}),
	)
	if err != nil {
		return nil, err
	}
	// The interpreter's option for it looks whether this machine has the directory, and begins where kubette runs.
	runner.Dir = p.path(".")
	return runner, nil
}

// in returns the process as a command of the shell sees it: with the shell's streams, directory and variables of now.
func (p *Process) in(ctx context.Context) *Process {
	handler := interp.HandlerCtx(ctx)
	inner := *p
	inner.Dir = handler.Dir
	inner.Stdout, inner.Stderr = handler.Stdout, handler.Stderr
	inner.Stdin = nil
	if handler.Stdin != nil {
		inner.Stdin = handler.Stdin
	}
	inner.Env = nil
	handler.Env.Each(func(name string, variable expand.Variable) bool {
		if variable.Exported && variable.Kind == expand.String {
			inner.Env = append(inner.Env, name+"="+variable.Str)
		}
		return true
	})
	return &inner
}

// full makes a name that a script uses absolute. The shell has done so already where it does not say its directory.
func (p *Process) full(ctx context.Context, name string) string {
	if path.IsAbs(name) {
		return path.Clean(name)
	}
	return p.in(ctx).path(name)
}

// execute runs a command of a script: one of the programs here, or nothing else.
func (p *Process) execute(ctx context.Context, args []string) error {
	program, ok := Programs()[path.Base(args[0])]
	inner := p.in(ctx)
	if !ok {
		fmt.Fprintf(inner.Stderr, "sh: %s: not found\n", args[0])
		return interp.ExitStatus(127)
	}
	inner.Args = append([]string{path.Base(args[0])}, args[1:]...)
	if code := program(ctx, inner); code != 0 {
		return interp.ExitStatus(code)
	}
	return nil
}

func (p *Process) runScript(ctx context.Context, runner *interp.Runner, script io.Reader, name string) int {
	file, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(script, name)
	if err != nil {
		fmt.Fprintf(p.Stderr, "sh: %v\n", err)
		return exitUsage
	}
	return p.exitCode(ctx, runner.Run(ctx, file))
}

// interact runs commands as they come, with a prompt. A syntax error ends a line, not the shell.
func (p *Process) interact(ctx context.Context, runner *interp.Runner) int {
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	prompt := p.Getenv("TERM") != ""
	if prompt {
		p.printf("%s # ", runner.Dir)
	}
	var last error
	err := parser.Interactive(p.stdin(), func(statements []*syntax.Stmt) bool {
		if parser.Incomplete() {
			if prompt {
				p.printf("> ")
			}
			return true
		}
		for _, statement := range statements {
			last = p.interruptible(ctx, func(ctx context.Context) error { return runner.Run(ctx, statement) })
			if runner.Exited() || ctx.Err() != nil {
				return false
			}
		}
		if prompt {
			p.printf("%s # ", runner.Dir)
		}
		return true
	})
	if err != nil {
		fmt.Fprintf(p.Stderr, "sh: %v\n", err)
		return exitUsage
	}
	return p.exitCode(ctx, last)
}

// interruptible runs something until it ends or the user presses Ctrl-C.
func (p *Process) interruptible(ctx context.Context, run func(ctx context.Context) error) error {
	if p.Interrupts == nil {
		return run(ctx)
	}
	select {
	case <-p.Interrupts: // it was meant for what ran before
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.Interrupts:
			cancel()
		case <-ctx.Done():
		}
	}()
	return run(ctx)
}

func (p *Process) exitCode(ctx context.Context, err error) int {
	var status interp.ExitStatus
	switch {
	case ctx.Err() != nil:
		return exitTerminated
	case err == nil:
		return exitOK
	case errors.As(err, &status):
		return int(status)
	}
	return p.fail("%v", err)
}

type devNull struct{}

func (devNull) Read([]byte) (int, error)       { return 0, io.EOF }
func (devNull) Write(data []byte) (int, error) { return len(data), nil }
func (devNull) Close() error                   { return nil }
