package sync_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/git/gittest"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

func TestChoose(t *testing.T) {
	r := gittest.New(t)
	r.Write("a", "1\n")
	r.Commit("one")
	if _, err := sync.Choose(r.Session()); !errors.Is(err, sync.ErrNoRemote) {
		t.Errorf("without remotes: %v", err)
	}
	for _, step := range []struct{ add, want string }{{"one", "one"}, {"two", ""}, {"origin", "origin"}} {
		r.Git("remote", "add", step.add, "/nowhere")
		got, err := sync.Choose(r.Session())
		if got != step.want || (err != nil) != (step.want == "") {
			t.Errorf("after %s: %q, %v", step.add, got, err)
		}
	}
	r.Git("config", "branch."+r.Git("branch", "--show-current")+".remote", "two")
	if got, err := sync.Choose(r.Session()); got != "two" || err != nil {
		t.Errorf("the branch follows two: %q, %v", got, err)
	}
	var address *sync.AddressError
	r.Git("config", "branch."+r.Git("branch", "--show-current")+".remote", "https://me:pw@fork.example/x")
	if got, err := sync.Choose(r.Session()); got != "" || !errors.As(err, &address) || !errors.Is(err, sync.ErrNoRemote) || strings.Contains(err.Error(), "pw") {
		t.Errorf("the branch follows an address: %q, %v", got, err)
	}
	r.Git("remote", "set-url", "two", "https://me:pw@fork.example/x")
	if got, err := sync.Choose(r.Session()); got != "two" || err != nil {
		t.Errorf("the branch follows the address of two: %q, %v", got, err)
	}
	if got := sync.Remotes(r.Open()); !slices.Equal(got, []string{"one", "origin", "two"}) {
		t.Errorf("remotes: %q", got)
	}
}

// An address is no name of a ref, and no two addresses share one.
func TestTracked(t *testing.T) {
	r := gittest.New(t)
	r.Git("remote", "add", "team/origin", "/nowhere")
	repo := r.Open()
	if got := sync.Tracked(repo, "team/origin"); got != "refs/covenant-remote/team/origin/" {
		t.Error(got)
	}
	seen := map[string]bool{}
	for _, url := range []string{"../x", "https://h/x?y", "../y", "origin", ""} {
		at := sync.Tracked(repo, url)
		if seen[at] || !strings.HasPrefix(at, provenance.RemotePrefix+"url-") {
			t.Errorf("%q: %s", url, at)
		}
		seen[at] = true
		r.Git("check-ref-format", at+"notes")
	}
}

func TestLimits(t *testing.T) {
	for _, bytes := range []int64{1, sync.Default.Bytes, sync.Default.Bytes + 1, 1 << 40, math.MaxInt64 >> 13} {
		l := sync.Default.Up(bytes)
		if l.Bytes != bytes || l.Entries < sync.Default.Entries || l.Ledgers < sync.Default.Ledgers {
			t.Errorf("%d: %+v", bytes, l)
		}
	}
}

// A remote that has nothing of ours is looked at, and nothing is made of it.
func TestLookAtNothing(t *testing.T) {
	there := gittest.New(t)
	there.Write("a", "1\n")
	there.Commit("one")
	here := gittest.New(t)
	s := here.Session()
	found, err := sync.Look(context.Background(), s, there.Dir)
	if found != nil || err != nil {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := sync.Look(context.Background(), s, there.Dir+"-not"); err == nil {
		t.Error("a remote that is not there answered")
	}
	if refs := here.Git("for-each-ref"); refs != "" {
		t.Errorf("refs: %s", refs)
	}
}

// What people see, and configuration keeps, of an address has no password.
func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		"http://127.0.0.1:1?@good.example/x": "http://127.0.0.1:1?@good.example/x",
		"http://127.0.0.1:1#@good.example/x": "http://127.0.0.1:1#@good.example/x",
		"https://me:pw@evil.example?@good/x": "https://evil.example?@good/x",
		"origin":                             "origin", "../x": "../x", "/a/b": "/a/b", "git@h:a/b": "git@h:a/b", "ssh://git@h/a": "ssh://git@h/a", "ssh://git:pw@h/a": "ssh://h/a",
		"https://token@h/a": "https://h/a", "https://u:p@h:1/a@b": "https://h:1/a@b", "https://u:p@x@h/": "https://h/", "https://h": "https://h",
	} {
		if got := sync.Shown(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
