package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kubette/cluster"
	"kubette/explain"
)

// diffFlags are what `kubette diff` can be told.
type diffFlags struct {
	output, namespace, language string
	everywhere, watch           bool
	kind, name                  string
}

func newDiff(o *options) *cobra.Command {
	f := &diffFlags{}
	command := &cobra.Command{
		Use:   "diff [KIND/NAME]",
		Short: "Compare what is wanted with what is there, and say what is being done about the difference",
		Long: `Compare what is wanted with what is there, as a tree: a Deployment, its ReplicaSets, their pods and containers; an
Ingress, its services and their endpoints. Each row counts what is wanted, present and ready, and says in a sentence
what is being done about a difference, or what blocks it.`,
		Example: `  kubette diff
  kubette diff deployment/web --watch
  kubette diff -A`,
		Args: cobra.MaximumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if err := checkOutput(f.output); err != nil {
				return err
			}
			if len(args) > 0 {
				if f.kind, f.name, err = objectArgument(args); err != nil {
					return err
				}
			}
			if f.everywhere {
				f.namespace = ""
			}
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			if f.watch {
				return f.follow(cmd.Context(), control, cmd.OutOrStdout())
			}
			return f.once(cmd.Context(), control, cmd.OutOrStdout())
		},
	}
	outputFlag(command, &f.output)
	namespaceFlag(command, &f.namespace)
	languageFlag(command, &f.language)
	command.Flags().BoolVarP(&f.everywhere, "all-namespaces", "A", false, "every namespace")
	command.Flags().BoolVarP(&f.watch, "watch", "w", false, "show it anew whenever something changes")
	return command
}

func (f *diffFlags) once(ctx context.Context, control *cluster.Control, out io.Writer) error {
	difference, err := control.Diff(ctx, f.kind, f.namespace, f.name, f.language)
	if err != nil {
		return err
	}
	if f.output == "json" {
		encoder := json.NewEncoder(out)
		if !f.watch {
			encoder.SetIndent("", "  ")
		}
		return encoder.Encode(difference)
	}
	d := &diffPrinter{out: out, lang: f.language, colour: isTerminal(out), namespaces: f.everywhere}
	d.print(difference, f.namespace)
	return nil
}

// follow shows the difference anew after every change. On a terminal each one takes the place of the one before.
func (f *diffFlags) follow(ctx context.Context, control *cluster.Control, out io.Writer) error {
	status, err := control.Status(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	changed := make(chan struct{}, 1)
	ended := make(chan error, 1)
	go func() {
		ended <- control.Trace(ctx, cluster.TraceOptions{After: status.Revision, Follow: true, Namespace: f.namespace}, func(explain.Item) error {
			select {
			case changed <- struct{}{}:
			default: // one is on its way
			}
			return nil
		})
	}()
	for {
		if err := f.draw(ctx, control, out); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-changed:
		case err := <-ended:
			return err
		case <-ctx.Done():
			cancel()
			<-ended
			return nil
		}
	}
}

const clearScreen = "\x1b[H\x1b[2J"

func (f *diffFlags) draw(ctx context.Context, control *cluster.Control, out io.Writer) error {
	if !isTerminal(out) || f.output == "json" {
		return f.once(ctx, control, out)
	}
	// All of it in one write, so that the screen does not flicker.
	var page bytes.Buffer
	difference, err := control.Diff(ctx, f.kind, f.namespace, f.name, f.language)
	if err != nil {
		return err
	}
	d := &diffPrinter{out: &page, lang: f.language, colour: true, namespaces: f.everywhere, width: terminalWidth(out)}
	d.print(difference, f.namespace)
	_, err = io.WriteString(out, clearScreen+page.String())
	return err
}

func terminalWidth(out io.Writer) int {
	if file, ok := out.(*os.File); ok {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			return width
		}
	}
	return 0
}

// diffPrinter prints the tree for people.
type diffPrinter struct {
	out        io.Writer
	lang       string
	colour     bool
	namespaces bool
	width      int // 0 for as wide as it is
	lines      []diffLine
	differing  int
}

type diffLine struct {
	label string
	row   *explain.Row
}

func (d *diffPrinter) text(key string, args map[string]any) string {
	return explain.Text(d.lang, key, args)
}

func (d *diffPrinter) print(difference *cluster.Difference, namespace string) {
	if len(difference.Rows) == 0 {
		fmt.Fprintln(d.out, d.text("word.nothingThere", map[string]any{"namespace": namespace}))
		return
	}
	for _, row := range difference.Rows {
		d.add(row, "", "")
		if row.Differs {
			d.differing++
		}
	}
	d.columns()
	if d.differing == 0 {
		fmt.Fprintf(d.out, "\n%s\n", d.text("word.allAsWanted", nil))
		return
	}
	fmt.Fprintf(d.out, "\n%s\n", d.text("word.differences", map[string]any{"count": d.differing}))
}

// add flattens the tree into lines with branches before them.
func (d *diffPrinter) add(row *explain.Row, branch, rest string) {
	label := branch + row.Object.Kind + "/" + row.Object.Name
	if branch == "" && d.namespaces {
		label = row.Object.Kind + "/" + row.Object.Namespace + "/" + row.Object.Name
	}
	d.lines = append(d.lines, diffLine{label, row})
	for i, part := range row.Parts {
		if i == len(row.Parts)-1 {
			d.add(part, rest+"└─ ", rest+"   ")
		} else {
			d.add(part, rest+"├─ ", rest+"│  ")
		}
	}
}

// glyphs say the state by shape, for those who do not see colours.
var glyphs = map[string]struct{ glyph, colour string }{
	explain.StateReady: {"✓", green}, explain.StateRunning: {"◐", bold}, explain.StatePending: {"○", bold},
	explain.StateFailed: {"✕", red}, explain.StateStopping: {"↓", faint}, explain.StateDone: {"■", faint},
}

func (d *diffPrinter) columns() {
	wide := 0
	for _, line := range d.lines {
		wide = max(wide, utf8.RuneCountInString(line.label))
	}
	heads := []string{}
	for _, key := range []string{"object", "wanted", "present", "ready", "state"} {
		heads = append(heads, d.text("column."+key, nil))
	}
	fmt.Fprintf(d.out, "  %s  %7s %7s %7s  %s\n", pad(heads[0], wide), heads[1], heads[2], heads[3], heads[4])
	for _, line := range d.lines {
		r := line.row
		glyph := glyphs[r.State]
		text := r.Text
		if d.width > 0 { // one line for one row
			text = cut(text, d.width-wide-31)
		}
		mark := glyph.glyph
		if d.colour {
			mark = glyph.colour + mark + plain
		}
		fmt.Fprintf(d.out, "%s %s  %7d %7d %7d  %s\n", mark, pad(line.label, wide), r.Wanted, r.Present, r.Ready, text)
	}
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(width-utf8.RuneCountInString(text), 0))
}

func cut(text string, width int) string {
	runes := []rune(text)
	if len(runes) <= width || width < 2 {
		return text
	}
	return string(runes[:width-1]) + "…"
}
