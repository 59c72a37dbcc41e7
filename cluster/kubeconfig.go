package cluster

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kubette/apiserver"
	"kubette/apiserver/auth"
)

// ContextName is the name of a cluster's context in kubeconfig files.
func ContextName(name string) string { return "kubette-" + name }

// kubeconfig is a file's content with one cluster, one user and one context.
func kubeconfig(name, url string, ca []byte, token string) *clientcmdapi.Config {
	config, id := clientcmdapi.NewConfig(), ContextName(name)
	config.Clusters[id] = &clientcmdapi.Cluster{Server: url, CertificateAuthorityData: ca}
	config.AuthInfos[id] = &clientcmdapi.AuthInfo{Token: token}
	config.Contexts[id] = &clientcmdapi.Context{Cluster: id, AuthInfo: id}
	config.CurrentContext = id
	return config
}

// WriteCommandKubeconfig writes a kubeconfig to a file with which the administrator does everything as a part of one command:
// each write is kept with the command as its cause.
func (s *State) WriteCommandKubeconfig(path, command string) error {
	config, err := clientcmd.LoadFromFile(s.Kubeconfig())
	if err != nil {
		return fmt.Errorf("read the kubeconfig of cluster %s: %w", s.Name, err)
	}
	admin := auth.Admin()
	for _, who := range config.AuthInfos {
		who.Impersonate, who.ImpersonateGroups = admin.GetName(), admin.GetGroups()
		who.ImpersonateUserExtra = map[string][]string{apiserver.CommandExtra: {command}}
	}
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return writeFile(path, data)
}

// writeKubeconfig puts the administrator's credentials into the cluster's folder.
func (c *Cluster) writeKubeconfig(token string) error {
	data, err := clientcmd.Write(*kubeconfig(c.config.Name, c.state.Running.APIURL, c.ca.PEM(), token))
	if err != nil {
		return fmt.Errorf("write the kubeconfig: %w", err)
	}
	return writeFile(c.state.Kubeconfig(), data)
}

const tokenFile = "admin.token"

// adminToken reads the administrator's bearer token, and makes it the first time.
func adminToken(dir string) (string, error) {
	path := filepath.Join(dir, tokenFile)
	data, err := os.ReadFile(path)
	if err == nil && len(strings.TrimSpace(string(data))) > 0 {
		return strings.TrimSpace(string(data)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the administrator's token: %w", err)
	}
	token := newToken()
	return token, writeFile(path, []byte(token+"\n"))
}

func newToken() string {
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	return hex.EncodeToString(random[:])
}
