package toolbox

import (
	"context"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"
)

func trueProgram(context.Context, *Process) int  { return exitOK }
func falseProgram(context.Context, *Process) int { return exitFailure }

// sleep waits; a plain number is in seconds, and s, m, h, d are understood.
func sleep(ctx context.Context, p *Process) int {
	var total time.Duration
	for _, arg := range p.Args[1:] {
		duration, ok := sleepTime(arg)
		if !ok {
			return p.fail("invalid number '%s'", arg)
		}
		total += duration
	}
	if len(p.Args) < 2 {
		return p.fail("missing operand")
	}
	timer := time.NewTimer(total)
	defer timer.Stop()
	select {
	case <-timer.C:
		return exitOK
	case <-ctx.Done():
		return exitTerminated
	}
}

// forever is as long as a timer can be.
const forever = time.Duration(1<<63 - 1)

func sleepTime(arg string) (time.Duration, bool) {
	if arg == "infinity" || arg == "inf" {
		return forever, true
	}
	unit := time.Second
	if arg == "" {
		return 0, false
	}
	if i := strings.IndexByte("smhd", arg[len(arg)-1]); i >= 0 {
		unit = []time.Duration{time.Second, time.Minute, time.Hour, 24 * time.Hour}[i]
		arg = arg[:len(arg)-1]
	}
	number, err := strconv.ParseFloat(arg, 64)
	if err != nil || number < 0 {
		return 0, false
	}
	if number*float64(unit) >= float64(forever) {
		return forever, true
	}
	return time.Duration(number * float64(unit)), true
}

func hostname(ctx context.Context, p *Process) int {
	if len(p.Args) > 1 && (p.Args[1] == "-i" || p.Args[1] == "-I") {
		addresses, err := p.LookupHost(ctx, p.Hostname)
		if err != nil {
			return p.fail("%v", err)
		}
		p.printf("%s\n", strings.Join(addresses, " "))
		return exitOK
	}
	p.printf("%s\n", p.Hostname)
	return exitOK
}

// env prints the variables, or those that it is asked for (printenv).
func env(_ context.Context, p *Process) int {
	if len(p.Args) == 1 {
		variables := append([]string(nil), p.Env...)
		sort.Strings(variables)
		for _, variable := range variables {
			p.printf("%s\n", variable)
		}
		return exitOK
	}
	code := exitOK
	for _, name := range p.Args[1:] {
		value, ok := p.lookupEnv(name)
		if !ok {
			code = exitFailure
			continue
		}
		p.printf("%s\n", value)
	}
	return code
}

func id(_ context.Context, p *Process) int {
	uid, gid := max(os.Getuid(), 0), max(os.Getgid(), 0)
	if _, real := p.Files.(osFiles); !real {
		uid, gid = 0, 0
	}
	if len(p.Args) > 1 && p.Args[1] == "-u" {
		p.printf("%d\n", uid)
		return exitOK
	}
	p.printf("uid=%d gid=%d groups=%d\n", uid, gid, gid)
	return exitOK
}

func uname(_ context.Context, p *Process) int {
	if len(p.Args) > 1 && p.Args[1] == "-a" {
		p.printf("Linux %s kubette %s\n", p.Hostname, runtime.GOARCH)
		return exitOK
	}
	p.printf("Linux\n")
	return exitOK
}

// dateFormats are the letters of date's +FORMAT.
var dateFormats = strings.NewReplacer("%Y", "2006", "%m", "01", "%d", "02", "%H", "15", "%M", "04", "%S", "05",
	"%T", "15:04:05", "%F", "2006-01-02", "%Z", "MST", "%z", "-0700", "%a", "Mon", "%b", "Jan")

func date(_ context.Context, p *Process) int {
	now, layout := time.Now(), "Mon Jan _2 15:04:05 MST 2006"
	for _, arg := range p.Args[1:] {
		switch {
		case arg == "-u":
			now = now.UTC()
		case arg == "+%s":
			p.printf("%d\n", now.Unix())
			return exitOK
		case strings.HasPrefix(arg, "+"):
			layout = dateFormats.Replace(arg[1:])
		default:
			return p.fail("unknown argument %s", arg)
		}
	}
	p.printf("%s\n", now.Format(layout))
	return exitOK
}

// yes writes a word for as long as somebody reads.
func yes(ctx context.Context, p *Process) int {
	word := "y"
	if len(p.Args) > 1 {
		word = strings.Join(p.Args[1:], " ")
	}
	for ctx.Err() == nil {
		if _, err := p.Stdout.Write([]byte(word + "\n")); err != nil {
			return exitFailure
		}
	}
	return exitTerminated
}
