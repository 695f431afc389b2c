package work

import (
	"context"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Names are the names of principals, for completion: none where there is no answer.
func Names(env *cli.Env) func(context.Context, string) []string {
	return func(ctx context.Context, _ string) []string {
		w, pin, err := OpenPinned(ctx, env, "")
		if err != nil {
			return nil
		}
		defer w.Close()
		f, err := provenance.LoadAuthority(ctx, w.Session, pin)
		if err != nil {
			return nil
		}
		var out []string
		for _, p := range f.Authority.Principals() {
			out = append(out, p.Name)
		}
		slices.Sort(out)
		return out
	}
}

// Revisions are HEAD and the short names of branches and tags, for completion; after "A.." they are the ends of a range.
func Revisions(env *cli.Env) func(context.Context, string) []string {
	return func(ctx context.Context, typed string) []string {
		w, err := Open(ctx, env)
		if err != nil {
			return nil
		}
		defer w.Close()
		names, err := w.Session.Repo().Run(ctx, nil, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags", "refs/remotes")
		if err != nil {
			return nil
		}
		from := ""
		if i := strings.LastIndex(typed, ".."); i >= 0 {
			from = typed[:i+2]
		}
		out := []string{from + "HEAD"}
		for _, name := range strings.Fields(string(names)) {
			out = append(out, from+name)
		}
		return out
	}
}
