//go:build unix

package main

import "syscall"

// inBackground takes a child out of this terminal's session, so that Ctrl-C and closing the terminal do not reach it.
func inBackground() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setsid: true} }
