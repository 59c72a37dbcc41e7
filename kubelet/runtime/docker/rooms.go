package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/docker/docker/api/types/container"

	"kubette/kubelet/runtime"
)

// Rooms says what the engine's machine has left. The keeper looks: its volume is on the engine's disk, and what Linux tells
// of memory and processes is the whole machine's in every container.
func (n *Node) Rooms(ctx context.Context) (runtime.Rooms, error) {
	e := n.engine
	disk := call{what: "look at the disk", number: sysStatfs, args: []argument{pointer(0), pointer(len(keeperMount) + 1)}, data: text(keeperMount)}
	calls := []call{disk}
	files := []string{"/proc/meminfo", "/proc/loadavg", "/proc/sys/kernel/pid_max"}
	for _, name := range files {
		calls = append(calls, at(sysOpenat, "open", name, number(0), number(0)),
			call{what: "read " + name, number: sysRead, args: []argument{number(3), pointer(0), number(maxData)}}, closeFile())
	}
	answers, err := e.ask(ctx, calls...)
	if err != nil {
		return runtime.Rooms{}, fmt.Errorf("ask what the machine has left: %w", err)
	}
	var rooms runtime.Rooms
	content := func(i int) []byte { return answers[3*i+2].data[:max(0, answers[3*i+2].value)] }
	filesystem := answers[0].data[len(keeperMount)+1:]
	field := func(i int) int64 { return int64(binary.LittleEndian.Uint64(filesystem[8*i:])) } // of struct statfs
	rooms.Disk = runtime.Room{Capacity: field(1) * field(2), Available: field(1) * field(4)}
	for lines := bufio.NewScanner(bytes.NewReader(content(0))); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if len(words) < 2 {
			continue
		}
		kilobytes, _ := strconv.ParseInt(words[1], 10, 64)
		switch words[0] {
		case "MemTotal:":
			rooms.Memory.Capacity = kilobytes << 10
		case "MemAvailable:":
			rooms.Memory.Available = kilobytes << 10
		}
	}
	rooms.PIDs.Capacity, _ = strconv.ParseInt(strings.TrimSpace(string(content(2))), 10, 64)
	if words := strings.Fields(string(content(1))); len(words) > 3 { // 0.5 0.4 0.3 1/234 5678
		_, all, _ := strings.Cut(words[3], "/")
		used, _ := strconv.ParseInt(all, 10, 64)
		rooms.PIDs.Available = rooms.PIDs.Capacity - used
	}
	return rooms, nil
}

// DiskUse says how many bytes the files of a pod's volumes take, and what its containers have written beside them.
func (n *Node) DiskUse(ctx context.Context, podUID string, volumes []string) (inVolumes, inContainers map[string]int64, err error) {
	inVolumes, inContainers = map[string]int64{}, map[string]int64{}
	for _, name := range volumes {
		if inVolumes[name], err = n.engine.treeSize(ctx, volumePath(podUID, name)); err != nil {
			return nil, nil, fmt.Errorf("measure the volume %s: %w", name, err)
		}
	}
	there, err := within(ctx, callTimeout, func(ctx context.Context) ([]container.Summary, error) {
		return n.engine.api.ContainerList(ctx, container.ListOptions{All: true, Size: true, Filters: scope(
			labelCluster+"="+n.engine.config.Name, labelRole+"="+roleContainer, labelUID+"="+podUID)})
	})
	if err != nil {
		return nil, nil, fmt.Errorf("measure the containers: %w", explain(ctx, err))
	}
	for _, summary := range there {
		inContainers[summary.Labels[labelContainer]] += summary.SizeRw
	}
	return inVolumes, inContainers, nil
}

// treeSize adds up what the files of a directory take on the disk, without following links. What goes away meanwhile
// counts as nothing.
func (e *Engine) treeSize(ctx context.Context, directory string) (int64, error) {
	names, err := e.readDirectory(ctx, directory)
	if err != nil || len(names) == 0 {
		return 0, err
	}
	calls := make([]call, len(names))
	for i, name := range names {
		calls[i] = statPath(path.Join(directory, name))
		calls[i].args[2] = number(0x100) // a link itself
	}
	answers, err := e.ask(ctx, calls...)
	if err != nil {
		return 0, err
	}
	const modeOffset, blocksOffset = 28, 48 // in struct statx
	sum := int64(0)
	for i, name := range names {
		if answers[i].value < 0 {
			continue
		}
		found := answers[i].data[len(path.Join(directory, name))+1:]
		sum += 512 * int64(binary.LittleEndian.Uint64(found[blocksOffset:]))
		if fileMode(binary.LittleEndian.Uint16(found[modeOffset:])).IsDir() {
			inside, err := e.treeSize(ctx, path.Join(directory, name))
			if err != nil {
				return 0, err
			}
			sum += inside
		}
	}
	return sum, nil
}

// CollectImages removes images that kubette brought, that nothing uses, and that are older than minAge here, until so many
// bytes are free.
func (n *Node) CollectImages(ctx context.Context, wanted int64, minAge time.Duration) (int64, error) {
	freed := int64(0)
	images, err := n.engine.Images(ctx)
	if err != nil {
		return 0, err
	}
	unused := n.engine.unused.since(images, time.Now())
	for _, each := range images {
		if freed >= wanted {
			break
		}
		since, ok := unused[each.ID]
		if !ok || time.Since(since) < minAge {
			continue
		}
		removed, err := n.engine.removeOwned(ctx, each.ID)
		if err != nil {
			return freed, err
		}
		if removed {
			freed += each.Size
		}
	}
	return freed, nil
}
