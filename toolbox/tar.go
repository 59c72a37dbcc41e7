package toolbox

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
)

// tarProgram packs and unpacks: what `kubectl cp` runs inside a container. It knows c, x and t, with f, v, m and -C.
func tarProgram(_ context.Context, p *Process) int {
	mode, archive, names, err := tarArguments(p)
	if err != nil {
		return p.fail("%v", err)
	}
	switch mode {
	case 'c':
		err = p.pack(archive, names)
	case 'x', 't':
		err = p.unpack(archive, mode == 't')
	default:
		err = errors.New("one of c, x, t must be given")
	}
	if err != nil {
		return p.fail("%v", err)
	}
	return exitOK
}

// tarArguments reads `cf - FILE…`, `-xmf - -C DIR` and the like. -C changes the process' directory.
func tarArguments(p *Process) (mode byte, archive string, names []string, err error) {
	archive = "-"
	args := p.Args[1:]
	for first := true; len(args) > 0; first = false {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "-C" && len(args) > 0:
			p.Dir = p.path(args[0])
			args = args[1:]
		case arg == "--":
			return mode, archive, append(names, args...), nil
		case len(arg) > 1 && (arg[0] == '-' || first):
			for _, letter := range strings.TrimLeft(arg, "-") {
				switch letter {
				case 'c', 'x', 't':
					mode = byte(letter)
				case 'f':
					if len(args) == 0 {
						return 0, "", nil, errors.New("option f requires an argument")
					}
					archive = args[0]
					args = args[1:]
				case 'v', 'm', 'p', 'h', 'o':
				default:
					return 0, "", nil, fmt.Errorf("unknown option %q", letter)
				}
			}
		default:
			names = append(names, arg)
		}
	}
	return mode, archive, names, nil
}

func (p *Process) pack(archive string, names []string) error {
	out := p.Stdout
	if archive != "-" {
		file, err := p.create(archive)
		if err != nil {
			return err
		}
		defer file.Close()
		out = file
	}
	writer := tar.NewWriter(out)
	for _, name := range names {
		if err := p.packTree(writer, p.path(name), strings.TrimLeft(name, "/")); err != nil {
			return err
		}
	}
	return writer.Close()
}

func (p *Process) packTree(writer *tar.Writer, full, name string) error {
	info, err := p.files().Stat(full)
	if err != nil {
		return fmt.Errorf("%s: %s", name, reason(err))
	}
	header, err := tar.FileInfoHeader(info, "")
	if err != nil {
		return err
	}
	header.Name = name
	if info.IsDir() {
		header.Name += "/"
	}
	if err := writer.WriteHeader(header); err != nil {
		return err
	}
	if info.IsDir() {
		entries, err := p.files().ReadDir(full)
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if err := p.packTree(writer, path.Join(full, entry.Name()), path.Join(name, entry.Name())); err != nil {
				return err
			}
		}
		return nil
	}
	file, err := p.open(full)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.CopyN(writer, file, info.Size())
	return err
}

func (p *Process) unpack(archive string, listOnly bool) error {
	return p.input(archive, func(_ string, content io.Reader) error {
		reader := tar.NewReader(content)
		for {
			header, err := reader.Next()
			switch {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			case listOnly:
				p.printf("%s\n", header.Name)
				continue
			}
			// Names that lead out of the directory are kept inside it.
			full := path.Join("/", p.Dir, path.Clean("/"+header.Name))
			if header.FileInfo().IsDir() {
				err = p.files().MkdirAll(full, header.FileInfo().Mode().Perm()|0o700)
			} else if header.Typeflag == tar.TypeReg {
				err = p.unpackFile(full, reader, header.FileInfo().Mode().Perm())
			}
			if err != nil {
				return fmt.Errorf("%s: %s", header.Name, reason(err))
			}
		}
	})
}

func (p *Process) unpackFile(full string, content io.Reader, mode fs.FileMode) error {
	if _, err := p.files().Stat(path.Dir(full)); errors.Is(err, fs.ErrNotExist) {
		if err := p.files().MkdirAll(path.Dir(full), 0o777); err != nil {
			return err
		}
	}
	return p.save(full, content, mode, false)
}
