//go:build unix

package store_test

import "syscall"

// limitFileSize lets this process' files grow no larger, and returns how to undo that.
func limitFileSize(bytes uint64) (undo func() error, err error) {
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		return nil, err
	}
	undo = func() error { return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before) }
	return undo, syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: bytes, Max: before.Max})
}
