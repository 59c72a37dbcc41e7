package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
)

// groups are the measurements, in the order in which they are made.
var groups = []struct {
	name  string
	about string
	run   func(ctx context.Context, p *program, t *table) error
}{
	{"start", "A cluster of three simulated nodes, from the command to Ready", measureStart},
	{"api", "The API over HTTPS, every write synced to disk before it is answered", measureAPI},
	{"docker", "A pod of one container on a Docker engine", measureDocker},
	{"scale", "A Deployment of 5,000 replicas on 100 simulated nodes", measureScale},
	{"growth", "How time and memory grow with the pods", measureGrowth},
}

func main() {
	only := flag.String("only", "", "measure only these groups, by comma: start, api, docker, scale, growth")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func bench(ctx context.Context, only string) error {
	p, err := build(ctx)
	if err != nil {
		return err
	}
	defer p.remove()
	fmt.Printf("%s/%s, %d processors, %s\n", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
	for _, group := range groups {
		if only != "" && !slices.Contains(strings.Split(only, ","), group.name) {
			continue
		}
		t := &table{}
		err := group.run(ctx, p, t)
		t.print(os.Stdout, group.about)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Printf("  not measured to the end: %v\n", err)
		}
	}
	return nil
}
