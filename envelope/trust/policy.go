package trust

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/git/pattern"
)

// ErrPolicy says that a policy is malformed.
var ErrPolicy = errors.New("not a valid policy")

// Limits of a policy.
const (
	maxPatterns   = 256 // of one list
	maxRules      = 1000
	maxNames      = 256 // principals, pieces of evidence, actions of one list
	maxReviews    = 16
	maxPlugins    = 32
	maxPins       = 64
	maxConfigs    = 64
	maxConfigSize = 1 << 20 // bytes of all configuration of one plugin
	maxPolicyText = 4 << 20 // bytes a person may write
	maxAccounts   = 10_000
)

// The words of a policy.
const (
	Witness = "witness" // modes a seal may have
	Vouch   = "vouch"

	Own   = "own" // what may cover a commit
	Blob  = "blob"
	Patch = "patch"
	// Partial: a commit may be derived of sealed ones that had more, which it left out.
	Partial = "partial"

	Ask = "ask" // how operator acts ask for presence
	SK  = "sk"
)

// Policy says what is demanded where. Its zero value, and a nil *Policy, demand
// the default. Lists are sorted, but for Rules, all of which count.
type Policy struct {
	Accounts         map[string]string `json:"accounts,omitempty"`         // account on a forge, HOST/NAME → the person whose it is
	Checks           []Check           `json:"checks,omitempty"`           // what counts as evidence, sorted by Name
	Coverage         []string          `json:"coverage,omitzero"`          // subset of Own, Blob, Partial, Patch, always with Own; absent: Own and Blob
	Evidence         []string          `json:"evidence,omitempty"`         // names of evidence a commit on a protected ref needs
	Exempt           []string          `json:"exempt,omitempty"`           // kinds whose commits need no seal: only Human may be
	MaxCheckpointAge string            `json:"maxCheckpointAge,omitempty"` // Go duration; absent: no checkpoint is needed
	Modes            []string          `json:"modes,omitzero"`             // subset of Witness, Vouch; absent: both
	Operators        []string          `json:"operators,omitzero"`         // actions that operators may do without a grant, exact or ending in ".*"; absent: all; empty: none
	Plugins          []Plugin          `json:"plugins,omitempty"`          // sorted by Name
	Presence         string            `json:"presence,omitempty"`         // Ask or SK; absent: none is asked for
	Protected        []string          `json:"protected,omitempty"`        // patterns of refs
	Reviews          int               `json:"reviews,omitempty"`          // distinct humans that must have reviewed
	Rules            []Rule            `json:"rules,omitempty"`            // who may change what on protected refs
	Tools            *Tools            `json:"tools,omitempty"`            // what is asked before agents' tools run; absent: nothing but what they write
	Version          int               `json:"version"`                    // 1
	WitnessQuorum    int               `json:"witnessQuorum,omitempty"`    // how many of Witnesses must have cosigned the checkpoint that is fresh enough
	Witnesses        []string          `json:"witnesses,omitempty"`        // keys of witnesses, as package tlog writes them: <name>+<key id>+<base64>
}

// Tools says what is asked before an agent's tool runs, beside whether it may write the paths it names, and what becomes of
// what cannot be told beforehand.
type Tools struct {
	Granted    []string `json:"granted,omitempty"`    // actions tool.call.<name>, or tool.call.*, that take a grant, sorted
	Hidden     string   `json:"hidden,omitempty"`     // Refuse: a shell command that hides what it runs or writes is refused; absent: it passes
	Network    string   `json:"network,omitempty"`    // Granted: what would reach a host takes a grant of network.connect; absent: it passes
	Secrets    []string `json:"secrets,omitempty"`    // patterns of paths in the work tree, or of ~/ and paths below the home: to read one takes a grant of secret.read, sorted
	Unrecorded string   `json:"unrecorded,omitempty"` // Refuse: agents' commits of changes that no call of a tool tells of are refused; absent: they are told
}

// What Tools may say of what cannot be told, and of what takes a grant.
const (
	Refuse  = "refuse"
	Granted = "granted"
)

// Govern reports whether a call of a tool takes a grant of its action.
func (t *Tools) Govern(action string) bool {
	return t != nil && slices.ContainsFunc(t.Granted, func(g string) bool {
		prefix, all := strings.CutSuffix(g, "*")
		return g == action || all && strings.HasPrefix(action, prefix)
	})
}

// GrantedNetwork reports whether what would reach a host takes a grant.
func (t *Tools) GrantedNetwork() bool { return t != nil && t.Network == Granted }

// Secret reports whether a file is one that takes a grant to be read. It is named by its path in the work tree, or by ~/ and its path below the home.
func (t *Tools) Secret(name string) bool { return t != nil && pattern.Any(t.Secrets, name) }

// HasSecrets reports whether there are such files.
func (t *Tools) HasSecrets() bool { return t != nil && len(t.Secrets) > 0 }

// RefuseHidden reports whether a command that hides what it does is refused.
func (t *Tools) RefuseHidden() bool { return t != nil && t.Hidden == Refuse }

// RefuseUnrecorded reports whether agents' commits of changes that no call of a tool tells of are refused.
func (t *Tools) RefuseUnrecorded() bool { return t != nil && t.Unrecorded == Refuse }

// AgentTools returns what the policy says of agents' tools, nil for the default.
func (p *Policy) AgentTools() *Tools {
	if p == nil {
		return nil
	}
	return p.Tools
}

func (p *Policy) checkTools() error {
	t := p.Tools
	if t == nil {
		return nil
	}
	for name, said := range map[string]string{"hidden": t.Hidden, "unrecorded": t.Unrecorded} {
		if said != "" && said != Refuse {
			return badPolicy("tools.%s: %.40q is not %q", name, said, Refuse)
		}
	}
	if t.Network != "" && t.Network != Granted {
		return badPolicy("tools.network: %.40q is not %q", t.Network, Granted)
	}
	if len(t.Granted) == 0 && len(t.Secrets) == 0 && t.Hidden == "" && t.Network == "" && t.Unrecorded == "" {
		return badPolicy("tools demands nothing")
	}
	if err := list("tools.secrets", t.Secrets, maxNames, pattern.Check); err != nil {
		return err
	}
	return list("tools.granted", t.Granted, maxNames, func(s string) error {
		if err := validAction(s); err != nil {
			return err
		}
		if !strings.HasPrefix(s, "tool.call.") {
			return fmt.Errorf("%.80q is no action of a tool; one is tool.call.bash, and all are tool.call.*", s)
		}
		return nil
	})
}

// Rule says who may change some paths on protected refs, and how. A list that is
// absent demands nothing.
type Rule struct {
	Evidence   []string `json:"evidence,omitempty"`
	Kinds      []string `json:"kinds,omitempty"` // kinds of principals
	Modes      []string `json:"modes,omitempty"`
	Paths      []string `json:"paths"` // patterns
	Principals []string `json:"principals,omitempty"`
	Reviews    int      `json:"reviews,omitempty"`
}

// Plugin is a capability plugin that must allow what is asked, beside the built-in checker.
type Plugin struct {
	Config map[string]string `json:"config,omitempty"` // file name → text
	Name   string            `json:"name"`
	Pins   map[string]string `json:"pins,omitempty"` // platform such as "linux/amd64" → "sha256:…" of the program
}

// Validate reports what makes the policy unusable, the first thing first. The
// error wraps ErrPolicy and names the field.
func (p *Policy) Validate() error {
	if p.Version > 1 {
		return newerPolicy(p.Version)
	}
	if p.Version != 1 {
		return badPolicy("version %d; this program reads version 1", p.Version)
	}
	kinds := []string{string(Agent), string(Automation), string(Human)}
	check := []error{
		list("protected", p.Protected, maxPatterns, checkRefs),
		list("exempt", p.Exempt, 1, oneOf(string(Human))),
		list("modes", p.Modes, 2, oneOf(Witness, Vouch)),
		list("coverage", p.Coverage, 4, oneOf(Own, Blob, Partial, Patch)),
		list("operators", p.Operators, maxNames, validAction),
		list("evidence", p.Evidence, maxNames, validName),
		count("reviews", p.Reviews),
	}
	if p.Modes != nil && len(p.Modes) == 0 {
		check = append(check, badPolicy("modes: the list is empty, so no seal could pass; leave it out for both"))
	}
	if p.Coverage != nil && !slices.Contains(p.Coverage, Own) {
		check = append(check, badPolicy("coverage: %q must be among them", Own))
	}
	if p.Presence != "" && p.Presence != Ask && p.Presence != SK {
		check = append(check, badPolicy("presence: %.40q is neither %q nor %q", p.Presence, Ask, SK))
	}
	if p.MaxCheckpointAge != "" {
		if d, err := time.ParseDuration(p.MaxCheckpointAge); err != nil || d <= 0 {
			check = append(check, badPolicy("maxCheckpointAge: %.40q is no duration such as 24h", p.MaxCheckpointAge))
		}
	}
	check = append(check, list("witnesses", p.Witnesses, maxWitnesses, validWitness))
	switch {
	case p.WitnessQuorum < 0 || p.WitnessQuorum > len(p.Witnesses):
		check = append(check, badPolicy("witnessQuorum: %d of %d witnesses", p.WitnessQuorum, len(p.Witnesses)))
	case len(p.Witnesses) > 0 && p.WitnessQuorum == 0:
		check = append(check, badPolicy("witnesses: say how many of them are needed: witnessQuorum"))
	case len(p.Witnesses) > 0 && p.MaxCheckpointAge == "":
		check = append(check, badPolicy("witnesses: they cosign checkpoints, and none is demanded: maxCheckpointAge"))
	}
	if len(p.Rules) > maxRules {
		check = append(check, badPolicy("rules: %d, at most %d may be", len(p.Rules), maxRules))
	}
	for i, r := range p.Rules {
		at := fmt.Sprintf("rules[%d].", i)
		check = append(check,
			list(at+"paths", r.Paths, maxPatterns, pattern.Check), list(at+"principals", r.Principals, maxNames, validName),
			list(at+"kinds", r.Kinds, len(kinds), oneOf(kinds...)), list(at+"modes", r.Modes, 2, oneOf(Witness, Vouch)),
			list(at+"evidence", r.Evidence, maxNames, validName), count(at+"reviews", r.Reviews))
		if len(r.Paths) == 0 {
			check = append(check, badPolicy("%spaths: none are named", at))
		}
		if len(r.Principals)+len(r.Kinds)+len(r.Modes)+len(r.Evidence)+r.Reviews == 0 {
			check = append(check, badPolicy("rules[%d] demands nothing", i))
		}
	}
	check = append(check, p.checkChecks(), p.checkPlugins(), p.checkAccounts(), p.checkTools())
	for _, err := range check {
		if err != nil {
			return err
		}
	}
	return nil
}

var (
	pluginName   = lazily(`^[a-z][a-z0-9-]{0,63}$`)
	platformName = lazily(`^[a-z0-9]{1,32}/[a-z0-9]{1,32}$`)
	programPin   = lazily(`^sha256:[0-9a-f]{64}$`)
	configName   = lazily(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$`)
)

func (p *Policy) checkPlugins() error {
	if len(p.Plugins) > maxPlugins {
		return badPolicy("plugins: %d, at most %d may be", len(p.Plugins), maxPlugins)
	}
	for i, g := range p.Plugins {
		if !pluginName().MatchString(g.Name) {
			return badPolicy("plugins[%d].name: %.80q is not small letters, digits and -", i, g.Name)
		}
		if i > 0 && p.Plugins[i-1].Name >= g.Name {
			return badPolicy("plugins: out of order at %q", g.Name)
		}
		if len(g.Pins) > maxPins || len(g.Config) > maxConfigs {
			return badPolicy("plugins: %s has %d pins and %d files", g.Name, len(g.Pins), len(g.Config))
		}
		for platform, pin := range g.Pins {
			if !platformName().MatchString(platform) || !programPin().MatchString(pin) {
				return badPolicy("plugins: pin %.80q: %.80q of %s; one looks like \"linux/amd64\": \"sha256:<64 hexadecimal digits>\"", platform, pin, g.Name)
			}
		}
		size := 0
		for name, text := range g.Config {
			if !configName().MatchString(name) {
				return badPolicy("plugins: %.80q of %s is no file name", name, g.Name)
			}
			size += len(text)
		}
		if size > maxConfigSize {
			return badPolicy("plugins: the files of %s have %d bytes, at most %d may be", g.Name, size, maxConfigSize)
		}
	}
	return nil
}

var accountName = lazily(`^[a-z0-9][a-z0-9.:-]{0,127}/[^\s/\x00-\x1f\x7f]{1,127}$`)

// checkAccounts: a host in small letters, which may have a port, and a name as it is shown there.
func (p *Policy) checkAccounts() error {
	if len(p.Accounts) > maxAccounts {
		return badPolicy("accounts: %d, at most %d may be", len(p.Accounts), maxAccounts)
	}
	for account, person := range p.Accounts {
		if !accountName().MatchString(account) {
			return badPolicy("accounts: %.100q is no account; one is github.com/NAME", account)
		}
		if err := validName(person); err != nil {
			return badPolicy("accounts: %s: %w", account, err)
		}
	}
	return nil
}

// Person returns whose an account on a forge is, as operators say.
func (p *Policy) Person(account string) (string, bool) {
	if p == nil {
		return "", false
	}
	person, ok := p.Accounts[account]
	return person, ok
}

func newerPolicy(version int) error {
	return fmt.Errorf("%w: %w: version %d; this program reads version 1", ErrPolicy, envelope.ErrNewer, version)
}

func badPolicy(format string, a ...any) error {
	return fmt.Errorf("%w: %w", ErrPolicy, fmt.Errorf(format, a...))
}

// list checks a sorted list without repetitions.
func list(field string, items []string, limit int, ok func(string) error) error {
	if len(items) > limit {
		return badPolicy("%s: %d entries, at most %d may be", field, len(items), limit)
	}
	for i, s := range items {
		if err := ok(s); err != nil {
			return badPolicy("%s: %w", field, err)
		}
		if i > 0 && items[i-1] >= s {
			return badPolicy("%s: out of order, or twice, at %.80q", field, s)
		}
	}
	return nil
}

func count(field string, n int) error {
	if n < 0 || n > maxReviews {
		return badPolicy("%s: %d, from 0 to %d may be", field, n, maxReviews)
	}
	return nil
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("%.80q is none of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

func validName(s string) error {
	if !ValidName(s) {
		return fmt.Errorf("%.80q is no name", s)
	}
	return nil
}

// lazily compiles an expression when it is first needed: most runs of a hook need none.
func lazily(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

var actionName = lazily(`^[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?$`)

// maxWitnesses is as many as a checkpoint's signatures leave room for.
const maxWitnesses = 32

var witnessKey = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^[^\s+]{1,255}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{43,64}={0,2}$`)
})

// validWitness looks at a key's form; who verifies by it reads it.
func validWitness(s string) error {
	if !witnessKey().MatchString(s) {
		return fmt.Errorf("%.80q is no key of a witness; one is <name>+<8 digits>+<base64>", s)
	}
	return nil
}

func validAction(s string) error {
	if len(s) > 128 || !actionName().MatchString(s) {
		return fmt.Errorf("%.80q is no action; one is repo.commit, or all that begin with repo are repo.*", s)
	}
	return nil
}

// says counts the fields that differ from the default.
func (p *Policy) says() int {
	n := len(p.Checks) + len(p.Evidence) + len(p.Exempt) + len(p.Plugins) + len(p.Protected) + len(p.Rules) + p.Reviews + len(p.Witnesses) + p.WitnessQuorum + len(p.Accounts)
	for _, set := range []bool{p.Coverage != nil, p.Modes != nil, p.Operators != nil, p.Presence != "", p.MaxCheckpointAge != "", p.Tools != nil} {
		if set {
			n++
		}
	}
	return n
}

// checkRefs: a pattern of full ref names; "main" alone would protect nothing.
func checkRefs(p string) error {
	if err := pattern.Check(p); err != nil {
		return err
	}
	if !strings.HasPrefix(p, "refs/") && !strings.HasPrefix(p, "*") {
		return fmt.Errorf("%q: patterns are of full names, such as refs/heads/%s", p, p)
	}
	return nil
}

// Protects reports whether the policy protects a ref, given by its full name.
func (p *Policy) Protects(ref string) bool { return p != nil && pattern.Any(p.Protected, ref) }

// OperatorMay reports whether operators may do this without a grant.
func (p *Policy) OperatorMay(action string) bool {
	if p == nil || p.Operators == nil {
		return true
	}
	return slices.ContainsFunc(p.Operators, func(a string) bool {
		if prefix, ok := strings.CutSuffix(a, "*"); ok {
			return strings.HasPrefix(action, prefix)
		}
		return a == action
	})
}

// RulesFor returns the rules for a path, in the policy's order. All of them must be kept.
func (p *Policy) RulesFor(path string) []Rule {
	if p == nil {
		return nil
	}
	var out []Rule
	for _, r := range p.Rules {
		if pattern.Any(r.Paths, path) {
			out = append(out, r)
		}
	}
	return out
}

// Accepts reports whether a seal of this mode is enough.
func (p *Policy) Accepts(mode string) bool {
	if p == nil || p.Modes == nil {
		return mode == Witness || mode == Vouch
	}
	return slices.Contains(p.Modes, mode)
}

// CoveredBy reports whether a commit may be covered in this way: Own, Blob, Partial or Patch.
func (p *Policy) CoveredBy(coverage string) bool {
	if p == nil || p.Coverage == nil {
		return coverage == Own || coverage == Blob
	}
	return slices.Contains(p.Coverage, coverage)
}

// Exempts reports whether commits of this kind of principal need no seal.
func (p *Policy) Exempts(kind Kind) bool { return p != nil && slices.Contains(p.Exempt, string(kind)) }

// AsksPresence returns how operator acts ask for presence: "", Ask or SK.
func (p *Policy) AsksPresence() string {
	if p == nil {
		return ""
	}
	return p.Presence
}

// CheckpointAge returns how old the newest checkpoint may be; false when none is needed.
func (p *Policy) CheckpointAge() (time.Duration, bool) {
	if p == nil || p.MaxCheckpointAge == "" {
		return 0, false
	}
	d, err := time.ParseDuration(p.MaxCheckpointAge)
	return d, err == nil
}

// ParsePolicy reads a policy as a person writes it: any JSON form, lists in any
// order, defaults spelled out or left out. Unknown and repeated names are refused,
// and so is what Validate refuses; of a newer version the error wraps envelope.ErrNewer. It returns nil for a policy that is the default.
func ParsePolicy(text []byte) (*Policy, error) {
	if len(text) > maxPolicyText {
		return nil, badPolicy("%d bytes, at most %d may be", len(text), maxPolicyText)
	}
	var raw json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			before := text[:min(int(syntax.Offset), len(text))]
			return nil, badPolicy("line %d: %w", 1+bytes.Count(before, []byte{'\n'}), err)
		}
		return nil, badPolicy("%w", err)
	}
	doc, err := canonical.Marshal(raw) // refuses names that occur twice
	if err != nil {
		return nil, badPolicy("%w", err)
	}
	var said struct {
		Version int `json:"version"`
	}
	if json.Unmarshal(doc, &said) == nil && said.Version > 1 {
		return nil, newerPolicy(said.Version) // its fields may be new, too
	}
	var p Policy
	if err := canonical.Unmarshal(doc, &p); err != nil {
		if !errors.Is(err, canonical.ErrNotExact) {
			return nil, badPolicy("%w", err)
		}
		// Every name is known: it says a default explicitly, or null.
		p = Policy{}
		if err := json.Unmarshal(doc, &p); err != nil {
			return nil, badPolicy("%w", err)
		}
	}
	p.tidy()
	if err := p.Validate(); err != nil {
		return nil, err
	}
	if p.says() == 0 {
		return nil, nil
	}
	return &p, nil
}

// Document writes the policy for people, as ParsePolicy reads it: indented, with the
// defaults spelled out, but for operators where the default has no words.
func (p *Policy) Document() ([]byte, error) {
	q := Policy{Version: 1}
	if p != nil {
		q = *p
	}
	if q.Modes == nil {
		q.Modes = []string{Vouch, Witness}
	}
	if q.Coverage == nil {
		q.Coverage = []string{Blob, Own}
	}
	b, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	doc := map[string]any{"protected": []string{}, "exempt": []string{}, "evidence": []string{}, "checks": []Check{}, "reviews": 0, "rules": []Rule{}, "plugins": []Plugin{}, "presence": ""}
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, fmt.Errorf("policy: %w", err)
	}
	return out.Bytes(), nil
}

// tidy brings the lists into order. A list of a field where absent and empty mean the same becomes absent.
func (p *Policy) tidy() {
	for _, l := range []*[]string{&p.Protected, &p.Exempt, &p.Modes, &p.Coverage, &p.Operators, &p.Evidence} {
		slices.Sort(*l)
	}
	for i := range p.Rules {
		r := &p.Rules[i]
		for _, l := range []*[]string{&r.Paths, &r.Principals, &r.Kinds, &r.Modes, &r.Evidence} {
			slices.Sort(*l)
		}
	}
	for i := range p.Checks {
		slices.Sort(p.Checks[i].Kinds)
		slices.Sort(p.Checks[i].Principals)
	}
	slices.SortFunc(p.Checks, func(a, b Check) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(p.Plugins, func(a, b Plugin) int { return strings.Compare(a.Name, b.Name) })
	if slices.Equal(p.Modes, []string{Vouch, Witness}) {
		p.Modes = nil
	}
	if slices.Equal(p.Coverage, []string{Blob, Own}) {
		p.Coverage = nil
	}
}
