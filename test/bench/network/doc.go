// Command network measures the service network side by side with nginx on the same machine, and prints a table:
//
//	go run ./test/bench/network [ingress] [proxy] [routes]
//
// It needs nginx and wrk in the PATH (Debian: apt-get install nginx-light wrk), and no Docker engine. Measured are
//
//   - the ingress against nginx as a plain reverse proxy, and against nginx that keeps connections to the back end, with the
//     same back end (an nginx that answers 200 from memory): requests per second, p50 and p99;
//   - the latency that the ingress adds to a direct request, at one request at a time;
//   - new connections per second through the service proxy, as it runs in the gateway;
//   - with 1,000 ingresses and 1,000 services in a simulated cluster: how long a changed route takes to be live.
package main
