package capability

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope/canonical"
	"github.com/open-covenant/covenant-git/git/pattern"
	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// Needed returns the scope of the narrowest grant of a query's action that allows exactly what it asks, as far as a scope can say
// it: where more paths change than few, they are named by folders. Content is limited where sizes are known, and by
// an intent what is asked for one. The error wraps ErrInvalid: no grant can be of this.
func Needed(q *Query, few int) (Scope, error) {
	if err := CheckAction(q.Action); err != nil {
		return Scope{}, err
	}
	if Namespace(q.Action) != "repo" {
		return Narrowest(q.Action, q.Resource)
	}
	s := Whole
	s.Intent = q.Intent
	if q.Ref != "" {
		s.Refs = []string{escape(q.Ref)}
	}
	if (q.Action == Commit || q.Action == Vouch) && len(q.Changes) > 0 {
		s.Paths = patternsOf(q.Changes, few)
		if n := int64(len(q.Changes)); int64(len(s.Paths)) < n {
			s.MaxFiles = &n
		}
		var size int64
		for i := range q.Changes {
			size += q.Changes[i].Size
			if m := q.Changes[i].NewMode; m != "" && !slices.Contains(s.Modes, m) {
				s.Modes = append(s.Modes, m)
			}
		}
		slices.Sort(s.Modes)
		if size > 0 {
			s.MaxBytes = &size
		}
	}
	return s, s.Validate(q.Action)
}

// Narrowest returns the scope of an action, of another namespace than repo, that allows what a request says of its resource and
// as little else as a scope can say. The error wraps ErrInvalid: what is said has no place in a scope, or no scope allows it.
func Narrowest(action string, resource map[string]any) (Scope, error) {
	r := &pluginapi.Request{Action: action, Resource: resource}
	fields := map[string]any{}
	for _, f := range namespaces[Namespace(action)] {
		if v, ok := resource[f]; ok {
			fields[f] = v
			if names, ok := v.([]any); ok && patterned(f) {
				fields[f] = exactly(names)
			}
		}
	}
	if v, ok := resource["role"]; ok && Namespace(action) == "intent" {
		fields["roles"] = []any{v}
	}
	if v, ok := fields["arguments"]; ok {
		fields["arguments"] = map[string]any{"allow": v}
	}
	if v, ok := fields["duplicate_risk"].(string); ok {
		fields["duplicate_risk"] = strings.ReplaceAll(v, "_", "-")
	}
	if Namespace(action) == "memory" {
		end, _ := number(resource["before_ms"])
		if created, ok := number(resource["created_at"]); ok && (end > 0 || !spans(action)) {
			fields["before_ms"] = max(end, created+1)
		}
		if _, ok := fields["tiers"]; ok && detaches(r) {
			fields["tiers"] = tiers
		}
	}
	text, err := canonical.Marshal(fields)
	if err != nil {
		return Scope{}, fmt.Errorf("%w: scope: %w", ErrInvalid, err)
	}
	s, err := ParseScope(text)
	if err != nil {
		return Scope{}, err
	}
	if err := s.Validate(action); err != nil {
		return Scope{}, err
	}
	if why := s.refuses(r); why != "" {
		return Scope{}, fmt.Errorf("%w: no scope of %s allows this: %s", ErrInvalid, action, why)
	}
	return s, nil
}

// exactly makes patterns of names.
func exactly(names []any) []any {
	out := slices.Clone(names)
	for i, n := range out {
		if name, ok := n.(string); ok {
			out[i] = escape(name)
		}
	}
	return out
}

// Flags returns a scope as the words of a command line that say it to the commands grant, delegate and request; none where it narrows nothing.
func (s *Scope) Flags() []string {
	var out []string
	add := func(flag string, values ...string) {
		for _, v := range values {
			out = append(out, "--"+flag, v)
		}
	}
	said := 0 // fields
	for _, list := range []struct {
		flag   string
		values []string
	}{{"path", s.Paths}, {"ref", s.Refs}, {"mode", s.Modes}, {"host", s.Hosts}} {
		if add(list.flag, list.values...); len(list.values) > 0 {
			said++
		}
	}
	for _, n := range []struct {
		flag  string
		value *int64
	}{{"max-files", s.MaxFiles}, {"max-bytes", s.MaxBytes}} {
		if n.value != nil {
			add(n.flag, strconv.FormatInt(*n.value, 10))
			said++
		}
	}
	if s.Intent != "" {
		add("intent", s.Intent)
		said++
	}
	if said == len(s.present()) {
		return out
	}
	text, err := canonical.Marshal(s) // a list that is there and empty has no flag, nor do other namespaces
	if err != nil {
		return out
	}
	return []string{"--scope", string(text)}
}

// maxNamed is how many bytes of patterns a person is shown.
const maxNamed = 4 << 10

// patternsOf names paths by patterns: each by itself, and where they are more than few, by the deepest folders that are few.
// What can't be named in maxNamed bytes is everything.
func patternsOf(changes []pluginapi.Change, few int) []string {
	const deepest = 16
	var out []string
	for keep := deepest; keep > 0; keep-- { // parts of a path
		out = out[:0]
		for i := range changes {
			path := string(changes[i].Path)
			if parts := strings.Split(path, "/"); keep < deepest && len(parts) > keep {
				out = append(out, escape(strings.Join(parts[:keep], "/"))+"/**")
				continue
			}
			out = append(out, escape(path))
		}
		slices.Sort(out)
		if out = slices.Compact(out); len(out) <= few && sayable(out) {
			return out
		}
	}
	if !sayable(out) {
		return []string{"**"}
	}
	return out
}

func sayable(patterns []string) bool {
	size := 0
	for _, p := range patterns {
		if size += len(p); len(p) > pattern.MaxLen {
			return false
		}
	}
	return size <= maxNamed
}

// escape makes a pattern that matches a name and nothing else; for what is no UTF-8, which no pattern can say, any byte.
func escape(name string) string {
	var b strings.Builder
	for len(name) > 0 {
		r, size := utf8.DecodeRuneInString(name)
		switch {
		case r == utf8.RuneError && size == 1:
			b.WriteByte('?')
		case strings.ContainsRune(`\*?[]{},`, r):
			b.WriteByte('\\')
			fallthrough
		default:
			b.WriteString(name[:size])
		}
		name = name[size:]
	}
	return b.String()
}
