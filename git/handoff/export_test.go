package handoff

import (
	"testing"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/oid"
)

// World is a clone for tests that need packages which build on this one.
type World struct{ *world }

// HostileWorld returns a repository, and what signs there, as alice, handoffs of trees that no honest program makes, by name.
func HostileWorld(t testing.TB) (World, map[string]func() envelope.Digest) {
	w, cases := hostileTrees(t)
	out := map[string]func() envelope.Digest{}
	for name, c := range cases {
		out[name] = func() envelope.Digest { return w.forge(c.work, c.untracked, c.change) }
	}
	return World{w}, out
}

// Clone makes another clone.
func (w World) Clone(name string) World { return World{w.clone(name)} }

// Session opens it.
func (w World) Session() *git.Session { return w.session() }

// Pin is that of its trust root.
func (w World) Pin() envelope.Digest { return w.pin }

// Create hands off what is in the work tree.
func (w World) Create() *Made { return w.create(Creating{}) }

// Write puts a file into the work tree.
func (w World) Write(path, text string) { w.write(path, text) }

// Git runs git there.
func (w World) Git(args ...string) string { return w.git(args...) }

// Try runs git there, and returns how that ends.
func (w World) Try(args ...string) error { _, err := w.try(args...); return err }

// CommitOf writes a commit of any tree.
func (w World) CommitOf(tree oid.ID) oid.ID { return w.commitOf(tree) }
