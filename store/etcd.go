package store

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

// EtcdOptions say where etcd is and how to be let in. Only Endpoints is needed.
type EtcdOptions struct {
	Endpoints []string // URLs of the members
	// Prefix is what all keys in etcd begin with; "" means DefaultEtcdPrefix. Stores with different ones do not see each other.
	Prefix string
	// CAFile has the certificates of who signed etcd's; without it, those that the machine trusts. CertFile and KeyFile are
	// what etcd is shown.
	CAFile, CertFile, KeyFile string
	// Username and the file with its password, for an etcd with authentication enabled.
	Username, PasswordFile string
}

// Asked says that something is set that only counts for an etcd.
func (o EtcdOptions) Asked() bool {
	return len(o.Endpoints) > 0 || o.CAFile+o.CertFile+o.KeyFile+o.Username+o.PasswordFile != "" || o.Prefix != "" && o.Prefix != DefaultEtcdPrefix
}

// DefaultEtcdPrefix is where kubette's keys are in etcd when nothing else is said.
const DefaultEtcdPrefix = "/kubette"

// Etcd is a Store in an etcd (v3), which several processes may share. Each has a working copy of all kept revisions and
// follows etcd's own watch: reads, watches and history are those of the copy. A write is a transaction in etcd, and is
// answered when the copy has it, too.
//
// Under the prefix there are two kinds of keys. "/keys" and a store's key has its value, after a line that says who wrote
// it and why, so that `etcdctl get` shows it as it is. "/head" is put by every transaction: its own revision is that of
// the store's newest write, whoever else uses the etcd; and it carries what a deletion must say.
type Etcd struct {
	client    *clientv3.Client
	endpoints []string
	prefix    string
	writer    string // tells the writes of this process from those of others
	writes    atomic.Int64
	memory    *Memory

	alive  context.Context // until Close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu       sync.Mutex
	advanced chan struct{}       // closed and replaced when the copy moves on
	pending  map[string]*written // writes of this process under way, by the name that they carry
	asking   bool                // somebody asks etcd for its newest revision
	asked    *question           // what is to be asked next
}

// written is a write of this process that the copy has yet to meet.
type written struct {
	object any
	stamp  func(revision int64)
	entry  *Entry // set when the copy has it
}

// etcdTime bounds one request to etcd.
const etcdTime = 10 * time.Second

// OpenEtcd connects to an etcd, and reads all that it keeps under the prefix.
func OpenEtcd(ctx context.Context, options EtcdOptions) (*Etcd, error) {
	config, err := options.client()
	if err != nil {
		return nil, err
	}
	e := &Etcd{endpoints: options.Endpoints, prefix: strings.TrimRight(options.Prefix, "/"), writer: newWriter(), memory: NewMemory(),
		advanced: make(chan struct{}), pending: map[string]*written{}}
	if e.prefix == "" {
		e.prefix = DefaultEtcdPrefix
	}
	e.alive, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	if e.client, err = clientv3.New(config); err != nil {
		return nil, e.explain("connect to etcd", err)
	}
	if err := e.reload(ctx); err != nil {
		_ = e.Close()
		return nil, fmt.Errorf("read etcd at %s: %w", strings.Join(options.Endpoints, ", "), err)
	}
	e.group.Go(e.follow)
	return e, nil
}

// client is how the options are said to etcd's own client.
func (o EtcdOptions) client() (clientv3.Config, error) {
	config := clientv3.Config{
		Endpoints: o.Endpoints, Username: o.Username, DialTimeout: etcdTime, Logger: zap.NewNop(),
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second,
		DialOptions: []grpc.DialOption{grpc.WithDisableServiceConfig()},
	}
	if len(o.Endpoints) == 0 {
		return config, errors.New("no URL of an etcd is given (--etcd-endpoints)")
	}
	for _, endpoint := range o.Endpoints {
		if !strings.HasPrefix(endpoint, "http://") && !strings.HasPrefix(endpoint, "https://") {
			return config, fmt.Errorf("--etcd-endpoints %s: write it with its scheme, such as https://10.0.0.5:2379", endpoint)
		}
	}
	if (o.CertFile == "") != (o.KeyFile == "") {
		return config, errors.New("--etcd-certfile and --etcd-keyfile belong together: give both or none")
	}
	if (o.Username == "") != (o.PasswordFile == "") {
		return config, errors.New("--etcd-username and --etcd-password-file belong together: give both or none")
	}
	if o.PasswordFile != "" {
		password, err := os.ReadFile(o.PasswordFile)
		if err != nil {
			return config, fmt.Errorf("read the password for etcd (--etcd-password-file): %w", err)
		}
		config.Password = strings.TrimRight(string(password), "\r\n")
	}
	var err error
	if config.TLS, err = o.tls(); err != nil {
		return config, fmt.Errorf("the certificates for etcd (--etcd-cafile, --etcd-certfile, --etcd-keyfile): %w", err)
	}
	return config, nil
}

func (o EtcdOptions) tls() (*tls.Config, error) {
	if o.CAFile == "" && o.CertFile == "" {
		return nil, nil
	}
	return transport.TLSInfo{TrustedCAFile: o.CAFile, CertFile: o.CertFile, KeyFile: o.KeyFile}.ClientConfig()
}

func (e *Etcd) head() string            { return e.prefix + "/head" }
func (e *Etcd) keys() string            { return e.prefix + "/keys" }
func (e *Etcd) place(key string) string { return e.keys() + key }

// Write implements Store: a transaction that holds only if the key is at the expected revision. When etcd does not answer
// in time, nobody knows yet whether it was carried out; whoever reads later sees it.
func (e *Etcd) Write(ctx context.Context, write Write) (*Entry, error) {
	if e.alive.Err() != nil {
		return nil, ErrClosed
	}
	ctx, cancel := context.WithTimeout(ctx, etcdTime)
	defer cancel()
	mine := &written{object: write.Object, stamp: write.Stamp}
	name := fmt.Sprintf("%s-%d", e.writer, e.writes.Add(1))
	e.mu.Lock()
	e.pending[name] = mine
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.pending, name)
		e.mu.Unlock()
	}()
	answer, err := e.client.Txn(ctx).
		If(clientv3.Compare(clientv3.ModRevision(e.place(write.Key)), "=", write.Expected)).
		Then(e.change(write, name)...).
		Else(clientv3.OpGet(e.place(write.Key), clientv3.WithKeysOnly()), clientv3.OpGet(e.head(), clientv3.WithKeysOnly())).
		Commit()
	switch {
	case err != nil:
		return nil, e.explain("write "+write.Key+" to etcd", err)
	case !answer.Succeeded:
		return nil, e.refused(ctx, write, answer)
	case write.Delete && write.Expected == 0:
		return nil, fmt.Errorf("%s: %w", write.Key, ErrNotFound)
	}
	// It is durable; that readers here see it, too, may fail only with the store itself.
	revision := answer.Header.Revision
	if err := e.wait(ctx, revision); errors.Is(err, ErrClosed) {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if mine.entry == nil {
		return &Entry{Key: write.Key, value: write.Value, Deleted: write.Delete, Revision: revision, Meta: write.Meta, Object: write.Object}, nil
	}
	return mine.entry, nil
}

// change is what a write does in etcd. To delete what is not there changes nothing.
func (e *Etcd) change(write Write, name string) []clientv3.Op {
	switch {
	case !write.Delete:
		return []clientv3.Op{
			clientv3.OpPut(e.head(), ""),
			clientv3.OpPut(e.place(write.Key), header{Meta: write.Meta, Write: name}.before(write.Value)),
		}
	case write.Expected == 0:
		return nil
	}
	return []clientv3.Op{
		clientv3.OpPut(e.head(), header{Meta: write.Meta, Write: name}.before(nil)),
		clientv3.OpDelete(e.place(write.Key)),
	}
}

// refused is the answer to a writer who expected another revision. It comes when the copy has that revision, so that who
// tries again reads what he did not know.
func (e *Etcd) refused(ctx context.Context, write Write, answer *clientv3.TxnResponse) error {
	var at int64
	if found := answer.Responses[0].GetResponseRange().GetKvs(); len(found) > 0 {
		at = found[0].GetModRevision()
	}
	if found := answer.Responses[1].GetResponseRange().GetKvs(); len(found) > 0 {
		if err := e.wait(ctx, found[0].GetModRevision()); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is at revision %d, expected %d: %w", write.Key, at, write.Expected, ErrConflict)
}

// explain says what to do about an error of etcd.
func (e *Etcd) explain(doing string, err error) error {
	hint := ""
	switch {
	case e.alive.Err() != nil:
		return ErrClosed
	case errors.Is(err, rpctypes.ErrNoSpace):
		hint = " (nothing was changed; etcd's quota is used up: compact and defragment it, or raise --quota-backend-bytes, and `etcdctl alarm disarm`)"
	case errors.Is(err, rpctypes.ErrAuthFailed), errors.Is(err, rpctypes.ErrUserEmpty), errors.Is(err, rpctypes.ErrPermissionDenied):
		hint = fmt.Sprintf(" (give --etcd-username and --etcd-password-file of a user who may read and write all keys that begin with %s/)", e.prefix)
	case errors.Is(err, context.DeadlineExceeded):
		hint = fmt.Sprintf(" (does etcd run at %s? is a majority of its members there?)", strings.Join(e.endpoints, ", "))
	}
	return fmt.Errorf("%s: %w%s", doing, err, hint)
}

// wait returns when the copy has a revision.
func (e *Etcd) wait(ctx context.Context, revision int64) error {
	for {
		e.mu.Lock()
		advanced := e.advanced
		e.mu.Unlock()
		if e.memory.Revision() >= revision {
			return nil
		}
		select {
		case <-advanced:
		case <-e.alive.Done():
			return ErrClosed
		case <-ctx.Done():
			return e.explain(fmt.Sprintf("wait for revision %d of etcd", revision), ctx.Err())
		}
	}
}

// question is one look at etcd's newest revision, for all who came before it.
type question struct {
	done chan struct{}
	err  error
}

// Sync implements Store. Those who come while etcd is being asked share the next question.
func (e *Etcd) Sync(ctx context.Context) error {
	e.mu.Lock()
	if e.asked == nil {
		e.asked = &question{done: make(chan struct{})}
	}
	mine := e.asked
	if !e.asking && e.alive.Err() == nil {
		e.asking = true
		e.group.Go(e.ask)
	}
	e.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-e.alive.Done():
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *Etcd) ask() {
	for {
		e.mu.Lock()
		now := e.asked
		e.asked = nil
		e.asking = now != nil
		e.mu.Unlock()
		if now == nil {
			return
		}
		now.err = e.catchUp()
		close(now.done)
	}
}

func (e *Etcd) catchUp() error {
	ctx, cancel := context.WithTimeout(e.alive, etcdTime)
	defer cancel()
	newest, _, err := e.newest(ctx)
	if err != nil {
		return err
	}
	return e.wait(ctx, newest)
}

// newest asks etcd for the revision of the newest write under the prefix, 0 for none, and for that of all of etcd.
func (e *Etcd) newest(ctx context.Context) (newest, all int64, err error) {
	answer, err := e.client.Get(ctx, e.head(), clientv3.WithKeysOnly())
	if err != nil {
		return 0, 0, e.explain("ask etcd for its newest revision", err)
	}
	if len(answer.Kvs) > 0 {
		newest = answer.Kvs[0].GetModRevision()
	}
	return newest, answer.Header.Revision, nil
}

// Compact implements Store. Of several servers each forgets when it finds that it is time; etcd forgets once.
func (e *Etcd) Compact(ctx context.Context, revision int64) error {
	if err := e.Sync(ctx); err != nil {
		return err
	}
	e.memory.mu.RLock()
	err := e.memory.compactable(revision)
	e.memory.mu.RUnlock()
	if err != nil {
		return err
	}
	if _, err := e.client.Compact(ctx, revision); err != nil && !errors.Is(err, rpctypes.ErrCompacted) {
		return e.explain("compact etcd", err)
	}
	if err := e.memory.Compact(ctx, revision); err != nil && !errors.Is(err, ErrCompacted) {
		return err
	}
	return nil
}

// Close implements Store. What is in etcd stays there.
func (e *Etcd) Close() error {
	e.mu.Lock()
	e.cancel()
	e.mu.Unlock()
	e.group.Wait()
	_ = e.memory.Close()
	if err := e.client.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("close the connection to etcd: %w", err)
	}
	return nil
}

// known brings the copy up to a revision that somebody asks for, who may have it from another server.
func (e *Etcd) known(ctx context.Context, revision int64) error {
	if revision <= e.memory.Revision() || e.alive.Err() != nil {
		return nil
	}
	return e.Sync(ctx)
}

// Revision implements Store.
func (e *Etcd) Revision() int64 { return e.memory.Revision() }

// CompactedRevision implements Store. It is that of the copy: etcd may keep more or, until the copy is told, less.
func (e *Etcd) CompactedRevision() int64 { return e.memory.CompactedRevision() }

// Get implements Store.
func (e *Etcd) Get(ctx context.Context, key string, revision int64) (*Entry, error) {
	if err := e.known(ctx, revision); err != nil {
		return nil, err
	}
	return e.memory.Get(ctx, key, revision)
}

// List implements Store.
func (e *Etcd) List(ctx context.Context, prefix string, options ListOptions) (*Page, error) {
	if err := e.known(ctx, options.Revision); err != nil {
		return nil, err
	}
	return e.memory.List(ctx, prefix, options)
}

// Watch implements Store.
func (e *Etcd) Watch(prefix string, after int64) (Watcher, error) {
	return e.memory.Watch(prefix, after)
}

// History implements Store.
func (e *Etcd) History(ctx context.Context, key string) ([]*Entry, error) {
	return e.memory.History(ctx, key)
}
