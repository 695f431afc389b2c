package witness_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/witness"
	"github.com/open-covenant/covenant-git/envelope/tlog"
)

type got struct {
	status    int
	typ, body string
}

func send(t testing.TB, url, method, path string, body io.Reader) got {
	t.Helper()
	r := must(http.NewRequestWithContext(t.Context(), method, url+path, body))(t)
	a := must(http.DefaultClient.Do(r))(t)
	defer a.Body.Close()
	return got{a.StatusCode, a.Header.Get("Content-Type"), string(must(io.ReadAll(a.Body))(t))}
}

func post(t testing.TB, url string, body []byte) got {
	t.Helper()
	return send(t, url, http.MethodPost, "/add-checkpoint", bytes.NewReader(body))
}

func TestEveryStatus(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	b.grow(t, 4, 0)
	other := newBook(t, origin, b.signer) // the same key signs another log
	other.grow(t, 3, 1)
	other.grow(t, 4, 1)
	thief := newBook(t, origin, newSigner(t))
	thief.grow(t, 3, 0)
	thief.grow(t, 4, 0)
	stranger := newBook(t, "example.org/log", newSigner(t))
	stranger.grow(t, 3, 0)
	d := newDesk(t, b.key)
	s := httptest.NewServer(d.Server().Handler)
	defer s.Close()

	extended := append([]byte("old 0\n\n"), bytes.Replace(b.states[3].Bytes(), []byte("\n\n"), []byte("\nmore\n\n"), 1)...)
	many := append(bytes.Repeat([]byte("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"), 64), '\n')
	for _, c := range []struct {
		what   string
		body   []byte
		status int
		answer string // "" any, "-" cosignature
	}{
		{"nothing", nil, 400, ""},
		{"junk", []byte("junk\n"), 400, ""},
		{"a size with a zero in front", bytes.Replace(b.request(t, 0, 3), []byte("old 0"), []byte("old 00"), 1), 400, ""},
		{"no empty line", bytes.Replace(b.request(t, 0, 3), []byte("old 0\n\n"), []byte("old 0\n"), 1), 400, ""},
		{"extension lines", extended, 400, ""},
		{"64 hashes", append([]byte("old 1\n"), append(many, b.states[3].Bytes()...)...), 400, ""},
		{"a log nobody knows", stranger.request(t, 0, 3), 404, ""},
		{"another key's signature", thief.request(t, 0, 3), 403, ""},
		{"an old size that it never saw", b.request(t, 3, 7), 409, "0\n"},
		{"a proof where there is none", bytes.Replace(b.request(t, 0, 3), []byte("old 0\n"), []byte("old 0\n"+b.prove(t, 3, 7)[0].String()+"\n"), 1), 422, ""},
		{"the first", b.request(t, 0, 3), 200, "-"},
		{"the first again, from nothing", b.request(t, 0, 3), 409, "3\n"},
		{"the first again, as it is", b.request(t, 3, 3), 200, "-"},
		{"an old size larger than the new", bytes.Replace(b.request(t, 0, 3), []byte("old 0"), []byte("old 7"), 1), 400, ""},
		{"another log of this size", other.request(t, 3, 3), 409, "3\n"},
		{"another log that is larger", other.request(t, 3, 7), 422, ""},
		{"another key's signature on a larger one", thief.request(t, 3, 7), 403, ""},
		{"more", b.request(t, 3, 7), 200, "-"},
		{"less", b.request(t, 3, 3), 409, "7\n"},
		{"less, from nothing", b.request(t, 0, 3), 409, "7\n"},
	} {
		t.Run(c.what, func(t *testing.T) {
			g := post(t, s.URL, c.body)
			if g.status != c.status {
				t.Fatalf("status %d, want %d: %s", g.status, c.status, g.body)
			}
			switch {
			case g.status == http.StatusConflict && g.typ != "text/x.tlog.size":
				t.Errorf("type %q", g.typ)
			case g.status != http.StatusConflict && !strings.HasPrefix(g.typ, "text/plain"):
				t.Errorf("type %q", g.typ)
			case c.answer == "-":
				r := must(tlog.ParseRequest(c.body))(t)
				seen := d.cosigned(t, must(tlog.Open(r.Checkpoint, b.key))(t), []byte(g.body))
				if seen.Name != name || !seen.Time.Equal(noon) {
					t.Errorf("cosigned by %s at %s", seen.Name, seen.Time)
				}
			case c.answer != "" && g.body != c.answer:
				t.Errorf("answered %q, want %q", g.body, c.answer)
			}
		})
	}
	if got := d.Seen(origin).Tree; got != b.tree {
		t.Errorf("it remembers %v", got)
	}
}

func TestOneEndpoint(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	d := newDesk(t, b.key)
	s := httptest.NewServer(d.Server().Handler)
	defer s.Close()
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 404},
		{"POST", "/", 404},
		{"GET", "/metrics", 404},
		{"POST", "/add-checkpoint/", 404},
		{"POST", "//add-checkpoint", 404},
		{"POST", "/x/../add-checkpoint", 404},
		{"GET", "/add-checkpoint", 405},
		{"PUT", "/add-checkpoint", 405},
		{"OPTIONS", "/add-checkpoint", 405},
	} {
		if g := send(t, s.URL, c.method, c.path, bytes.NewReader(b.request(t, 0, 3))); g.status != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, g.status, c.status)
		}
	}
	if got := d.Seen(origin).Tree.Size; got != 0 {
		t.Errorf("it saw %d entries", got)
	}
}

func TestLargeAndSlowRequests(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	d := newDesk(t, b.key)
	server := d.Server()
	if server.ReadHeaderTimeout <= 0 || server.ReadTimeout <= 0 || server.WriteTimeout <= 0 || server.IdleTimeout <= 0 || server.MaxHeaderBytes <= 0 {
		t.Error("a limit is missing")
	}
	server.ReadHeaderTimeout, server.ReadTimeout = 200*time.Millisecond, 300*time.Millisecond
	var lc net.ListenConfig
	l := must(lc.Listen(t.Context(), "tcp", "127.0.0.1:0"))(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- witness.Serve(ctx, server, l) }()
	url := "http://" + l.Addr().String()

	if g := post(t, url, bytes.Repeat([]byte("a"), tlog.MaxRequest+1)); g.status != http.StatusRequestEntityTooLarge {
		t.Errorf("a body too large: status %d", g.status)
	}
	// One byte less is read, and is junk.
	if g := post(t, url, bytes.Repeat([]byte("a"), tlog.MaxRequest)); g.status != http.StatusBadRequest {
		t.Errorf("a body just small enough: status %d", g.status)
	}
	for what, text := range map[string]string{
		"no end of headers": "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nX-A: ",
		"no end of body":    "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nold 0\n",
	} {
		var dialer net.Dialer
		conn := must(dialer.DialContext(t.Context(), "tcp", l.Addr().String()))(t)
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		must(io.WriteString(conn, text))(t)
		answer, err := io.ReadAll(conn) // until the server hangs up
		if err != nil {
			t.Errorf("%s: the server does not hang up: %v", what, err)
		}
		if what == "no end of body" && !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") {
			t.Errorf("%s: %q", what, answer)
		}
		_ = conn.Close()
	}
	// Others were answered meanwhile, and are now.
	if g := post(t, url, b.request(t, 0, 3)); g.status != http.StatusOK {
		t.Errorf("afterwards: status %d", g.status)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("the server ended with %v", err)
	}
}

// TestServeEndsWithGrace: a request that has begun is answered, and the next one finds nobody.
func TestServeEndsWithGrace(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	d := newDesk(t, b.key)
	var lc net.ListenConfig
	file := filepath.Join(t.TempDir(), "sock")
	l := must(lc.Listen(t.Context(), "unix", file))(t)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- witness.Serve(ctx, d.Server(), l) }()
	var dialer net.Dialer
	conn := must(dialer.DialContext(t.Context(), "unix", file))(t)
	body := b.request(t, 0, 3)
	fmt.Fprintf(conn, "POST /add-checkpoint HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n", len(body))
	first := make([]byte, len("HTTP/1.1 100 Continue\r\n\r\n"))
	must(io.ReadFull(conn, first))(t) // so it has begun
	stop()
	must(conn.Write(body))(t)
	if answer := must(io.ReadAll(conn))(t); !bytes.HasPrefix(answer, []byte("HTTP/1.1 200 ")) {
		t.Errorf("answered %q", answer)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if conn, err := dialer.DialContext(t.Context(), "unix", file); err == nil {
		_ = conn.Close()
		t.Error("somebody answers still")
	}
}

// TestOneTreeWins: however many ask at once, with whatever trees, what is cosigned is one log that grows.
func TestOneTreeWins(t *testing.T) {
	signer := newSigner(t)
	const rounds, rivals = 6, 8
	books := make([]*book, rivals)
	for i := range books {
		books[i] = newBook(t, origin, signer)
		for range rounds {
			books[i].grow(t, 5, byte(i))
		}
	}
	d := newDesk(t, books[0].key)
	d.Log = func(string) {}
	s := httptest.NewServer(d.Server().Handler)
	defer s.Close()

	type cosigned struct {
		rival int
		size  uint64
	}
	var mu sync.Mutex
	var all []cosigned
	var wait sync.WaitGroup
	for i, b := range books {
		wait.Go(func() {
			for size := uint64(5); size <= 5*rounds; size += 5 {
				for old := uint64(0); old <= size; old += 5 {
					r, err := tlog.Request{Old: old, Proof: proofOf(b, old, size), Checkpoint: b.states[size].Bytes()}.Bytes()
					if err != nil {
						t.Error(err)
						return
					}
					a, err := http.Post(s.URL+"/add-checkpoint", "text/plain", bytes.NewReader(r))
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.Copy(io.Discard, a.Body)
					_ = a.Body.Close()
					if a.StatusCode == http.StatusOK {
						mu.Lock()
						all = append(all, cosigned{i, size})
						mu.Unlock()
					}
				}
			}
		})
	}
	wait.Wait()
	if len(all) == 0 {
		t.Fatal("nobody won")
	}
	for _, c := range all {
		if c.rival != all[0].rival {
			t.Fatalf("cosigned for rivals %d and %d: %v", c.rival, all[0].rival, all)
		}
	}
	if got := d.Seen(origin).Tree; got != books[all[0].rival].states[got.Size].Tree() {
		t.Errorf("it remembers %v", got)
	}
}

func proofOf(b *book, old, size uint64) []tlog.Hash {
	if old == 0 {
		return nil
	}
	v, err := tlog.At(b.tree, b.tiles)
	if err != nil {
		return nil
	}
	p, _ := v.Between(old, size)
	return p
}

// TestNeverBack: with a hundred askers for states of one honest log, cosignatures never go back.
func TestNeverBack(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	const n = 40
	for range n {
		b.grow(t, 1, 0)
	}
	d := newDesk(t, b.key)
	d.Log = func(string) {}
	s := httptest.NewServer(d.Server().Handler)
	defer s.Close()
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			last := uint64(0)
			for size := uint64(1); size <= n; size++ {
				e, err := witness.NewEndpoint(s.URL, nil)
				if err != nil {
					t.Error(err)
					return
				}
				_, err = e.Ask(t.Context(), b.states[size], last, func(old uint64) ([]tlog.Hash, error) { return proofOf(b, old, size), nil })
				now := d.Seen(origin).Tree.Size
				switch {
				case now < last || err == nil && now < size:
					t.Errorf("it went back: %d after %d", now, max(last, size))
				case err != nil && !errors.Is(err, witness.ErrBehind):
					t.Error(err)
				}
				last = now
				e.Close()
			}
		})
	}
	wait.Wait()
	if got := d.Seen(origin).Tree; got != b.tree {
		t.Errorf("it remembers %v", got)
	}
}

func TestLogLinesAreHarmless(t *testing.T) {
	b := newBook(t, origin, newSigner(t))
	b.grow(t, 3, 0)
	d := newDesk(t, b.key)
	var lines []string
	d.Log = func(l string) { lines = append(lines, l) }
	s := httptest.NewServer(d.Server().Handler)
	send(t, s.URL, "POST", "/%1b[2J%0aforged", nil)
	post(t, s.URL, []byte("old 0\n\n\x1b[2J\u202e\n1\n\n"))
	post(t, s.URL, b.request(t, 0, 3))
	s.Close()
	if len(lines) != 3 {
		t.Fatalf("%d lines: %q", len(lines), lines)
	}
	for _, l := range lines {
		if strings.ContainsAny(l, "\x1b\n\u202e") {
			t.Errorf("%q", l)
		}
	}
	if want := " 200 " + string(origin) + " 3 entries"; !strings.Contains(lines[2], want) {
		t.Errorf("%q lacks %q", lines[2], want)
	}
	for i, want := range []int{404, 400} {
		if !strings.Contains(lines[i], " "+strconv.Itoa(want)+" ") {
			t.Errorf("%q lacks %d", lines[i], want)
		}
	}
}
