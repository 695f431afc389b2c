package provenance_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// alike verifies a span once more by what is remembered of ledgers: that must say what reading them said.
func (w *world) alike(span provenance.Span, o provenance.Options, list []verdict.Result, problems []verdict.Finding, failed error) {
	w.t.Helper()
	if w.alikes++; o.Deep || o.Overlay != nil || o.Facts != nil || w.alikes > 12 { // of one world that will do
		return
	}
	s := w.session()
	defer func() { _ = s.Close() }()
	o.Cache, o.Opened = nil, provenance.OpenCache(s.Repo(), filepath.Join(w.home, "opened"))
	said := func(list []verdict.Result, problems []verdict.Finding, err error) string {
		text, jerr := json.Marshal(struct {
			Results  []verdict.Result
			Problems []verdict.Finding
			Error    string
		}{list, append([]verdict.Finding{}, problems...), errText(err)})
		if jerr != nil {
			w.t.Fatal(jerr)
		}
		return string(text)
	}
	var again []verdict.Result
	var told []verdict.Finding
	rep, err := provenance.Verify(context.Background(), s, span, o)
	if err == nil {
		told = rep.Problems
		for r, rerr := range rep.Results {
			if err = rerr; err != nil {
				break
			}
			again = append(again, r)
		}
	}
	if was, is := said(list, problems, failed), said(again, told, err); was != is {
		w.t.Errorf("ledgers that are remembered say otherwise:\n%s\nand were\n%s", is, was)
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// What is remembered of ledgers is of what was opened: a commit that a seal does not cover is told by who reads no ledger again, as is
// one that was sealed since; and nobody else's memory is believed.
func TestOpenedIsRemembered(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t, format)
			w.build()
			dir := filepath.Join(w.dir, ".git", "covenant", "cache")
			remember := func() []byte {
				t.Helper()
				s := w.session()
				defer func() { _ = s.Close() }()
				c := provenance.OpenCache(s.Repo(), filepath.Join(w.home, "opened"))
				f, err := c.Load(context.Background(), s, w.pin)
				if err != nil || len(f.Problems) > 0 {
					t.Fatal(err, f.Problems)
				}
				for _, id := range w.order {
					if id == "before" {
						continue
					}
					if list := f.SealsOf(w.commit[id]); len(list) != 1 || list[0].Seal == nil || list[0].Seal.Commit() != w.commit[id] {
						t.Fatalf("%s: %+v", id, list)
					}
					if d := f.SealsOf(w.commit[id])[0].Seal.Predicate.Decision; d != "" {
						if got, ok := f.Decision(d); !ok || got.Decision == nil || !got.Decision.Allowed {
							t.Fatalf("the decision of %s: %+v", id, got)
						}
					}
				}
				b, err := os.ReadFile(filepath.Join(dir, "opened-provenance"))
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			first := remember()
			if again := remember(); !bytes.Equal(first, again) {
				t.Error("what nothing is new of was written again as something else")
			}
			w.write("src/more.txt", "more\n")
			w.git("add", "-A")
			w.git("commit", "-q", "-m", "more")
			w.head("more")
			w.seal("alice", prov.Witness, "HEAD")
			if more := remember(); len(more) <= len(first) {
				t.Error("what is new was not remembered")
			}
			// Bytes that somebody else wrote there are no memory.
			for i := 0; i < len(first); i += 97 {
				bad := bytes.Clone(first)
				bad[i] ^= 1
				if err := os.WriteFile(filepath.Join(dir, "opened-provenance"), bad, 0o600); err != nil {
					t.Fatal(err)
				}
				if i%(97*16) == 0 {
					remember()
				}
			}
		})
	}
}

// A remembered seal is read when it is asked for. Where it is not there any more, or something else is, there is none.
func TestOpenedSealIsReadAgain(t *testing.T) {
	for _, damage := range []string{"", "gone", "other"} {
		t.Run("damage "+damage, func(t *testing.T) {
			w := newWorld(t, "sha1")
			w.build()
			last := w.commit["last"]
			load := func() *provenance.Facts {
				s := w.session()
				t.Cleanup(func() { _ = s.Close() })
				f, err := provenance.OpenCache(s.Repo(), filepath.Join(w.home, "opened")).Load(context.Background(), s, w.pin)
				if err != nil {
					t.Fatal(err)
				}
				return f
			}
			f := load()
			memory := filepath.Join(w.dir, ".git", "covenant", "cache", "opened-provenance")
			was, err := os.ReadFile(memory)
			if err != nil {
				t.Fatal(err)
			}
			remember := func() {
				if err := os.WriteFile(memory, was, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if f.Unread() != 0 {
				t.Fatal("remembered before anything was opened")
			}
			blob := f.SealsOf(last)[0].Blob.String()
			other := f.SealsOf(w.commit["merge"])[0].Blob.String()
			object := func(name string) string { return filepath.Join(w.dir, ".git", "objects", name[:2], name[2:]) }
			switch damage {
			case "gone":
				if err := os.Remove(object(blob)); err != nil {
					t.Fatal(err)
				}
			case "other":
				if err := errors.Join(os.Remove(object(blob)), os.Link(object(other), object(blob))); err != nil {
					t.Fatal(err)
				}
			}
			if f = load(); f.Unread() != len(w.order)-1 {
				t.Fatalf("%d of %d seals are left to be read", f.Unread(), len(w.order)-1)
			}
			c := f.SealsOf(last)[0]
			if damage == "" && (c.Err != nil || c.Seal == nil) || damage != "" && (!errors.Is(c.Err, ledger.ErrDamaged) || c.Seal != nil) {
				t.Errorf("%+v %v", c.Seal, c.Err)
			}
			if f.Unread() != len(w.order)-2 {
				t.Errorf("%d seals are left to be read: more than one was", f.Unread())
			}
			verify := func() (map[oid.ID]verdict.Verdict, error) {
				s := w.session()
				t.Cleanup(func() { _ = s.Close() })
				span, err := provenance.ParseSpan(s, "main")
				if err != nil {
					t.Fatal(err)
				}
				c := provenance.OpenCache(s.Repo(), filepath.Join(w.home, "opened"))
				rep, err := provenance.Verify(context.Background(), s, span, provenance.Options{Pin: w.pin, Now: w.clock, Opened: c, Cache: c})
				if err != nil {
					t.Fatal(err)
				}
				out := map[oid.ID]verdict.Verdict{}
				for r, err := range rep.Results {
					if err != nil {
						return out, err
					}
					out[r.Commit] = r.Verdict
				}
				return out, nil
			}
			if damage != "" {
				load() // reads them as they are
				remember()
				if got, err := verify(); !errors.Is(err, provenance.ErrForgotten) {
					t.Errorf("%v %v", got, err)
				}
			}
			got, err := verify()
			if err != nil {
				t.Fatal(err)
			}
			for id, v := range got {
				if v.OK() != (damage == "") && id == last {
					t.Errorf("%s: %s", id.Short(), v)
				}
			}
		})
	}
}
