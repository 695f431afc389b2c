package provenance_test

import (
	"testing"

	"github.com/open-covenant/covenant-git/envelope/verdict"
)

func TestEveryKindOfChange(t *testing.T) {
	for _, format := range []string{"sha1", "sha256"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, format)
			w.build()
			w.fine()
			res, _, err := w.verify(false, "main")
			if err != nil {
				t.Fatal(err)
			}
			if r := res[w.commit["before"]]; r.Verdict != verdict.Before {
				t.Errorf("the first commit is %s", r.Verdict)
			}
			if r := res[w.commit["add"]]; r.Principal == nil || r.Principal.Name != "alice" || r.Mode != "witness" || r.Coverage != "own" {
				t.Errorf("add: %+v", r)
			}
			if r := res[w.commit["modify"]]; r.Principal == nil || r.Principal.Name != "coder" || r.Principal.Accountable != "alice" {
				t.Errorf("modify: %+v", r)
			}
		})
	}
}
