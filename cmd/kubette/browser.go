package main

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/client-go/tools/clientcmd"

	"kubette/cluster"
)

// browsers are the programs that take Chromium's flags, by the names and places that they have.
func browsers() []string {
	list := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge", "brave-browser",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
		"/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge"}
	for _, folder := range []string{os.Getenv("ProgramFiles"), os.Getenv("ProgramFiles(x86)"), os.Getenv("LocalAppData")} {
		if folder != "" {
			list = append(list, filepath.Join(folder, "Google", "Chrome", "Application", "chrome.exe"),
				filepath.Join(folder, "Microsoft", "Edge", "Application", "msedge.exe"))
		}
	}
	return list
}

// browserVariable names a browser where the usual ones are not meant.
const browserVariable = "KUBETTE_BROWSER"

func findBrowser() (string, error) {
	if named := os.Getenv(browserVariable); named != "" {
		return exec.LookPath(named)
	}
	for _, name := range browsers() {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no Chromium, Chrome or Edge was found (%s names one); in another browser, set the automatic proxy "+
		"configuration (PAC) that `kubette status` shows", browserVariable)
}

// startBrowser starts a browser in a profile of its own, whose only changes are that it asks the cluster's proxy for the
// hosts of ingresses, and that it accepts certificates which the cluster's CA has signed. It goes on by itself.
func startBrowser(state *cluster.State, status *cluster.Status, address string, extra []string) error {
	program, err := findBrowser()
	if err != nil {
		return err
	}
	key, err := keyOfCA(state)
	if err != nil {
		return err
	}
	args := []string{
		"--user-data-dir=" + filepath.Join(state.Dir, "browser"), "--no-first-run", "--no-default-browser-check",
		"--proxy-pac-url=" + status.PACURL,
		// Nothing is written into the machine's own store of certificates.
		"--ignore-certificate-errors-spki-list=" + key,
	}
	command := exec.Command(program, append(append(args, extra...), address)...)
	if len(extra) > 0 { // somebody knows what they do: for example --headless --dump-dom
		command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
		return command.Run()
	}
	command.SysProcAttr = inBackground()
	if err := command.Start(); err != nil {
		return fmt.Errorf("start the browser: %w", err)
	}
	return command.Process.Release()
}

// keyOfCA is the hash of the public key of the cluster's CA, as browsers want it.
func keyOfCA(state *cluster.State) (string, error) {
	config, err := clientcmd.LoadFromFile(state.Kubeconfig())
	if err != nil {
		return "", fmt.Errorf("read the credentials of cluster %s: %w", state.Name, err)
	}
	known := config.Clusters[cluster.ContextName(state.Name)]
	if known == nil {
		return "", fmt.Errorf("%s has no context of cluster %s: restart the cluster", state.Kubeconfig(), state.Name)
	}
	block, _ := pem.Decode(known.CertificateAuthorityData)
	if block == nil {
		return "", errors.New("the kubeconfig holds no certificate of the cluster's CA")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", fmt.Errorf("read the certificate of the cluster's CA: %w", err)
	}
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	return base64.StdEncoding.EncodeToString(sum[:]), nil
}
