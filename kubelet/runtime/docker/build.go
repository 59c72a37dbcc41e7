package docker

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/docker/docker/api/types/build"
	"github.com/docker/docker/api/types/image"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// BuildOptions say what to make of a directory.
type BuildOptions struct {
	Name string // of the image
	// Dockerfile in the directory; when it is empty and there is no file "Dockerfile", the directory is the image's root.
	Dockerfile string
	// Command is what an image of a directory runs; a Dockerfile says it itself.
	Command []string
	Output  io.Writer // what the engine says
}

// BuildImage makes an image of a directory: by its Dockerfile, or else as a root file system. It returns its identifier.
func (e *Engine) BuildImage(ctx context.Context, directory string, options BuildOptions) (string, error) {
	named, err := parseReference(options.Name)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(directory); err != nil {
		return "", fmt.Errorf("build an image: %w", err)
	} else if !info.IsDir() {
		return "", fmt.Errorf("build an image: %s is not a directory", directory)
	}
	if options.Output == nil {
		options.Output = io.Discard
	}
	file := options.Dockerfile
	if file == "" {
		if _, err := os.Stat(filepath.Join(directory, "Dockerfile")); err == nil {
			file = "Dockerfile"
		}
	}
	before, err := e.identifiers(ctx)
	if err != nil {
		return "", err
	}
	if file == "" {
		err = e.importDirectory(ctx, directory, named.String(), options)
	} else {
		err = e.buildFile(ctx, directory, file, named.String(), options)
	}
	if err != nil {
		return "", fmt.Errorf("build %s: %w", named, err)
	}
	made, err := e.imageStatus(ctx, named.String())
	if err != nil || before[made.ID] {
		return made.ID, err
	}
	return made.ID, e.own(ctx, made.ID)
}

// buildFile has the engine's own builder follow a Dockerfile.
func (e *Engine) buildFile(ctx context.Context, directory, file, name string, options BuildOptions) error {
	if len(options.Command) > 0 {
		return errors.New("a command is given only for a directory without a Dockerfile; a Dockerfile says it with CMD or ENTRYPOINT")
	}
	ignored, err := ignoredFiles(directory, file)
	if err != nil {
		return err
	}
	answer, err := e.api.ImageBuild(ctx, archiveOf(directory, ignored), build.ImageBuildOptions{
		Tags: []string{name}, Dockerfile: filepath.ToSlash(file), Remove: true, ForceRemove: true, Version: build.BuilderV1,
	})
	if err != nil {
		return explain(ctx, err)
	}
	defer answer.Body.Close()
	return relay(answer.Body, options.Output)
}

// ignoredFiles are those that .dockerignore leaves out; never the Dockerfile.
func ignoredFiles(directory, file string) (func(name string) bool, error) {
	list, err := os.Open(filepath.Join(directory, ".dockerignore"))
	if errors.Is(err, fs.ErrNotExist) {
		return func(string) bool { return false }, nil
	}
	if err != nil {
		return nil, err
	}
	defer list.Close()
	patterns, err := ignorefile.ReadAll(list)
	if err != nil {
		return nil, fmt.Errorf("read .dockerignore: %w", err)
	}
	matcher, err := patternmatcher.New(append(patterns, "!"+filepath.ToSlash(file)))
	if err != nil {
		return nil, fmt.Errorf("read .dockerignore: %w", err)
	}
	return func(name string) bool {
		matched, err := matcher.MatchesOrParentMatches(name)
		return err == nil && matched
	}, nil
}

// importDirectory makes an image whose root is the directory.
func (e *Engine) importDirectory(ctx context.Context, directory, name string, options BuildOptions) error {
	var changes []string
	if len(options.Command) > 0 {
		command, _ := json.Marshal(options.Command) // strings always encode
		changes = append(changes, "CMD "+string(command))
	}
	answer, err := e.api.ImageImport(ctx, image.ImportSource{Source: archiveOf(directory, func(string) bool { return false }), SourceName: "-"},
		name, image.ImportOptions{Changes: changes, Platform: "linux/" + e.architecture})
	if err != nil {
		return explain(ctx, err)
	}
	defer answer.Close()
	return relay(answer, io.Discard)
}

// archiveOf is a directory as a tar whose files are root's, as of a build.
func archiveOf(directory string, ignored func(name string) bool) io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		out := tar.NewWriter(writer)
		err := filepath.WalkDir(directory, func(at string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			name, err := filepath.Rel(directory, at)
			if err != nil || name == "." || !entry.IsDir() && ignored(name) {
				return err
			}
			return addToArchive(out, at, filepath.ToSlash(name), entry)
		})
		if err == nil {
			err = out.Close()
		}
		writer.CloseWithError(err)
	}()
	return reader
}

func addToArchive(out *tar.Writer, at, name string, entry fs.DirEntry) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	target := ""
	if entry.Type()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(at); err != nil {
			return err
		}
	}
	if entry.Type()&(fs.ModeSocket|fs.ModeNamedPipe|fs.ModeDevice) != 0 {
		return nil // what no image holds
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	header.Name, header.Uid, header.Gid, header.Uname, header.Gname = name, 0, 0, "", ""
	if entry.IsDir() {
		header.Name += "/"
	}
	if err := out.WriteHeader(header); err != nil || !entry.Type().IsRegular() {
		return err
	}
	file, err := os.Open(at)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = io.Copy(out, file)
	return err
}

// relay passes on what the engine says while it works; its error is the work's.
func relay(stream io.Reader, output io.Writer) error {
	for decoder := json.NewDecoder(stream); ; {
		var line struct {
			Stream, Error string
			Status        string
		}
		if err := decoder.Decode(&line); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if line.Error != "" {
			return errors.New(strings.TrimSpace(line.Error))
		}
		if _, err := io.WriteString(output, line.Stream); err != nil {
			return err
		}
	}
}
