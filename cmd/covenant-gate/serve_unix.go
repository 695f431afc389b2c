//go:build unix

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginwire"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

const (
	maxWarm  = 16               // checkers that are kept
	maxCalls = 64               // connections at once; more wait in the kernel, and their clients do not
	maxRead  = 10 * time.Second // for a client to say what it wants
	lookout  = 5 * time.Second  // how often it looks whether its socket is still where clients find it
)

// host is the resident host: a pool that many clients share.
type host struct {
	program string // what clients must name, or it is time to go
	exe     string
	pool    *pool
	idle    time.Duration
	listen  *net.UnixListener
	stop    context.CancelFunc

	mu    sync.Mutex
	calls int
	timer *time.Timer
}

// serve answers until it was idle for so long, was told that its program is another one now, or was asked to end.
func serve(socket string, idle time.Duration) error {
	closeInherited()
	if !filepath.IsAbs(socket) {
		return fmt.Errorf("%s is no absolute path", socket)
	}
	dir := filepath.Dir(socket)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := gate.CheckPrivate(dir); err != nil {
		return err
	}
	lock, err := lockDir(dir)
	if err != nil || lock == nil {
		return err
	}
	defer lock.Close()
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	id, err := programID(exe)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	_ = pluginwire.Adopt()

	// With the lock held, a socket that is there is a dead one.
	if err := os.Remove(socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	listen, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return err
	}
	h := &host{program: id, exe: exe, pool: newPool(ctx, maxWarm), idle: idle, listen: listen, stop: stop}
	defer h.pool.close()
	h.timer = time.AfterFunc(idle, h.goIfIdle)
	go func() {
		for there := true; there; {
			select {
			case <-ctx.Done():
				there = false
			case <-time.After(lookout):
				_, err := os.Lstat(socket)
				there = err == nil
			}
		}
		listen.Close() // removes the socket
	}()
	go h.pool.warm(builtin())
	var calls sync.WaitGroup
	room := make(chan struct{}, maxCalls)
	for {
		room <- struct{}{}
		conn, err := listen.AcceptUnix()
		if err != nil {
			break
		}
		h.begin()
		calls.Go(func() {
			defer func() {
				conn.Close()
				h.end()
				<-room
			}()
			h.answer(ctx, conn)
		})
	}
	stop()
	calls.Wait()
	return nil
}

// programID is of the program as it was when we started, also when the file is another by now.
func programID(exe string) (string, error) {
	if id, err := gate.ProgramID("/proc/self/exe"); err == nil {
		return id, nil
	}
	return gate.ProgramID(exe)
}

func (h *host) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	h.timer.Stop()
}

func (h *host) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.calls--; h.calls == 0 {
		h.timer.Reset(h.idle)
	}
}

func (h *host) goIfIdle() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.calls == 0 {
		h.stop()
	}
}

// answer answers one client. One that is not ours hears nothing.
func (h *host) answer(ctx context.Context, conn *net.UnixConn) {
	if _, err := gate.CheckPeer(conn, h.exe); errors.Is(err, gate.ErrOtherHost) {
		return
	}
	_ = conn.SetDeadline(time.Now().Add(maxRead))
	if _, err := conn.Write([]byte{gate.Ready}); err != nil {
		return
	}
	var call gate.Call
	if err := gate.ReadFrame(conn, &call); err != nil {
		return
	}
	refuse := func(why string) {
		_ = gate.WriteFrame(conn, gate.Reply{Version: gate.Version, Refused: why})
	}
	if call.Version != gate.Version || call.Program != h.program {
		refuse("another program")
		h.stop()
		return
	}
	doc, err := gate.DecodeDocument(call.Document)
	if err != nil {
		refuse(err.Error())
		return
	}
	_ = conn.SetDeadline(time.Time{})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a client that hung up needs no answer
		var b [1]byte
		_, _ = conn.Read(b[:])
		cancel()
	}()
	result, err := json.Marshal(h.pool.decide(ctx, doc))
	if err != nil {
		refuse(err.Error())
		return
	}
	_ = conn.SetDeadline(time.Now().Add(maxRead))
	_ = gate.WriteFrame(conn, gate.Reply{Version: gate.Version, Result: result})
}

// lockDir makes us the only host of a directory. Nil without an error says that there is one
// already. One that is about to end is waited for a moment.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for range 20 {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			f.Close()
			return nil, err
		}
		time.Sleep(50 * time.Millisecond)
	}
	f.Close()
	return nil, nil
}

// closeInherited closes what our starter had open: a checker has no use for it, and Git waits for the other end of its
// pipes. All that Go opened itself is marked to be closed at an exec.
func closeInherited() {
	fds, err := os.ReadDir("/dev/fd")
	if err != nil {
		return
	}
	for _, e := range fds {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := fcntlGetFD(fd); err == nil && flags&syscall.FD_CLOEXEC == 0 {
			_ = syscall.Close(fd)
		}
	}
}
