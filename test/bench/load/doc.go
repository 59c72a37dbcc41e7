// Command load measures the API of one durable cluster under load, and prints the figures beside those of Kubernetes.
//
// It runs the cluster in a second process (this same program, started again), with simulated nodes and a store in a
// temporary directory, and speaks to it over HTTPS on the loopback address. Requests come from many connections, each with
// a bare HTTP/1.1 client of its own (connection.go), because client and server share the machine: what the client spends
// is missing on the other side. The column of Kubernetes (v1.37, etcd, kube-apiserver) was measured on the same kind of
// machine with nothing else running. It ends by itself, and never fails because something was slow.
//
//	go run ./test/bench/load                      # in about a minute
//	go run ./test/bench/load -upto 200000         # the whole growth series
//	go run ./test/bench/load -etcd http://127.0.0.1:2379
//	go run ./test/bench/load -cpuprofile cpu.out  # and where the server spends its time
//
// Read main.go (what is measured), measures.go, growth.go, then server.go and connection.go.
package main
