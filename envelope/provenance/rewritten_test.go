package provenance_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope/provenance"
	"github.com/open-covenant/covenant-git/git/oid"
)

func TestRewritingValidate(t *testing.T) {
	id := func(digit string, n int) oid.ID {
		v, err := oid.Parse(strings.Repeat(digit, n))
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	good := provenance.Rewriting{Command: "rebase", Pairs: []provenance.Rewrite{{New: id("1", 40), Old: id("2", 40)}}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(r *provenance.Rewriting){
		"no command":        func(r *provenance.Rewriting) { r.Command = "" },
		"a long command":    func(r *provenance.Rewriting) { r.Command = strings.Repeat("x", 65) },
		"nothing":           func(r *provenance.Rewriting) { r.Pairs = nil },
		"very many":         func(r *provenance.Rewriting) { r.Pairs = slices.Repeat(r.Pairs, provenance.MaxRewrites+1) },
		"into itself":       func(r *provenance.Rewriting) { r.Pairs[0].New = r.Pairs[0].Old },
		"out of nothing":    func(r *provenance.Rewriting) { r.Pairs[0].Old = oid.ID{} },
		"of another format": func(r *provenance.Rewriting) { r.Pairs[0].Old = id("3", 64) },
	} {
		r := provenance.Rewriting{Command: good.Command, Pairs: slices.Clone(good.Pairs)}
		change(&r)
		if err := r.Validate(); !errors.Is(err, provenance.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
