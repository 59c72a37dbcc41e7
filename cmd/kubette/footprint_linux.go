package main

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// shrink gives back the memory that only the start needed. Four fifths of a young cluster's resident memory are pages of
// its own executable: code and tables that ran once, while types were registered and flags declared. The kernel is told
// that they are not needed; it maps a page again, from its cache of the file, when somebody touches it. Nothing is lost
// but some microseconds for each page that is needed after all.
func shrink() {
	mappings, err := readOnlyMappings()
	for _, m := range mappings {
		err = errors.Join(err, m.forget())
	}
	if err != nil {
		slog.Debug("the executable's pages stay in memory", "error", err)
	}
}

// mapping is a part of the executable's file in this process' address space.
type mapping struct{ start, end, offset uintptr }

// readOnlyMappings finds what is mapped of this program's file and could be read from it again.
func readOnlyMappings() ([]mapping, error) {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return nil, err
	}
	defer maps.Close()
	var found []mapping
	var current mapping
	own := false // the lines that are being read are about a read-only mapping of our file
	lines := bufio.NewScanner(maps)
	for lines.Scan() {
		line := lines.Text()
		// 0172a000-03e59000 r-xp 0132a000 fe:00 10240273   /usr/local/bin/kubette
		var m mapping
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s %x", &m.start, &m.end, &rights, &m.offset); n == 4 {
			current, own = m, strings.HasSuffix(line, " "+self) && !strings.Contains(rights, "w")
			continue
		}
		// A page that was written before it was made read-only (the dynamic linker's tables) is nowhere but in memory: a
		// mapping with such pages must stay as it is.
		if fields := strings.Fields(line); own && len(fields) > 1 && fields[0] == "Anonymous:" && fields[1] == "0" {
			found = append(found, current)
		}
	}
	return found, lines.Err()
}

// piece is the largest part of a file that the kernel keeps, and maps, as one.
const piece = 2 << 20

// forget drops a mapping's pages out of memory.
//
// Kernels since 6.18 map the whole cached piece of a file, up to 2 MB, when one of its pages is touched, if the piece lies
// within one mapping: a few lines of code so bring back all that was dropped. Mappings that end in the middle of each
// piece prevent it. Advice that differs between neighbours makes such mappings, and this one has no other effect: pages of
// a file are not in core dumps anyway.
func (m mapping) forget() error {
	if err := madvise(m.start, m.end, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) { // a kernel without them
		return err
	}
	middle := m.start - m.offset%piece + piece/2
	for at := middle; at < m.end; at += 2 * piece {
		if err := madvise(max(at, m.start), min(at+piece, m.end), unix.MADV_DONTDUMP); err != nil {
			return err
		}
	}
	return madvise(m.start, m.end, unix.MADV_DONTNEED)
}

// madvise is the system call itself: these pages are not a Go slice.
func madvise(start, end uintptr, advice int) error {
	if end <= start {
		return nil
	}
	if _, _, failed := unix.Syscall(unix.SYS_MADVISE, start, end-start, uintptr(advice)); failed != 0 {
		return failed
	}
	return nil
}
