package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// table is what a group found out.
type table struct{ rows []row }

// row is one measure. Goal is what kubette wants to reach, peer what somebody else needs for the same; both may be empty.
type row struct{ what, figure, goal, peer string }

func (t *table) add(what, figure, goal, peer string) {
	t.rows = append(t.rows, row{what, figure, goal, peer})
}

func (t *table) print(out io.Writer, about string) {
	fmt.Fprintf(out, "\n%s\n\n", about)
	w := tabwriter.NewWriter(out, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "  MEASURE\tKUBETTE\tGOAL\tBESIDE IT")
	for _, r := range t.rows {
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\n", r.what, r.figure, orDash(r.goal), orDash(r.peer))
	}
	_ = w.Flush()
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

// samples are how long the same thing took several times.
type samples []time.Duration

// rank is the value below which a part of the samples lies: 0.5 for the median.
func (s samples) rank(part float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(int(part*float64(len(sorted))), len(sorted)-1)]
}

// spread is smallest, median and largest, for few samples.
func (s samples) spread() string {
	return fmt.Sprintf("%s (%s to %s)", short(s.rank(0.5)), short(s.rank(0)), short(s.rank(1)))
}

// tail is the median and the 99th of a hundred, for many samples.
func (s samples) tail() string {
	return fmt.Sprintf("p50 %s, p99 %s", short(s.rank(0.5)), short(s.rank(0.99)))
}

// short is a duration in the digits that mean something.
func short(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}
