//go:build unix

package gate

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

func request(chains int) *pluginapi.Request {
	r := &pluginapi.Request{
		Version: pluginapi.Version, ID: "00112233445566778899aabbccddeeff", At: "2026-11-24T07:22:23Z",
		Action: "repo.commit", Principal: pluginapi.Principal{Name: "coder", Kind: "agent", Accountable: "ada"},
	}
	for range chains {
		r.Chains = append(r.Chains, pluginapi.Chain{{ID: "g", Action: "repo.*", Scope: []byte(`{"version":1}`)}})
	}
	return r
}

func yes(r *pluginapi.Request, chains ...int) *pluginapi.Answer {
	a := pluginapi.Allow(r, chains...)
	return &a
}

func no(r *pluginapi.Request, reason, grant string) *pluginapi.Answer {
	a := pluginapi.Deny(r, reason)
	a.Refused = grant
	return &a
}

// TestAllMustAllow: one decision from what several checkers said.
func TestAllMustAllow(t *testing.T) {
	r, op := request(3), request(0)
	for name, c := range map[string]struct {
		r    *pluginapi.Request
		said []Said
		want Decision
	}{
		"all":             {r, []Said{{Answer: yes(r, 0, 2)}, {Answer: yes(r, 2, 1)}}, Decision{Allowed: true, Chains: []int{2}}},
		"operator":        {op, []Said{{Answer: yes(op)}, {Answer: yes(op)}}, Decision{Allowed: true, Chains: []int{}}},
		"one refuses":     {r, []Said{{Answer: yes(r, 0)}, {Answer: no(r, "not you", "g1")}}, Decision{Checker: "b", Reason: "not you", Refused: "g1"}},
		"both refuse":     {r, []Said{{Answer: no(r, "first", "")}, {Answer: no(r, "second", "g1")}}, Decision{Checker: "a", Reason: "first"}},
		"one fails":       {r, []Said{{Answer: yes(r, 0)}, {Failure: pluginapi.Died, Error: "dead"}}, Decision{Checker: "b", Reason: "dead", Failure: pluginapi.Died}},
		"operator, fails": {op, []Said{{Error: "dead"}, {Answer: yes(op)}}, Decision{Checker: "a", Reason: "dead"}},
		"nothing said":    {op, []Said{{Answer: yes(op)}, {}}, Decision{Checker: "b"}},
		"nothing in common": {r, []Said{{Answer: yes(r, 0)}, {Answer: yes(r, 1)}}, Decision{
			Checker: "b", Reason: "no chain of grants is allowed by all checkers",
		}},
	} {
		names := []string{"a", "b"}
		for i := range c.said {
			c.said[i].Checker = names[i]
		}
		c.want.Checkers = names
		got, err := decide(c.r, names, c.said)
		if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", c.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for name, said := range map[string][]Said{
		"none":          nil,
		"too few":       {{Checker: "a", Answer: yes(r, 0)}},
		"too many":      {{Checker: "a", Answer: yes(r, 0)}, {Checker: "b", Answer: yes(r, 0)}, {Checker: "c", Answer: yes(r, 0)}},
		"other order":   {{Checker: "b", Answer: yes(r, 0)}, {Checker: "a", Answer: yes(r, 0)}},
		"other pin":     {{Checker: "a", Answer: yes(r, 0)}, {Checker: "b@1", Answer: yes(r, 0)}},
		"other request": {{Checker: "a", Answer: yes(r, 0)}, {Checker: "b", Answer: &pluginapi.Answer{Version: 1, ID: "x", Allowed: true, Chains: []int{0}}}},
		"no such chain": {{Checker: "a", Answer: yes(r, 0)}, {Checker: "b", Answer: yes(r, 3)}},
	} {
		if d, err := decide(r, []string{"a", "b"}, said); !errors.Is(err, pluginapi.ErrInvalid) || d.Allowed {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// TestSpecification: the examples of the page are what this package reads.
func TestSpecification(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/plugins.md")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1)
	if len(m) != 3 {
		t.Fatalf("%d examples", len(m))
	}
	rs, err := pluginapi.DecodeBatch(m[0][1])
	if err != nil || len(rs) != 1 || string(rs[0].Changes[0].Path) != "src/a.go" {
		t.Fatal(rs, err)
	}
	if as, err := pluginapi.DecodeReply(m[1][1], rs); err != nil || !as[0].Allowed {
		t.Error(as, err)
	}
	g := &Gate{Plugins: []Plugin{{Name: "cedar", Digest: "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"}}}
	if ds, err := g.read(m[2][1], rs); err != nil || ds[0].Allowed || ds[0].Failure != pluginapi.Missing {
		t.Error(ds, err)
	}
}

// FuzzResult: whatever covenant-gate writes, only a full set of valid answers allows.
func FuzzResult(f *testing.F) {
	r := request(2)
	for _, said := range [][]Said{
		{{Checker: Builtin, Answer: yes(r, 0)}, {Checker: "p@d", Answer: yes(r, 0, 1)}},
		{{Checker: Builtin, Answer: yes(r, 0)}, {Checker: "p@d", Error: "x", Failure: "died"}},
	} {
		b, err := json.Marshal(Result{Version: 1, Answers: [][]Said{said}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	g := &Gate{Plugins: []Plugin{{Name: "p", Digest: "d"}}}
	f.Fuzz(func(t *testing.T, b []byte) {
		ds, err := g.read(b, []*pluginapi.Request{r})
		if err != nil {
			return
		}
		if len(ds) != 1 {
			t.Fatal(ds)
		}
		if !ds[0].Allowed {
			return
		}
		var res Result
		if err := json.Unmarshal(b, &res); err != nil || len(res.Answers) != 1 || len(res.Answers[0]) != 2 {
			t.Fatalf("%v: %s", err, b)
		}
		for i, s := range res.Answers[0] {
			if s.Checker != []string{Builtin, "p@d"}[i] || s.Answer == nil || !s.Answer.Allowed || s.Answer.Answers(r) != nil {
				t.Fatalf("%s", b)
			}
			for _, c := range ds[0].Chains {
				if !slices.Contains(s.Answer.Chains, c) {
					t.Fatalf("chain %d: %s", c, b)
				}
			}
		}
	})
}

// FuzzDocument: what is read as a document is written and read as the same one.
func FuzzDocument(f *testing.F) {
	b, err := json.Marshal(Document{Version: 1, Timeout: 5, Requests: []*pluginapi.Request{request(1)}, Plugins: []Plugin{{Name: "p", Path: "/p", Digest: "d"}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDocument(b)
		if err != nil {
			return
		}
		once, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if d, err = DecodeDocument(once); err != nil {
			t.Fatal(err)
		}
		if twice, err := json.Marshal(d); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%v\n%s\n%s", err, once, twice)
		}
	})
}

// FuzzFrame: a frame that is read was written.
func FuzzFrame(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x0d{\"version\":1}"))
	f.Add([]byte("\xff\xff\xff\xff{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var r, again Reply
		if ReadFrame(bytes.NewReader(b), &r) != nil {
			return
		}
		var w bytes.Buffer
		if err := WriteFrame(&w, r); err != nil {
			t.Fatal(err)
		}
		if err := ReadFrame(&w, &again); err != nil || again.Version != r.Version || again.Refused != r.Refused {
			t.Fatal(r, again, err)
		}
	})
}

// script is a covenant-gate that does as a shell script says.
func script(t *testing.T, body string) *Gate {
	t.Helper()
	p := filepath.Join(t.TempDir(), "covenant-gate")
	if err := os.WriteFile(p, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return &Gate{Program: p, Env: []string{"PATH=/usr/bin:/bin"}, Timeout: 20 * time.Second}
}

func TestAGateThatMisbehaves(t *testing.T) {
	slow := script(t, "exec sleep 60")
	slow.Timeout = 300 * time.Millisecond
	for name, c := range map[string]struct {
		g    *Gate
		want pluginapi.Failure
	}{
		"zero":          {&Gate{}, pluginapi.Missing},
		"missing":       {&Gate{Program: filepath.Join(t.TempDir(), "covenant-gate")}, pluginapi.Missing},
		"a directory":   {&Gate{Program: t.TempDir()}, pluginapi.Handshake},
		"fails":         {script(t, "echo the disk is full >&2; exit 2"), pluginapi.Failed},
		"killed":        {script(t, "kill -9 $$"), pluginapi.Failed},
		"says nothing":  {script(t, "cat >/dev/null"), pluginapi.Garbage},
		"garbage":       {script(t, "cat >/dev/null; echo hello"), pluginapi.Garbage},
		"no answers":    {script(t, `cat >/dev/null; echo '{"version":1,"answers":[]}'`), pluginapi.Garbage},
		"other version": {script(t, `cat >/dev/null; echo '{"version":2,"answers":[]}'`), pluginapi.OtherVersion},
		"reads nothing": {script(t, `echo '{"version":1,"answers":[[]]}'`), pluginapi.Garbage},
		"writes on":     {script(t, "exec cat /dev/zero | head -c 40000000"), pluginapi.Garbage},
		"slow":          {slow, pluginapi.Timeout},
	} {
		ds, err := c.g.Ask(context.Background(), []*pluginapi.Request{request(1), request(0)})
		var e *Error
		if !errors.As(err, &e) || e.Failure != c.want || len(ds) != 2 || ds[0].Allowed || ds[1].Allowed || ds[0].Reason == "" || ds[0].Failure != c.want {
			t.Errorf("%s: %+v, %v", name, ds, err)
			continue
		}
		if c.want == pluginapi.Missing && e.Hint == "" {
			t.Errorf("%s: no hint", name)
		}
	}
	if ds, err := (&Gate{}).Ask(t.Context(), nil); err != nil || len(ds) != 0 {
		t.Error(ds, err)
	}
}

// A gate that was started ahead and has answered does not keep its caller, who has the answer.
func TestAGateThatStays(t *testing.T) {
	was := ending
	ending = 200 * time.Millisecond
	defer func() { ending = was }()
	g := script(t, `read -r document; echo '{"version":1,"answers":[]}'; exec sleep 60`)
	g.Start(t.Context())
	if _, err := g.Ask(t.Context(), []*pluginapi.Request{request(1)}); err == nil { // no answers to one request
		t.Error("it allowed")
	}
	closed := make(chan struct{})
	go func() { g.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(20 * time.Second):
		t.Fatal("its caller waits for it")
	}
}

// TestRounds: many requests are asked in rounds, and each gets its own answer.
func TestRounds(t *testing.T) {
	dir := t.TempDir()
	g := script(t, `cat >"`+dir+`/$$"; exit 2`)
	many := slices.Repeat([]*pluginapi.Request{request(1)}, maxRound+1)
	if _, err := g.Ask(t.Context(), many); err == nil {
		t.Fatal("it was answered")
	}
	files, err := filepath.Glob(dir + "/*")
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	d, err := DecodeDocument(b)
	if err != nil || len(d.Requests) != maxRound {
		t.Fatalf("%v, %d requests", err, len(d.Requests))
	}
	ids := make(map[string]bool)
	for _, r := range d.Requests {
		ids[r.ID] = true
	}
	if len(ids) != maxRound || ids[request(1).ID] || many[0].ID != request(1).ID {
		t.Errorf("%d ids", len(ids))
	}
}

// What a redactor would not be shown as it is written is refused, before anybody is asked.
func TestRedactorsAreAskedAboutUTF8(t *testing.T) {
	r := &Redactors{Program: "/nowhere", Plugins: []Plugin{{Name: "words"}}}
	if _, err := r.Find(t.Context(), "", "pw zz-hunter2\xff"); !errors.Is(err, ErrRedactor) || !strings.Contains(err.Error(), "not UTF-8") {
		t.Fatal(err)
	}
	if found, err := new(Redactors).Find(t.Context(), "pw zz-hunter2\xff"); err != nil || found != nil {
		t.Fatal(found, err)
	}
}

func TestFind(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	put := func(dir, name string, mode os.FileMode) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
		return p
	}
	inB := put(b, "covenant-capability-cedar", 0o755)
	if p, err := Find("cedar", "", a, b); err != nil || p != inB {
		t.Error(p, err)
	}
	inA := put(a, "covenant-capability-cedar", 0o755)
	if p, err := Find("cedar", "", a, b); err != nil || p != inA {
		t.Error(p, err)
	}
	other := put(b, "my-cedar", 0o755)
	if p, err := Find("cedar", other, a, b); err != nil || p != other {
		t.Error(p, err)
	}
	put(a, "covenant-capability-plain", 0o644)
	for plugin, configured := range map[string]string{
		"none": "", "../cedar": "", "": "", "Cedar": "", "plain": "", "cedar": "my-cedar", "opa": filepath.Join(a, "none"),
	} {
		if p, err := Find(plugin, configured, a, b); err == nil {
			t.Errorf("%q is at %s", plugin, p)
		}
	}
	if _, err := Find("none", "", a); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if d, err := Digest(inA); err != nil || d != "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" {
		t.Error(d, err)
	}
}

func TestSocketPath(t *testing.T) {
	uid := fmt.Sprint(os.Getuid())
	for _, c := range [][3]string{
		{"/run/user/7", "/home/a/.config/covenant", "/run/user/7/covenant-" + uid + "/gate.sock"},
		{"", "/home/a/.config/covenant", "/home/a/.config/covenant/run/gate.sock"},
		{"relative", "/c", "/c/run/gate.sock"},
		{"", "relative", ""},
		{"", "/" + strings.Repeat("x", 100), ""},
	} {
		if got := SocketPath(c[0], c[1]); got != c[2] {
			t.Errorf("SocketPath(%q, %q) = %q", c[0], c[1], got)
		}
	}
}

func TestFrames(t *testing.T) {
	var w bytes.Buffer
	if err := WriteFrame(&w, Reply{Version: 1, Refused: "no"}); err != nil {
		t.Fatal(err)
	}
	whole := w.Bytes()
	for n := range whole {
		var r Reply
		if err := ReadFrame(bytes.NewReader(whole[:n]), &r); !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes of %d: %v", n, len(whole), err)
		}
	}
	if err := WriteFrame(&w, strings.Repeat("x", MaxDocument)); !errors.Is(err, pluginapi.ErrInvalid) {
		t.Error(err)
	}
}
