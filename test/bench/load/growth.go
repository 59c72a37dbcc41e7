package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"text/tabwriter"
	"time"
)

// errFull ends a load when all objects are made.
var errFull = errors.New("all are made")

// sizes of the growth series, in objects.
var sizes = []int{1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000}

// growthPath has the objects of the growth series.
const growthPath = "/api/v1/namespaces/default/configmaps"

// grow fills a new cluster step by step, and measures at each size. At each it kills the server, to see how long it takes
// to come back from what is on disk.
func grow(ctx context.Context, dir string, p plan) error {
	s, err := start(ctx, dir, "growth", "")
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	empty, known := s.memory()
	fmt.Println()
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 3, ' ', 0)
	defer func() { _ = w.Flush() }()
	fmt.Fprintln(w, "OBJECTS\tCREATE\tGET\tPAGE OF 500\tMEMORY EACH\tDISK EACH\tREADY AGAIN")
	// What Kubernetes took, where the same was measured: 1,670 creates/s up to 5,000 objects, and its start with none.
	fmt.Fprintln(w, "Kubernetes, 5000\t0.60 ms\tn/a\tn/a\tn/a\tn/a\t4.4 s")
	there := 0
	for _, size := range sizes {
		if size > p.upTo {
			break
		}
		took, err := fill(ctx, s, p, growthPath, there+1, size)
		if err != nil {
			return err
		}
		create := took / time.Duration(size-there)
		there = size
		get, page, err := reads(ctx, s, size)
		if err != nil {
			return err
		}
		s.kill()
		if s, err = start(ctx, dir, "growth", ""); err != nil {
			return err
		}
		if _, _, err := reads(ctx, s, size); err != nil { // the objects are read into memory when they are asked for
			return err
		}
		each := "n/a"
		if held, _ := s.memory(); known {
			each = fmt.Sprintf("%.1f KB", float64(held-empty)/float64(size)/1000)
		}
		disk := "n/a"
		if info, err := os.Stat(s.file); err == nil {
			disk = fmt.Sprintf("%.1f KB", float64(info.Size())/float64(size)/1000)
		}
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", size, short(create), short(get), short(page), each, disk, short(s.took))
	}
	return nil
}

// reads is the median time of a get and of a page among so many objects.
func reads(ctx context.Context, s *server, size int) (get, page time.Duration, err error) {
	c, err := connect(ctx, s.config, jsonMedia)
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	var gets, pages samples
	for range 200 {
		begun := time.Now()
		if _, err := c.request("GET", fmt.Sprintf("%s/n-%d", growthPath, 1+rand.IntN(size)), ""); err != nil {
			return 0, 0, err
		}
		gets = append(gets, time.Since(begun))
	}
	for range 20 {
		begun := time.Now()
		if _, err := c.request("GET", growthPath+"?limit=500", ""); err != nil {
			return 0, 0, err
		}
		pages = append(pages, time.Since(begun))
	}
	return gets.rank(0.5), pages.rank(0.5), nil
}
