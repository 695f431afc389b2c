package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// redact asks redactors about texts, all at once, each started for it.
func redact(in io.Reader, out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	_ = pluginwire.Adopt() // where it cannot, a process group is what we have
	b, err := io.ReadAll(io.LimitReader(in, gate.MaxDocument+1))
	if err != nil {
		return err
	}
	var doc gate.TextsDocument
	if err := pluginapi.Decode(b, &doc); err != nil {
		return err
	}
	if doc.Version != gate.Version || len(doc.Plugins) > gate.MaxPlugins {
		return fmt.Errorf("%w: version %d, %d plugins", pluginapi.ErrInvalid, doc.Version, len(doc.Plugins))
	}
	limit := gate.DefaultTimeout
	if doc.Timeout > 0 {
		limit = time.Duration(min(doc.Timeout, int64(time.Hour/time.Millisecond))) * time.Millisecond
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	answer := gate.FoundDocument{Version: gate.Version, Plugins: make([]gate.SaidFound, len(doc.Plugins))}
	var wg sync.WaitGroup
	for i, p := range doc.Plugins {
		wg.Go(func() {
			program := pluginwire.Program{Name: p.Name, Path: p.Path, Digest: p.Digest, Redactor: true, Handshake: limit, Call: limit}
			found, err := find(ctx, program, doc.Texts)
			s := gate.SaidFound{Plugin: program.FullName(), Found: found}
			if err != nil {
				s.Failure, s.Error = pluginapi.Failed, cut(err.Error())
				var e *pluginapi.Error
				if errors.As(err, &e) {
					s.Failure = e.Failure
				}
			}
			answer.Plugins[i] = s
		})
	}
	wg.Wait()
	b, err = json.Marshal(answer)
	if err == nil {
		_, err = out.Write(append(b, '\n'))
	}
	return err
}

func find(ctx context.Context, program pluginwire.Program, texts []string) ([][]pluginapi.Span, error) {
	p, err := pluginwire.Start(ctx, program)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	return p.Find(ctx, texts)
}
