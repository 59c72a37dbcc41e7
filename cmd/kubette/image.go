package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"kubette/kubelet/runtime/docker"
)

func newImage() *cobra.Command {
	command := &cobra.Command{
		Use: "image", Short: "List, pull, build and load the images that containers are made of",
		Long: `List, pull, build and load the images that containers are made of. They are the Docker engine's, so all nodes
of all clusters have them at once, and a pod with imagePullPolicy IfNotPresent or Never runs them without a registry.
What kubette brought is removed when the engine's disk is nearly full and no container uses it; other images never are.`,
		Example: `  kubette image build ./app -t app:1      # a directory with a Dockerfile
  kubette image load app.tar              # what docker save wrote
  kubette image pull nginx:1.29
  kubette image list`,
	}
	command.AddCommand(newImageList(), newImageLoad(), newImageBuild(), newImagePull())
	return command
}

// withEngine does something with the engine. Simulated nodes have images only by name.
func withEngine(ctx context.Context, do func(*docker.Engine) error) error {
	engine, err := docker.Connect(ctx)
	if err != nil {
		return fmt.Errorf("images are kept by a Docker engine, and %w. Start one, or set DOCKER_HOST to where one is; simulated nodes need no images", err)
	}
	defer engine.Close()
	return do(engine)
}

func newImageList() *cobra.Command {
	var output string
	command := &cobra.Command{
		Use: "list", Short: "List the engine's images", Args: cobra.NoArgs,
		Example: "  kubette image list\n  kubette image list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return withEngine(cmd.Context(), func(engine *docker.Engine) error {
				images, err := engine.Images(cmd.Context())
				if err != nil {
					return err
				}
				if output == "json" {
					return json.NewEncoder(cmd.OutOrStdout()).Encode(images)
				}
				table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
				fmt.Fprintln(table, "NAME\tID\tSIZE\tFROM\tCONTAINERS")
				for _, each := range images {
					name := cmp.Or(strings.Join(each.Names, ","), "<none>")
					fmt.Fprintf(table, "%s\t%.12s\t%.1f MB\t%s\t%d\n", name, strings.TrimPrefix(each.ID, "sha256:"), float64(each.Size)/1e6, each.From, each.Containers)
				}
				return table.Flush()
			})
		},
	}
	outputFlag(command, &output)
	return command
}

func newImageLoad() *cobra.Command {
	return &cobra.Command{
		Use: "load FILE...", Short: "Bring images from files into the engine", Args: cobra.MinimumNArgs(1),
		Long: `Bring images from files into the engine: archives as docker save writes them, or OCI image layouts in a tar.
The file - is standard input.`,
		Example: "  kubette image load app.tar\n  docker --host ssh://teacher save app:1 | kubette image load -",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withEngine(cmd.Context(), func(engine *docker.Engine) error {
				for _, name := range args {
					loaded, err := loadFile(cmd.Context(), engine, cmd.InOrStdin(), name)
					if err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
					for _, image := range loaded {
						fmt.Fprintf(cmd.OutOrStdout(), "image %s is loaded\n", image)
					}
				}
				return nil
			})
		},
	}
}

func loadFile(ctx context.Context, engine *docker.Engine, stdin io.Reader, name string) ([]string, error) {
	if name == "-" {
		return engine.LoadImages(ctx, stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return engine.LoadImages(ctx, file)
}

func newImageBuild() *cobra.Command {
	options := docker.BuildOptions{}
	command := &cobra.Command{
		Use: "build DIRECTORY -t NAME [-- COMMAND...]", Short: "Make an image of a directory", Args: cobra.MinimumNArgs(1),
		Long: `Make an image of a directory. With a Dockerfile the engine builds it; what the Dockerfile is FROM must be present, or
a registry within reach. A directory without one becomes the image's root file system, and the words after -- its command.`,
		Example: `  kubette image build . -t app:1
  kubette image build ./rootfs -t tool:1 -- /bin/tool --serve`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 && cmd.ArgsLenAtDash() != 1 {
				return fmt.Errorf("one directory is built at a time; the image's command follows after --")
			}
			directory, err := filepath.Abs(args[0])
			if err != nil {
				return err
			}
			options.Command, options.Output = args[1:], cmd.ErrOrStderr()
			return withEngine(cmd.Context(), func(engine *docker.Engine) error {
				id, err := engine.BuildImage(cmd.Context(), directory, options)
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.OutOrStdout(), "image %s is built, %.12s\n", options.Name, strings.TrimPrefix(id, "sha256:"))
				return nil
			})
		},
	}
	command.Flags().StringVarP(&options.Name, "tag", "t", "", "the image's name, and tag")
	command.Flags().StringVarP(&options.Dockerfile, "file", "f", "", "the Dockerfile, in the directory")
	_ = command.MarkFlagRequired("tag") // there is such a flag
	return command
}

func newImagePull() *cobra.Command {
	return &cobra.Command{
		Use: "pull NAME...", Short: "Have the engine pull images from their registries", Args: cobra.MinimumNArgs(1),
		Example: "  kubette image pull nginx:1.29 postgres:18",
		RunE: func(cmd *cobra.Command, args []string) error {
			return withEngine(cmd.Context(), func(engine *docker.Engine) error {
				for _, name := range args {
					status, err := engine.PullNow(cmd.Context(), name, func(text string) { fmt.Fprintf(cmd.ErrOrStderr(), "%s: %s\n", name, text) })
					if err != nil {
						return err
					}
					fmt.Fprintf(cmd.OutOrStdout(), "image %s is pulled, %.1f MB\n", name, float64(status.SizeBytes)/1e6)
				}
				return nil
			})
		},
	}
}
