// Command covenant-gate asks capability checkers, each a subprocess. It is the one program
// that links what it takes to run them; covenant and covenant-hook start it.
//
//	covenant-gate decide                 one document in, one out (docs/spec/plugins.md)
//	covenant-gate serve --socket PATH    the resident host
//	covenant-gate checker scope          the built-in checker, for itself to start
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

const usage = `usage: covenant-gate decide <DOCUMENT
       covenant-gate redact <DOCUMENT
       covenant-gate serve --socket PATH [--idle DURATION]
covenant starts it; people type: covenant capability check`

func main() {
	var err error
	switch args := os.Args[1:]; {
	case len(args) == 2 && args[0] == "checker" && args[1] == "scope":
		pluginwire.Serve(capability.Checker{})
		return
	case len(args) == 1 && args[0] == "decide":
		closeInherited()
		debug.SetGCPercent(1600) // it is gone before that is worth while
		debug.SetMemoryLimit(256 << 20)
		err = decide(os.Stdin, os.Stdout)
	case len(args) == 1 && args[0] == "redact":
		closeInherited()
		debug.SetMemoryLimit(512 << 20)
		err = redact(os.Stdin, os.Stdout)
	case len(args) >= 3 && args[0] == "serve" && args[1] == "--socket":
		idle := 5 * time.Minute
		if len(args) == 5 && args[3] == "--idle" {
			idle, err = time.ParseDuration(args[4])
		} else if len(args) != 3 {
			err = errors.New(usage)
		}
		if err == nil {
			err = serve(args[2], idle)
		}
	case len(args) == 1 && args[0] == "version":
		fmt.Println("covenant-gate")
		return
	default:
		err = errors.New(usage)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// decide answers one document. The built-in checker is started while it is read.
func decide(in io.Reader, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_ = pluginwire.Adopt() // where it cannot, a process group is what we have
	p := newPool(ctx, 1+gate.MaxPlugins)
	defer p.close()
	ahead := make(chan struct{})
	go func() {
		defer close(ahead)
		p.warm(builtin())
	}()
	defer func() { <-ahead }()
	b, err := io.ReadAll(io.LimitReader(in, gate.MaxDocument+1))
	if err != nil {
		return err
	}
	doc, err := gate.DecodeDocument(b)
	if err != nil {
		return err
	}
	b, err = json.Marshal(p.decide(ctx, doc))
	if err != nil {
		return err
	}
	_, err = out.Write(append(b, '\n'))
	return err
}

func builtin() pluginwire.Program {
	return pluginwire.Program{Name: "scope", Self: true, Args: []string{"checker", "scope"}}
}

// decide asks every checker of a document, all at once and each once.
func (p *pool) decide(ctx context.Context, doc *gate.Document) *gate.Result {
	limit := gate.DefaultTimeout
	if doc.Timeout > 0 {
		limit = time.Duration(min(doc.Timeout, int64(time.Hour/time.Millisecond))) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()

	programs := []pluginwire.Program{builtin()}
	configs := []map[string]string{nil}
	for _, l := range doc.Plugins {
		programs = append(programs, pluginwire.Program{Name: l.Name, Path: l.Path, Digest: l.Digest, Handshake: limit, Call: limit})
		configs = append(configs, l.Config)
	}
	type said struct {
		answers []pluginapi.Answer
		err     error
	}
	results := make([]chan said, len(programs))
	for i := range programs {
		results[i] = make(chan said, 1)
		go func() {
			as, err := p.ask(ctx, programs[i], configs[i], doc.Requests)
			results[i] <- said{as, err}
		}()
	}
	r := &gate.Result{Version: gate.Version, Answers: make([][]gate.Said, len(doc.Requests))}
	for i := range programs {
		got := <-results[i]
		for j := range doc.Requests {
			s := gate.Said{Checker: programs[i].FullName()}
			if got.err == nil {
				s.Answer = &got.answers[j]
			} else {
				s.Failure, s.Error = pluginapi.Failed, cut(got.err.Error())
				var e *pluginapi.Error
				if errors.As(got.err, &e) {
					s.Failure = e.Failure
				}
			}
			r.Answers[j] = append(r.Answers[j], s)
		}
	}
	return r
}

// cut shortens what is repeated for each request.
func cut(s string) string {
	const most = 1000
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
