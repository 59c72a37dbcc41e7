// Package toolbox holds the programs inside kubette's own images: the course's back end and front end, a web server, a
// shell's small tools. Each runs in two ways: as the process of a real container (the image holds kubette's executable),
// and as a goroutine behind a simulated container's address.
//
// A program therefore touches the world only through its Process: arguments, variables, output, listening and dialling.
package toolbox

import (
	"context"
	"io"
	"net"
)

// Process is what a program runs in.
type Process struct {
	Args           []string // Args[0] is the program's name
	Env            []string // NAME=value
	Hostname       string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Listen         func(network, address string) (net.Listener, error)
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
}

// Program runs until it is done or the context ends (a termination signal), and returns its exit code.
type Program func(ctx context.Context, process *Process) int

// Image is one of kubette's own images, and which names it stands in for.
type Image struct {
	// Name in the local engine, for example kubette.local/web.
	Name string
	// StandsFor lists the repositories without tag that this image replaces when they cannot be pulled:
	// docker.io/library/nginx, docker.io/ragatzino/backend-demo-conception-logicielle.
	StandsFor []string
	// Command is what runs when the pod gives none: a program's name and arguments.
	Command []string
	Env     []string
	Ports   []string // 8000/tcp
}
