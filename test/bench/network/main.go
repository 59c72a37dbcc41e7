package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if len(os.Args) > 2 && os.Args[1] == ingressArgument {
		if err := serveIngress(ctx, os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measures are what can be measured, by the names that an argument may choose from.
var measures = []struct {
	name    string
	measure func(context.Context, *tabwriter.Writer) error
}{{"ingress", measureIngress}, {"proxy", measureProxy}, {"routes", measureRoutes}}

// run measures everything, or what the arguments name.
func run(ctx context.Context, chosen []string) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "MEASURE\tVALUE\tASKED FOR")
	for _, m := range measures {
		if len(chosen) > 0 && !slices.Contains(chosen, m.name) {
			continue
		}
		if err := m.measure(ctx, table); err != nil {
			return err
		}
	}
	return table.Flush()
}
