package capability

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/git/pattern"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Scope narrows a grant. A field that is absent narrows nothing; one that is
// there, even empty, must allow the request. Which fields an action may have is
// told by its namespace, the word before the first dot: a field of another
// namespace, or one this program does not know, makes the grant unreadable, never wider.
type Scope struct {
	Version int `json:"version"` // 1

	// repo.*
	Paths    []string `json:"paths,omitzero"`     // patterns; every changed path matches one; of secret.*, every file that is read
	Refs     []string `json:"refs,omitzero"`      // patterns of full ref names; the ref matches one
	MaxFiles *int64   `json:"max_files,omitzero"` // changed paths
	MaxBytes *int64   `json:"max_bytes,omitzero"` // of all new content together
	Modes    []string `json:"modes,omitzero"`     // file modes a changed path may come to have, such as "100644"
	Intent   string   `json:"intent,omitzero"`    // the intent it is done for; of intent.* the one it is done to

	// intent.*
	Roles []string `json:"roles,omitzero"` // in which somebody acts on an intent

	// tool.*
	Tool      string     `json:"tool,omitzero"`      // the <name> of tool.call.<name>
	Arguments *Arguments `json:"arguments,omitzero"` // of the call

	// network.*; of secret.* it is Paths
	Hosts []string `json:"hosts,omitzero"` // patterns of names of hosts; every host matches one

	// memory.*
	Tiers    []string `json:"tiers,omitzero"` // of working, episodic, longterm
	RecordID string   `json:"record_id,omitzero"`
	Apply    *bool    `json:"apply,omitzero"`     // whether it may change anything
	BeforeMS *int64   `json:"before_ms,omitzero"` // also audit.*, peers.*, identity.*: only what is older

	// a2a.*, and the peer also of peers.* and identity.*
	Peer          string `json:"peer_pubkey_b58,omitzero"`
	TaskID        string `json:"task_id,omitzero"`
	LeaseID       string `json:"lease_id,omitzero"`
	DuplicateRisk string `json:"duplicate_risk,omitzero"` // "idempotent" or "operator-accepted"

	// audit.*
	Window           *int64 `json:"window,omitzero"` // entries
	IncludeIntegrity *bool  `json:"include_integrity,omitzero"`

	// peers.*, identity.*
	TokenPrefix string `json:"token_prefix,omitzero"`
	Self        *bool  `json:"self,omitzero"`
	Force       *bool  `json:"force,omitzero"`

	// chain.*
	Limit    *int64 `json:"limit,omitzero"`
	Mint     string `json:"mint,omitzero"`
	Cluster  string `json:"cluster,omitzero"`
	BatchID  string `json:"batch_id,omitzero"`
	Payer    string `json:"payer_pubkey_b58,omitzero"`
	Resource string `json:"resource,omitzero"`
}

// Arguments narrow the arguments of a tool's call: they are exactly Allow.
type Arguments struct {
	Allow map[string]any `json:"allow"`
}

// Whole is the scope that narrows nothing.
var Whole = Scope{Version: 1}

// resources are what a receipt on the chain can be of.
var resources = []string{"compute", "memory", "tool", "message", "registration"}

// roles are those in which somebody acts on an intent.
var roles = []string{"strategist", "planner", "implementer", "reviewer", "security_reviewer", "verifier", "release_operator"}

// Roles are the roles that the scope of a grant may name.
func Roles() []string { return slices.Clone(roles) }

// fileModes are the modes Git gives a path.
var fileModes = []string{"100644", "100755", "120000", "160000"}

// namespaces says which fields the actions of a namespace may have.
var namespaces = map[string][]string{
	"repo":     {"paths", "refs", "max_files", "max_bytes", "modes", "intent"},
	"intent":   {"intent", "roles"},
	"agent":    {},
	"tool":     {"tool", "arguments"},
	"memory":   {"tiers", "record_id", "before_ms", "apply"},
	"a2a":      {"peer_pubkey_b58", "task_id", "lease_id", "duplicate_risk"},
	"audit":    {"window", "before_ms", "include_integrity"},
	"peers":    {"peer_pubkey_b58", "token_prefix", "self", "force", "before_ms"},
	"identity": {"peer_pubkey_b58", "token_prefix", "self", "force", "before_ms"},
	"network":  {"hosts"},
	"secret":   {"paths"},
	"chain":    {"limit", "mint", "cluster", "batch_id", "payer_pubkey_b58", "resource"},
}

// Limits of the patterns of one scope: their number, and their bytes together.
const (
	maxPatterns = 1000
	maxScope    = 16 << 10
)

// ParseScope reads a scope as people write it: any JSON object of known fields.
// "version" may be left out.
func ParseScope(text []byte) (Scope, error) {
	var s Scope
	b, err := canonical.Of(text)
	if err != nil {
		return s, fmt.Errorf("%w: scope: %w", ErrInvalid, err)
	}
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(b, &fields); err != nil || fields == nil {
		return s, fmt.Errorf("%w: the scope is no JSON object", ErrInvalid)
	}
	if _, ok := fields["version"]; !ok {
		fields["version"] = json.RawMessage("1")
		if b, err = canonical.Marshal(fields); err != nil {
			return s, fmt.Errorf("%w: scope: %w", ErrInvalid, err)
		}
	}
	if err := canonical.Unmarshal(b, &s); err != nil {
		return s, fmt.Errorf("%w: scope: %w", ErrInvalid, err)
	}
	return s, nil
}

// present lists the fields that are there, without "version", sorted.
func (s *Scope) present() []string {
	var out []string
	v := reflect.ValueOf(*s)
	for i := range v.NumField() {
		name := fieldName(v.Type().Field(i))
		if name != "version" && !v.Field(i).IsZero() {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// Namespace returns the word before the first dot of an action.
func Namespace(action string) string {
	ns, _, _ := strings.Cut(action, ".")
	return ns
}

// Validate reports whether a grant of this action may have this scope.
func (s *Scope) Validate(action string) error {
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: scope of %s: %s", ErrInvalid, action, fmt.Sprintf(format, a...))
	}
	if s.Version != 1 {
		return bad("version %d", s.Version)
	}
	known, ok := namespaces[Namespace(action)]
	for _, f := range s.present() {
		if !slices.Contains(known, f) {
			if !ok {
				return bad("%s: no scope is known for this namespace", f)
			}
			return bad("it has no field %s", f)
		}
	}
	size := 0
	for _, list := range [][]string{s.Paths, s.Refs, s.Hosts} {
		for _, p := range list {
			size += len(p)
		}
		if len(list) > maxPatterns || size > maxScope {
			return bad("%d patterns of %d bytes, more than %d or %d", len(list), size, maxPatterns, maxScope)
		}
		for _, p := range list {
			if err := pattern.Check(p); err != nil {
				return bad("%v", err)
			}
		}
	}
	for _, r := range s.Refs {
		if !strings.HasPrefix(r, "refs/") && !strings.HasPrefix(r, "*") {
			return bad("ref %q: patterns are of full names, such as refs/heads/main", r)
		}
	}
	for _, h := range s.Hosts {
		if h != strings.ToLower(h) || strings.ContainsAny(h, "/@ ") || strings.Count(h, ":") == 1 {
			return bad("host %q: patterns are of names in small letters, without a port, such as *.example.com", h)
		}
	}
	for _, m := range s.Modes {
		if !slices.Contains(fileModes, m) {
			return bad("mode %q is none of %s", m, strings.Join(fileModes, ", "))
		}
	}
	for _, r := range s.Roles {
		if !slices.Contains(roles, r) {
			return bad("role %q is none of %s", r, strings.Join(roles, ", "))
		}
	}
	for _, t := range s.Tiers {
		if !slices.Contains(tiers, t) {
			return bad("tier %q is none of %s", t, strings.Join(tiers, ", "))
		}
	}
	for name, n := range map[string]*int64{"max_files": s.MaxFiles, "max_bytes": s.MaxBytes, "before_ms": s.BeforeMS} {
		if n != nil && *n < 0 {
			return bad("%s %d", name, *n)
		}
	}
	for name, n := range map[string]*int64{"window": s.Window, "limit": s.Limit} {
		if n != nil && *n <= 0 {
			return bad("%s %d", name, *n)
		}
	}
	if err := s.checkNames(Namespace(action)); err != nil {
		return bad("%v", err)
	}
	if s.DuplicateRisk != "" && s.DuplicateRisk != "idempotent" && s.DuplicateRisk != "operator-accepted" {
		return bad("duplicate_risk %q", s.DuplicateRisk)
	}
	if name, ok := strings.CutPrefix(action, "tool.call."); ok && s.Tool != "" && name != "*" && s.Tool != name {
		return bad("tool %q of action %s", s.Tool, action)
	}
	if s.Arguments != nil && s.Arguments.Allow == nil {
		return bad("arguments without allow")
	}
	return nil
}

// checkNames holds what must be a key, the beginning of a token, or one of few words to that, where the seed did.
func (s *Scope) checkNames(namespace string) error {
	for name, key := range map[string]string{"peer_pubkey_b58": s.Peer, "payer_pubkey_b58": s.Payer} {
		if key == "" || namespace == "a2a" { // there it was any string
			continue
		}
		if _, err := base58(key, ed25519.PublicKeySize); err != nil {
			return fmt.Errorf("%s is no key in base58: %w", name, err)
		}
	}
	if strings.Trim(s.TokenPrefix, base58Digits) != "" {
		return fmt.Errorf("token_prefix %.100q is not base58", s.TokenPrefix)
	}
	if s.Resource != "" && !slices.Contains(resources, s.Resource) {
		return fmt.Errorf("resource %.100q is none of %s", s.Resource, strings.Join(resources, ", "))
	}
	return nil
}

// refuses returns why the scope does not allow the request, "" when it does.
// What the scope names and the request does not say is refused.
func (s *Scope) refuses(r *pluginapi.Request) string {
	if Namespace(r.Action) == "repo" {
		return s.refusesRepo(r)
	}
	if Namespace(r.Action) == "memory" {
		if why := contradicts(r); why != "" {
			return why
		}
	}
	for _, f := range s.present() {
		if why := s.refusesField(f, r); why != "" {
			return why
		}
	}
	return ""
}

func (s *Scope) refusesRepo(r *pluginapi.Request) string {
	if s.Refs != nil && r.Ref != somewhere {
		if r.Ref == "" {
			return "it is limited to refs " + strings.Join(s.Refs, ", ") + ", and it is not known which ref this is for (--ref says it)"
		}
		if !pattern.Any(s.Refs, r.Ref) {
			return fmt.Sprintf("%s is outside its refs %s", r.Ref, strings.Join(s.Refs, ", "))
		}
	}
	if s.Intent != "" && r.Intent != s.Intent {
		return fmt.Sprintf("it is for intent %s, not %q", s.Intent, r.Intent)
	}
	if s.MaxFiles != nil && int64(len(r.Changes)) > *s.MaxFiles {
		return fmt.Sprintf("%d files change, more than its %d", len(r.Changes), *s.MaxFiles)
	}
	if r.Action != Commit && r.Action != Vouch && (s.Paths != nil || s.Modes != nil || s.MaxFiles != nil || s.MaxBytes != nil) {
		return fmt.Sprintf("it is limited to what files change, and %s says nothing of that", r.Action)
	}
	var total int64
	for i := range r.Changes {
		c := &r.Changes[i]
		if s.Paths != nil && !pattern.Any(s.Paths, string(c.Path)) {
			return fmt.Sprintf("path %s is outside its paths %s", quotePath(c.Path), strings.Join(s.Paths, ", "))
		}
		if s.Modes != nil && c.NewMode != "" && !slices.Contains(s.Modes, c.NewMode) {
			return fmt.Sprintf("path %s has mode %s, and its modes are %s", quotePath(c.Path), c.NewMode, strings.Join(s.Modes, ", "))
		}
		if c.Size < 0 || total+c.Size < total {
			return fmt.Sprintf("path %s has no size", quotePath(c.Path))
		}
		total += c.Size
	}
	if s.MaxBytes != nil && total > *s.MaxBytes {
		return fmt.Sprintf("%d bytes of new content, more than its %d", total, *s.MaxBytes)
	}
	return ""
}

func quotePath(p []byte) string {
	if s := string(p); strings.ToValidUTF8(s, "") == s {
		return fmt.Sprintf("%q", s)
	}
	return "base64:" + base64.StdEncoding.EncodeToString(p)
}

var errAbsent = errors.New("the request does not say")

// refusesField holds one field of a scope that is not of repo.* against the request.
func (s *Scope) refusesField(f string, r *pluginapi.Request) string {
	text := func(want string) error {
		got, ok := r.Resource[f].(string)
		switch {
		case !ok:
			return errAbsent
		case got != want:
			return fmt.Errorf("%q is not its %q", got, want)
		}
		return nil
	}
	atMost := func(limit int64) error {
		got, ok := number(r.Resource[f])
		switch {
		case !ok:
			return errAbsent
		case got > limit:
			return fmt.Errorf("%d is more than its %d", got, limit)
		}
		return nil
	}
	flag := func(want bool) error {
		got, ok := r.Resource[f].(bool)
		switch {
		case !ok:
			return errAbsent
		case got != want:
			return fmt.Errorf("%v is not its %v", got, want)
		}
		return nil
	}
	var err error
	switch f {
	case "tool":
		if name, ok := strings.CutPrefix(r.Action, "tool.call."); ok {
			if name != s.Tool {
				err = fmt.Errorf("%q is not its %q", name, s.Tool)
			}
		} else {
			err = text(s.Tool)
		}
	case "arguments":
		got, ok := r.Resource[f].(map[string]any)
		if !ok {
			err = errAbsent
		} else if !sameJSON(got, s.Arguments.Allow) {
			err = errors.New("they are not exactly those it allows")
		}
	case "hosts":
		err = allMatch(s.Hosts, r.Resource[f])
	case "paths":
		err = allMatch(s.Paths, r.Resource[f])
	case "roles":
		got, ok := r.Resource["role"].(string)
		switch {
		case !ok:
			err = errAbsent
		case !slices.Contains(s.Roles, got):
			err = fmt.Errorf("%q is none of its %s", got, strings.Join(s.Roles, ", "))
		}
	case "tiers":
		err = s.refusesTiers(r)
	case "apply":
		err = s.refusesApply(r)
	case "include_integrity":
		err = flag(*s.IncludeIntegrity)
	case "self":
		err = flag(*s.Self)
	case "force":
		err = flag(*s.Force)
	case "before_ms":
		if Namespace(r.Action) == "memory" {
			err = s.refusesBefore(r)
		} else {
			err = atMost(*s.BeforeMS)
		}
	case "window":
		err = atMost(*s.Window)
	case "limit":
		err = atMost(*s.Limit)
	case "duplicate_risk":
		got, _ := r.Resource[f].(string)
		if strings.ReplaceAll(got, "_", "-") != s.DuplicateRisk {
			err = fmt.Errorf("%q is not its %q", got, s.DuplicateRisk)
		}
	case "token_prefix":
		got, ok := r.Resource[f].(string)
		if !ok || !strings.HasPrefix(got, s.TokenPrefix) {
			err = fmt.Errorf("%q does not begin with its %q", got, s.TokenPrefix)
		}
	default:
		want, ok := map[string]string{
			"intent": s.Intent, "record_id": s.RecordID, "peer_pubkey_b58": s.Peer, "task_id": s.TaskID, "lease_id": s.LeaseID,
			"mint": s.Mint, "cluster": s.Cluster, "batch_id": s.BatchID, "payer_pubkey_b58": s.Payer, "resource": s.Resource,
		}[f]
		if !ok {
			return fmt.Sprintf("its field %s is not of %s", f, r.Action)
		}
		err = text(want)
	}
	if err != nil {
		return f + ": " + err.Error()
	}
	return ""
}

// allMatch holds a list of names in a request against the patterns of a scope.
func allMatch(patterns []string, said any) error {
	names, ok := said.([]any)
	if !ok {
		return errAbsent
	}
	for _, n := range names {
		name, ok := n.(string)
		if !ok {
			return errAbsent
		}
		if !pattern.Any(patterns, name) {
			return fmt.Errorf("%q is none of its %s", name, strings.Join(patterns, ", "))
		}
	}
	return nil
}

func number(v any) (int64, bool) {
	switch n := v.(type) {
	case float64:
		if n != float64(int64(n)) {
			return 0, false
		}
		return int64(n), true
	case int64:
		return n, true
	case int:
		return int64(n), true
	}
	return 0, false
}

func sameJSON(a, b any) bool {
	x, err1 := canonical.Marshal(a)
	y, err2 := canonical.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}
