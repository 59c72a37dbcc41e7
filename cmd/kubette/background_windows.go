package main

import (
	"syscall"

	"golang.org/x/sys/windows"
)

// inBackground takes a child out of this console, so that Ctrl-C and closing the window do not reach it.
func inBackground() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP | windows.DETACHED_PROCESS}
}
