package toolbox

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// Main runs a program as this process, with the process' own files, network and signals, and returns its exit code. Its
// first argument is the program's name; a directory before it does not matter.
func Main(args []string) int {
	name := filepath.Base(args[0])
	program, ok := Programs()[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: no such program in kubette's toolbox\n", name)
		return 127
	}
	ends := []os.Signal{syscall.SIGTERM, syscall.SIGINT}
	var interrupts chan struct{}
	if name == "sh" && len(args) == 1 && os.Getenv("TERM") != "" {
		// A shell at a terminal: Ctrl-C ends what it runs, and not the shell.
		ends, interrupts = ends[:1], make(chan struct{}, 1)
		pressed := make(chan os.Signal, 1)
		signal.Notify(pressed, syscall.SIGINT)
		go func() {
			for range pressed {
				select {
				case interrupts <- struct{}{}:
				default:
				}
			}
		}()
	}
	ctx, stop := signal.NotifyContext(context.Background(), ends...)
	defer stop()
	host, _ := os.Hostname()
	dir, _ := os.Getwd()
	return program(ctx, &Process{
		Args: append([]string{name}, args[1:]...), Env: os.Environ(), Dir: dir, Hostname: host,
		Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Interrupts: interrupts, Files: osFiles{},
		Listen: net.Listen, ListenPacket: net.ListenPacket, Dial: (&net.Dialer{}).DialContext, LookupHost: net.DefaultResolver.LookupHost,
	})
}

// IsProgram says whether a path or name is that of a program here: how kubette's executable knows that it was started
// under one of these names.
func IsProgram(arg string) bool {
	_, ok := Programs()[filepath.Base(arg)]
	return ok
}
