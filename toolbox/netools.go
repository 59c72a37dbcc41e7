package toolbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// httpClient sends requests over the process' own network.
func (p *Process) httpClient(secure *tls.Config, timeout time.Duration, followRedirects bool) *http.Client {
	client := &http.Client{Timeout: timeout, Transport: &http.Transport{
		DialContext: p.Dial, DisableKeepAlives: true, TLSClientConfig: secure,
	}}
	if !followRedirects {
		client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return client
}

func withScheme(address string) string {
	if strings.Contains(address, "://") {
		return address
	}
	return "http://" + address
}

// cause is the innermost reason that a request failed for, in words.
func cause(err error) string {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err
	}
	return err.Error()
}

// wget fetches a page, to a file or with -O to a place of choice ("-" is standard output).
func wget(ctx context.Context, p *Process) int {
	flags := p.flags()
	output := flags.StringP("output-document", "O", "", "write to this file; - is standard output")
	quiet := flags.BoolP("quiet", "q", false, "say nothing but errors")
	seconds := flags.IntP("timeout", "T", 900, "seconds to wait")
	headers := flags.StringArray("header", nil, "another header, for example 'Host: example.org'")
	data := flags.String("post-data", "", "send this with POST")
	spider := flags.Bool("spider", false, "only see whether it is there")
	insecure := flags.Bool("no-check-certificate", false, "accept any certificate")
	_ = flags.BoolP("server-response", "S", false, "accepted")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	if flags.NArg() != 1 {
		return p.fail("exactly one URL must be given")
	}
	method := http.MethodGet
	if flags.Changed("post-data") {
		method = http.MethodPost
	}
	request, err := http.NewRequestWithContext(ctx, method, withScheme(flags.Arg(0)), strings.NewReader(*data))
	if err != nil {
		return p.fail("bad address '%s'", flags.Arg(0))
	}
	setHeaders(request, *headers)
	answer, err := p.httpClient(&tls.Config{InsecureSkipVerify: *insecure}, time.Duration(*seconds)*time.Second, true).Do(request)
	if err != nil {
		return p.fail("can't connect to remote host: %s", cause(err))
	}
	defer answer.Body.Close()
	if answer.StatusCode >= 400 {
		return p.fail("server returned error: %s %s", answer.Proto, answer.Status)
	}
	if *spider {
		return exitOK
	}
	if *output == "" {
		*output = "index.html"
		if base := path.Base(request.URL.Path); base != "/" && base != "." {
			*output = base
		}
	}
	if *output == "-" {
		_, err = io.Copy(p.Stdout, answer.Body)
	} else {
		err = p.save(*output, answer.Body, 0o666, false)
		if err == nil && !*quiet {
			fmt.Fprintf(p.Stderr, "'%s' saved\n", *output)
		}
	}
	if err != nil {
		return p.fail("%v", err)
	}
	return exitOK
}

func setHeaders(request *http.Request, headers []string) {
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ":")
		value = strings.TrimSpace(value)
		if strings.EqualFold(name, "Host") {
			request.Host = value
			continue
		}
		request.Header.Set(name, value)
	}
}

// Exit codes of curl.
const (
	curlBadURL     = 3
	curlNoHost     = 6
	curlNoConnect  = 7
	curlHTTPError  = 22
	curlTimeout    = 28
	curlWriteError = 23
	curlBadPeer    = 60
	curlBadCAFile  = 77
)

// curl sends a request and prints the answer, with the options that exercises use.
func curl(ctx context.Context, p *Process) int {
	flags := p.flags()
	method := flags.StringP("request", "X", "", "the method")
	headers := flags.StringArrayP("header", "H", nil, "another header")
	data := flags.StringArrayP("data", "d", nil, "send this, with POST unless -X says otherwise")
	output := flags.StringP("output", "o", "", "write to this file")
	include := flags.BoolP("include", "i", false, "print the answer's headers, too")
	headOnly := flags.BoolP("head", "I", false, "only the headers")
	silent := flags.BoolP("silent", "s", false, "no error messages")
	showError := flags.BoolP("show-error", "S", false, "error messages even with -s")
	fail := flags.BoolP("fail", "f", false, "fail when the server says 400 or more")
	location := flags.BoolP("location", "L", false, "follow redirections")
	insecure := flags.BoolP("insecure", "k", false, "accept any certificate")
	authority := flags.String("cacert", "", "a file with certificates: accept only what they have signed")
	seconds := flags.Float64P("max-time", "m", 0, "seconds until it gives up")
	_ = flags.Float64("connect-timeout", 0, "accepted")
	verbose := flags.BoolP("verbose", "v", false, "print what is sent and received")
	format := flags.StringP("write-out", "w", "", "print this at the end; knows %{http_code} and \\n")
	user := flags.StringP("user", "u", "", "NAME:PASSWORD")
	if code, ok := p.parse(flags); !ok {
		return code
	}
	complain := func(code int, text string, args ...any) int {
		if !*silent || *showError {
			fmt.Fprintf(p.Stderr, "curl: (%d) %s\n", code, fmt.Sprintf(text, args...))
		}
		return code
	}
	if flags.NArg() == 0 {
		return complain(exitUsage, "no URL specified")
	}
	request, err := curlRequest(ctx, flags.Arg(0), *method, *data, *headOnly)
	if err != nil {
		return complain(curlBadURL, "URL using bad/illegal format: %v", err)
	}
	setHeaders(request, *headers)
	if name, password, ok := strings.Cut(*user, ":"); ok {
		request.SetBasicAuth(name, password)
	}
	if *verbose {
		fmt.Fprintf(p.Stderr, "> %s %s HTTP/1.1\n> Host: %s\n", request.Method, request.URL.RequestURI(), request.Host)
	}
	secure := &tls.Config{InsecureSkipVerify: *insecure}
	if *authority != "" {
		if secure.RootCAs, err = p.certificates(*authority); err != nil {
			return complain(curlBadCAFile, "error setting certificate verify locations: %v", err)
		}
	}
	answer, err := p.httpClient(secure, time.Duration(*seconds*float64(time.Second)), *location).Do(request)
	var dns *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.As(err, &certificate):
		return complain(curlBadPeer, "SSL certificate problem: %v", certificate.Err)
	case errors.As(err, &dns):
		return complain(curlNoHost, "Could not resolve host: %s", request.URL.Hostname())
	case errors.Is(err, context.DeadlineExceeded):
		return complain(curlTimeout, "Operation timed out")
	case err != nil:
		return complain(curlNoConnect, "Failed to connect to %s: %s", request.URL.Host, cause(err))
	}
	defer answer.Body.Close()
	if *verbose {
		fmt.Fprintf(p.Stderr, "< %s %s\n", answer.Proto, answer.Status)
	}
	if *fail && answer.StatusCode >= 400 {
		return complain(curlHTTPError, "The requested URL returned error: %d", answer.StatusCode)
	}
	if *include || *headOnly {
		p.printf("%s %s\r\n", answer.Proto, answer.Status)
		_ = answer.Header.Write(p.Stdout)
		p.printf("\r\n")
	}
	if *output != "" && *output != "/dev/null" {
		err = p.save(*output, answer.Body, 0o666, false)
	} else if *output == "" {
		_, err = io.Copy(p.Stdout, answer.Body)
	}
	if err != nil {
		return complain(curlWriteError, "%v", err)
	}
	p.printf("%s", strings.NewReplacer("%{http_code}", fmt.Sprint(answer.StatusCode), `\n`, "\n").Replace(*format))
	return exitOK
}

// certificates reads a file of certificates, for example a pod's /var/run/secrets/kubernetes.io/serviceaccount/ca.crt.
func (p *Process) certificates(name string) (*x509.CertPool, error) {
	file, err := p.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s holds no certificate", name)
	}
	return pool, nil
}

func curlRequest(ctx context.Context, address, method string, data []string, headOnly bool) (*http.Request, error) {
	switch {
	case method != "":
	case headOnly:
		method = http.MethodHead
	case len(data) > 0:
		method = http.MethodPost
	default:
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, withScheme(address), strings.NewReader(strings.Join(data, "&")))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", "curl/8 (kubette)")
	if len(data) > 0 {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return request, nil
}
