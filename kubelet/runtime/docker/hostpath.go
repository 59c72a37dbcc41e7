package docker

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/docker/docker/api/types/container"
)

// The files of the engine's machine can be looked at only by a container that has them mounted: the engine may run in a
// virtual machine or elsewhere. So a helper of the pause image is started for it, which takes the machine's root for its
// own, so that symbolic links lead where they lead there, and ends with the question.

const hostMount = "/host"

// StatHost says what a path of the engine's machine is; the error of one that is not there is fs.ErrNotExist.
func (n *Node) StatHost(ctx context.Context, name string) (fs.FileMode, error) {
	answers, err := n.engine.askHost(ctx, statPath(name))
	if err != nil {
		return 0, err
	}
	found := answers[0]
	if found.value < 0 {
		failed := errno(-found.value)
		if failed == errNoEntry || failed == errNotDir {
			return 0, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return 0, fmt.Errorf("%s: %w", name, failed)
	}
	const modeOffset = 28 // in struct statx
	return fileMode(binary.LittleEndian.Uint16(found.data[len(name)+1+modeOffset:])), nil
}

// MakeHost makes a directory with its parents, or an empty file, with the modes that the kubelet gives them.
func (n *Node) MakeHost(ctx context.Context, name string, directory bool) error {
	if !directory {
		_, err := n.engine.askHost(ctx, writeFile(name, nil, 0o644, nil)...)
		return err
	}
	var calls []call
	at := ""
	for part := range strings.SplitSeq(strings.Trim(path.Clean(name), "/"), "/") {
		at += "/" + part
		calls = append(calls, makeDirectory(at, 0o755))
	}
	_, err := n.engine.askHost(ctx, calls...)
	return err
}

// askHost has calls done with the engine's machine's root as root.
func (e *Engine) askHost(ctx context.Context, calls ...call) ([]answer, error) {
	id, worker, err := e.startWorker(ctx, "", &container.Config{
		Labels: map[string]string{labelCluster: e.config.Name, labelRole: roleHelper},
	}, &container.HostConfig{
		NetworkMode: "none", CapDrop: []string{"ALL"}, CapAdd: []string{"SYS_CHROOT", "DAC_OVERRIDE"}, Binds: []string{"/:" + hostMount},
	}, false)
	if err != nil {
		return nil, fmt.Errorf("start a helper to look at the machine's files: %w", err)
	}
	enter := call{what: "enter the machine's root", number: sysChroot, args: []argument{pointer(0)}, data: text(hostMount)}
	answers, err := worker.do(ctx, append([]call{enter}, calls...)...)
	worker.close()
	if removed := e.remove(context.WithoutCancel(ctx), id); err == nil {
		err = removed
	}
	if err != nil {
		return nil, err
	}
	return answers[1:], nil
}

// statPath follows links.
func statPath(name string) call {
	const basicStats = 0x7ff
	c := at(sysStatx, "look at", name, number(0), number(basicStats), pointer(len(name)+1))
	c.optional = true
	return c
}

// fileMode turns Linux' mode into Go's.
func fileMode(mode uint16) fs.FileMode {
	kinds := map[uint16]fs.FileMode{
		0x4000: fs.ModeDir, 0x8000: 0, 0xc000: fs.ModeSocket, 0x2000: fs.ModeDevice | fs.ModeCharDevice, 0x6000: fs.ModeDevice,
		0x1000: fs.ModeNamedPipe, 0xa000: fs.ModeSymlink,
	}
	return fs.FileMode(mode&0o777) | kinds[mode&0xf000]
}
