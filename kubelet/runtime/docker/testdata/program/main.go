// The program in the images of this package's tests: a few things that containers do, one after the other, as the
// arguments say.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	next := func() string {
		if len(args) == 0 {
			fmt.Fprintln(os.Stderr, "an argument is missing")
			os.Exit(99)
		}
		first := args[0]
		args = args[1:]
		return first
	}
	for len(args) > 0 {
		switch verb := next(); verb {
		case "say":
			fmt.Println(next())
		case "complain":
			fmt.Fprintln(os.Stderr, next())
		case "args":
			fmt.Println(strings.Join(args, "|"))
			args = nil
		case "env":
			fmt.Println(os.Getenv(next()))
		case "hostname":
			name, err := os.Hostname()
			check(err)
			fmt.Println(name)
		case "ids":
			groups, _ := os.Getgroups()
			directory, _ := os.Getwd()
			fmt.Println(os.Getuid(), os.Getgid(), groups, directory, os.Getpid())
		case "cat":
			data, err := os.ReadFile(next())
			check(err)
			os.Stdout.Write(data)
		case "stat":
			info, err := os.Stat(next())
			check(err)
			owner := info.Sys().(*syscall.Stat_t)
			fmt.Println(info.Mode(), owner.Uid, owner.Gid)
		case "write":
			name := next()
			check(os.WriteFile(name, []byte(next()), 0o644))
		case "fill":
			file, err := os.Create(next())
			check(err)
			size, _ := strconv.Atoi(next())
			_, err = file.Write(make([]byte, size))
			check(err)
		case "ls":
			entries, err := os.ReadDir(next())
			check(err)
			for _, entry := range entries {
				fmt.Println(entry.Name())
			}
		case "count":
			lines, _ := strconv.Atoi(next())
			for i := range lines {
				fmt.Println("line", i)
			}
		case "watch": // a file's two halves must always be alike
			for directory := next(); ; {
				a, errA := os.ReadFile(directory + "/..data/a")
				b, errB := os.ReadFile(directory + "/..data/b")
				if errA != nil || errB != nil {
					fmt.Println("missing", errA, errB)
				} else if string(a) == "stop" {
					os.Exit(0)
				}
				_ = b
			}
		case "term": // say when the signal to end comes
			signals := make(chan os.Signal, 1)
			signal.Notify(signals, syscall.SIGTERM)
			fmt.Println("ready")
			<-signals
			fmt.Println("terminated")
		case "stubborn":
			signal.Ignore(syscall.SIGTERM)
			fmt.Println("ready")
			time.Sleep(time.Hour)
		case "sleep":
			time.Sleep(time.Hour)
		case "echo": // standard input to standard output
			scanner := bufio.NewScanner(os.Stdin)
			for scanner.Scan() {
				fmt.Println("got", scanner.Text())
			}
		case "size":
			var size [4]uint16
			for i := 0; i < 100 && size[0] == 0; i++ {
				ioctl(os.Stdout.Fd(), &size)
				time.Sleep(10 * time.Millisecond)
			}
			fmt.Println(size[0], size[1])
		case "serve":
			listener, err := net.Listen("tcp", next())
			check(err)
			go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				name, _ := os.Hostname()
				fmt.Fprintf(w, "%s %s", name, r.URL.Path)
			}))
			fmt.Println("serving")
		case "get":
			answer, err := http.Get(next())
			check(err)
			io.Copy(os.Stdout, answer.Body)
			fmt.Println()
		case "eat":
			var all [][]byte
			for range 100 {
				block := make([]byte, 10<<20)
				for i := range block {
					block[i] = 1
				}
				all = append(all, block)
			}
			fmt.Println(len(all))
		case "bind":
			_, err := net.Listen("tcp", next())
			check(err)
			fmt.Println("bound")
		case "exit":
			code, _ := strconv.Atoi(next())
			os.Exit(code)
		default:
			fmt.Fprintln(os.Stderr, "unknown:", verb)
			os.Exit(98)
		}
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
