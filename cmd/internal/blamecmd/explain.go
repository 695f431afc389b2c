package blamecmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/provenancecmd"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/showcmd"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/audit"
	"github.com/open-covenant/covenant-git/git/oid"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// NewExplain returns the command "explain": why a line is there.
func NewExplain(env *cli.Env) *cobra.Command {
	var o explaining
	cmd := &cobra.Command{
		Use:   "explain [REV] FILE:LINE[,END]",
		Short: "Tell why lines are there: who, on whose authority, for which work, with what evidence",
		Long: `Tell why lines of FILE, as it is at REV (default HEAD), are there: the commit that Git blames,
who made them and who rewrote that, on whose authority, for which work, by which call of an agent's tool, with what
evidence and which reviews; and everything that is wrong. It is "covenant blame" and "covenant show" in one, and what agents'
hooks recorded besides: a call is named when it left the file as the commit has it, else those that wrote the
file before that commit. The exit code is 1 when one of the commits does not verify.`,
		Example: `  covenant explain src/main.go:42
  covenant explain v1.2 src/main.go:10,20 --json | jq -r .work.title`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), env, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON object per commit")
	f.BoolVarP(&o.space, "ignore-space", "w", false, "ignore whitespace when lines are compared")
	f.CountVarP(&o.moved, "moved", "M", "find lines that were moved or copied within the file")
	f.CountVarP(&o.copied, "copied", "C", "find lines from other files of the same commit; twice and thrice look further")
	f.StringVar(&o.root, "root", "", "digest of the trust root (default: COVENANT_ROOT, else covenant.root)")
	numbers(cmd)
	return cmd
}

type explaining struct{ options }

// Explained is what explain prints of one commit with --json.
type Explained struct {
	Type  string `json:"type"` // "explained"
	File  string `json:"file"`
	Path  string `json:"path"` // of the file in the commit
	Lines []Was  `json:"lines"`
	// Principals made these lines; RewrittenBy is who amended, rebased or picked what they made.
	Principals  []verdict.Principal `json:"principals"`
	RewrittenBy []verdict.Principal `json:"rewrittenBy,omitempty"`
	Written     []Write             `json:"written,omitempty"`
	showcmd.Shown
}

// Was is a line, and which it was of the file in the commit.
type Was struct {
	Line   int    `json:"line"`
	Origin int    `json:"origin"`
	Text   string `json:"text"`
}

// Write is a call of an agent's tool that wrote the file, as its hooks recorded it.
type Write struct {
	work.Call
	Lines string `json:"lines,omitempty"` // that it put in, as the file was then
	Left  bool   `json:"left"`            // it left the file as the commit has it
	// What a person had said before that in the session: the SHA-256 of it, in hexadecimal, after redaction. Transcript is the object that has what was said, where this clone kept it.
	Prompt     string `json:"prompt,omitempty"`
	Transcript string `json:"transcript,omitempty"`
	Put        bool   `json:"put,omitempty"` // these lines are among those that it put in
}

// Limits of what is told.
const (
	maxExplained = 16                  // commits
	maxWritten   = 8                   // calls
	maxShown     = 20                  // lines
	longAgo      = 30 * 24 * time.Hour // before a seal: calls that wrote the file are not looked for
)

var place = lazily(`^(.+):([1-9][0-9]{0,8})(?:[,-]([1-9][0-9]{0,8}))?$`)

func (o *explaining) run(ctx context.Context, env *cli.Env, args []string) error {
	at := place().FindStringSubmatch(args[len(args)-1])
	if at == nil {
		return cli.Hint(cli.Usage("%q names no line of a file", args[len(args)-1]), "such as: covenant explain src/main.go:42")
	}
	file, rev := at[1], "HEAD"
	if len(args) == 2 {
		rev = args[0]
	}
	o.lines = []string{at[2] + "," + cmp.Or(at[3], at[2])}
	w, pin, err := work.OpenPinned(ctx, env, o.root)
	if err != nil {
		return err
	}
	defer w.Close()
	span, err := provenance.ParseSpan(w.Session, rev)
	if err != nil {
		return work.Explain(err)
	}
	if span.Ranged {
		return cli.Usage("explain looks at one revision, not at the range %q", rev)
	}
	out, err := w.Session.Repo().Run(ctx, nil, append(o.blame(), span.Tips[0].String(), "--", file)...)
	if err != nil {
		return failed(ctx, w, o.options, err, rev, span.Tips[0].String(), file)
	}
	lines, err := parse(out)
	if err != nil {
		return err
	}
	groups := map[oid.ID][]blamed{}
	var order []oid.ID
	for _, l := range lines {
		if groups[l.commit] == nil {
			order = append(order, l.commit)
		}
		groups[l.commit] = append(groups[l.commit], l)
	}
	if len(order) > maxExplained {
		return cli.Hint(fmt.Errorf("these lines are of %d commits; up to %d are explained at once", len(order), maxExplained), "see who made which: covenant blame "+say.Shell(file))
	}
	opts := w.Looking(pin)
	opts.Among = func() map[oid.ID]bool {
		out := map[oid.ID]bool{}
		for id := range groups {
			out[id] = true
		}
		return out
	}
	results, err := w.Makers(span, opts)
	if err != nil {
		return err
	}
	facts, err := w.Cache(false).Load(ctx, w.Session, pin)
	if err != nil {
		return work.Explain(err)
	}
	good := true
	for i, id := range order {
		c, err := w.Session.Commit(id.String())
		if err != nil {
			return work.Explain(err)
		}
		st, err := showcmd.Of(ctx, w, pin, c, rev, facts)
		if err != nil {
			return err
		}
		good = good && st.Result.Verdict.OK()
		r := results[id]
		x := Explained{Type: "explained", File: file, Path: groups[id][0].path}
		for _, l := range groups[id] {
			x.Lines = append(x.Lines, Was{l.number, l.origin, l.text})
			made, rewrote := work.MadeBy(&r, l.path, l.origin)
			for _, p := range made {
				if !slices.Contains(x.Principals, p) {
					x.Principals = append(x.Principals, p)
				}
			}
			if rewrote != nil && !slices.Contains(x.RewrittenBy, *rewrote) {
				x.RewrittenBy = append(x.RewrittenBy, *rewrote)
			}
		}
		if x.Written, err = written(w, facts, &c, &st.Result, &r, &x); err != nil {
			return err
		}
		if o.json {
			if x.Shown, err = st.Shown(); err == nil {
				err = env.JSON(x)
			}
		} else {
			if i > 0 {
				fmt.Fprintln(env.Out)
			}
			err = x.tell(env, st)
		}
		if err != nil {
			return err
		}
	}
	if !good {
		return cli.No(nil)
	}
	return nil
}

// written finds the calls that put lines in, as a commit has them; where none did, those that left its file as the commit has it, and those that wrote it before that.
func written(w *work.Work, f *provenance.Facts, c *git.Commit, r, made *verdict.Result, x *Explained) ([]Write, error) {
	path, lines := x.Path, x.Lines
	o, err := w.Session.Object(c.ID.String()+":"+path, 0)
	digest := ""
	if err == nil {
		sum := sha256.Sum256(o.Data)
		digest = hex.EncodeToString(sum[:])
	} else if large := (*git.TooLargeError)(nil); !errors.Is(err, git.ErrMissing) && !errors.As(err, &large) {
		return nil, work.Explain(err)
	}
	var filter audit.Filter
	if sealed := r.Seal; sealed != nil && sealed.Seal != nil { // by one clock with what its hooks recorded; what a commit says of its time anybody chooses
		filter.Since = sealed.Seal.Predicate.Entry.When().Add(-longAgo)
	}
	list, err := audit.Writes(w.Session, f, filter, func(p string) bool { return p == path })
	if err != nil {
		return nil, work.Explain(err)
	}
	calls := make([]*audit.Written, 0, len(list))
	for i := range list {
		calls = append(calls, &list[i])
	}
	calls = work.Before(calls, r)
	var put []*audit.Written
	for i, call := range audit.PutIn(calls, o.Data, work.MakerNames(made, path)) {
		if call != nil && !slices.Contains(put, call) && slices.ContainsFunc(lines, func(l Was) bool { return l.Origin == i+1 }) {
			put = append(put, call)
		}
	}
	var chosen []*audit.Written
	switch {
	case len(put) > 0:
		chosen = put
	default:
		chosen = slices.DeleteFunc(slices.Clone(calls), func(x *audit.Written) bool { return !x.Left(digest) })
		if r.Seal != nil { // else it is not known when that was
			chosen = append(chosen, slices.DeleteFunc(slices.Clone(calls), func(x *audit.Written) bool { return x.Left(digest) })...)
		}
	}
	chosen = first(chosen, x.Principals, len(put) > 0)
	out := make([]Write, 0, min(len(chosen), maxWritten))
	for _, call := range chosen[:min(len(chosen), maxWritten)] {
		here := ""
		if call.Heard.Transcript != "" {
			if _, err := w.Session.Object(call.Heard.Transcript, 0); err == nil {
				here = call.Heard.Transcript
			}
		}
		out = append(out, Write{Prompt: call.Heard.SHA256, Transcript: here, Call: *work.CallOf(call), Lines: call.Lines(), Left: call.Left(digest), Put: len(put) > 0})
	}
	return out, nil
}

// first puts those calls first that were recorded by who made the lines, then the last one of each other; of calls that are not known to
// have put the lines in the last of each entry is left. So nobody crowds out what another recorded.
func first(calls []*audit.Written, makers []verdict.Principal, put bool) []*audit.Written {
	var out []*audit.Written
	rank := map[*audit.Written]int{}
	seen, entries := map[string]int{}, map[envelope.Digest]bool{}
	for _, c := range calls {
		if !put && entries[c.Entry] {
			continue
		}
		entries[c.Entry] = true
		if !slices.ContainsFunc(makers, func(p verdict.Principal) bool { return p.Name == c.By }) {
			seen[c.By]++
			rank[c] = seen[c.By]
		}
		out = append(out, c)
	}
	slices.SortStableFunc(out, func(a, b *audit.Written) int { return cmp.Compare(rank[a], rank[b]) })
	return out
}

func (x *Explained) tell(env *cli.Env, st *showcmd.Story) error {
	for i, l := range x.Lines {
		if i == maxShown {
			fmt.Fprintf(env.Out, "and %d more\n", len(x.Lines)-maxShown)
			break
		}
		fmt.Fprintf(env.Out, "%s:%d: %s\n", say.Name(x.File), l.Line, say.Clean(l.Text))
	}
	var lines []string
	var who []string
	for i := range x.Principals {
		who = append(who, provenancecmd.Who(&x.Principals[i]))
	}
	if len(who) > 0 {
		made := "these lines: made by " + strings.Join(who, ", ")
		for i := range x.RewrittenBy {
			made += map[bool]string{true: ", rewritten by ", false: ", "}[i == 0] + say.Line(x.RewrittenBy[i].Name)
		}
		lines = append(lines, made)
	}
	for _, wr := range x.Written {
		text := "a call of " + say.Line(cmp.Or(wr.Tool, "a tool"))
		if wr.Session != "" {
			text += " in session " + say.Line(wr.Session)
		}
		if wr.Model != "" {
			text += " of " + say.Line(wr.Model)
		}
		text += ", at " + wr.Time + ", as " + say.Line(wr.Principal) + " recorded"
		switch {
		case wr.Put:
			lines = append(lines, "written:     by "+text+" ("+envelope.Digest(wr.Entry).Short()+")")
		case wr.Left:
			lines = append(lines, "written:     so the file was left by "+text+" ("+envelope.Digest(wr.Entry).Short()+")")
		default:
			lines = append(lines, "written:     before that, the file was written by "+text+" ("+envelope.Digest(wr.Entry).Short()+")")
		}
		if wr.Prompt != "" {
			lines = append(lines, "asked:       by a prompt whose SHA-256, after redaction, is "+wr.Prompt)
		}
		if wr.Transcript != "" {
			lines = append(lines, "transcript:  git cat-file blob "+wr.Transcript)
		}
	}
	return st.Tell(env, lines...)
}
