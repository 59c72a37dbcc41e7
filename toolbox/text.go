package toolbox

import (
	"bufio"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lines gives each line of the inputs to a function, until it returns false.
func (p *Process) lines(names []string, each func(name, line string) bool) int {
	return p.inputs(names, func(name string, content io.Reader) error {
		scanner := bufio.NewScanner(content)
		scanner.Buffer(nil, 1<<20)
		for scanner.Scan() {
			if !each(name, scanner.Text()) {
				return nil
			}
		}
		return scanner.Err()
	})
}

func echo(_ context.Context, p *Process) int {
	args, end := p.Args[1:], "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	p.printf("%s%s", strings.Join(args, " "), end)
	return exitOK
}

func basename(_ context.Context, p *Process) int {
	if len(p.Args) < 2 {
		return p.fail("missing operand")
	}
	name := path.Base(p.Args[1])
	if len(p.Args) > 2 {
		name = strings.TrimSuffix(name, p.Args[2])
	}
	p.printf("%s\n", name)
	return exitOK
}

func dirname(_ context.Context, p *Process) int {
	if len(p.Args) < 2 {
		return p.fail("missing operand")
	}
	p.printf("%s\n", path.Dir(p.Args[1]))
	return exitOK
}

func base64Program(_ context.Context, p *Process) int {
	flags := p.flags()
	decode := flags.BoolP("decode", "d", false, "decode")
	_ = flags.IntP("wrap", "w", 0, "accepted; lines are never wrapped")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	return p.inputs(flags.Args(), func(_ string, content io.Reader) error {
		if *decode {
			_, err := io.Copy(p.Stdout, base64.NewDecoder(base64.StdEncoding, content))
			return err
		}
		encoder := base64.NewEncoder(base64.StdEncoding, p.Stdout)
		if _, err := io.Copy(encoder, content); err != nil {
			return err
		}
		defer p.printf("\n")
		return encoder.Close()
	})
}

func grep(_ context.Context, p *Process) int {
	flags := p.flags()
	ignoreCase := flags.BoolP("ignore-case", "i", false, "upper and lower case are the same")
	invert := flags.BoolP("invert-match", "v", false, "the lines that do not match")
	count := flags.BoolP("count", "c", false, "how many lines, not which")
	quiet := flags.BoolP("quiet", "q", false, "say nothing; only the exit code tells")
	numbers := flags.BoolP("line-number", "n", false, "with line numbers")
	only := flags.BoolP("only-matching", "o", false, "only the part that matches")
	fixed := flags.BoolP("fixed-strings", "F", false, "a plain string, not an expression")
	_ = flags.BoolP("extended-regexp", "E", true, "accepted; expressions are always extended")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	args := flags.Args()
	if len(args) == 0 {
		fmt.Fprintln(p.Stderr, "usage: grep [-ivcqnoEF] PATTERN [FILE]...")
		return exitUsage
	}
	pattern := args[0]
	if *fixed {
		pattern = regexp.QuoteMeta(pattern)
	}
	if *ignoreCase {
		pattern = "(?i)" + pattern
	}
	expression, err := regexp.Compile(pattern)
	if err != nil {
		fmt.Fprintf(p.Stderr, "grep: %v\n", err)
		return exitUsage
	}
	found, number := 0, 0
	code := p.lines(args[1:], func(name, line string) bool {
		number++
		if expression.MatchString(line) == *invert {
			return true
		}
		found++
		if *quiet || *count {
			return !*quiet
		}
		prefix := ""
		if len(args) > 2 {
			prefix = name + ":"
		}
		if *numbers {
			prefix += strconv.Itoa(number) + ":"
		}
		if *only && !*invert {
			for _, match := range expression.FindAllString(line, -1) {
				p.printf("%s%s\n", prefix, match)
			}
			return true
		}
		p.printf("%s%s\n", prefix, line)
		return true
	})
	if *count {
		p.printf("%d\n", found)
	}
	switch {
	case code != exitOK:
		return exitUsage
	case found == 0:
		return exitFailure
	}
	return exitOK
}

func head(_ context.Context, p *Process) int {
	flags := p.flags()
	count := flags.IntP("lines", "n", 10, "how many lines")
	shortCount(p)
	if code, ok := p.parse(flags); !ok {
		return code
	}
	left := *count
	if left <= 0 {
		return exitOK
	}
	return p.lines(flags.Args(), func(_, line string) bool {
		p.printf("%s\n", line)
		left--
		return left > 0
	})
}

// shortCount rewrites the old form `head -5` to `head -n 5`.
func shortCount(p *Process) {
	if len(p.Args) > 1 && len(p.Args[1]) > 1 && p.Args[1][0] == '-' {
		if _, err := strconv.Atoi(p.Args[1][1:]); err == nil {
			p.Args = append([]string{p.Args[0], "-n", p.Args[1][1:]}, p.Args[2:]...)
		}
	}
}

// follow is how often tail -f looks for more.
const follow = 500 * time.Millisecond

func tail(ctx context.Context, p *Process) int {
	flags := p.flags()
	count := flags.IntP("lines", "n", 10, "how many lines")
	followed := flags.BoolP("follow", "f", false, "wait for more")
	shortCount(p)
	if code, ok := p.parse(flags); !ok {
		return code
	}
	var last []string
	code := p.lines(flags.Args(), func(_, line string) bool {
		last = append(last, line)
		if len(last) > max(*count, 0) {
			last = last[1:]
		}
		return true
	})
	for _, line := range last {
		p.printf("%s\n", line)
	}
	if code != exitOK || !*followed || len(flags.Args()) != 1 {
		return code
	}
	return p.follow(ctx, flags.Arg(0))
}

// follow writes what is added to a file until the context ends.
func (p *Process) follow(ctx context.Context, name string) int {
	var seen int64 = -1
	ticker := time.NewTicker(follow)
	defer ticker.Stop()
	for {
		err := p.input(name, func(_ string, content io.Reader) error {
			if seen < 0 {
				size, err := io.Copy(io.Discard, content)
				seen = size
				return err
			}
			if _, err := io.CopyN(io.Discard, content, seen); err != nil {
				seen = 0 // the file was made anew
				return nil
			}
			size, err := io.Copy(p.Stdout, content)
			seen += size
			return err
		})
		if err != nil {
			return p.fail("%s: %s", name, reason(err))
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return exitTerminated
		}
	}
}

func wc(_ context.Context, p *Process) int {
	flags := p.flags()
	countLines := flags.BoolP("lines", "l", false, "lines")
	countWords := flags.BoolP("words", "w", false, "words")
	countBytes := flags.BoolP("bytes", "c", false, "bytes")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	all := !*countLines && !*countWords && !*countBytes
	return p.inputs(flags.Args(), func(name string, content io.Reader) error {
		data, err := io.ReadAll(content)
		if err != nil {
			return err
		}
		var cells []string
		for _, c := range []struct {
			wanted bool
			count  int
		}{
			{*countLines, strings.Count(string(data), "\n")}, {*countWords, len(strings.Fields(string(data)))}, {*countBytes, len(data)},
		} {
			if all || c.wanted {
				cells = append(cells, strconv.Itoa(c.count))
			}
		}
		if name != "-" {
			cells = append(cells, name)
		}
		p.printf("%s\n", strings.Join(cells, " "))
		return nil
	})
}

func sortLines(_ context.Context, p *Process) int {
	flags := p.flags()
	numeric := flags.BoolP("numeric-sort", "n", false, "by the number at the beginning")
	reverse := flags.BoolP("reverse", "r", false, "the largest first")
	unique := flags.BoolP("unique", "u", false, "each line once")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	var all []string
	code := p.lines(flags.Args(), func(_, line string) bool {
		all = append(all, line)
		return true
	})
	slices.SortStableFunc(all, func(a, b string) int {
		order := strings.Compare(a, b)
		if *numeric {
			order = int(leadingNumber(a) - leadingNumber(b))
		}
		if *reverse {
			return -order
		}
		return order
	})
	if *unique {
		all = slices.Compact(all)
	}
	for _, line := range all {
		p.printf("%s\n", line)
	}
	return code
}

func leadingNumber(line string) int64 {
	var number int64
	_, _ = fmt.Sscanf(strings.TrimSpace(line), "%d", &number)
	return number
}

func uniq(_ context.Context, p *Process) int {
	flags := p.flags()
	count := flags.BoolP("count", "c", false, "with how often each came")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	previous, times := "", 0
	flush := func() {
		switch {
		case times > 0 && *count:
			p.printf("%7d %s\n", times, previous)
		case times > 0:
			p.printf("%s\n", previous)
		}
	}
	code := p.lines(flags.Args(), func(_, line string) bool {
		if times > 0 && line == previous {
			times++
			return true
		}
		flush()
		previous, times = line, 1
		return true
	})
	flush()
	return code
}

func cut(_ context.Context, p *Process) int {
	flags := p.flags()
	delimiter := flags.StringP("delimiter", "d", "\t", "what stands between fields")
	list := flags.StringP("fields", "f", "", "which fields: 1,3 or 2-")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	wanted, err := fieldList(*list)
	if err != nil {
		return p.fail("%v", err)
	}
	return p.lines(flags.Args(), func(_, line string) bool {
		fields := strings.Split(line, *delimiter)
		if len(fields) == 1 {
			p.printf("%s\n", line)
			return true
		}
		var kept []string
		for i, field := range fields {
			if wanted(i + 1) {
				kept = append(kept, field)
			}
		}
		p.printf("%s\n", strings.Join(kept, *delimiter))
		return true
	})
}

// fieldList reads 1,3,5-7,9- and says which numbers are in it.
func fieldList(list string) (func(int) bool, error) {
	type span struct{ from, to int }
	var spans []span
	for _, part := range strings.Split(list, ",") {
		low, high, ranged := strings.Cut(part, "-")
		s := span{from: 1, to: 1 << 30}
		var err error
		if low != "" {
			if s.from, err = strconv.Atoi(low); err != nil {
				return nil, fmt.Errorf("bad list of fields %q", list)
			}
		}
		switch {
		case !ranged:
			s.to = s.from
		case high != "":
			if s.to, err = strconv.Atoi(high); err != nil {
				return nil, fmt.Errorf("bad list of fields %q", list)
			}
		}
		if s.from < 1 || low == "" && high == "" {
			return nil, fmt.Errorf("bad list of fields %q", list)
		}
		spans = append(spans, s)
	}
	return func(n int) bool {
		return slices.ContainsFunc(spans, func(s span) bool { return s.from <= n && n <= s.to })
	}, nil
}

// tr replaces or (-d) deletes characters; sets may be ranges such as a-z.
func tr(_ context.Context, p *Process) int {
	flags := p.flags()
	remove := flags.BoolP("delete", "d", false, "delete the characters")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	args := flags.Args()
	if len(args) < 1 || !*remove && len(args) < 2 {
		return p.fail("missing operand")
	}
	from := characters(args[0])
	var to []rune
	if len(args) > 1 {
		to = characters(args[1])
	}
	data, err := io.ReadAll(p.stdin())
	if err != nil {
		return p.fail("%v", err)
	}
	p.printf("%s", strings.Map(func(r rune) rune {
		i := slices.Index(from, r)
		switch {
		case i < 0:
			return r
		case *remove || len(to) == 0:
			return -1
		}
		return to[min(i, len(to)-1)]
	}, string(data)))
	return exitOK
}

func characters(set string) []rune {
	set = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\r`, "\r", `\\`, `\`).Replace(set)
	runes := []rune(set)
	var all []rune
	for i := 0; i < len(runes); i++ {
		if i+2 < len(runes) && runes[i+1] == '-' && runes[i] <= runes[i+2] {
			for r := runes[i]; r <= runes[i+2]; r++ {
				all = append(all, r)
			}
			i += 2
			continue
		}
		all = append(all, runes[i])
	}
	return all
}

func seq(_ context.Context, p *Process) int {
	numbers := []int{}
	for _, arg := range p.Args[1:] {
		n, err := strconv.Atoi(arg)
		if err != nil {
			return p.fail("invalid number '%s'", arg)
		}
		numbers = append(numbers, n)
	}
	first, step, last := 1, 1, 0
	switch len(numbers) {
	case 1:
		last = numbers[0]
	case 2:
		first, last = numbers[0], numbers[1]
	case 3:
		first, step, last = numbers[0], numbers[1], numbers[2]
	default:
		return p.fail("one to three numbers must be given")
	}
	if step == 0 {
		return p.fail("the step must not be 0")
	}
	for n := first; step > 0 && n <= last || step < 0 && n >= last; n += step {
		p.printf("%d\n", n)
	}
	return exitOK
}
