package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// plan is what to measure.
type plan struct {
	connections int
	busy        time.Duration
	upTo        int
	watchers    int
	profile     string
	within      time.Duration
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == serverArgument {
		if err := serveCluster(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, "server:", err)
			os.Exit(1)
		}
		return
	}
	var p plan
	flag.IntVar(&p.connections, "connections", 32, "how many connections make requests beside each other")
	flag.DurationVar(&p.busy, "for", 3*time.Second, "how long each of the loads lasts")
	flag.IntVar(&p.upTo, "upto", 10_000, "the most objects of the growth series; 0 leaves it out")
	flag.IntVar(&p.watchers, "watchers", 1000, "how many watchers are there when memory is measured; 0 leaves it out")
	flag.StringVar(&p.profile, "cpuprofile", "", "write a CPU profile of the server, while it was under load, to this file")
	etcd := flag.String("etcd", "", "keep the objects in the etcd at this URL, which should be empty, instead of a file")
	flag.DurationVar(&p.within, "within", 15*time.Minute, "give up after this time")
	flag.Parse()
	if *etcd != "" {
		_ = os.Setenv(etcdVariable, *etcd) // for the servers
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, p.within)
	defer cancel()
	if err := bench(ctx, p); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, p plan) error {
	dir, err := os.MkdirTemp("", "kubette-load-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	fmt.Printf("%s/%s, %d processors, %s%s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version(), loadAverage())

	s, err := start(ctx, dir, "load", p.profile)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	var rows []row
	for _, measure := range []func(context.Context, *server, plan) ([]row, error){alone, together, lists} {
		more, err := measure(ctx, s, p)
		rows = append(rows, more...)
		if err != nil {
			printRows(rows)
			return err
		}
	}
	s.stop()
	more, err := watching(ctx, dir, p)
	printRows(append(rows, more...))
	if err != nil {
		return err
	}
	if p.upTo == 0 {
		return nil
	}
	return grow(ctx, dir, p)
}

// row is one measure, what it should be, and what Kubernetes needs for the same.
type row struct{ what, figure, goal, kubernetes string }

func printRows(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 3, ' ', 0)
	fmt.Fprintln(w, "\nMEASURE\tKUBETTE\tGOAL\tKUBERNETES")
	for _, r := range rows {
		for _, cell := range []*string{&r.goal, &r.kubernetes} {
			if *cell == "" {
				*cell = "-"
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.what, r.figure, r.goal, r.kubernetes)
	}
	_ = w.Flush()
}

// loadAverage says how busy the machine is with other things; only Linux tells.
func loadAverage() string {
	data, err := os.ReadFile("/proc/loadavg")
	if fields := strings.Fields(string(data)); err == nil && len(fields) > 0 {
		return ", load average " + fields[0] + " before"
	}
	return ""
}
