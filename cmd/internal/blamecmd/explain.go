package blamecmd

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
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
	RewrittenBy *verdict.Principal  `json:"rewrittenBy,omitempty"`
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
	Entry     string `json:"entry"`
	Principal string `json:"principal"` // whose record it is
	Session   string `json:"session,omitempty"`
	Tool      string `json:"tool,omitempty"`
	Call      string `json:"call,omitempty"`
	Time      string `json:"time"`
	Lines     string `json:"lines,omitempty"` // that it put in
	Left      bool   `json:"left"`            // it left the file as the commit has it
	Put       bool   `json:"put,omitempty"`   // and these lines are among those that it put in
}

// Limits of what is told.
const (
	maxExplained = 16                  // commits
	maxWritten   = 8                   // calls
	maxShown     = 20                  // lines
	longAgo      = 30 * 24 * time.Hour // before a seal: calls that wrote the file are not looked for
)

var place = regexp.MustCompile(`^(.+):([1-9][0-9]{0,8})(?:[,-]([1-9][0-9]{0,8}))?$`)

func (o *explaining) run(ctx context.Context, env *cli.Env, args []string) error {
	at := place.FindStringSubmatch(args[len(args)-1])
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
	facts, err := provenance.Load(ctx, w.Session, pin)
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
			made, rewrote := makers(&r, l.path, l.origin)
			for _, p := range made {
				if !slices.Contains(x.Principals, p) {
					x.Principals = append(x.Principals, p)
				}
			}
			x.RewrittenBy = cmp.Or(x.RewrittenBy, rewrote)
		}
		if x.Written, err = written(w, facts, &c, &st.Result, x.Path, x.Lines); err != nil {
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

// written finds the calls that left a file as a commit has it, those first that put the lines in; where none did, those that wrote it before that.
func written(w *work.Work, f *provenance.Facts, c *git.Commit, r *verdict.Result, path string, lines []Was) ([]Write, error) {
	o, err := w.Session.Object(c.ID.String()+":"+path, 0)
	digest := ""
	if err == nil {
		sum := sha256.Sum256(o.Data)
		digest = hex.EncodeToString(sum[:])
	} else if large := (*git.TooLargeError)(nil); !errors.Is(err, git.ErrMissing) && !errors.As(err, &large) {
		return nil, work.Explain(err)
	}
	filter := audit.Filter{Kinds: []string{"file_written"}}
	if sealed := r.Seal; sealed != nil && sealed.Seal != nil { // by one clock with what its hooks recorded; what a commit says of its time anybody chooses
		at := sealed.Seal.Predicate.Entry.When()
		filter.Since, filter.Until = at.Add(-longAgo), at.Add(time.Minute)
	}
	var left, others []Write
	for e, err := range audit.Backwards(w.Session, f, filter) {
		if err != nil {
			return nil, work.Explain(err)
		}
		if e.Err != nil || e.Get("path") != path {
			continue
		}
		x := Write{
			Entry: string(e.ID), Principal: e.KeyID, Session: e.Session, Tool: e.Get("tool"), Call: e.Get("call"), Time: envelope.Timestamp(e.At),
			Left: digest != "" && e.Get("sha256") == digest,
		}
		if e.Principal != nil {
			x.Principal = e.Principal.Name
		}
		var ranges []string
		for _, d := range e.Data {
			if d.Name == "lines" {
				_ = json.Unmarshal(d.Value, &ranges) // its kind was held to it
			}
		}
		x.Lines = strings.Join(ranges, ",")
		if !x.Left {
			if r.Seal != nil { // else it is not known when that was
				others = append(others, x)
			}
			continue
		}
		x.Put = slices.ContainsFunc(lines, func(l Was) bool { return among(ranges, l.Origin) })
		left = append(left, x)
	}
	if put := slices.DeleteFunc(slices.Clone(left), func(x Write) bool { return !x.Put }); len(put) > 0 {
		return put[:min(len(put), maxWritten)], nil
	}
	all := append(left, others...)
	return all[:min(len(all), maxWritten)], nil
}

// among reports whether a line is in ranges as hooks record them: "3" or "3-7".
func among(ranges []string, line int) bool {
	return slices.ContainsFunc(ranges, func(r string) bool {
		from, to, _ := strings.Cut(r, "-")
		a, err := strconv.Atoi(from)
		b, berr := strconv.Atoi(cmp.Or(to, from))
		return err == nil && berr == nil && a <= line && line <= b
	})
}

func (x *Explained) tell(env *cli.Env, st *showcmd.Story) error {
	for i, l := range x.Lines {
		if i == maxShown {
			fmt.Fprintf(env.Out, "and %d more\n", len(x.Lines)-maxShown)
			break
		}
		fmt.Fprintf(env.Out, "%s:%d: %s\n", say.Name(x.File), l.Line, say.Line(l.Text))
	}
	var lines []string
	var who []string
	for i := range x.Principals {
		who = append(who, provenancecmd.Who(&x.Principals[i]))
	}
	if len(who) > 0 {
		made := "these lines: made by " + strings.Join(who, ", ")
		if x.RewrittenBy != nil {
			made += ", rewritten by " + say.Line(x.RewrittenBy.Name)
		}
		lines = append(lines, made)
	}
	for _, wr := range x.Written {
		text := "a call of " + say.Line(cmp.Or(wr.Tool, "a tool"))
		if wr.Session != "" {
			text += " in session " + say.Line(wr.Session)
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
	}
	return st.Tell(env, lines...)
}
