package blamecmd

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/audit"
)

// TestFirst: who records much crowds out nobody.
func TestFirst(t *testing.T) {
	var calls []*audit.Written
	add := func(by, entry string) { calls = append(calls, &audit.Written{By: by, Entry: envelope.Digest(entry)}) }
	for i := range 20 {
		add("crowd", fmt.Sprintf("c%d", i/2))
	}
	add("helper", "h1")
	add("helper", "h2")
	add("coder", "k1")
	add("coder", "k1")
	makers := []verdict.Principal{{Name: "coder"}}
	said := func(put bool) string {
		var out []string
		for _, c := range first(calls, makers, put)[:4] {
			out = append(out, string(c.Entry))
		}
		return strings.Join(out, " ")
	}
	if got := said(false); got != "k1 c0 h1 c1" {
		t.Errorf("%q", got)
	}
	if got := said(true); got != "k1 k1 c0 h1" {
		t.Errorf("%q", got)
	}
}
