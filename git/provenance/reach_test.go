package provenance_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	prov "github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Tips that were written are read back as they are; what went back or another way since is told, by name.
func TestReach(t *testing.T) {
	p := newPress(t)
	load := func() *provenance.Facts {
		f, err := provenance.Load(context.Background(), p.session(), p.pin)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	b, err := load().Reached().Bytes()
	if err != nil {
		t.Fatal(err)
	}
	was, err := provenance.ParseReach(b)
	if err != nil || len(was.Heads) != 2 {
		t.Fatalf("%+v %v", was, err)
	}
	if again, err := was.Bytes(); err != nil || string(again) != string(b) {
		t.Errorf("%s, was %s: %v", again, b, err)
	}
	p.sealed("coder", "src/a=1")
	if gone, err := load().Lacks(was); err != nil || len(gone) > 0 {
		t.Errorf("after going on: %v %v", gone, err)
	}
	for name, c := range map[string]struct {
		change func(r *provenance.Reach)
		want   verdict.Code
	}{
		"further":        {func(r *provenance.Reach) { r.Heads[0].Seq += 100 }, verdict.LedgerRolledBack},
		"another ledger": {func(r *provenance.Reach) { r.Heads[0].Ledger = prov.Topic + "/0123456789abcdef-00000000" }, verdict.LedgerRolledBack},
		"another entry":  {func(r *provenance.Reach) { r.Heads[1].ID = r.Root }, verdict.LedgerFork},
		"another root":   {func(r *provenance.Reach) { r.Version = 2 }, verdict.RootMismatch},
	} {
		r := *was
		r.Heads = slices.Clone(was.Heads)
		c.change(&r)
		if gone, err := load().Lacks(&r); err != nil || len(gone) != 1 || gone[0].Code != c.want {
			t.Errorf("%s: %v %v", name, gone, err)
		}
	}
	other := *was
	other.Repository = other.Heads[0].ID
	if _, err := load().Lacks(&other); !errors.Is(err, provenance.ErrReach) {
		t.Errorf("of another repository: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "another type": strings.Replace(string(b), `"tips"`, `"tip"`, 1), "an unknown field": strings.Replace(string(b), `"heads"`, `"a":1,"heads"`, 1),
		"not canonical": " " + string(b), "no version": strings.Replace(string(b), `"version":1`, `"version":0`, 1), "a bad head": strings.Replace(string(b), `"seq":`, `"seq":0,"seq":`, 1),
	} {
		if _, err := provenance.ParseReach([]byte(text)); !errors.Is(err, provenance.ErrReach) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
