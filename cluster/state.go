package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/gofrs/flock"

	"kubette/network"
)

// DefaultName is the cluster's name when none is given.
const DefaultName = "kubette"

// homeVariable overrides where state is kept.
const homeVariable = "KUBETTE_HOME"

// names are the cluster names that fit into the names of containers, networks and contexts.
var names = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$`)

// Home is the folder that holds one folder for each cluster.
func Home() (string, error) {
	if home := os.Getenv(homeVariable); home != "" {
		return filepath.Abs(home)
	}
	user, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find a folder for kubette's state (%s names another one): %w", homeVariable, err)
	}
	return filepath.Join(user, ".kubette"), nil
}

// State is what is kept about one cluster outside its store: where its data is, and while it runs, how to reach it.
type State struct {
	Dir  string `json:"-"` // the cluster's folder in Home
	Name string `json:"name"`
	// DataDir holds the store, keys and volumes; Ephemeral says that the store is only in memory.
	DataDir   string `json:"dataDir"`
	Ephemeral bool   `json:"ephemeral,omitempty"`
	Runtime   string `json:"runtime"`
	// Etcd are the URLs of the etcd that holds the store instead. Server tells this server from others that share it.
	Etcd   []string `json:"etcd,omitempty"`
	Server string   `json:"server,omitempty"`
	// Running is present while a process runs the cluster, or died without saying so: Locked tells.
	Running *Running `json:"running,omitempty"`
	// Ports are kept so that a cluster comes back under its old addresses.
	APIPort     int `json:"apiPort,omitempty"`
	HTTPPort    int `json:"httpPort,omitempty"`
	HTTPSPort   int `json:"httpsPort,omitempty"`
	ConsolePort int `json:"consolePort,omitempty"`
	// Workers are the numbers of the worker nodes.
	Workers []int `json:"workers,omitempty"`
	// Network is the range on the Docker engine that the cluster was given, for example 10.96.0.0/15.
	Network string `json:"network,omitempty"`
}

// Running is how to reach a running cluster.
type Running struct {
	PID      int       `json:"pid"`
	Began    time.Time `json:"began"`
	Version  string    `json:"version"`
	APIURL   string    `json:"apiURL"`
	HTTPURL  string    `json:"httpURL"`
	HTTPSURL string    `json:"httpsURL"`
}

// PACURL is what a browser must be told to open every ingress host under its own name.
func (r *Running) PACURL() string { return r.HTTPURL + network.PACPath }

const (
	stateFile      = "state.json"
	lockFile       = "lock"
	kubeconfigFile = "kubeconfig"
	// LogFile is where a cluster in the background writes what it would print.
	LogFile = "kubette.log"
)

// ReadState returns what is known of a cluster by that name; a cluster that never was has no DataDir.
func ReadState(name string) (*State, error) {
	if !names.MatchString(name) {
		return nil, fmt.Errorf("%q cannot name a cluster: use at most 40 lower-case letters, digits and dashes (--name)", name)
	}
	home, err := Home()
	if err != nil {
		return nil, err
	}
	state := &State{Dir: filepath.Join(home, name), Name: name}
	data, err := os.ReadFile(filepath.Join(state.Dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the state of cluster %s: %w", name, err)
	}
	if err := json.Unmarshal(data, state); err != nil {
		return nil, fmt.Errorf("read the state of cluster %s: %s is damaged (%w); `kubette down --name %s` removes it",
			name, filepath.Join(state.Dir, stateFile), err, name)
	}
	return state, nil
}

// List returns the clusters that have a folder in Home.
func List() ([]*State, error) {
	home, err := Home()
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(home)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the clusters: %w", err)
	}
	var all []*State
	for _, entry := range entries {
		if !entry.IsDir() || !names.MatchString(entry.Name()) {
			continue
		}
		if state, err := ReadState(entry.Name()); err == nil && state.DataDir != "" {
			all = append(all, state)
		}
	}
	return all, nil
}

// write replaces the state file, all at once.
func (s *State) write() error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the state of cluster %s: %w", s.Name, err)
	}
	return writeFile(filepath.Join(s.Dir, stateFile), append(data, '\n'))
}

// writeFile replaces a file that only its owner may read, all at once.
func writeFile(path string, data []byte) error {
	temporary := path + ".new"
	if err := os.WriteFile(temporary, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// Kubeconfig is the path of the file with the administrator's credentials.
func (s *State) Kubeconfig() string { return filepath.Join(s.Dir, kubeconfigFile) }

// ErrRunning: another process runs a cluster of that name.
var ErrRunning = errors.New("it is running already")

// lockPatience is how long a process that was just killed may go on holding its lock while the system clears it away.
const lockPatience = 200 * time.Millisecond

// Lock makes this process the only one to run, or to remove, the cluster. The lock goes with the process, whatever ends
// it. It returns ErrRunning when another process has it.
func (s *State) Lock() (unlock func(), err error) {
	for begun := time.Now(); ; time.Sleep(lockPatience / 20) {
		unlock, err := s.tryLock()
		if !errors.Is(err, ErrRunning) || time.Since(begun) > lockPatience {
			return unlock, err
		}
	}
}

func (s *State) tryLock() (unlock func(), err error) {
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of cluster %s: %w", s.Name, err)
	}
	lock := flock.New(filepath.Join(s.Dir, lockFile))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock cluster %s: %w", s.Name, err)
	}
	if !locked {
		return nil, fmt.Errorf("cluster %s: %w (pid %d); choose another --name, or stop it with `kubette down --name %s`",
			s.Name, ErrRunning, s.pid(), s.Name)
	}
	return func() { _ = lock.Close() }, nil
}

func (s *State) pid() int {
	if fresh, err := ReadState(s.Name); err == nil && fresh.Running != nil {
		return fresh.Running.PID
	}
	return 0
}

// Alive says whether a process runs the cluster just now.
func (s *State) Alive() bool { return held(s.Dir) }

// own are the files of a data directory that kubette makes. A user may have put it where other things are: those stay.
var own = []string{storeFile, caFiles[0], caFiles[1], tokenFile, volumesDir}

// Forget removes the cluster's folder in Home, and its data when asked to, or when it was not to be kept anyway.
func (s *State) Forget(data bool) error {
	keep := s.DataDir != "" && !data && !s.Ephemeral
	if s.DataDir != "" && !keep {
		for _, name := range own {
			if err := os.RemoveAll(filepath.Join(s.DataDir, name)); err != nil {
				return fmt.Errorf("remove the data of cluster %s: %w", s.Name, err)
			}
		}
		_ = os.Remove(s.DataDir) // only when nothing else is in it
	}
	if keep && s.DataDir == s.Dir {
		return nil
	}
	if err := os.RemoveAll(s.Dir); err != nil {
		return fmt.Errorf("remove the state of cluster %s: %w", s.Name, err)
	}
	return nil
}
