// Command kubette runs a small Kubernetes on one machine. The same executable is also what runs inside kubette's own
// images, and a kubectl when it is called by that name: what it is depends on the name it is started under.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"kubette/network/gateway"
	"kubette/toolbox"
)

func main() { os.Exit(run(os.Args)) }

// run does what the arguments say, and returns the exit code.
func run(args []string) int {
	name := strings.TrimSuffix(filepath.Base(args[0]), ".exe")
	switch {
	case name == gateway.Program:
		return gateway.Main()
	case name == "kubectl":
		return kubectlMain(os.Getenv(nameVariable), args[1:])
	case name != "kubette" && toolbox.IsProgram(name):
		return toolbox.Main(args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args[1:])
	err := root.ExecuteContext(ctx)
	var code exitCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintln(os.Stderr, "kubette:", err)
	return 1
}

// exitCode ends the program without another word.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }
