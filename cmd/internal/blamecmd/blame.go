// Package blamecmd is the command "blame": who answers for each line of a file.
package blamecmd

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var asJSON bool
	var root string
	cmd := &cobra.Command{
		Use:   "blame [REV] FILE",
		Short: "Show for each line the commit, who sealed it, who answers for it, and the verdict",
		Long: `Show for each line of FILE, as it is at REV (default HEAD), the commit that Git
blames, the principal that sealed that commit, the accountable human, and whether
the seal holds. Git's own blame decides which commit a line is from.`,
		Example: `  covenant blame src/main.go
  covenant blame v1.2 src/main.go --json | jq -r 'select(.verdict!="sealed")|.line'`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), env, root, asJSON, args) },
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object per line")
	cmd.Flags().StringVar(&root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	return cmd
}

// Line is one line with --json.
type Line struct {
	Type      string             `json:"type"` // "line"
	Line      int                `json:"line"`
	Commit    string             `json:"commit"`
	Verdict   verdict.Verdict    `json:"verdict"`
	Mode      string             `json:"mode,omitempty"`
	Principal *verdict.Principal `json:"principal,omitempty"`
	Text      string             `json:"text"`
}

type blamed struct {
	commit oid.ID
	text   string
}

func run(ctx context.Context, env *cli.Env, root string, asJSON bool, args []string) error {
	rev, file := "HEAD", args[len(args)-1]
	if len(args) == 2 {
		rev = args[0]
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	pin, err := w.Pin(root)
	if err != nil {
		return err
	}
	span, err := provenance.ParseSpan(w.Session, rev)
	if err != nil {
		return work.Explain(err)
	}
	if span.Ranged {
		return cli.Usage("blame looks at one revision, not at the range %q", rev)
	}
	out, err := w.Session.Repo().Run(ctx, nil, "blame", "--line-porcelain", span.Tips[0].String(), "--", file)
	if err != nil {
		if hasPath(ctx, w, span.Tips[0].String(), file) {
			return cli.Hint(err, "in a partial clone, git blame fetches what is missing: git blame "+say.Shell(rev)+" -- "+say.Shell(file))
		}
		return cli.Hint(err, "FILE is a path of that revision, as seen from here; list them with: git ls-tree -r --name-only "+say.Shell(rev))
	}
	lines, err := parse(out)
	if err != nil {
		return err
	}
	only := map[oid.ID]bool{}
	for _, l := range lines {
		only[l.commit] = true
	}
	if len(lines) == 0 {
		return nil
	}
	opts := w.Verifying(pin)
	opts.Only = only
	rep, err := provenance.Verify(ctx, w.Session, span, opts)
	if err != nil {
		return work.Explain(err)
	}
	results := map[oid.ID]verdict.Result{}
	for r, err := range rep.Results {
		if err != nil {
			return work.Explain(err)
		}
		results[r.Commit] = r
	}
	for i, l := range lines {
		r := results[l.commit]
		if asJSON {
			err = env.JSON(Line{"line", i + 1, l.commit.String(), r.Verdict, string(r.Mode), r.Principal, l.text})
		} else {
			err = print(env, i+1, l, &r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hasPath reports whether the revision has the path, as seen from here: then blame failed for want of objects.
func hasPath(ctx context.Context, w *work.Work, rev, file string) bool {
	out, err := w.Session.Repo().Run(ctx, nil, "ls-tree", "-z", rev, "--", file)
	return err == nil && len(out) > 0
}

func print(env *cli.Env, n int, l blamed, r *verdict.Result) error {
	who := "-"
	if r.Principal != nil {
		who = provenancecmd.Who(r.Principal)
	}
	p := env.Palette()
	word := fmt.Sprintf("%-8s", r.Verdict)
	if !r.Verdict.OK() {
		word = p.Bad(word)
	}
	_, err := fmt.Fprintf(env.Out, "%s %s %-24s %5d  %s\n", p.Mark(l.commit.Short()), word, who, n, say.Line(l.text))
	return err
}

// parse reads git blame --line-porcelain: a header that starts with the commit,
// other headers, and the line after a tab.
func parse(b []byte) ([]blamed, error) {
	var out []blamed
	var at oid.ID
	for line := range bytes.Lines(b) {
		text := strings.TrimSuffix(string(line), "\n")
		if rest, ok := strings.CutPrefix(text, "\t"); ok {
			if at.IsZero() {
				return nil, fmt.Errorf("git blame: line %d has no commit", len(out)+1)
			}
			out = append(out, blamed{at, rest})
			at = oid.ID{}
			continue
		}
		if !at.IsZero() {
			continue
		}
		name, numbers, _ := strings.Cut(text, " ")
		first, _, _ := strings.Cut(numbers, " ")
		if _, err := strconv.Atoi(first); err != nil {
			return nil, fmt.Errorf("git blame: unexpected line %.60q", text)
		}
		id, err := oid.Parse(name)
		if err != nil {
			return nil, fmt.Errorf("git blame: %w", err)
		}
		at = id
	}
	return out, nil
}
