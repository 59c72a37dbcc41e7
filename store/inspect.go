package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"syscall"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// bbolt trusts the pages of its file: a damaged one makes it read what is not there, or crash. So the pages are looked
// over before it sees them. What a page looks like: a header of 16 bytes (its own number, what it is, how many elements
// it has, how many more pages belong to it), the elements, 16 bytes each, then the keys and values that they point to.
// The first two pages say where the tree begins: one from the newest transaction, one from that before.

const (
	pageHeader  = 16
	elementSize = 16

	branchPage = 1
	leafPage   = 2

	bucketElement = 1 // flag of a leaf element whose value is a bucket

	boltMagic   = 0xED0CDAED
	metaSize    = 64
	noFreelist  = 0xFFFFFFFFFFFFFFFF
	bucketSize  = 16 // at the head of a bucket's value: its first page, and a counter
	deepestTree = 64
)

// inspect reads a store's file under a shared lock, and returns ErrDamaged for one that cannot be trusted.
func inspect(path string, options BoltOptions) error {
	if info, err := os.Stat(path); err == nil && info.Size() == 0 {
		return fmt.Errorf("it is empty: %w", ErrDamaged)
	}
	// Only for the lock, and for bbolt's own check of the first two pages: no other page is read.
	db, err := bbolt.Open(path, 0o600, boltOptions(options, true))
	switch {
	case err != nil && (errors.Is(err, bolterrors.ErrTimeout) || errors.As(err, new(syscall.Errno))):
		return err // of the system, not of the file
	case err != nil:
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	defer func() { _ = db.Close() }()
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	return walk(file)
}

// inspector walks a tree of pages.
type inspector struct {
	file     io.ReaderAt
	pageSize int
	end      uint64 // pages from here on are not in use
	seen     map[uint64]bool
}

func walk(file *os.File) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	first := make([]byte, pageHeader+metaSize)
	if _, err := file.ReadAt(first, 0); err != nil {
		return fmt.Errorf("page 0: %w: %w", err, ErrDamaged)
	}
	in := &inspector{file: file, seen: map[uint64]bool{0: true, 1: true}}
	in.pageSize = int(binary.NativeEndian.Uint32(first[pageHeader+8:]))
	if in.pageSize < 512 || in.pageSize > 1<<20 || in.pageSize&(in.pageSize-1) != 0 {
		return fmt.Errorf("page 0: page size %d: %w", in.pageSize, ErrDamaged)
	}
	newest, err := in.meta(0)
	if err != nil {
		return fmt.Errorf("page 0: %w: %w", err, ErrDamaged)
	}
	other, err := in.meta(1)
	if err != nil {
		return fmt.Errorf("page 1: %w: %w", err, ErrDamaged)
	}
	if other.transaction > newest.transaction {
		newest = other
	}
	if newest.freelist != noFreelist {
		return errors.New("another program has written to it; open a copy that only kubette wrote")
	}
	in.end = newest.end
	if in.end > uint64(info.Size())/uint64(in.pageSize) {
		return fmt.Errorf("it is cut off: %d bytes are there of %d: %w", info.Size(), in.end*uint64(in.pageSize), ErrDamaged)
	}
	if err := in.page(newest.root, nil, nil, 0); err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	return nil
}

// meta is what the first two pages say.
type meta struct{ root, freelist, end, transaction uint64 }

func (in *inspector) meta(id uint64) (m meta, err error) {
	data := make([]byte, metaSize)
	if _, err := in.file.ReadAt(data, int64(id)*int64(in.pageSize)+pageHeader); err != nil {
		return m, err
	}
	sum := fnv.New64a()
	_, _ = sum.Write(data[:metaSize-8])
	number := func(at int) uint64 { return binary.NativeEndian.Uint64(data[at:]) }
	if binary.NativeEndian.Uint32(data) != boltMagic || number(metaSize-8) != sum.Sum64() {
		return m, errors.New("checksum does not match")
	}
	return meta{root: number(16), freelist: number(32), end: number(40), transaction: number(48)}, nil
}

// page checks a page and all below it. Its keys must be at or above low, and below high, where these are given.
func (in *inspector) page(id uint64, low, high []byte, depth int) error {
	if id < 2 || id >= in.end || in.seen[id] || depth > deepestTree {
		return fmt.Errorf("page %d is out of place", id)
	}
	header := make([]byte, pageHeader)
	if _, err := in.file.ReadAt(header, int64(id)*int64(in.pageSize)); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	pages := 1 + uint64(binary.NativeEndian.Uint32(header[12:]))
	if pages > in.end-id {
		return fmt.Errorf("page %d is longer than the file", id)
	}
	for i := range pages {
		if in.seen[id+i] {
			return fmt.Errorf("page %d is used twice", id+i)
		}
		in.seen[id+i] = true
	}
	data := make([]byte, pages*uint64(in.pageSize))
	if _, err := in.file.ReadAt(data, int64(id)*int64(in.pageSize)); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	if written := binary.NativeEndian.Uint64(data); written != id {
		return fmt.Errorf("page %d says that it is page %d", id, written)
	}
	if err := in.elements(data, low, high, depth); err != nil {
		return fmt.Errorf("page %d: %w", id, err)
	}
	return nil
}

// elements checks what a page holds; an inline bucket is such a page inside a value.
func (in *inspector) elements(data, low, high []byte, depth int) error {
	kind, count := binary.NativeEndian.Uint16(data[8:]), int(binary.NativeEndian.Uint16(data[10:]))
	if kind != branchPage && kind != leafPage || kind == branchPage && count == 0 {
		return fmt.Errorf("unknown kind %d", kind)
	}
	if pageHeader+count*elementSize > len(data) {
		return fmt.Errorf("no room for %d elements", count)
	}
	var children []uint64
	var keys [][]byte
	for i := range count {
		at := pageHeader + i*elementSize
		field := func(n int) uint64 { return uint64(binary.NativeEndian.Uint32(data[at+4*n:])) }
		position, keySize, valueSize, flags := field(0), field(1), uint64(0), uint64(0)
		if kind == leafPage {
			flags, position, keySize, valueSize = field(0), field(1), field(2), field(3)
		}
		start := uint64(at) + position
		if position < elementSize || start+keySize+valueSize > uint64(len(data)) {
			return fmt.Errorf("element %d points outside", i)
		}
		key, value := data[start:start+keySize], data[start+keySize:start+keySize+valueSize]
		if low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 ||
			i > 0 && bytes.Compare(keys[i-1], key) >= 0 {
			return fmt.Errorf("element %d is out of order", i)
		}
		keys = append(keys, key)
		if kind == branchPage {
			children = append(children, binary.NativeEndian.Uint64(data[at+8:]))
		} else if flags > bucketElement {
			return fmt.Errorf("element %d has flags %d", i, flags)
		} else if flags == bucketElement {
			if err := in.bucket(value, depth+1); err != nil {
				return fmt.Errorf("bucket %q: %w", key, err)
			}
		}
	}
	for i, child := range children {
		next := high
		if i+1 < len(keys) {
			next = keys[i+1]
		}
		if err := in.page(child, keys[i], next, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// bucket checks a tree within the tree. A small one is a page right there in the value.
func (in *inspector) bucket(value []byte, depth int) error {
	if len(value) < bucketSize || depth > deepestTree {
		return errors.New("too short")
	}
	if root := binary.NativeEndian.Uint64(value); root != 0 {
		return in.page(root, nil, nil, depth)
	}
	inline := value[bucketSize:]
	if len(inline) < pageHeader || binary.NativeEndian.Uint16(inline[8:]) != leafPage {
		return errors.New("too short")
	}
	return in.elements(inline, nil, nil, depth)
}
