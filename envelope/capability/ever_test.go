package capability_test

import (
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
)

// TestMayEver: who never held anything by which it could admit is told from who did, ended or not.
func TestMayEver(t *testing.T) {
	c := newCourt(t)
	c.grant("ada", "coder", capability.Commit, `{}`)
	id := c.grant("ada", "helper", "repo.*", `{}`)
	c.revoke("ada", id)
	a := c.fold()
	for who, want := range map[string]bool{"ada": true, "ben": false, "coder": false, "helper": true, "mallory": false} {
		if got := a.MayEver(c.keys[who].ID(), capability.Push, capability.Rewind); got != want {
			t.Errorf("%s: %v", who, got)
		}
	}
}

// TestMightEverAnywhere: which ref it is makes no difference where that is not asked, and all else does. No ref that somebody names is that.
func TestMightEverAnywhere(t *testing.T) {
	c := newCourt(t)
	c.revoke("ada", c.grant("ada", "coder", capability.Commit, `{"paths":["src/**"],"refs":["refs/heads/work"]}`))
	a := c.fold()
	for _, test := range []struct {
		ref, path string
		anywhere  bool
		want      bool
	}{
		{"refs/heads/work", "src/a", false, true},
		{"refs/heads/other", "src/a", false, false},
		{"", "src/a", false, false},
		{"*", "src/a", false, false},
		{"refs/heads/other", "src/a", true, true},
		{"", "src/a", true, true},
		{"", "docs/a", true, false},
	} {
		q := capability.Query{KeyID: c.keys["coder"].ID(), Action: capability.Commit, At: c.clock.Add(time.Hour), Ref: test.ref, Anywhere: test.anywhere, Changes: paths(test.path)}
		if got := a.MightEver(q); got != test.want {
			t.Errorf("%+v: %v", test, got)
		}
	}
}
