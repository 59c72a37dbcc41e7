package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"kubette/cluster"
	"kubette/explain"
)

func newWhy(o *options) *cobra.Command {
	var output, namespace, language string
	var limit int
	command := &cobra.Command{
		Use:   "why KIND/NAME",
		Short: "Say why an object is as it is: what is wrong, what to try, and what led to it",
		Long: `Say why an object is as it is: what is wrong with it and with what it depends on, from what the cluster recorded;
what to try next; and the chain of causes that led to its present state, newest first.`,
		Example: `  kubette why pod/web-7c9f-x2v1
  kubette why service/backend
  kubette why -n course ingress/frontend --lang fr`,
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
			why, err := control.Why(cmd.Context(), kind, namespace, name, language)
			if err != nil {
				return err
			}
			if output == "json" {
				encoder := json.NewEncoder(cmd.OutOrStdout())
				encoder.SetIndent("", "  ")
				return encoder.Encode(why)
			}
			p := &whyPrinter{out: cmd.OutOrStdout(), lang: language, limit: limit, colour: isTerminal(cmd.OutOrStdout())}
			p.print(why)
			return nil
		},
	}
	outputFlag(command, &output)
	namespaceFlag(command, &namespace)
	languageFlag(command, &language)
	command.Flags().IntVar(&limit, "limit", 12, "how much of the chain of causes to show; 0 for all")
	return command
}

// languageFlag lets a user choose the language of sentences.
func languageFlag(command *cobra.Command, language *string) {
	usual := explain.Language(cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG")))
	command.Flags().StringVar(language, "lang", usual, "the language of sentences: "+strings.Join(explain.Languages, " or "))
}

// whyPrinter prints an explanation for people.
type whyPrinter struct {
	out    io.Writer
	lang   string
	limit  int
	colour bool
}

func (p *whyPrinter) word(key string, pairs ...any) string {
	args := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[pairs[i].(string)] = pairs[i+1]
	}
	return explain.Text(p.lang, "word."+key, args)
}

func (p *whyPrinter) paint(colour, text string) string {
	if !p.colour {
		return text
	}
	return colour + text + plain
}

func (p *whyPrinter) print(why *cluster.Why) {
	switch {
	case why.Gone != "":
		fmt.Fprintln(p.out, why.Gone)
	case len(why.Findings) == 0:
		fmt.Fprintln(p.out, p.word("nothingWrong", "object", why.Object.Short()))
	}
	for i := range why.Findings {
		if i > 0 {
			fmt.Fprintln(p.out)
		}
		p.finding(&why.Findings[i])
	}
	if len(why.Chain) > 0 {
		fmt.Fprintf(p.out, "\n%s\n", p.paint(bold, p.word("chain")))
		p.chain(why.Chain)
	}
}

func (p *whyPrinter) finding(f *explain.Finding) {
	colour := map[string]string{explain.Problem: red, explain.Waiting: bold, explain.Notice: faint}[f.Severity]
	fmt.Fprintf(p.out, "%s %s  %s\n", p.paint(colour, p.word(f.Severity)), p.paint(bold, f.Reason), f.Text)
	if len(f.Also) > 0 {
		var names []string
		for _, also := range f.Also {
			names = append(names, also.Short())
		}
		fmt.Fprintf(p.out, "    (%s)\n", p.word("also", "objects", names))
	}
	for _, t := range f.Tables {
		p.table(t)
	}
	if len(f.Log) > 0 {
		fmt.Fprintf(p.out, "    %s\n", p.word("log"))
		for _, line := range f.Log {
			fmt.Fprintf(p.out, "      | %s\n", line)
		}
	}
	if len(f.Try) > 0 {
		fmt.Fprintf(p.out, "    %s\n", p.paint(green, p.word("try")))
	}
	for _, advice := range f.Try {
		fmt.Fprintf(p.out, "      - %s\n", advice.Text)
	}
}

func (p *whyPrinter) table(t explain.Table) {
	fmt.Fprintf(p.out, "    %s:\n", t.Title)
	table := tabwriter.NewWriter(p.out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "      %s\n", strings.Join(t.Heads, "\t"))
	for _, row := range t.Rows {
		fmt.Fprintf(table, "      %s\n", strings.Join(row, "\t"))
	}
	_ = table.Flush()
}

// chain prints what led to the present state. The newest is first; what an object's own creation came of is last, and is
// never left out.
func (p *whyPrinter) chain(links []explain.Link) {
	own := 0
	for own < len(links) && !links[own].Above {
		own++
	}
	shown := own
	if p.limit > 0 {
		shown = min(own, p.limit)
	}
	for _, link := range links[:shown] {
		p.link(link)
	}
	if rest := own - shown; rest > 0 {
		fmt.Fprintf(p.out, "  %s\n", p.paint(faint, "… "+p.word("repeated", "count", rest)))
	}
	for _, link := range links[own:] {
		p.link(link)
	}
}

func (p *whyPrinter) link(link explain.Link) {
	when := p.paint(faint, link.Time.Local().Format(time.TimeOnly))
	if e := link.Event; e != nil {
		count := ""
		if e.Count > 1 {
			count = fmt.Sprintf(" (×%d)", e.Count)
		}
		fmt.Fprintf(p.out, "  %s  %s %s%s\n", when, p.paint(bold, e.Who), p.word("says", "reason", e.Reason, "message", e.Message), count)
		return
	}
	w := link.Write
	text := w.Verb
	switch {
	case w.Created:
		text = p.word("created")
	case w.Deleted:
		text = p.word("deleted")
	}
	line := fmt.Sprintf("  %s  %s %s %s", when, p.paint(bold, w.Who), text, w.Object)
	if changed := changesInShort(w.Changes); changed != "" {
		line += "  " + changed
	}
	if link.Repeated > 0 {
		line += "  " + p.paint(faint, "("+p.word("repeated", "count", link.Repeated)+")")
	}
	if link.Omitted > 0 {
		line += "  " + p.paint(faint, "("+p.word("omitted", "count", link.Omitted)+")")
	}
	switch {
	case link.Unknown:
		line += "  " + p.paint(faint, "("+p.word("unknown")+")")
	case w.Because != "":
		line += "  " + p.paint(faint, "("+p.word("because", "cause", explain.CauseText(p.lang, w.Because))+")")
	}
	fmt.Fprintln(p.out, line)
}
