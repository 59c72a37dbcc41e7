//go:build unix

package main

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestKubectlEnds: what follows without an end is ended with Ctrl-C or kill, as with a kubectl of its own.
func TestKubectlEnds(t *testing.T) {
	startCluster(t)
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		for _, line := range []string{"get --raw=/api/v1/namespaces?watch=true", "get namespaces --watch"} {
			t.Run(line+" "+signal.String(), func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), scriptPatience)
				defer cancel()
				command := exec.CommandContext(ctx, "kubette", append([]string{"kubectl"}, strings.Fields(line)...)...)
				output, err := command.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := command.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := bufio.NewReader(output).ReadString('\n'); err != nil {
					t.Fatal("it prints nothing:", err)
				}
				if err := command.Process.Signal(signal); err != nil {
					t.Fatal(err)
				}
				_ = command.Wait()
				if ctx.Err() != nil {
					t.Errorf("it goes on for %s", scriptPatience)
				}
			})
		}
	}
}
