package pluginwire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/go-plugin/runner"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Deadlines when a [Program] names none.
const (
	DefaultHandshake = 5 * time.Second
	DefaultCall      = 10 * time.Second
)

// Program is a plugin to start.
type Program struct {
	Name   string   // what errors and answers call it
	Path   string   // absolute
	Args   []string // after the program's name
	Digest string   // "sha256:" and 64 hexadecimal digits. Without it the program is refused
	// Redactor says that it is one: then [Process.Find] asks it. Else it is a checker, for [Process.Check].
	Redactor bool
	// Self starts the caller's own executable, which needs no digest. Path is ignored.
	Self bool
	// Handshake and Call bound the time to the plugin's first word, and of each call.
	Handshake, Call time.Duration
	// TempDir is where private directories are made. Empty means the system's.
	TempDir string
	// AutoMTLS asks go-plugin for certificates. What they would give, the kernel gives on
	// Unix for less (docs/adr/0012-plugins.md); it is here to be measured.
	AutoMTLS bool
}

// FullName is the name with what it is pinned to: "cedar@sha256:…", "scope@builtin".
func (p Program) FullName() string {
	if p.Self {
		return p.Name + "@builtin"
	}
	return p.Name + "@" + p.Digest
}

func (p Program) kind() kind {
	if p.Redactor {
		return redactors
	}
	return checkers
}

// Process is a running plugin.
type Process struct {
	program Program
	run     *process
	client  *plugin.Client
	conn    *grpc.ClientConn
	rpc     *plugin.GRPCClient
	addr    net.Addr
	dir     string // of its sockets
	closing sync.Once

	mu     sync.Mutex
	heard  *grpc.ClientConn
	over   bool
	dialed error // of the last dial
}

// Start starts a plugin and returns when it can be asked. An error is a [*pluginapi.Error],
// and nothing of the plugin is left.
func Start(ctx context.Context, program Program) (*Process, error) {
	if program.Handshake <= 0 {
		program.Handshake = DefaultHandshake
	}
	if program.Call <= 0 {
		program.Call = DefaultCall
	}
	fail := func(f pluginapi.Failure, err error) (*Process, error) {
		return nil, &pluginapi.Error{Checker: program.FullName(), Failure: f, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, program.Handshake)
	defer cancel()

	dir, err := privateDir(program.TempDir)
	if err != nil {
		return fail(pluginapi.Handshake, err)
	}
	image, err := open(program, dir)
	if err != nil {
		_ = os.RemoveAll(dir)
		switch {
		case errors.Is(err, os.ErrNotExist):
			return fail(pluginapi.Missing, err)
		case errors.Is(err, errDigest):
			return fail(pluginapi.WrongDigest, err)
		}
		return fail(pluginapi.Handshake, err)
	}
	defer image.close()
	p := &Process{program: program, dir: dir, run: &process{image: image, args: program.Args, name: program.FullName(), dir: dir, ctx: ctx}}
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig:  program.kind().handshake(),
		Plugins:          plugin.PluginSet{dispensed: &oneCall{}},
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolGRPC},
		Logger:           quiet(),
		SkipHostEnv:      true,
		SyncStderr:       &p.run.stderr,
		StartTimeout:     program.Handshake + time.Minute, // ours comes first
		UnixSocketConfig: &plugin.UnixSocketConfig{TempDir: dir},
		AutoMTLS:         program.AutoMTLS,
		GRPCDialOptions:  []grpc.DialOption{grpc.WithContextDialer(p.dial), grpc.WithStreamInterceptor(p.overhear)},
		RunnerFunc: func(_ hclog.Logger, cmd *exec.Cmd, _ string) (runner.Runner, error) {
			p.run.env = environment(cmd.Env)
			return p.run, nil
		},
	})
	if err := p.connect(ctx); err != nil {
		died := p.run.gone()
		p.Close()
		var e *pluginapi.Error
		if errors.As(err, &e) {
			e.Checker = program.FullName()
			return nil, e
		}
		switch {
		case ctx.Err() != nil:
			return fail(pluginapi.Timeout, p.run.say(fmt.Errorf("no handshake within %v", program.Handshake)))
		case died:
			return fail(pluginapi.Died, p.run.say(err))
		}
		return fail(pluginapi.Handshake, p.run.say(err))
	}
	// The one connection stands: nobody else is to find its socket, nor to tidy it up.
	_ = os.RemoveAll(dir)
	return p, nil
}

// connect starts the process and dials it. While go-plugin dials it has no regard for a
// context, nor for the end of the process; a connection that is closed wakes it.
func (p *Process) connect(ctx context.Context) error {
	addr, err := p.client.Start()
	if err != nil {
		if p.run.err != nil {
			return p.run.err
		}
		return err
	}
	p.addr = addr
	stop := context.AfterFunc(ctx, func() {
		p.run.kill()
		p.hangUp()
	})
	defer stop()
	go func() {
		<-p.run.ended
		p.hangUp()
	}()
	protocol, err := p.client.Client()
	if err != nil {
		return err
	}
	rpc, ok := protocol.(*plugin.GRPCClient)
	if !ok {
		return fmt.Errorf("its protocol is %T", protocol)
	}
	conn, err := rpc.Dispense(dispensed)
	if err != nil {
		return err
	}
	p.rpc, p.conn = rpc, conn.(*grpc.ClientConn)
	// go-plugin takes a connection that does not stand, or not yet, for a plugin without streams.
	for s := p.conn.GetState(); s != connectivity.Ready; s = p.conn.GetState() {
		failed := s == connectivity.TransientFailure || s == connectivity.Shutdown
		if failed || !p.conn.WaitForStateChange(ctx, s) {
			p.mu.Lock()
			defer p.mu.Unlock()
			return errors.Join(fmt.Errorf("its connection is %v", s), p.dialed)
		}
		if p.conn.GetState() == connectivity.Idle {
			p.conn.Connect()
		}
	}
	return ctx.Err()
}

// dial reaches the plugin's socket, and asks the kernel whether it is this plugin that listens.
func (p *Process) dial(ctx context.Context, _ string) (_ net.Conn, err error) {
	defer func() {
		p.mu.Lock()
		p.dialed = err
		p.mu.Unlock()
	}()
	conn, err := new(net.Dialer).DialContext(ctx, p.addr.Network(), p.addr.String())
	if err != nil {
		return nil, err
	}
	if err := listens(conn, p.run.pid); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// overhear learns the connection from the first stream over it: go-plugin keeps it to itself
// until it stands, and for good when it fails, open and dialing.
func (p *Process) overhear(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, next grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	p.mu.Lock()
	p.heard = cc
	over := p.over
	p.mu.Unlock()
	if over {
		_ = cc.Close()
	}
	return next(ctx, desc, cc, method, opts...)
}

func (p *Process) hangUp() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if p.heard != nil {
		_ = p.heard.Close()
	}
}

// Check asks the plugin about all requests at once. Every answer is to its request and keeps
// the contract. After an error other than [pluginapi.Failed] the process is good for nothing but Close.
func (p *Process) Check(ctx context.Context, config map[string]string, requests []*pluginapi.Request) ([]pluginapi.Answer, error) {
	msg, err := pluginapi.EncodeBatch(config, requests)
	if err != nil {
		return nil, p.failed(pluginapi.Failed, err)
	}
	reply, err := p.ask(ctx, msg)
	if err != nil {
		return nil, err
	}
	answers, err := pluginapi.DecodeReply(reply, requests)
	if err != nil {
		return nil, p.failed(pluginapi.FailureOf(err), err)
	}
	return answers, nil
}

// Find asks a redactor about texts. What is found lies in them. Errors are as those of [Process.Check].
func (p *Process) Find(ctx context.Context, texts []string) ([][]pluginapi.Span, error) {
	msg, err := pluginapi.EncodeTexts(texts)
	if err != nil {
		return nil, p.failed(pluginapi.Failed, err)
	}
	reply, err := p.ask(ctx, msg)
	if err != nil {
		return nil, err
	}
	found, err := pluginapi.DecodeFound(reply, texts)
	if err != nil {
		return nil, p.failed(pluginapi.FailureOf(err), err)
	}
	return found, nil
}

func (p *Process) failed(f pluginapi.Failure, err error) error {
	return &pluginapi.Error{Checker: p.program.FullName(), Failure: f, Err: err}
}

func (p *Process) ask(ctx context.Context, msg []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, p.program.Call)
	defer cancel()
	k := p.program.kind()
	reply, err := k.ask(ctx, p.conn, msg)
	if err != nil {
		f, err := k.failureOf(err, p.run.endsWithin(ctx, err))
		return nil, p.failed(f, p.run.say(err))
	}
	return reply, nil
}

// Alive reports whether the process has not ended.
func (p *Process) Alive() bool { return !p.run.gone() }

// Pid is the process id.
func (p *Process) Pid() int { return p.run.pid }

// Close kills the plugin and all it started, and waits for their end.
func (p *Process) Close() {
	p.closing.Do(func() {
		p.run.kill()
		p.run.reap()
		if p.rpc != nil {
			_ = p.rpc.Close() // after the end: it would wait for the plugin's consent
		}
		p.hangUp()
		_ = os.RemoveAll(p.dir)
	})
}

// environment is all that a plugin finds in its environment: what go-plugin says to it, and constants.
func environment(said []string) []string {
	env := []string{"LC_ALL=C", "PATH=/usr/bin:/bin", "TZ=UTC"}
	for _, kv := range said {
		if strings.HasPrefix(kv, "PLUGIN_") {
			env = append(env, kv)
		}
	}
	return env
}

// maxSocketDir leaves room in the 104 bytes of a socket's address for what go-plugin adds.
const maxSocketDir = 48

func privateDir(base string) (string, error) {
	if base == "" {
		if base = os.TempDir(); len(base) > maxSocketDir && filepath.Separator == '/' {
			base = "/tmp"
		}
	}
	return os.MkdirTemp(base, "covenant-") // mode 0700
}
