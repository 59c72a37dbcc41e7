package toolbox

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
)

func cat(_ context.Context, p *Process) int {
	flags := p.flags()
	if code, ok := p.parse(flags); !ok {
		return code
	}
	return p.inputs(flags.Args(), func(_ string, content io.Reader) error {
		_, err := io.Copy(p.Stdout, content)
		return err
	})
}

func ls(_ context.Context, p *Process) int {
	flags := p.flags()
	long := flags.BoolP("long", "l", false, "one line for each file, with mode, size and time")
	all := flags.BoolP("all", "a", false, "names that begin with a dot, too")
	_ = flags.BoolP("one", "1", true, "one name in a line")
	_ = flags.BoolP("human", "h", false, "accepted")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	names := flags.Args()
	if len(names) == 0 {
		names = []string{"."}
	}
	show := func(info fs.FileInfo, name string) {
		if *long {
			p.printf("%s %10d %s %s\n", info.Mode(), info.Size(), info.ModTime().Format("Jan _2 15:04"), name)
			return
		}
		p.printf("%s\n", name)
	}
	code := exitOK
	for _, name := range names {
		info, err := p.files().Stat(p.path(name))
		if err != nil {
			code = p.fail("%s: %s", name, reason(err))
			continue
		}
		if !info.IsDir() {
			show(info, name)
			continue
		}
		if len(names) > 1 {
			p.printf("%s:\n", name)
		}
		entries, err := p.files().ReadDir(p.path(name))
		if err != nil {
			code = p.fail("%s: %s", name, reason(err))
		}
		for _, entry := range entries {
			if info, err := entry.Info(); err == nil && (*all || !strings.HasPrefix(entry.Name(), ".")) {
				show(info, entry.Name())
			}
		}
	}
	return code
}

func mkdir(_ context.Context, p *Process) int {
	flags := p.flags()
	parents := flags.BoolP("parents", "p", false, "make the directories above, too; it is no error when one is there")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	for _, name := range flags.Args() {
		full := p.path(name)
		if !*parents {
			if _, err := p.files().Stat(full); err == nil {
				return p.fail("can't create directory '%s': File exists", name)
			}
			if _, err := p.files().Stat(path.Dir(full)); err != nil {
				return p.fail("can't create directory '%s': %s", name, reason(err))
			}
		}
		if err := p.files().MkdirAll(full, 0o777); err != nil {
			return p.fail("can't create directory '%s': %s", name, reason(err))
		}
	}
	return exitOK
}

func rm(_ context.Context, p *Process) int {
	flags := p.flags()
	recursive := flags.BoolP("recursive", "r", false, "directories, too, with all in them")
	force := flags.BoolP("force", "f", false, "it is no error when there is none")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	for _, name := range flags.Args() {
		full := p.path(name)
		info, err := p.files().Stat(full)
		if err == nil && info.IsDir() && !*recursive {
			return p.fail("'%s' is a directory", name)
		}
		if err := p.files().RemoveAll(full); err != nil && !(*force && errors.Is(err, fs.ErrNotExist)) {
			return p.fail("can't remove '%s': %s", name, reason(err))
		}
	}
	return exitOK
}

func touch(_ context.Context, p *Process) int {
	for _, name := range p.Args[1:] {
		file, err := p.files().OpenFile(p.path(name), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
		if err != nil {
			return p.fail("%s: %s", name, reason(err))
		}
		if err := file.Close(); err != nil {
			return p.fail("%s: %s", name, reason(err))
		}
	}
	return exitOK
}

// target is where a file goes that is copied or moved: into a directory, or to the name itself.
func (p *Process) target(from, to string) string {
	if info, err := p.files().Stat(p.path(to)); err == nil && info.IsDir() {
		return path.Join(p.path(to), path.Base(from))
	}
	return p.path(to)
}

func mv(_ context.Context, p *Process) int {
	flags := p.flags()
	_ = flags.BoolP("force", "f", true, "accepted")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	args := flags.Args()
	if len(args) < 2 {
		return p.fail("missing file operand")
	}
	to := args[len(args)-1]
	for _, from := range args[:len(args)-1] {
		if err := p.files().Rename(p.path(from), p.target(from, to)); err != nil {
			return p.fail("can't rename '%s': %s", from, reason(err))
		}
	}
	return exitOK
}

func cp(_ context.Context, p *Process) int {
	flags := p.flags()
	recursive := flags.BoolP("recursive", "r", false, "directories, too, with all in them")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	args := flags.Args()
	if len(args) < 2 {
		return p.fail("missing file operand")
	}
	to := args[len(args)-1]
	for _, from := range args[:len(args)-1] {
		if err := p.copyTree(p.path(from), p.target(from, to), *recursive); err != nil {
			return p.fail("can't copy '%s': %s", from, reason(err))
		}
	}
	return exitOK
}

var errOmitted = errors.New("is a directory (not copied without -r)")

func (p *Process) copyTree(from, to string, recursive bool) error {
	info, err := p.files().Stat(from)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return p.copyFile(from, to)
	}
	if !recursive {
		return errOmitted
	}
	entries, err := p.files().ReadDir(from)
	if err != nil {
		return err
	}
	if err := p.files().MkdirAll(to, 0o777); err != nil {
		return err
	}
	for _, entry := range entries {
		if err := p.copyTree(path.Join(from, entry.Name()), path.Join(to, entry.Name()), true); err != nil {
			return err
		}
	}
	return nil
}

func (p *Process) copyFile(from, to string) error {
	source, err := p.open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	return p.save(to, source, 0o666, false)
}

// save writes a file whole, or at its end.
func (p *Process) save(name string, content io.Reader, mode fs.FileMode, atEnd bool) error {
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if atEnd {
		flag = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	}
	file, err := p.files().OpenFile(p.path(name), flag, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

func tee(_ context.Context, p *Process) int {
	flags := p.flags()
	atEnd := flags.BoolP("append", "a", false, "write at the files' ends")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	content, err := io.ReadAll(io.TeeReader(p.stdin(), p.Stdout))
	if err != nil {
		return p.fail("%v", err)
	}
	for _, name := range flags.Args() {
		if err := p.save(name, strings.NewReader(string(content)), 0o666, *atEnd); err != nil {
			return p.fail("%s: %s", name, reason(err))
		}
	}
	return exitOK
}
