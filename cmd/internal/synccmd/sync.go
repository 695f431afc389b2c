// Package synccmd is the command "sync": it exchanges the record with a remote.
package synccmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/cmd/internal/terminal"
	"github.com/open-covenant/covenant-git/cmd/internal/work"
	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/git/sync"
)

type options struct {
	fetchOnly, pushOnly, purge, yes, json bool
	limit                                 string
}

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "sync [REMOTE]",
		Short: "Exchange the record with a remote: fetch, check, adopt, and send",
		Long: `Exchange ledgers, trust root and notes with a remote: the one the branch follows, else
origin; an address that is no remote of this clone only if you name it. What comes is checked
before anything of it is in this clone: ledgers only go on, by writers whom the trust root or a
grant introduced, and the root only along the chain from the pin.
What was rolled back, forked or replaced there is told with the evidence, not adopted, and exit
code 1. What this clone has and the remote lacks is sent, never by force, if you agreed to
(git config covenant.REMOTE.publish true).

A push does the same by itself, and a pull that brings commits fetches; a pull that finds none
runs no hook, and a plain git fetch never does: what others revoked meanwhile is seen after a sync.
git config covenant.sync false turns it off.
--purge takes the record away from a remote.`,
		Example: `  covenant sync
  covenant sync upstream --fetch-only
  covenant sync --purge origin`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return run(cmd.Context(), env, o, args) },
	}
	f := cmd.Flags()
	f.BoolVar(&o.fetchOnly, "fetch-only", false, "send nothing")
	f.BoolVar(&o.pushOnly, "push-only", false, "fetch only if the remote has more than this clone knows")
	f.BoolVar(&o.purge, "purge", false, "delete the record at REMOTE, which must be named")
	f.BoolVar(&o.yes, "yes", false, "do not ask: send the record, or purge it")
	f.StringVar(&o.limit, "limit", "256m", "the most to take at once, such as 1g")
	f.BoolVar(&o.json, "json", false, "print one JSON object per ref that moved, finding, and sum")
	return cmd
}

// Line is a ref that moved, with --json.
type Line struct {
	Type    string `json:"type"` // "moved"
	Where   string `json:"where"`
	Name    string `json:"name"` // of a ledger "<topic>/<writer>", else the ref's
	From    string `json:"from,omitempty"`
	To      string `json:"to"`
	Entries int    `json:"entries,omitempty"`
}

// FindingLine is something wrong, with --json.
type FindingLine struct {
	Type string `json:"type"` // "finding" or "warning"
	verdict.Finding
}

// Summary comes last with --json.
type Summary struct {
	Type     string   `json:"type"` // "summary"
	Remote   string   `json:"remote"`
	Adopted  int      `json:"adopted"`
	Sent     int      `json:"sent"`
	Root     string   `json:"root"` // in force here
	Unknown  []string `json:"unknown"`
	Dropped  []string `json:"dropped"`  // of which ledgers, and how much
	Withheld int      `json:"withheld"` // refs that were not sent, since nobody agreed
	OK       bool     `json:"ok"`
}

func run(ctx context.Context, env *cli.Env, o options, args []string) error {
	if o.fetchOnly && o.pushOnly {
		return cli.Usage("--fetch-only and --push-only exclude each other")
	}
	limits, err := limitsOf(o.limit)
	if err != nil {
		return err
	}
	w, err := work.Open(ctx, env)
	if err != nil {
		return err
	}
	defer w.Close()
	remote := ""
	switch {
	case len(args) > 0:
		remote = args[0]
	case o.purge:
		return cli.Usage("--purge needs the name of the remote")
	default:
		if remote, err = sync.Choose(w.Session); err != nil {
			return cli.Hint(err, "name one: covenant sync REMOTE", "see what there is: git remote -v")
		}
	}
	if o.purge {
		return purge(ctx, w, remote, o)
	}
	pin, err := w.Pin("")
	if err != nil {
		return err
	}
	if err := join(ctx, w, remote, pin, o); err != nil {
		return err
	}
	publish, unasked, err := consent(ctx, w, remote, o)
	if err != nil {
		return err
	}
	opts := sync.Options{Remote: remote, Pin: pin, Now: env.Now(), Limits: limits, Fetch: !o.pushOnly, Publish: publish, Weigh: unasked}
	rep, err := exchange(ctx, w, opts)
	if err != nil {
		return err
	}
	withheld := 0
	if len(rep.Lacks) > 0 {
		yes, err := ask(ctx, w, remote, rep.Lacks)
		switch {
		case errors.Is(err, terminal.ErrNone):
			withheld = len(rep.Lacks)
		case err != nil:
			return err
		case yes:
			if rep, err = send(ctx, w, opts, rep); err != nil {
				return err
			}
		}
	}
	if err := late(ctx, w, rep, pin); err != nil {
		return explain(err, remote)
	}
	if err := tell(env, w, rep, pin, withheld, o.json); err != nil {
		return err
	}
	if err := lost(ctx, w, rep, pin); err != nil { // all is done: what became of steps of intents is told besides
		env.Talk().Warn("whether steps of intents were lost to others can't be told: %s", say.Line(err.Error()))
	}
	switch {
	case !rep.OK():
		return cli.No(nil)
	case rep.Rejected != nil:
		return cli.Hint(fmt.Errorf("%s did not take all of it: %w", rep.Remote, rep.Rejected), "ask who keeps it whether refs/covenant and refs/notes may be pushed there")
	case withheld > 0:
		were, them := "refs were", "them"
		if withheld == 1 {
			were, them = "ref was", "it"
		}
		return cli.Hint(fmt.Errorf("%d %s not sent to %s: nobody said that it may have %s", withheld, were, rep.Remote, them),
			"send them, now and from now on: covenant sync "+say.Shell(sync.Shown(remote))+" --yes", "or never: git config "+sync.PublishKey(w.Session.Repo(), remote)+" false")
	}
	return nil
}

// exchange syncs once, and shows that something goes on.
func exchange(ctx context.Context, w *work.Work, o sync.Options) (*sync.Report, error) {
	done := ticking(w.Env, o.Remote)
	rep, err := sync.Run(ctx, w.Session, o)
	done()
	if errors.Is(err, sync.ErrTooMuch) {
		return rep, cli.Hint(err, "if that is what you expect: covenant sync "+say.Shell(sync.Shown(o.Remote))+" --limit "+next(o.Limits))
	}
	return rep, explain(err, o.Remote)
}

// send publishes what a run that fetched found lacking, and returns what both did.
func send(ctx context.Context, w *work.Work, o sync.Options, fetched *sync.Report) (*sync.Report, error) {
	o.Fetch, o.Publish, o.Weigh = false, true, false
	if fetched.Root != nil {
		o.Pin = fetched.Root.Digest
	}
	rep, err := exchange(ctx, w, o)
	if err != nil {
		return rep, err
	}
	rep.Adopted = append(fetched.Adopted, rep.Adopted...)
	rep.Unknown = append(fetched.Unknown, rep.Unknown...)
	rep.Refused = append(fetched.Refused, rep.Refused...)
	rep.Warnings = append(fetched.Warnings, rep.Warnings...)
	if rep.Root == nil {
		rep.Root = fetched.Root
	}
	return rep, nil
}

// late warns of what counts for nothing here under a trust root that came into force with the sync.
func late(ctx context.Context, w *work.Work, rep *sync.Report, pin envelope.Digest) error {
	if rep.Root == nil {
		return nil
	}
	f, err := provenance.Load(ctx, w.Session, pin)
	if err != nil {
		return err
	}
	list, err := f.Late(w.Session)
	for _, l := range list {
		if l.Left() {
			rep.Warnings = append(rep.Warnings, l.Finding())
		}
	}
	return err
}

// ticking shows that something goes on, since Git says nothing of how far it has come.
func ticking(env *cli.Env, remote string) (done func()) {
	p := env.Talk().Progress("syncing with "+sync.Shown(remote)+", seconds:", 0)
	stop := make(chan struct{})
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-stop:
				return
			case <-t.C:
				p.Add(1)
			}
		}
	}()
	return func() { close(stop); p.Done() }
}

// join puts the pinned root in force where it is not here yet.
func join(ctx context.Context, w *work.Work, remote string, pin envelope.Digest, o options) error {
	if o.pushOnly {
		_, err := provenance.RootDigest(w.Session)
		return work.Explain(err)
	}
	has, err := sync.Begin(ctx, w.Session, remote, pin)
	if err == nil && !has {
		return cli.Hint(fmt.Errorf("%s has no trust root, and this clone pins %s", sync.Shown(remote), pin), "name a remote that has it: covenant sync REMOTE")
	}
	return explain(err, remote)
}

// consent finds out whether the record may be sent, and whether nobody has said so yet.
func consent(ctx context.Context, w *work.Work, remote string, o options) (publish, unasked bool, err error) {
	if o.fetchOnly {
		return false, false, nil
	}
	said, asked, err := sync.Agreed(ctx, w.Session, remote)
	switch {
	case err != nil:
		return false, false, explain(err, remote)
	case asked && (!o.yes || said):
		return said, false, nil
	case o.yes:
		r := w.Session.Repo()
		where := sync.Goes(ctx, r, remote)
		if shown := sync.Shown(remote); where != shown {
			where = shown + " (" + where + ")"
		}
		w.Env.Talk().Note("the record goes to %s, now and with every push; no more of it: git config %s false", where, sync.PublishKey(r, remote))
		return true, false, w.SetConfig(ctx, false, sync.PublishKey(r, remote), "true")
	}
	return false, true, nil
}

// ask asks whether refs may be sent to a remote, now and from now on. Where there is no terminal to ask on, the error is terminal.ErrNone.
func ask(ctx context.Context, w *work.Work, remote string, refs []string) (bool, error) {
	r := w.Session.Repo()
	yes, err := terminal.Confirm(sync.Publishing(refs, remote, sync.Goes(ctx, r, remote)))
	if err != nil {
		return false, err
	}
	return yes, w.SetConfig(ctx, false, sync.PublishKey(r, remote), strconv.FormatBool(yes))
}

func explain(err error, remote string) error {
	var failed *git.CommandError
	if errors.As(err, &failed) && len(cli.Hints(err)) == 0 {
		return cli.Hint(err, "see whether Git reaches it: git ls-remote "+say.Shell(sync.Shown(remote)), "see which remotes there are: git remote -v")
	}
	return work.Explain(err)
}

func tell(env *cli.Env, w *work.Work, rep *sync.Report, pin envelope.Digest, withheld int, asJSON bool) error {
	root, _ := provenance.RootDigest(w.Session)
	if rep.NoView != nil {
		env.Talk().Note("%s did not take the notes view; who clones it makes one of the ledgers: covenant doctor --fix", rep.Remote)
	}
	if other := env.Value("COVENANT_ROOT"); rep.Root != nil && other != "" && other != string(rep.Root.Digest) {
		env.Talk().Note("version %d of the trust root is in force; COVENANT_ROOT still says %s", rep.Root.Version, pin)
	}
	if asJSON {
		return tellJSON(env, rep, root, withheld)
	}
	var b strings.Builder
	p := env.Palette()
	for _, m := range rep.Adopted {
		fmt.Fprintf(&b, "%s %s %s%s\n", p.Good("adopted"), kind(m.Name), say.Name(m.Name), count(m.Entries))
	}
	if rep.Root != nil {
		fmt.Fprintf(&b, "%s trust root version %d %s\n", p.Good("in force"), rep.Root.Version, rep.Root.Digest)
	}
	for _, d := range rep.Dropped {
		fmt.Fprintf(&b, "%s of ledger %s\n", p.Good("dropped"), say.Name(d))
	}
	for _, m := range rep.Published {
		fmt.Fprintf(&b, "%s %s %s\n", p.Good("sent"), kind(m.Name), say.Name(m.Name))
	}
	for _, f := range rep.Refused {
		fmt.Fprintf(&b, "%s %s: %s: %s\n", p.Bad("refused"), f.Code, say.Name(f.Object), say.Line(f.Message))
		if f.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", say.Line(f.Hint))
		}
	}
	for _, f := range rep.Warnings {
		fmt.Fprintf(&b, "%s %s: %s: %s\n", p.Warn("warning"), f.Code, say.Name(f.Object), say.Line(f.Message))
		if f.Hint != "" {
			fmt.Fprintf(&b, "  hint: %s\n", say.Line(f.Hint))
		}
	}
	if n := len(rep.Unknown); n > 0 {
		fmt.Fprintf(&b, "%s %s: %d ledgers of %s are by writers whom nobody introduced, such as %s; they were left there\n",
			p.Warn("warning"), verdict.LedgerUnknown, n, say.Name(rep.Remote), say.Name(rep.Unknown[0]))
	}
	_, err := fmt.Fprint(env.Out, b.String())
	return err
}

func tellJSON(env *cli.Env, rep *sync.Report, root envelope.Digest, withheld int) error {
	for _, m := range rep.Adopted {
		if err := env.JSON(line("here", m)); err != nil {
			return err
		}
	}
	for _, m := range rep.Published {
		if err := env.JSON(line("there", m)); err != nil {
			return err
		}
	}
	for _, f := range rep.Refused {
		if err := env.JSON(FindingLine{"finding", f}); err != nil {
			return err
		}
	}
	for _, f := range rep.Warnings {
		if err := env.JSON(FindingLine{"warning", f}); err != nil {
			return err
		}
	}
	return env.JSON(Summary{
		Type: "summary", Remote: rep.Remote, Adopted: len(rep.Adopted), Sent: len(rep.Published), Root: string(root),
		Unknown: append([]string{}, rep.Unknown...), Dropped: append([]string{}, rep.Dropped...), Withheld: withheld, OK: rep.OK(),
	})
}

func line(where string, m sync.Move) Line {
	l := Line{Type: "moved", Where: where, Name: m.Name, To: m.To.String(), Entries: m.Entries}
	if !m.From.IsZero() {
		l.From = m.From.String()
	}
	return l
}

func kind(name string) string {
	if strings.HasPrefix(name, "refs/") {
		return "ref"
	}
	return "ledger"
}

func count(n int) string {
	switch n {
	case 0:
		return ""
	case 1:
		return ": 1 entry"
	}
	return fmt.Sprintf(": %d entries", n)
}

// limitsOf reads a size such as 256m or 1g.
func limitsOf(text string) (sync.Limits, error) {
	unit := int64(1)
	digits := strings.ToLower(text)
	for suffix, n := range map[string]int64{"k": 1 << 10, "m": 1 << 20, "g": 1 << 30} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, unit = rest, n
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n <= 0 || n > (1<<50)/unit {
		return sync.Limits{}, cli.Usage("--limit: %.40q is no size, such as 512m or 2g", text)
	}
	return sync.Default.Up(n * unit), nil
}

// next is a limit four times as high.
func next(l sync.Limits) string { return fmt.Sprintf("%dm", max(1, l.Bytes>>18)) }

// Purged is what --purge prints with --json.
type Purged struct {
	Type   string   `json:"type"` // "purged"
	Remote string   `json:"remote"`
	Refs   []string `json:"refs"`
}

func purge(ctx context.Context, w *work.Work, remote string, o options) error {
	refs, err := sync.Theirs(ctx, w.Session, remote)
	if err != nil {
		return explain(err, remote)
	}
	out := Purged{Type: "purged", Remote: sync.Shown(remote), Refs: []string{}}
	for _, r := range refs {
		out.Refs = append(out.Refs, r.Name)
	}
	if len(refs) > 0 && !o.yes {
		yes, err := terminal.Confirm(fmt.Sprintf("Delete all %d refs of the record at %s? Clones there keep theirs, and who verifies from %s alone finds nothing.", len(refs), say.Name(sync.Shown(remote)), say.Name(sync.Shown(remote))))
		if errors.Is(err, terminal.ErrNone) {
			return cli.Hint(fmt.Errorf("%d refs would be deleted at %s, and there is no terminal to ask on", len(refs), sync.Shown(remote)), "if you mean it: covenant sync --purge "+say.Shell(sync.Shown(remote))+" --yes")
		}
		if err != nil {
			return err
		}
		if !yes {
			return cli.No(errors.New("nothing was deleted"))
		}
	}
	if err := w.SetConfig(ctx, false, sync.PublishKey(w.Session.Repo(), remote), "false"); err != nil { // else the next push sent it all again
		return err
	}
	if err := sync.Purge(ctx, w.Session, remote, refs); err != nil {
		return cli.Hint(err, "the server may refuse deletions: ask who keeps it", "see what is still there: git ls-remote "+say.Shell(sync.Shown(remote))+" 'refs/covenant/*'")
	}
	if o.json {
		return w.Env.JSON(out)
	}
	if _, err := fmt.Fprintf(w.Env.Out, "%s %d refs at %s\n", w.Env.Palette().Good("deleted"), len(refs), say.Name(sync.Shown(remote))); err != nil {
		return err
	}
	w.Env.Talk().Note("this clone keeps its copy, and sends it there no more (%s is false)", sync.PublishKey(w.Session.Repo(), remote))
	w.Env.Talk().Note("the server may keep the objects until it collects them; other clones that agreed to publish will send theirs again")
	return nil
}
