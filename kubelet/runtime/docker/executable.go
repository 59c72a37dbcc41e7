package docker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// linuxFile is kubette's executable for the engine's machine, with the libraries that it needs besides.
type linuxFile struct {
	path      string
	made      time.Time
	libraries []string
	cleanup   func()
}

// linuxExecutable finds an executable of kubette that runs on the engine's machine: the running one where that fits, or
// the one that is shipped beside it for this purpose, or one that is built from kubette's source on the spot.
func linuxExecutable(ctx context.Context, name, architecture string) (linuxFile, error) {
	if name == "" {
		running, err := os.Executable()
		if err != nil {
			return linuxFile{}, fmt.Errorf("find kubette's own executable: %w", err)
		}
		name = running
	}
	sibling := filepath.Join(filepath.Dir(name), "kubette-linux-"+architecture)
	for _, candidate := range []string{name, sibling} {
		if fits(candidate, architecture) {
			libraries, err := neededLibraries(candidate)
			if err != nil {
				return linuxFile{}, err
			}
			info, err := os.Stat(candidate)
			if err != nil {
				return linuxFile{}, err
			}
			return linuxFile{path: candidate, made: info.ModTime().UTC(), libraries: libraries, cleanup: func() {}}, nil
		}
	}
	built, err := crossBuild(ctx, architecture)
	if err != nil {
		return linuxFile{}, fmt.Errorf("kubette's own images need an executable for linux/%s; put it beside this one as %s (or build it: GOOS=linux GOARCH=%s go build -o %s ./cmd/kubette): %w",
			architecture, filepath.Base(sibling), architecture, filepath.Base(sibling), err)
	}
	return built, nil
}

// machines are the numbers of ELF files for the architectures.
var machines = map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64}

func fits(name, architecture string) bool {
	file, err := elf.Open(name)
	if err != nil {
		return false // another system's, or none
	}
	defer file.Close()
	return file.Machine == machines[architecture] && (file.Type == elf.ET_EXEC || file.Type == elf.ET_DYN)
}

// libraryPaths are where the loader of the usual systems looks.
var libraryPaths = map[string][]string{
	"amd64": {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"},
	"arm64": {"/lib/aarch64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/lib64", "/usr/lib64", "/lib", "/usr/lib"},
}

// neededLibraries lists the loader and the libraries of an executable that is not static, as `go run` makes where a C
// compiler is there: they go into the images at the same paths.
func neededLibraries(name string) ([]string, error) {
	file, err := elf.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	at := slices.IndexFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
	if at < 0 {
		return nil, nil
	}
	interpreter, err := io.ReadAll(file.Progs[at].Open())
	if err != nil {
		return nil, fmt.Errorf("read the loader's name in %s: %w", name, err)
	}
	found := []string{string(bytes.TrimRight(interpreter, "\x00"))}
	var search []string
	for architecture, machine := range machines {
		if machine == file.Machine {
			search = libraryPaths[architecture]
		}
	}
	seen := map[string]bool{filepath.Base(found[0]): true}
	wanted, err := file.ImportedLibraries()
	if err != nil {
		return nil, fmt.Errorf("read which libraries %s needs: %w", name, err)
	}
	for len(wanted) > 0 {
		library := wanted[0]
		wanted = wanted[1:]
		if seen[library] {
			continue
		}
		seen[library] = true
		location, more, err := findLibrary(library, search, file.Machine)
		if err != nil {
			return nil, fmt.Errorf("%s needs %s: %w; build kubette with CGO_ENABLED=0 to do without", name, library, err)
		}
		found, wanted = append(found, location), append(wanted, more...)
	}
	slices.Sort(found)
	return found, nil
}

// findLibrary returns where a library is and what it needs in turn.
func findLibrary(name string, search []string, machine elf.Machine) (string, []string, error) {
	for _, directory := range search {
		location := filepath.Join(directory, name)
		file, err := elf.Open(location)
		if err != nil {
			continue
		}
		fits := file.Machine == machine
		more, err := file.ImportedLibraries()
		file.Close()
		if fits && err == nil {
			return location, more, nil
		}
	}
	return "", nil, fmt.Errorf("it is in none of %s", strings.Join(search, ", "))
}

// fingerprint stands for the executable's content: the build identifier that Go puts into what it links, or, when there
// is none, a hash of the whole.
func (f linuxFile) fingerprint() ([]byte, error) {
	file, err := elf.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, err
	}
	if note := file.Section(".note.go.buildid"); note != nil {
		if id, err := note.Data(); err == nil && len(id) > 16 {
			return fmt.Appendf(id, "%d", info.Size()), nil
		}
	}
	whole, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, whole); err != nil {
		return nil, err
	}
	return hash.Sum(nil), nil
}

// crossBuild builds kubette for the engine's machine, when the go tool and kubette's source are here, as with `go run`.
func crossBuild(ctx context.Context, architecture string) (linuxFile, error) {
	tool, err := exec.LookPath("go")
	if err != nil {
		return linuxFile{}, errors.New("the go tool is not here to build it")
	}
	build, ok := debug.ReadBuildInfo()
	if !ok || build.Main.Path == "" {
		return linuxFile{}, errors.New("this executable does not say what it was built from")
	}
	module := exec.CommandContext(ctx, tool, "list", "-m", "-f", "{{.Path}}")
	if out, err := module.Output(); err != nil || strings.TrimSpace(string(out)) != build.Main.Path {
		return linuxFile{}, fmt.Errorf("the source of the module %s is not in the current directory to build it", build.Main.Path)
	}
	directory, err := os.MkdirTemp("", "kubette-build-")
	if err != nil {
		return linuxFile{}, err
	}
	target := filepath.Join(directory, "kubette-linux-"+architecture)
	compile := exec.CommandContext(ctx, tool, "build", "-o", target, build.Main.Path+"/cmd/kubette")
	compile.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+architecture, "CGO_ENABLED=0")
	if out, err := compile.CombinedOutput(); err != nil {
		os.RemoveAll(directory)
		return linuxFile{}, fmt.Errorf("build it: %w: %s", err, bytes.TrimSpace(out))
	}
	return linuxFile{path: target, made: time.Now().UTC(), cleanup: func() { os.RemoveAll(directory) }}, nil
}
