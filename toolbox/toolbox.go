package toolbox

import (
	"context"
	"io"
	"io/fs"
	"net"
)

// Process is what a program runs in. Fields that a program may find nil are said so.
type Process struct {
	Args     []string // Args[0] is the program's name
	Env      []string // NAME=value
	Dir      string   // the working directory, "/" when empty
	Hostname string
	Stdin    io.Reader // nil for none
	// Interrupts tells of each Ctrl-C at a terminal that no kernel makes a signal of; nil for none.
	Interrupts     <-chan struct{}
	Stdout, Stderr io.Writer
	// Files are what the program sees as its file system.
	Files        Files
	Listen       func(network, address string) (net.Listener, error)
	ListenPacket func(network, address string) (net.PacketConn, error)
	Dial         func(ctx context.Context, network, address string) (net.Conn, error)
	// LookupHost resolves a name as the process' resolver does.
	LookupHost func(ctx context.Context, host string) ([]string, error)
}

// Program runs until it is done or the context ends (a termination signal), and returns its exit code.
type Program func(ctx context.Context, process *Process) int

// Files is a file system that programs read and write; names are absolute, slash-separated paths. Errors are those of
// io/fs, so that errors.Is(err, fs.ErrNotExist) works.
type Files interface {
	// OpenFile opens a file as os.OpenFile does, with its flags.
	OpenFile(name string, flag int, mode fs.FileMode) (File, error)
	Stat(name string) (fs.FileInfo, error)
	ReadDir(name string) ([]fs.DirEntry, error)
	MkdirAll(name string, mode fs.FileMode) error
	// RemoveAll removes a file, or a directory and all below it; it returns an error when there is none.
	RemoveAll(name string) error
	Rename(from, to string) error
}

// File is an open file.
type File interface {
	io.ReadWriteCloser
}

// Image is one of kubette's own images, and which names it stands in for.
type Image struct {
	// Name in the local engine, for example kubette.local/web.
	Name string
	// StandsFor lists the repositories without tag that this image replaces when they cannot be pulled:
	// docker.io/library/nginx, docker.io/ragatzino/backend-demo-conception-logicielle.
	StandsFor []string
	// Entrypoint stays when a pod gives only args; Command follows it, and is replaced by a pod's args. At least one of
	// them names a program first.
	Entrypoint []string
	Command    []string
	Env        []string
	Ports      []string // 8000/tcp
}
