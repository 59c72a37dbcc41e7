package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"go.etcd.io/bbolt"
)

// The file is a B+tree (bbolt) with two buckets: "log" holds every kept entry by its revision, and "store" the format
// and the state. Every value begins with a checksum, because a disk may give back something else than it was given.

// format is the version of what this file describes. A change that older programs cannot read raises it.
const format = 1

var (
	logBucket   = []byte("log")
	storeBucket = []byte("store")
	formatKey   = []byte("format")
	stateKey    = []byte("state")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// state is saved with every transaction. From it the reader of a file knows that nothing is missing.
type state struct {
	revision, compacted int64
	count               int64 // entries in the log
}

func (s *state) save(tx *bbolt.Tx) error {
	data := binary.AppendVarint(make([]byte, 4), s.revision)
	data = binary.AppendVarint(data, s.compacted)
	data = binary.AppendVarint(data, s.count)
	return tx.Bucket(storeBucket).Put(stateKey, seal(data, stateKey))
}

func loadState(tx *bbolt.Tx) (s state, err error) {
	bucket := tx.Bucket(storeBucket)
	if bucket == nil {
		return s, errors.New("it was not written by kubette")
	}
	written, n := binary.Uvarint(bucket.Get(formatKey))
	if n <= 0 {
		return s, fmt.Errorf("it has no format version: %w", ErrDamaged)
	}
	if written != format {
		return s, fmt.Errorf("it has format %d, and this kubette reads format %d: open it with the kubette that wrote it", written, format)
	}
	data, err := unseal(bucket.Get(stateKey), stateKey)
	if err != nil {
		return s, fmt.Errorf("state: %w", err)
	}
	r := reader{data: data}
	s = state{revision: r.varint(), compacted: r.varint(), count: r.varint()}
	if r.short || s.compacted < 0 || s.compacted > s.revision || s.count < 0 {
		return s, fmt.Errorf("state: %w", ErrDamaged)
	}
	return s, nil
}

// put adds new entries to the log.
func (s *state) put(tx *bbolt.Tx, entries []*Entry) error {
	bucket := tx.Bucket(logBucket)
	bucket.FillPercent = 1 // the log grows at its end only, so pages need no room for what comes between
	for _, entry := range entries {
		key := revisionKey(entry.Revision)
		if err := bucket.Put(key, seal(encodeEntry(entry), key)); err != nil {
			return err
		}
	}
	s.revision += int64(len(entries))
	s.count += int64(len(entries))
	return nil
}

// drop removes entries from the log.
func (s *state) drop(tx *bbolt.Tx, revisions []int64) error {
	bucket := tx.Bucket(logBucket)
	for _, revision := range revisions {
		if err := bucket.Delete(revisionKey(revision)); err != nil {
			return err
		}
	}
	s.count -= int64(len(revisions))
	return nil
}

// revisionKey sorts as the revision does.
func revisionKey(revision int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(revision)) }

// seal fills in the checksum for which the first four bytes are left; it covers the key, too.
func seal(data, key []byte) []byte {
	binary.BigEndian.PutUint32(data, checksum(data[4:], key))
	return data
}

func unseal(data, key []byte) ([]byte, error) {
	if len(data) < 4 || binary.BigEndian.Uint32(data) != checksum(data[4:], key) {
		return nil, fmt.Errorf("checksum does not match: %w", ErrDamaged)
	}
	return data[4:], nil
}

func checksum(data, key []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, data)
}

// Bits of an entry's first byte.
const (
	flagDeleted = 1 << iota
	flagTimed   // the time is set
)

// encodeEntry leaves room for the checksum. The revision is the entry's key.
func encodeEntry(e *Entry) []byte {
	data := make([]byte, 4, 64+len(e.Key)+len(e.value)+len(e.Meta.Actor)+len(e.Meta.Verb)+len(e.Meta.Cause))
	var flags byte
	var nanos int64
	if e.Deleted {
		flags |= flagDeleted
	}
	if !e.Meta.Time.IsZero() {
		flags |= flagTimed
		nanos = e.Meta.Time.UnixNano()
	}
	data = append(data, flags)
	data = binary.AppendVarint(data, e.CreateRevision)
	data = binary.AppendVarint(data, e.Version)
	data = binary.AppendVarint(data, nanos)
	for _, text := range []string{e.Key, e.Meta.Actor, e.Meta.Verb, e.Meta.Cause} {
		data = binary.AppendUvarint(data, uint64(len(text)))
		data = append(data, text...)
	}
	return append(data, e.value...)
}

// decodeEntry copies all that it takes from data. Names that come up again and again are kept once, in names.
func decodeEntry(revision int64, data []byte, names map[string]string) (*Entry, error) {
	r := reader{data: data, names: names}
	flags := r.byte()
	e := &Entry{Revision: revision, CreateRevision: r.varint(), Version: r.varint(), Deleted: flags&flagDeleted != 0}
	nanos := r.varint()
	if flags&flagTimed != 0 {
		e.Meta.Time = time.Unix(0, nanos).UTC()
	}
	e.Key = r.text()
	e.Meta.Actor, e.Meta.Verb, e.Meta.Cause = r.text(), r.text(), r.text()
	if r.short {
		return nil, fmt.Errorf("it ends early: %w", ErrDamaged)
	}
	if !e.Deleted {
		e.value = append([]byte{}, r.data...)
	}
	return e, nil
}

// reader takes values off the front of data; short is set when there were too few bytes.
type reader struct {
	data  []byte
	names map[string]string
	short bool
}

func (r *reader) byte() byte {
	if len(r.data) == 0 {
		r.short = true
		return 0
	}
	b := r.data[0]
	r.data = r.data[1:]
	return b
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.short = true
		return 0
	}
	r.data = r.data[n:]
	return v
}

func (r *reader) text() string {
	length, n := binary.Uvarint(r.data)
	if n <= 0 || length > uint64(len(r.data)-n) {
		r.short = true
		return ""
	}
	raw := r.data[n : n+int(length)]
	r.data = r.data[n+int(length):]
	if known, ok := r.names[string(raw)]; ok {
		return known
	}
	text := string(bytes.Clone(raw))
	r.names[text] = text
	return text
}
