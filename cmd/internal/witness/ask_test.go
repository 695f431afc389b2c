package witness_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

func ask(t *testing.T, url string, b *book, size, old uint64) ([]byte, error) {
	t.Helper()
	e := must(witness.NewEndpoint(url, nil))(t)
	defer e.Close()
	return e.Ask(t.Context(), b.states[size], old, func(old uint64) ([]tlog.Hash, error) { return proofOf(b, old, size), nil })
}

func TestAsk(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	for range 4 {
		b.grow(t, 3, 0)
	}
	fork := newBook(t, origin, b.signer)
	fork.grow(t, 3, 0)
	fork.grow(t, 3, 9)
	fork.grow(t, 6, 9)
	fork.grow(t, 3, 9)
	d := newDesk(t, b.key)
	var lc net.ListenConfig
	file := filepath.Join(t.TempDir(), "sock")
	l := must(lc.Listen(t.Context(), "unix", file))(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- witness.Serve(ctx, d.Server(), l) }()
	url := "unix:" + file

	for _, c := range []struct {
		what      string
		b         *book
		size, old uint64
		want      error
		seen      uint64
	}{
		{"the first", b, 3, 0, nil, 0},
		{"more, from what is remembered", b, 6, 3, nil, 0},
		{"more, from what is not", b, 9, 0, nil, 0},
		{"the same once more", b, 9, 3, nil, 0},
		{"remembered as larger than it is", b, 9, 12, nil, 0},
		{"rolled back", b, 6, 6, witness.ErrBehind, 9},
		{"rolled back to another log", fork, 6, 0, witness.ErrBehind, 9},
		{"another log that has grown on", fork, 12, 0, witness.ErrSplit, 9},
		{"yet more of it", fork, 15, 0, witness.ErrSplit, 9},
		{"the rest", b, 12, 0, nil, 0},
		{"another log of this size", fork, 12, 12, witness.ErrSplit, 12},
	} {
		lines, err := ask(t, url, c.b, c.size, c.old)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.what, err, c.want)
		}
		if c.want == nil && err == nil {
			d.cosigned(t, c.b.states[c.size], lines)
		}
		var no *witness.AskError
		if c.want != nil && (!errors.As(err, &no) || no.Seen != c.seen) {
			t.Errorf("%s: %+v, want %d", c.what, no, c.seen)
		}
	}
	stranger := newBook(t, "example.org/log", newSigner(t))
	stranger.grow(t, 3, 0)
	if _, err := ask(t, url, stranger, 3, 0); !errors.Is(err, witness.ErrRefused) || !strings.Contains(err.Error(), "404") {
		t.Errorf("a log it does not know: %v", err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	var no *witness.AskError
	if _, err := ask(t, url, b, 12, 0); err == nil || errors.As(err, &no) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestHostileWitness: whatever answers, asking ends, and says that this is no witness.
func TestHostileWitness(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 9, 0)
	b.grow(t, 9, 0)
	size := func(typ, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", typ)
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, body)
		}
	}
	turn := 0
	for what, h := range map[string]http.HandlerFunc{
		"a size of another type": size("text/plain", "3\n"),
		"a size without a line":  size(tlog.SizeType, "3"),
		"a size with a zero":     size(tlog.SizeType, "03\n"),
		"a size with a sign":     size(tlog.SizeType, "+3\n"),
		"a size beyond all":      size(tlog.SizeType, "18446744073709551615\n"),
		"the size it was told":   size(tlog.SizeType, "0\n"),
		"a page":                 func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"another place": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/add-checkpoint?", http.StatusFound)
		},
		"a size that never stays": func(w http.ResponseWriter, r *http.Request) {
			turn++
			size(tlog.SizeType, []string{"3\n", "5\n"}[turn%2])(w, r)
		},
		"an answer without end": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.Copy(w, io.LimitReader(zeros{}, tlog.MaxCheckpoint+1))
		},
	} {
		s := httptest.NewServer(h)
		if lines, err := ask(t, s.URL, b, 18, 0); !errors.Is(err, witness.ErrAnswer) {
			t.Errorf("%s: %q, %v", what, lines, err)
		}
		s.Close()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestEndpoints(t *testing.T) {
	for _, bad := range []string{"", "unix:", "witness.example", "ftp://x/", "http://", "https://a:b@c/", "https://c/?q=1", "https://c/#f", "/run/sock"} {
		if e, err := witness.NewEndpoint(bad, nil); err == nil {
			t.Errorf("%q is %s", bad, e)
		}
	}
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 9, 0)
	asked := ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked = r.URL.Path; w.WriteHeader(http.StatusNotFound) }))
	defer s.Close()
	for prefix, want := range map[string]string{"": "/add-checkpoint", "/": "/add-checkpoint", "/a/b": "/a/b/add-checkpoint", "/a/": "/a/add-checkpoint"} {
		_, _ = ask(t, s.URL+prefix, b, 9, 0)
		if asked != want {
			t.Errorf("%q asks at %s", prefix, asked)
		}
	}
}
