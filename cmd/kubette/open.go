package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"kubette/cluster"
)

// openFlags are what `kubette open` can be told.
type openFlags struct {
	print, browser bool
}

func newOpen(o *options) *cobra.Command {
	f := &openFlags{}
	command := &cobra.Command{
		Use:   "open [HOST[/PATH]] [-- BROWSER-FLAGS]",
		Short: "Open an ingress host, or the console, in the browser",
		Long: `Print the address under which an ingress host can be opened on this machine, and open it where there
is a desktop. Without a host it opens the only one, or lists all. ` + "`kubette open console`" + ` opens the cluster's console.

Any browser opens HOST.localhost, which leads to this machine. With --browser, Chromium, Chrome or Edge is
started in a profile of its own that opens every ingress host of the cluster under its real name, http and
https: it asks the cluster's proxy for those hosts, and trusts the cluster's certificates. So a front end whose
code calls https://HOST of its back end works as it does on a shared platform. To do the same in another
browser, give it the proxy address (PAC) that ` + "`kubette status`" + ` shows.`,
		Example: `  kubette open console
  kubette open users-ensai.kub.sspcloud.fr
  kubette open users-ensai.kub.sspcloud.fr --browser
  curl "$(kubette open api-users-ensai.kub.sspcloud.fr/users/ --print)"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var extra []string
			if dash := cmd.ArgsLenAtDash(); dash >= 0 {
				args, extra = args[:dash], args[dash:]
			}
			if len(args) > 1 {
				return fmt.Errorf("open takes one host, not %d", len(args))
			}
			if len(extra) > 0 && !f.browser {
				return errors.New("flags for the browser need --browser")
			}
			return f.open(cmd, o, args, extra)
		},
	}
	command.Flags().BoolVar(&f.print, "print", false, "only print the address")
	command.Flags().BoolVar(&f.browser, "browser", false, "start a browser in its own profile, with every host under its real name")
	return command
}

func (f *openFlags) open(cmd *cobra.Command, o *options, args, extra []string) error {
	state, err := cluster.ReadState(o.name)
	if err != nil {
		return err
	}
	control, err := state.Connect()
	if err != nil {
		return err
	}
	if len(args) == 1 && args[0] == "console" {
		return f.openConsole(cmd, control)
	}
	status, err := control.Status(cmd.Context())
	if err != nil {
		return err
	}
	host, path, err := chooseHost(status, args)
	if err != nil {
		return err
	}
	address := localURL(status, host, path)
	if f.browser {
		address = realURL(status, host, path)
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, address)
	switch {
	case f.print:
		return nil
	case f.browser:
		return startBrowser(state, status, address, extra)
	}
	return openDesktop(cmd.Context(), out, address)
}

// openConsole opens the cluster's console. Its link is good once: each time it is another one.
func (f *openFlags) openConsole(cmd *cobra.Command, control *cluster.Control) error {
	link, err := control.ConsoleURL(cmd.Context())
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	fmt.Fprintln(out, link)
	if f.print {
		return nil
	}
	return openDesktop(cmd.Context(), out, link)
}

// chooseHost reads HOST/PATH, or a whole URL, and finds the ingress host that it means.
func chooseHost(status *cluster.Status, args []string) (host, path string, err error) {
	names := make([]string, len(status.Hosts))
	for i, h := range status.Hosts {
		names[i] = h.Name
	}
	known := strings.Join(names, "\n  ")
	switch {
	case len(names) == 0:
		return "", "", errors.New("no ingress names a host; `kubectl get ingress -A` lists the ingresses")
	case len(args) == 0 && len(names) == 1 && !strings.HasPrefix(names[0], "*"):
		return names[0], "/", nil
	case len(args) == 0:
		return "", "", fmt.Errorf("say which host to open:\n  %s", known)
	}
	rest := args[0]
	if _, after, ok := strings.Cut(rest, "://"); ok {
		rest = after
	}
	host, path, _ = strings.Cut(rest, "/")
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".localhost")
	if _, ok := findHost(status, host); !ok {
		return "", "", fmt.Errorf("no ingress has a rule for host %q; there are rules for:\n  %s", host, known)
	}
	return host, "/" + path, nil
}

func findHost(status *cluster.Status, host string) (cluster.IngressHost, bool) {
	_, domain, _ := strings.Cut(host, ".")
	for _, name := range []string{host, "*." + domain} {
		for _, candidate := range status.Hosts {
			if candidate.Name == name {
				return candidate, true
			}
		}
	}
	return cluster.IngressHost{}, false
}

// localURL is where any browser on this machine finds a host: its name with .localhost behind it, on the ingress' port.
func localURL(status *cluster.Status, host, path string) string {
	found, _ := findHost(status, host)
	base := status.HTTPURL
	if found.TLS {
		base = status.HTTPSURL
	}
	parsed, err := url.Parse(base)
	if err != nil {
		return base
	}
	parsed.Host = net.JoinHostPort(host+".localhost", parsed.Port())
	return parsed.String() + path
}

// realURL is where a browser that uses the proxy finds a host.
func realURL(status *cluster.Status, host, path string) string {
	if found, _ := findHost(status, host); found.TLS {
		return "https://" + host + path
	}
	return "http://" + host + path
}

// openDesktop hands an address to the desktop's browser, where there is a desktop.
func openDesktop(ctx context.Context, out io.Writer, address string) error {
	var command []string
	switch {
	case runtime.GOOS == "darwin":
		command = []string{"open", address}
	case runtime.GOOS == "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	case os.Getenv("DISPLAY") != "" || os.Getenv("WAYLAND_DISPLAY") != "":
		command = []string{"xdg-open", address}
	default:
		return nil // nothing to open it in: the address is printed
	}
	if _, err := exec.LookPath(command[0]); err != nil {
		fmt.Fprintf(out, "%s is not there to open it: open the address yourself\n", command[0])
		return nil
	}
	return exec.CommandContext(ctx, command[0], command[1:]...).Run()
}
