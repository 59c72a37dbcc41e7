package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kubette/cluster"
)

// kubeconfigFlags are what `kubette kubeconfig` can be told.
type kubeconfigFlags struct {
	merge bool
	user  cluster.User
}

func newKubeconfig(o *options) *cobra.Command {
	f := &kubeconfigFlags{}
	command := &cobra.Command{
		Use:   "kubeconfig",
		Short: "Print the credentials for a cluster, or merge them into your kubeconfig",
		Long: `Print a kubeconfig for the cluster's administrator, with a bearer token. With --merge, add it to your own
kubeconfig (KUBECONFIG, or ~/.kube/config) as the context kubette-NAME, and leave everything else there as it is.

With --user, make the restricted credentials of a student instead, as they have them on a shared cluster: a
client certificate for that name, and one role in one namespace, which is made if need be. Its context is
kubette-NAME-USER.`,
		Example: `  kubette kubeconfig > kubette.yaml
  kubette kubeconfig --merge && kubectl --context kubette-kubette get nodes
  kubette kubeconfig --user ana --namespace team-a --role edit > ana.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.user.Name == "" && (cmd.Flags().Changed("role") || cmd.Flags().Changed("namespace")) {
				return errors.New("--role and --namespace are for a user: name one with --user")
			}
			config, err := credentials(cmd.Context(), o.name, f)
			if err != nil {
				return err
			}
			if !f.merge {
				return printKubeconfig(cmd, config)
			}
			path, err := mergeKubeconfig(config)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Context %s is in %s; use it with\n\n  kubectl config use-context %[1]s\n", config.CurrentContext, path)
			return nil
		},
	}
	flags := command.Flags()
	flags.BoolVar(&f.merge, "merge", false, "add a context to your kubeconfig, without changing which one is current")
	flags.StringVar(&f.user.Name, "user", "", "make credentials for this user, restricted to a namespace")
	flags.StringVarP(&f.user.Namespace, "namespace", "n", "default", "the user's namespace")
	flags.StringVar(&f.user.Role, "role", "edit", "what the user may do there: view, edit or admin")
	return command
}

// credentials are the administrator's, or those of the user that the flags name.
func credentials(ctx context.Context, name string, f *kubeconfigFlags) (*clientcmdapi.Config, error) {
	state, err := cluster.ReadState(name)
	if err != nil {
		return nil, err
	}
	if f.user.Name != "" {
		return state.UserCredentials(ctx, f.user)
	}
	config, err := clientcmd.LoadFromFile(state.Kubeconfig())
	if err != nil {
		return nil, fmt.Errorf("cluster %s has no credentials yet; start it with `%s`", name, commandLine(name, "up"))
	}
	return config, nil
}

func printKubeconfig(cmd *cobra.Command, config *clientcmdapi.Config) error {
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	_, err = cmd.OutOrStdout().Write(data)
	return err
}

// mergeKubeconfig adds the current context of ours to the user's kubeconfig, and returns the file's path. Only the entries
// of that name are written, to the file that kubectl itself would write to.
func mergeKubeconfig(ours *clientcmdapi.Config) (string, error) {
	access := clientcmd.NewDefaultPathOptions()
	theirs, err := access.GetStartingConfig()
	if err != nil {
		return "", fmt.Errorf("read your kubeconfig: %w", err)
	}
	id := ours.CurrentContext
	theirs.Clusters[id], theirs.AuthInfos[id], theirs.Contexts[id] = ours.Clusters[id], ours.AuthInfos[id], ours.Contexts[id]
	for _, entry := range []*string{&theirs.Clusters[id].LocationOfOrigin, &theirs.AuthInfos[id].LocationOfOrigin, &theirs.Contexts[id].LocationOfOrigin} {
		*entry = "" // they are new there
	}
	if err := clientcmd.ModifyConfig(access, *theirs, false); err != nil {
		return "", fmt.Errorf("write your kubeconfig: %w", err)
	}
	return access.GetDefaultFilename(), nil
}
