package sim

import (
	"bytes"
	"io"
	"sync"
	"unicode/utf8"
)

// terminal is what the kernel puts between a keyboard and a program: it echoes what is typed, lets it be corrected until Enter,
// and makes an interrupt of Ctrl-C. There is no process to signal here: whoever runs the program listens to Interrupts.
type terminal struct {
	interrupts chan struct{}

	mu      sync.Mutex
	out     io.Writer
	line    []byte // typed, not entered yet
	entered bytes.Buffer
	more    *sync.Cond
	waits   bool // the program reads, and there is nothing for it
	ended   bool
	escape  bool // in the middle of an escape sequence
}

func newTerminal(out io.Writer) *terminal {
	t := &terminal{out: out, interrupts: make(chan struct{}, 1)}
	t.more = sync.NewCond(&t.mu)
	return t
}

// Keys that a terminal does not pass on.
const (
	interruptKey = 0x03
	endKey       = 0x04
	killKey      = 0x15
	escapeKey    = 0x1b
	deleteKey    = 0x7f
)

// typing takes in what comes from a keyboard until it ends.
func (t *terminal) typing(keyboard io.Reader) {
	keys := make([]byte, 1024)
	for {
		n, err := keyboard.Read(keys)
		t.mu.Lock()
		for _, key := range keys[:n] {
			t.press(key)
		}
		t.ended = t.ended || err != nil
		t.more.Broadcast()
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *terminal) press(key byte) {
	switch {
	case t.escape: // arrows and the like: a terminal without a history has no use for them
		t.escape = key == '[' || key >= '0' && key <= '9' || key == ';'
	case key == escapeKey:
		t.escape = true
	case key == '\r' || key == '\n':
		t.echo("\r\n")
		t.entered.Write(append(t.line, '\n'))
		t.line = nil
	case key == deleteKey || key == '\b':
		if _, size := utf8.DecodeLastRune(t.line); size > 0 {
			t.line = t.line[:len(t.line)-size]
			t.echo("\b \b")
		}
	case key == killKey:
		for range utf8.RuneCount(t.line) {
			t.echo("\b \b")
		}
		t.line = nil
	case key == interruptKey:
		t.echo("^C\r\n")
		t.line = nil
		if t.waits {
			t.entered.WriteByte('\n') // nothing runs: a new prompt
			return
		}
		select {
		case t.interrupts <- struct{}{}:
		default:
		}
	case key == endKey:
		t.ended = t.ended || len(t.line) == 0
	default:
		t.line = append(t.line, key)
		t.echo(string([]byte{key}))
	}
}

func (t *terminal) echo(text string) { _, _ = io.WriteString(t.out, text) }

// Read implements io.Reader for the program.
func (t *terminal) Read(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for t.entered.Len() == 0 {
		if t.ended {
			return 0, io.EOF
		}
		t.waits = true
		t.more.Wait()
	}
	t.waits = false
	return t.entered.Read(p)
}

// Write implements io.Writer for the program: a new line begins at the left.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := t.out.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// end lets the program read to the end.
func (t *terminal) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended = true
	t.more.Broadcast()
}
