package git

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Reader reads a repository. [Session] is one; package gogit has another for programs that read
// long ranges without a git binary. The methods promise what Session's say, with this freedom for
// other readers: names given to Object may be limited to object names, HEAD and full ref names
// with "^{kind}" and ":path" after them; text of commits may stay in the commit's encoding; the
// order of commits without ancestry between them is theirs.
type Reader interface {
	Object(name string, limit int64) (Object, error)
	Objects(names iter.Seq[string], limit int64) iter.Seq2[Object, error]
	Diff(old, new oid.ID) ([]Change, error)
	Refs(prefixes ...string) ([]Ref, error)
	Log(q LogQuery) iter.Seq2[Commit, error]
	Close() error
}

var _ Reader = (*Session)(nil)

// Opener opens a repository for reading. It refuses, with an error, a repository it could misread.
type Opener func(ctx context.Context, o Options) (Reader, error)

// Binary is the name of the reader that is always there: a [Session], through the git binary.
const Binary = "git"

var readers = struct {
	sync.Mutex
	m map[string]Opener
}{m: map[string]Opener{Binary: openSession}}

func openSession(ctx context.Context, o Options) (Reader, error) {
	r, err := Open(ctx, o)
	if err != nil {
		return nil, err
	}
	return r.Session(ctx), nil
}

// Register makes a reader known by name. The main package of a program that wants it does so, so
// that no program links what it does not use. A name registered twice is a mistake in the program,
// and panics.
func Register(name string, open Opener) {
	readers.Lock()
	defer readers.Unlock()
	if _, ok := readers.m[name]; ok {
		panic("git: reader " + name + " registered twice")
	}
	readers.m[name] = open
}

// OpenReader opens a repository with the reader of that name.
func OpenReader(ctx context.Context, name string, o Options) (Reader, error) {
	readers.Lock()
	open, ok := readers.m[name]
	var names []string
	for n := range readers.m {
		names = append(names, n)
	}
	readers.Unlock()
	if !ok {
		slices.Sort(names)
		return nil, fmt.Errorf("this program has no reader %q, only %s", name, strings.Join(names, ", "))
	}
	return open(ctx, o)
}
