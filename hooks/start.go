package hooks

import (
	"context"
	"fmt"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/git/provenance"
	"github.com/open-covenant/covenant-git/hooks/agent"
	"github.com/open-covenant/covenant-git/hooks/journal"
)

// MaxContext bounds, in bytes, what an agent is told as its session starts.
const MaxContext = 4096

// start tells an agent who it is here, what it may do, and how to ask.
func (b *bench) start(ctx context.Context) (agent.Reply, error) {
	if b.s == nil {
		return agent.Reply{}, nil
	}
	err := b.note(journal.Line{State: journal.Over, Events: b.began()})
	var lines []string
	say := func(format string, a ...any) { lines = append(lines, oneLine(fmt.Sprintf(format, a...))) }
	a, why := b.who(ctx)
	if why != nil {
		say("Covenant governs this repository, and it is not known who you are: %v.", why)
		say("You may read. Whatever you would write or commit is refused until a person gives you an identity: %s", Mend(why))
		return agent.Reply{Context: fit(lines)}, err
	}
	p := a.principal
	say("Covenant governs this repository: what you write and commit is held to grants, recorded, and verified by others.")
	if p.Accountable == p.Name {
		say("You act as %s, a person.", p.Name)
	} else {
		say("You are %s (%s); %s answers for you.", p.Name, p.Kind, p.Accountable)
	}
	intent, ierr := Intent(b.in.Env, b.in.ConfigDir, b.s.Repo())
	switch {
	case ierr != nil:
		say("The intent is not valid: %v", ierr)
	case intent != "":
		say("You work on intent %s (what was asked: covenant intent show %s).", intent, intent)
	default:
		say("No intent is chosen; set COVENANT_INTENT where you are told one.")
	}
	ref, _ := b.s.ActingRef()
	if ref != "" {
		say("You are on %s.", strings.TrimPrefix(ref, "refs/heads/"))
	}
	now := b.in.Now()
	if p.Operator && p.MayAct == nil {
		say("You need no grant.")
	}
	held := 0
	for _, g := range a.authority.Grants() {
		if g.Granted.Subject.Name != p.Name || a.authority.State(g.ID, now) != capability.Active {
			continue
		}
		if held++; held > 12 {
			continue
		}
		limits := strings.Join(g.Granted.Scope.Flags(), " ")
		if limits != "" {
			limits = " within " + limits
		}
		if until := a.authority.Expires(g); until != "" {
			limits += ", until " + until
		}
		say("- You may %s%s.", g.Granted.Action, limits)
	}
	switch {
	case held > 12:
		say("- and by %d more grants: covenant capability list --to %s", held-12, p.Name)
	case held == 0 && !p.Operator:
		say("- You hold no grant: you may read, and ask.")
	}
	say("Refused: paths outside of that, for every tool that writes%s; and whatever goes around the gate (--no-verify, -c core.hooksPath, GIT_CONFIG_*, update-ref, notes, and writing to .git, hooks, keys or the settings of agents).", b.governs())
	say("A refusal says what would be needed. To ask %s: COVENANT_IDENTITY=%s covenant capability request --action repo.commit --path 'PATH' --expires 8h --reason 'WHY'", p.Accountable, p.Name)
	if b.in.choice().Explicit == "" {
		if name, _ := b.s.Repo().Config().Get(provenance.IdentityKey); name == p.Name {
			say("Commit as usual: your identity is chosen here.")
		}
	}
	return agent.Reply{Context: fit(lines)}, err
}

func (b *bench) governs() string {
	t := b.root.Policy.AgentTools()
	if t == nil {
		return ""
	}
	var out []string
	if len(t.Granted) > 0 {
		list := t.Granted[:min(len(t.Granted), 8)]
		out = append(out, "; tools without a grant of "+strings.Join(list, ", "))
	}
	if t.GrantedNetwork() {
		out = append(out, "; to reach hosts, but loopback, without a grant of network.connect")
	}
	if t.HasSecrets() {
		out = append(out, "; to read "+strings.Join(t.Secrets[:min(len(t.Secrets), 8)], ", ")+" without a grant of secret.read")
	}
	if t.RefuseHidden() {
		out = append(out, "; commands that hide what they run")
	}
	if t.RefuseUnrecorded() {
		out = append(out, "; commits of changes that no tool call tells of")
	}
	return strings.Join(out, "")
}

// fit joins lines, as many as go into a context. The last two are always there.
func fit(lines []string) string {
	const more = "- and more: covenant capability list"
	size := 0
	for _, l := range lines {
		size += len(l) + 1
	}
	for size > MaxContext-len(more)-1 && len(lines) > 3 {
		i := len(lines) - 3
		size -= len(lines[i]) + 1
		lines = append(lines[:i], lines[i+1:]...)
		if size <= MaxContext-len(more)-1 {
			lines = append(lines[:i], append([]string{more}, lines[i:]...)...)
			break
		}
	}
	out := strings.Join(lines, "\n") + "\n"
	if len(out) > MaxContext {
		out = strings.ToValidUTF8(out[:MaxContext-1], "") + "\n"
	}
	return out
}
