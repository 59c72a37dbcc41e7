package network_test

import (
	"os"
	"path/filepath"
	"testing"

	"kubette/network/gateway"
	"kubette/toolbox"
)

// TestMain makes this executable what runs inside kubette's own images, too: on Docker they are made from it.
func TestMain(m *testing.M) {
	switch name := filepath.Base(os.Args[0]); {
	case name == gateway.Program:
		os.Exit(gateway.Main())
	case toolbox.IsProgram(name):
		os.Exit(toolbox.Main(os.Args))
	}
	os.Exit(m.Run())
}
