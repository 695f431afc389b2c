package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/redaction"
	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/journal"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Tooling is what an agent's moments need beside a moment of Git's.
type Tooling struct {
	// Shell tells what a command would do. nil: all of it is hidden.
	Shell func(command, dir, home string, alias func(string) (string, bool)) agent.Effects
	Home  string // the user's
	Bin   string // where our programs stand
	// Above names the processes that we were started by, the nearest first, by what no others ever are called. nil, or none: they are not known.
	Above func() []string
	Stop  Afterwards // and the end of a session
}

// bench is one moment of an agent's in one repository.
type bench struct {
	in   *Input
	t    Tooling
	e    *agent.Event
	s    *git.Session // nil: there is no repository
	root *provenance.Root
	pin  envelope.Digest
	// acting, where it was found out; why tells why it could not be.
	acting *acting
	why    error
	out    agent.Effects // of a shell's command
	// removed says of paths of the work tree whether they are only removed.
	removed map[string]bool
	clean   *redaction.Redactor
	second  bool // another repository was asked before, also what is guarded wherever a tool works
}

// RunAgent does what is to do at a moment of an agent's, and returns what it is told. Where no repository is governed it does
// nothing. An error says that there is no answer: before a tool that is a refusal, as [agent.Refuse] writes it.
func RunAgent(ctx context.Context, in Input, t Tooling, e *agent.Event) (agent.Reply, error) {
	in.Moment, in.Tool, in.Attended, in.Ask = string(e.Moment), e.Agent, false, nil
	in.Env = unled(in.Env)
	dir := e.Cwd
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(in.Dir, dir) // where the agent started us
	}
	if !filepath.IsAbs(dir) {
		return agent.Reply{}, fmt.Errorf("%w: it is not known in which folder", agent.ErrPayload)
	}
	b := &bench{in: &in, t: t, e: e}
	err := b.open(ctx, dir)
	defer b.close()
	if err != nil {
		return agent.Reply{}, err
	}
	switch e.Moment {
	case agent.BeforeTool:
		return b.before(ctx, dir)
	case agent.AfterTool:
		return b.after(ctx, dir)
	case agent.SessionStart:
		return b.start(ctx)
	case agent.Stop, agent.SessionEnd:
		return agent.Reply{}, b.stop(ctx)
	}
	return agent.Reply{}, b.tell()
}

// unled is an environment without what says which repository Git works in, and where it looks for one, since an agent's tool is not started by Git; and without
// the ssh-agent, where keys of people are.
func unled(env []string) []string {
	return slices.DeleteFunc(slices.Clone(env), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		kept := name == "GIT_EXEC_PATH" || strings.HasPrefix(name, "GIT_CONFIG_") || strings.HasPrefix(name, "GIT_TRACE")
		return name == "SSH_AUTH_SOCK" || strings.HasPrefix(name, "GIT_") && !kept
	})
}

// open finds the repository at a directory, and whether it is governed: then b.s is there.
func (b *bench) open(ctx context.Context, dir string) error {
	in := b.in
	repo, err := git.Open(ctx, git.Options{Dir: dir, Env: in.Env, Stored: stored, Memory: provenance.MemoryFor(in.ConfigDir, in.lookup)})
	if errors.Is(err, git.ErrNotRepository) {
		return nil
	}
	if err != nil {
		return err
	}
	s := repo.Session(ctx)
	if b.pin, err = provenance.Pin(s, ""); err != nil {
		_ = s.Close()
		if errors.Is(err, provenance.ErrNotGoverned) {
			return nil
		}
		return err
	}
	in.memo = nil // of this repository
	if b.root, err = in.cache(repo).OpenRoot(s, b.pin); err != nil {
		_ = s.Close()
		return err
	}
	b.s = s
	return nil
}

func (b *bench) close() {
	if b.s != nil {
		_ = b.s.Close()
	}
}

// who finds out who acts, once.
func (b *bench) who(ctx context.Context) (*acting, error) {
	if b.acting == nil && b.why == nil {
		b.acting, b.why = b.in.whoUnder(ctx, b.s, b.root)
	}
	return b.acting, b.why
}

// effects are what a tool would do, or did: the places that it writes, those in other work trees by the folder that these begin at, and what it looks at.
func (b *bench) effects(ctx context.Context, dir string) (mine []site, others map[string][]site, reads []agent.Named, err error) {
	var alias func(string) (string, bool)
	if b.s != nil {
		config := b.s.Repo().Config()
		alias = func(name string) (string, bool) { return config.Get("alias." + name) }
	}
	if b.e.Kind == agent.Shell || b.e.Command != "" {
		b.out = agent.Effects{Hidden: []string{"all of it"}}
		if b.t.Shell != nil {
			b.out = b.t.Shell(b.e.Command, dir, b.t.Home, alias)
		}
	}
	written, reads, err := b.targets(dir)
	if errors.Is(err, errSites) && b.asWhole(ctx, dir) {
		written, reads, err = b.targets(dir)
	}
	if err != nil {
		return nil, nil, nil, err
	}
	mine, others = b.apart(written)
	if len(b.out.Around) > 0 || len(b.out.As) > 0 { // it may be about a repository that is only named
		named := slices.Clone(b.e.Roots)
		for _, r := range reads {
			named = append(named, r.Path)
		}
		for _, p := range named[:min(len(named), maxSites)] {
			if at, err := follow(p, true); err == nil {
				t := treeOf(at)
				if _, err := os.Stat(filepath.Join(at, "HEAD")); t == "" && err == nil {
					t = at // a git directory
				}
				if t != "" && (b.s == nil || t != b.workTree()) {
					others[t] = append(others[t], []site{}...)
				}
			}
		}
	}
	return mine, others, reads, nil
}

// elsewhere does something in each other repository that a tool writes in and that is governed.
func (b *bench) elsewhere(ctx context.Context, others map[string][]site, do func(o *bench, written []site) (agent.Reply, error)) (agent.Reply, error) {
	for _, top := range sortedKeys(others) {
		o := &bench{in: b.in, t: b.t, e: b.e, out: b.out, second: true}
		if err := o.open(ctx, top); err != nil {
			return agent.Reply{}, err
		}
		if o.s == nil {
			continue
		}
		r, err := do(o, others[top])
		o.close()
		if err != nil || r.Deny != "" {
			return r, err
		}
	}
	return agent.Reply{}, nil
}

// before decides whether a tool may run.
func (b *bench) before(ctx context.Context, dir string) (agent.Reply, error) {
	mine, others, reads, err := b.effects(ctx, dir)
	if err != nil {
		return agent.Reply{}, err
	}
	if b.s != nil {
		if r, err := b.judge(ctx, mine, reads); err != nil || r.Deny != "" {
			return r, err
		}
	} else if why := b.guardedAtHome(mine, reads); why != "" {
		return agent.Reply{Deny: "covenant: refused: " + oneLine(why) + "\nhint: no grant allows this; ask a person to do it"}, nil
	}
	return b.elsewhere(ctx, others, func(o *bench, written []site) (agent.Reply, error) { return o.judge(ctx, written, reads) })
}

// judge decides in one repository. written are the places that the tool would write there.
func (b *bench) judge(ctx context.Context, written []site, reads []agent.Named) (agent.Reply, error) {
	paths := b.inTree(written)
	if err := b.note(journal.Line{State: journal.Invoked, Events: b.invoked(paths)}); err != nil && b.e.Kind != agent.Read {
		return agent.Reply{}, err
	}
	why, hints, needed := b.decide(ctx, written, paths, reads)
	if why == "" {
		return agent.Reply{}, nil
	}
	b.hide(why)
	lines := []string{"covenant: refused: " + oneLine(why)}
	for _, h := range b.record(ctx, why, hints, needed) {
		lines = append(lines, "hint: "+oneLine(h))
	}
	return agent.Reply{Deny: strings.Join(lines, "\n")}, nil
}

// oneLine keeps a text to one line without control characters.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029' { // Cf has what turns the direction of a line
			return ' '
		}
		return r
	}, s)
}

// question is what was refused: what a grant would have to allow, and how the checkers answered.
type question struct {
	capability.Query
	decision capability.Decision
	asked    bool // of the checkers, who refused
}

// decide returns why a tool must not run, "" where it may.
func (b *bench) decide(ctx context.Context, written []site, paths []string, reads []agent.Named) (why string, hints []string, q *question) {
	e := b.e
	action := agent.Action(e.Tool)
	q = &question{Query: capability.Query{Action: action, At: b.in.Now()}}
	if len(b.out.Around) > 0 {
		return "it goes around the gate: " + strings.Join(b.out.Around[:min(len(b.out.Around), 4)], "; "), []string{"no grant allows this; do it without that, or ask a person to do it"}, q
	}
	if why := b.guarded(written, reads); why != "" {
		hints := []string{"no grant allows this; ask a person to do it"}
		if slices.ContainsFunc(b.out.Writes, func(w agent.Write) bool { return w.Found && !w.Spared && len(w.Names) == 0 }) {
			hints = append(hints, "say that find leaves Git's own out: find . -path ./.git -prune -o …; or which names it looks for: -name '*.log'")
		}
		return why, hints, q
	}
	tools := b.root.Policy.AgentTools()
	if tools.RefuseHidden() && len(b.out.Hidden) > 0 {
		return "the policy wants commands that say what they do, and it does not say: " + strings.Join(b.out.Hidden[:min(len(b.out.Hidden), 4)], "; "),
			[]string{"write names of files and commands out, one command at a time"}, q
	}
	governed := action == "" && tools.Govern("tool.call.x") || action != "" && tools.Govern(action)
	secrets, reach := b.secrets(reads), b.reach(ctx)
	if len(paths) == 0 && !governed && len(b.out.As) == 0 && len(secrets) == 0 && reach.none() {
		return "", nil, nil
	}
	a, err := b.who(ctx)
	if err != nil {
		return fmt.Sprintf("it is not known who acts: %v", err), []string{Mend(err)}, q
	}
	for _, name := range b.out.As {
		if name != a.principal.Name {
			return fmt.Sprintf("it goes around the gate: %s acts, and it chooses the identity %.80q", a.principal.Name, name), []string{"no grant allows this"}, q
		}
	}
	if q.Intent, err = Intent(b.in.Env, b.in.ConfigDir, b.s.Repo()); err != nil {
		return err.Error(), nil, q
	}
	if governed {
		if action == "" {
			return fmt.Sprintf("the policy wants a grant for tools, and the name of %.80q is too long for one", e.Tool), nil, q
		}
		q.Resource = arguments(e)
		if d := a.may(q.Query, b.asker(a)); !d.Allowed {
			q.decision, q.asked = d, true
			return fmt.Sprintf("%s is not allowed to %s: %s", action, a.principal.Name, d.Reason), nil, q
		}
	}
	for _, more := range []question{readsOf(secrets, q.Query), reach.asked(a, b.asker(a), q.Query)} {
		if more.Action == "" {
			continue
		}
		if d := a.may(more.Query, b.asker(a)); !d.Allowed {
			more.decision, more.asked = d, true
			return fmt.Sprintf("%s is not allowed to %s: %s", more.Action, a.principal.Name, d.Reason), reach.hints(&more), &more
		}
	}
	if len(paths) == 0 {
		return "", nil, nil
	}
	w := question{Query: capability.Query{Action: capability.Commit, At: q.At, Intent: q.Intent}}
	if w.Ref, err = b.s.ActingRef(); err != nil {
		return err.Error(), nil, q
	}
	w.Changes = changes(paths)
	d := a.may(w.Query, b.asker(a))
	if !d.Allowed {
		if left := b.committed(ctx, paths); len(left) < len(paths) {
			if len(left) == 0 {
				return "", nil, nil
			}
			w.Changes = changes(left)
			d = a.may(w.Query, b.asker(a))
		}
	}
	if d.Allowed {
		return "", nil, nil
	}
	w.decision, w.asked = d, true
	return fmt.Sprintf("%s is not allowed to %s: %s", w.Action, a.principal.Name, d.Reason), nil, &w
}

// asker is who decides: in this process, where the policy pins no plugins, as before a commit.
func (b *bench) asker(a *acting) verdict.Asker {
	if p := b.root.Policy; p != nil && len(p.Plugins) > 0 {
		return a.asker
	}
	return a.authority
}

func changes(paths []string) []pluginapi.Change {
	out := make([]pluginapi.Change, 0, len(paths))
	for _, p := range paths {
		out = append(out, pluginapi.Change{Path: []byte(p), Status: "M"})
	}
	return out
}

// committed leaves out what no commit would have: the paths that Git ignores and does not track, and those that are removed and are neither there nor in the index.
func (b *bench) committed(ctx context.Context, paths []string) []string {
	repo, err := git.Open(ctx, git.Options{Dir: b.s.Repo().WorkTree(), Env: b.in.Env, Memory: provenance.MemoryFor(b.in.ConfigDir, b.in.lookup)})
	if err != nil {
		return paths
	}
	left := paths
	if out, err := repo.Run(ctx, strings.NewReader(strings.Join(paths, "\x00")+"\x00"), "check-ignore", "-z", "--stdin"); err == nil { // else none is
		ignored := strings.Split(string(out), "\x00")
		left = slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return slices.Contains(ignored, p) })
	}
	var absent []string
	for _, p := range left {
		if _, err := os.Lstat(filepath.Join(b.workTree(), filepath.FromSlash(p))); b.removed[p] && errors.Is(err, fs.ErrNotExist) {
			absent = append(absent, p)
		}
	}
	if len(absent) == 0 {
		return left
	}
	out, err := repo.Run(ctx, nil, slices.Concat([]string{"--literal-pathspecs", "ls-files", "-z", "--"}, absent)...)
	if err != nil {
		return left
	}
	tracked := strings.Split(string(out), "\x00")
	return slices.DeleteFunc(slices.Clone(left), func(p string) bool {
		return slices.Contains(absent, p) && !slices.ContainsFunc(tracked, func(t string) bool { return t == p || strings.HasPrefix(t, p+"/") })
	})
}

// record writes the refusal into the ledger of who acts, where its key is here, and returns what to do about it.
func (b *bench) record(ctx context.Context, why string, hints []string, q *question) []string {
	a, err := b.who(ctx)
	if err != nil || q == nil || q.Action == "" {
		return hints
	}
	denied := &provenance.DeniedError{Action: q.Action, Who: a.principal.Name, Reason: why, Refused: q.decision.Refused}
	if q.asked {
		denied.Reason = q.decision.Reason
	}
	if hand, err := provenance.ChooseHand(b.s.Repo(), a.authority, a.choice); err == nil && b.often(ctx) {
		hints = append(hints, fmt.Sprintf("it is recorded with the session, since there were more than %d refusals in this hour", maxDenials))
	} else if err == nil {
		c := capability.Check{
			Action: q.Action, Checkers: q.decision.Checkers, Grants: []envelope.Digest{}, Intent: q.Intent, KeyID: hand.Signer.Public().ID(), Reason: b.redacted(denied.Reason), Ref: q.Ref,
			Refused: q.decision.Refused,
		}
		if q.Action == capability.Connect || q.Action == capability.ReadSecret {
			c.Resource = q.Resource
		}
		if c.Checkers == nil {
			c.Checkers = []string{}
		}
		for _, x := range q.Changes {
			c.Paths = append(c.Paths, strings.ToValidUTF8(string(x.Path), "\uFFFD"))
		}
		k := &provenance.Sealer{Session: b.s, Root: b.root, Authority: a.authority, Hand: hand, Moment: b.in.Moment, Now: b.in.Now, Intent: q.Intent}
		if id, err := k.Checked(ctx, c); err == nil {
			denied.Entry = id
		}
	}
	if !q.asked {
		if denied.Entry != "" {
			hints = append(hints, "it is recorded: covenant audit log")
		}
		return hints
	}
	needed := q.Query
	var told *RefusedError
	if errors.As(refused(a, denied, &needed), &told) {
		hints = append(hints, told.Hint...)
	}
	if s, err := capability.Needed(&needed, fewPaths); err == nil {
		words := append([]string{"covenant", "capability", "grant", "--to", a.principal.Name, "--action", needed.Action}, s.Flags()...)
		for i, w := range words {
			words[i] = word(w)
		}
		hints = append(hints, "what an operator could grant: "+strings.Join(words, " ")+" --expires 8h")
	}
	return hints
}

// maxArguments bounds, in bytes, the arguments of a call that a grant can be held to.
const maxArguments = 64 << 10

// arguments are what a grant's own arguments are compared with; none where they are too much: then such a grant refuses.
func arguments(e *agent.Event) map[string]any {
	var args map[string]any
	if len(e.Arguments) == 0 || len(e.Arguments) > maxArguments || json.Unmarshal(e.Arguments, &args) != nil {
		return nil
	}
	return map[string]any{"arguments": args}
}
