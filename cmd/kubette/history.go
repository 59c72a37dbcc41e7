package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"kubette/cluster"
	"kubette/explain"
)

func newHistory(o *options) *cobra.Command {
	var output, namespace, language string
	var limit int
	command := &cobra.Command{
		Use:   "history KIND/NAME",
		Short: "Show an object's revisions: when, who, how, and which fields changed",
		Long: `Show the kept revisions of an object, newest first: the revision in the store, when it was written, by whom and how,
what led to it, and which fields changed. A deleted object has a history, too.`,
		Example: `  kubette history deployment/web
  kubette history -n course configmap/configuration-backend
  kubette kubectl get deployment web --show-managed-fields   # who owns which field now`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			kind, name, err := objectArgument(args)
			if err != nil {
				return err
			}
			control, err := connect(o.name)
			if err != nil {
				return err
			}
			history, err := control.History(cmd.Context(), kind, namespace, name)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(history)
			}
			return printHistory(cmd.OutOrStdout(), history, language, limit)
		},
	}
	outputFlag(command, &output)
	namespaceFlag(command, &namespace)
	languageFlag(command, &language)
	command.Flags().IntVar(&limit, "limit", 20, "how many revisions to show; 0 for all")
	return command
}

// objectArgument reads KIND/NAME, or KIND NAME.
func objectArgument(args []string) (kind, name string, err error) {
	if len(args) == 2 {
		return args[0], args[1], nil
	}
	kind, name, ok := strings.Cut(args[0], "/")
	if !ok || kind == "" || name == "" {
		return "", "", fmt.Errorf("%q names no object: write KIND/NAME, for example pod/web-1", args[0])
	}
	return kind, name, nil
}

func namespaceFlag(command *cobra.Command, namespace *string) {
	command.Flags().StringVarP(namespace, "namespace", "n", "default", "the object's namespace")
}

func printHistory(out io.Writer, history *cluster.History, language string, limit int) error {
	writes := slices.Clone(history.Writes)
	slices.Reverse(writes)
	shown := writes
	if limit > 0 && len(writes) > limit {
		shown = writes[:limit]
	}
	for _, w := range shown {
		fmt.Fprintf(out, "%-8d %s  %s → %s", w.Revision, w.Time.Local().Format(time.DateTime), w.Who, w.Verb)
		if cause := causeOf(language, &w); cause != "" {
			fmt.Fprintf(out, "  (%s)", cause)
		}
		fmt.Fprintln(out)
		printChanges(out, w)
	}
	if rest := len(writes) - len(shown); rest > 0 {
		fmt.Fprintf(out, "... and %d older; --limit 0 shows all\n", rest)
	}
	return nil
}

func printChanges(out io.Writer, w explain.Write) {
	switch {
	case w.Created:
		fmt.Fprintln(out, "           created")
	case w.Deleted:
		fmt.Fprintln(out, "           deleted")
	case len(w.Changes) == 0:
		fmt.Fprintln(out, "           no field changed")
	}
	for _, change := range w.Changes {
		old, oldShort := oneLine(change.Old)
		now, nowShort := oneLine(change.New)
		if oldShort && nowShort {
			fmt.Fprintf(out, "           %s: %s → %s\n", change.Path, old, now)
			continue
		}
		fmt.Fprintf(out, "           %s:\n", change.Path)
		printBlock(out, "-", change.Old)
		printBlock(out, "+", change.New)
	}
}

// oneLine is a value that fits in a line.
func oneLine(value any) (string, bool) {
	switch v := value.(type) {
	case nil:
		return "(none)", true
	case string:
		if strings.Contains(v, "\n") {
			return "", false
		}
		return v, true
	case map[string]any, []any:
		data, err := json.Marshal(v)
		return string(data), err == nil && len(data) <= 60
	}
	return fmt.Sprint(value), true
}

func printBlock(out io.Writer, sign string, value any) {
	if value == nil {
		return
	}
	data, err := yaml.Marshal(value)
	if err != nil {
		data = fmt.Append(nil, value)
	}
	for line := range strings.Lines(strings.TrimRight(string(data), "\n") + "\n") {
		fmt.Fprintf(out, "             %s %s", sign, line)
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
