package main

import (
	"syscall"
	"unsafe"
)

// ioctl asks for the size of a terminal.
func ioctl(fd uintptr, size *[4]uint16) {
	syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(size)))
}
