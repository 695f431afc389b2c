//go:build linux

package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
	"github.com/open-covenant/covenant-git/runtime/gate"
)

// BenchmarkAsk measures the figures of docs/adr/0012-plugins.md, with the programs as they
// are installed. Medians are what is quoted: go test -run '^$' -bench Ask -benchtime 50x ./cmd/covenant-gate
func BenchmarkAsk(b *testing.B) {
	dir, err := os.MkdirTemp("", "h") //nolint:usetesting // the name must leave room for a socket's
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir)
	program, cedar := filepath.Join(dir, "covenant-gate"), filepath.Join(dir, "cedar")
	for out, args := range map[string][]string{program: {"."}, cedar: {"-ldflags=-s -w", "../../plugins/cedar"}} {
		cmd := exec.Command("go", append([]string{"build", "-trimpath", "-o", out}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if msg, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, msg)
		}
	}
	digestOf := func(path string) string {
		d, err := gate.Digest(path)
		if err != nil {
			b.Fatal(err)
		}
		return d
	}
	pinned := gate.Plugin{Name: "cedar", Path: cedar, Digest: digestOf(cedar), Config: map[string]string{"a.cedar": "permit(principal, action, resource);"}}

	exec1 := func(args ...string) func(*testing.B) {
		return median(func() error { return exec.Command(args[0], args[1:]...).Run() })
	}
	b.Run("true", exec1("/bin/true"))
	b.Run("covenant-gate version", exec1(program, "version"))
	ask := func(g *gate.Gate) func(*testing.B) {
		return median(func() error {
			ds, err := g.Ask(context.Background(), []*pluginapi.Request{operator()})
			if err == nil && !ds[0].Allowed {
				b.Fatalf("%+v", ds)
			}
			return err
		})
	}
	b.Run("cold, scope", ask(&gate.Gate{Program: program}))
	b.Run("cold, scope and cedar", ask(&gate.Gate{Program: program, Plugins: []gate.Plugin{pinned}}))

	socket := filepath.Join(dir, "run", "s")
	host := exec.Command(program, "serve", "--socket", socket)
	if err := host.Start(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = host.Process.Signal(os.Interrupt); _ = host.Wait() }()
	for !reaches(socket) {
		time.Sleep(10 * time.Millisecond)
	}
	b.Run("resident, scope", ask(&gate.Gate{Program: program, Resident: true, Socket: socket}))
	b.Run("resident, scope and cedar", ask(&gate.Gate{Program: program, Resident: true, Socket: socket, Plugins: []gate.Plugin{pinned}}))

	// What one subprocess costs a host that is running.
	start := func(p pluginwire.Program) func(*testing.B) {
		return median(func() error {
			proc, err := pluginwire.Start(context.Background(), p)
			if err != nil {
				return err
			}
			defer proc.Close()
			r := operator()
			r.Version, r.ID = pluginapi.Version, "00112233445566778899aabbccddeeff"
			_, err = proc.Check(context.Background(), pinned.Config, []*pluginapi.Request{r})
			return err
		})
	}
	other := pluginwire.Program{Name: "cedar", Path: cedar, Digest: pinned.Digest}
	own := pluginwire.Program{Name: "scope", Self: true, Args: []string{"checker", "scope"}}
	b.Run("start, digest", start(other))
	b.Run("start, no digest", start(own))
	other.AutoMTLS, own.AutoMTLS = true, true
	b.Run("start, digest, AutoMTLS", start(other))
	b.Run("start, no digest, AutoMTLS", start(own))
}

// median runs f and reports the median of its times.
func median(f func() error) func(*testing.B) {
	return func(b *testing.B) {
		var times []time.Duration
		for b.Loop() {
			start := time.Now()
			if err := f(); err != nil {
				b.Fatal(err)
			}
			times = append(times, time.Since(start))
		}
		slices.Sort(times)
		b.ReportMetric(float64(times[len(times)/2].Microseconds())/1000, "ms/median")
	}
}
