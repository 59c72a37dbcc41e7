package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"kubette/cluster"
	"kubette/explain"
	"kubette/loop"
	"kubette/store"
)

// traceFlags are what `kubette trace` can be told.
type traceFlags struct {
	cluster.TraceOptions
	output string
	lang   string
	rest   time.Duration
	limit  time.Duration
}

func newTrace(o *options) *cobra.Command {
	f := &traceFlags{}
	command := &cobra.Command{
		Use:   "trace [-- COMMAND...]",
		Short: "Show everything that happens, a line each: who did what to which object, and why",
		Long: `Show what happened in the cluster, one line for each write: time, actor → verb → object, and the cause in brackets.
With --follow it goes on until Ctrl-C.

With a command after -- it runs the command and shows what it led to: its own writes, and everything that components did
because of them, until nothing more has come of it for a moment (--rest). What others do at the same time is not shown. The
command gets a KUBECONFIG of its own, which marks its requests: a command that uses other credentials has no mark.`,
		Example: `  kubette trace --follow
  kubette trace -n default --steps
  kubette trace -- kubectl apply -f app.yaml`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(f.output); err != nil {
				return err
			}
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			out := &traceOutput{out: cmd.OutOrStdout(), json: f.output == "json", lang: f.lang, colour: isTerminal(cmd.OutOrStdout())}
			if len(args) > 0 {
				return f.command(cmd.Context(), o.name, control, out, args)
			}
			return control.Trace(cmd.Context(), f.TraceOptions, out.item)
		},
	}
	outputFlag(command, &f.output)
	languageFlag(command, &f.lang)
	flags := command.Flags()
	flags.BoolVarP(&f.Follow, "follow", "f", false, "go on as things happen")
	flags.StringVarP(&f.Namespace, "namespace", "n", "", "only what concerns this namespace")
	flags.Int64Var(&f.After, "after", 0, "begin after this revision; 0 is the oldest that is kept")
	flags.BoolVar(&f.All, "all", false, "with heartbeats (leases) and events")
	flags.BoolVar(&f.Steps, "steps", false, "with the steps of components and what they noted, not only what they wrote")
	flags.BoolVar(&f.Changes, "changes", true, "with the fields that changed")
	flags.DurationVar(&f.rest, "rest", 3*time.Second, "with a command: how long nothing more must come of it")
	flags.DurationVar(&f.limit, "limit", 5*time.Minute, "with a command: how long to follow at most")
	return command
}

// errRest ends a trace when nothing more comes of the command.
var errRest = errors.New("nothing more comes of it")

// command runs a command and shows what it leads to.
func (f *traceFlags) command(ctx context.Context, name string, control *cluster.Control, out *traceOutput, args []string) error {
	status, err := control.Status(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	follow := f.TraceOptions
	follow.Follow, follow.After = true, status.Revision
	id := strings.ToLower(rand.Text()[:10])
	c := &consequences{cause: store.CommandCause + id, revisions: map[int64]bool{}, objects: map[string]bool{}, last: time.Now()}
	traced := make(chan error, 1)
	go func() {
		traced <- control.Trace(ctx, follow, func(item explain.Item) error {
			if c.add(item) {
				return out.item(item)
			}
			return nil
		})
	}()
	failed := runTraced(ctx, name, id, args)
	c.ended()
	c.waitForRest(ctx, f.rest, f.limit)
	cancel(errRest)
	if err := <-traced; err != nil && failed == nil {
		failed = err
	}
	return failed
}

// commandVariable tells a kubette that runs as a part of a command which one that is.
const commandVariable = "KUBETTE_COMMAND"

// runTraced runs a command with credentials that mark what it writes. The words kubectl and kubette mean this program.
func runTraced(ctx context.Context, name, id string, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find kubette's executable: %w", err)
	}
	state, err := cluster.ReadState(name)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "kubette-trace-")
	if err != nil {
		return fmt.Errorf("make a folder for the command's credentials: %w", err)
	}
	defer os.RemoveAll(folder)
	kubeconfig := filepath.Join(folder, "kubeconfig")
	if err := state.WriteCommandKubeconfig(kubeconfig, id); err != nil {
		return err
	}
	switch args[0] {
	case "kubectl":
		args = append([]string{self, "--name", name, "kubectl", "--kubeconfig", kubeconfig}, args[1:]...)
	case "kubette":
		args = append([]string{self, "--name", name}, args[1:]...)
	}
	command := exec.CommandContext(ctx, args[0], args[1:]...)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stderr, os.Stderr // standard output is the trace's
	command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, nameVariable+"="+name, commandVariable+"="+id)
	err = command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		return exitCode(exit.ExitCode())
	}
	return err
}

// consequences knows which writes came of a command.
type consequences struct {
	mu        sync.Mutex
	cause     string    // of the command's own writes
	last      time.Time // when the command ended, or something more came of it
	revisions map[int64]bool
	objects   map[string]bool
}

// add says whether an item came of the command: a write of its own, or what such a write led to.
func (c *consequences) add(item explain.Item) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if item.Step != nil {
		return c.objects[item.Step.Key]
	}
	w := item.Write
	mine := c.revisions[w.Trigger] || w.Cause == c.cause
	if mine {
		c.revisions[w.Revision] = true
		c.objects[w.Object.Namespace+"/"+w.Object.Name] = true
		c.last = time.Now()
	}
	return mine
}

func (c *consequences) ended() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Now()
}

// waitForRest returns when nothing more has come of the command for a while.
func (c *consequences) waitForRest(ctx context.Context, rest, limit time.Duration) {
	end := time.After(limit)
	for {
		c.mu.Lock()
		left := rest - time.Since(c.last)
		c.mu.Unlock()
		if left <= 0 {
			return
		}
		select {
		case <-time.After(left):
		case <-end:
			return
		case <-ctx.Done():
			return
		}
	}
}

// traceOutput prints the trace.
type traceOutput struct {
	out    io.Writer
	json   bool
	lang   string // of the words for what steps noted
	colour bool
}

func (o *traceOutput) item(item explain.Item) error {
	if o.json {
		return json.NewEncoder(o.out).Encode(item)
	}
	line := o.stepLine
	if item.Write != nil {
		line = o.writeLine
	}
	_, err := fmt.Fprintln(o.out, line(item))
	return err
}

const traceClock = "15:04:05.000"

func (o *traceOutput) writeLine(item explain.Item) string {
	w := item.Write
	text := fmt.Sprintf("%s  %s → %s → %s", o.paint(faint, item.Time.Local().Format(traceClock)),
		o.paint(bold, w.Who), w.Verb, w.Object)
	if changed := changesInShort(w.Changes); changed != "" {
		text += "  " + changed
	}
	if cause := causeOf(o.lang, w); cause != "" {
		text += "  " + o.paint(faint, "("+cause+")")
	}
	return text
}

func causeOf(language string, w *explain.Write) string {
	switch {
	case w.Because != "" && w.Trigger != 0:
		return fmt.Sprintf("%s @%d", explain.CauseText(language, w.Because), w.Trigger)
	case w.Because != "":
		return explain.CauseText(language, w.Because)
	}
	if strings.HasPrefix(w.Cause, store.CommandCause) {
		return "" // the command that somebody follows: no cause of anything that it names
	}
	return w.Cause
}

func (o *traceOutput) stepLine(item explain.Item) string {
	s := item.Step
	text := fmt.Sprintf("%s  %s … %s", o.paint(faint, item.Time.Local().Format(traceClock)), o.paint(bold, s.Component), s.Key)
	for _, note := range s.Notes {
		text += "  " + noteText(o.lang, note)
	}
	if s.Error != "" {
		text += "  " + o.paint(red, s.Error)
	}
	if s.Cause != "" {
		text += "  " + o.paint(faint, "("+explain.CauseText(o.lang, s.Cause)+")")
	}
	return text
}

func (o *traceOutput) paint(colour, text string) string {
	if !o.colour {
		return text
	}
	return colour + text + plain
}

// noteText puts a note into words, as the console's machine page does; what has no words is shown as it was recorded.
func noteText(language string, note loop.Note) string {
	if text, ok := explain.StepText(language, note); ok {
		return text
	}
	text := note.Reason
	args := note.Args.Map()
	for i, key := range sortedKeys(args) {
		if i == 0 {
			text += ":"
		}
		text += fmt.Sprintf(" %s=%v", key, args[key])
	}
	return text
}

// Bounds of what a line of the trace says about changed fields.
const (
	shownChanges = 2
	shownValue   = 24
)

// dull ends the paths of fields that change along with others, and say little.
var dull = []string{"Time", "containerID", "imageID", "observedGeneration", ".message", "last-change-trigger-time]"}

// changesInShort names the fields that changed, those that fit in a line.
func changesInShort(changes []explain.Change) string {
	changes = slices.DeleteFunc(slices.Clone(changes), func(c explain.Change) bool {
		return slices.ContainsFunc(dull, func(end string) bool { return strings.HasSuffix(c.Path, end) })
	})
	var texts []string
	for _, change := range changes {
		if len(texts) == shownChanges {
			texts = append(texts, fmt.Sprintf("+%d", len(changes)-shownChanges))
			break
		}
		old, oldFits := shortValue(change.Old)
		now, nowFits := shortValue(change.New)
		switch {
		case oldFits && nowFits:
			texts = append(texts, fmt.Sprintf("%s %s→%s", change.Path, old, now))
		default:
			texts = append(texts, change.Path)
		}
	}
	return strings.Join(texts, ", ")
}

func shortValue(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "∅", true
	case map[string]any:
		status, ok := v["status"].(string) // a condition
		return status, ok
	case []any:
		return "", false
	}
	text := fmt.Sprint(value)
	return text, len(text) <= shownValue
}
