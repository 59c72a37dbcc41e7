package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
)

// story prints what the demo shows.
type story struct {
	out    io.Writer
	colour bool
	begun  time.Time
	mu     sync.Mutex
}

// isTerminal says whether output goes to a person's screen.
func isTerminal(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && term.IsTerminal(int(file.Fd())) && os.Getenv("NO_COLOR") == ""
}

// Terminal colours.
const (
	bold  = "\x1b[1m"
	faint = "\x1b[2m"
	green = "\x1b[32m"
	red   = "\x1b[31m"
	plain = "\x1b[0m"
)

func (s *story) paint(colour, text string) string {
	if !s.colour {
		return text
	}
	return colour + text + plain
}

func (s *story) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, text)
}

func (s *story) title(text string) { s.say("\n" + s.paint(bold, text)) }

func (s *story) line(format string, args ...any) { s.say("  " + fmt.Sprintf(format, args...)) }

func (s *story) row(what, text string) { s.line("%-28s %s", what, text) }

// moment is something that happened, with when.
func (s *story) moment(object, what, colour string) {
	s.line("%s  %-36s %s", s.paint(faint, fmt.Sprintf("%6.2f s", time.Since(s.begun).Seconds())), object, s.paint(colour, what))
}

// indented is a writer whose lines stand under a title.
func (s *story) indented() io.Writer { return &indenter{story: s} }

type indenter struct {
	story *story
	rest  []byte
}

// Write implements io.Writer.
func (i *indenter) Write(data []byte) (int, error) {
	i.rest = append(i.rest, data...)
	for {
		end := bytes.IndexByte(i.rest, '\n')
		if end < 0 {
			return len(data), nil
		}
		i.story.line("%s", i.rest[:end])
		i.rest = i.rest[end+1:]
	}
}
