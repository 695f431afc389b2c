package capability

import (
	"reflect"
	"slices"
	"strings"

	"github.com/open-covenant/covenant-git/git/pattern"
)

// Beyond returns the first field by which a scope is not plainly within another, "" when whatever it allows the other
// allows as well. Of patterns it is careful: some that are within others are told as beyond them.
func (s *Scope) Beyond(outer *Scope) string {
	for name, v := range both(s, outer) {
		if v.outer != nil && (v.inner == nil || !within(name, v.inner, v.outer)) {
			return name
		}
	}
	return ""
}

// Apart compares two scopes that must both allow what is asked. never lists fields by which nothing can be: no
// value is allowed by both. limits lists those where the outer scope takes away some of what the inner one says, or may do so.
func (s *Scope) Apart(outer *Scope) (never, limits []string) {
	for name, v := range both(s, outer) {
		switch {
		case v.inner == nil || v.outer == nil || within(name, v.inner, v.outer):
		case apart(name, v.inner, v.outer):
			never = append(never, name)
		default:
			limits = append(limits, name)
		}
	}
	return never, limits
}

// values are what two scopes say of one field: nil where one says nothing.
type values struct{ inner, outer any }

// both yields the fields of two scopes, in the order that [Scope] has them.
func both(inner, outer *Scope) func(yield func(string, values) bool) {
	return func(yield func(string, values) bool) {
		in, out := reflect.ValueOf(*inner), reflect.ValueOf(*outer)
		value := func(v reflect.Value) any {
			if v.IsZero() {
				return nil
			}
			return v.Interface()
		}
		for i := range in.NumField() {
			if !yield(fieldName(in.Type().Field(i)), values{value(in.Field(i)), value(out.Field(i))}) {
				return
			}
		}
	}
}

func patterned(field string) bool { return field == "paths" || field == "refs" || field == "hosts" }

// within reports whether what a field of the inner scope allows is allowed by that of the outer one.
func within(field string, inner, outer any) bool {
	switch b := outer.(type) {
	case []string:
		return !slices.ContainsFunc(inner.([]string), func(x string) bool {
			return !slices.ContainsFunc(b, func(y string) bool { return x == y || patterned(field) && Within(x, y) })
		})
	case *int64:
		return *inner.(*int64) <= *b
	case string:
		return inner == b || field == "token_prefix" && strings.HasPrefix(inner.(string), b)
	}
	return sameJSON(inner, outer)
}

// apart reports whether no value is allowed by a field of both scopes.
func apart(field string, inner, outer any) bool {
	switch b := outer.(type) {
	case []string:
		return !slices.ContainsFunc(inner.([]string), func(x string) bool {
			return slices.ContainsFunc(b, func(y string) bool { return x == y || patterned(field) && !Disjoint(x, y) })
		})
	case *int64:
		return false
	case string:
		return field != "token_prefix" || !strings.HasPrefix(b, inner.(string))
	}
	return !sameJSON(inner, outer)
}

// Within reports whether every name that matches the pattern p plainly matches q. Where that takes more
// than a look at one element after the other, it is false.
func Within(p, q string) bool {
	if p == q {
		return true
	}
	if name, ok := literal(p); ok {
		return pattern.Match(q, name)
	}
	if strings.Contains(p+q, "{") {
		return false
	}
	return contained(strings.Split(p, "/"), strings.Split(q, "/"))
}

// contained matches element by element, as [pattern.Match] does: "**" of q takes any elements of p.
func contained(p, q []string) bool {
	star, from := -1, 0
	i, j := 0, 0
	for j < len(p) {
		switch {
		case i < len(q) && q[i] == "**":
			if i == len(q)-1 {
				return true // what p has left is one element at least
			}
			star, from = i, j
			i++
		case i < len(q) && p[j] != "**" && covered(p[j], q[i]):
			i++
			j++
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	return i == len(q)
}

// covered reports whether an element of a pattern is plainly within another.
func covered(p, q string) bool {
	name, ok := literal(p)
	return p == q || q == "*" || ok && pattern.Match(q, name)
}

// Disjoint reports whether plainly no name matches both patterns.
func Disjoint(p, q string) bool {
	if name, ok := literal(p); ok {
		return !pattern.Match(q, name)
	}
	if name, ok := literal(q); ok {
		return !pattern.Match(p, name)
	}
	if strings.Contains(p+q, "{") {
		return false
	}
	a, b := strings.Split(p, "/"), strings.Split(q, "/")
	if !slices.Contains(a, "**") && !slices.Contains(b, "**") && len(a) != len(b) {
		return true
	}
	differ := func(x, y string) bool { // false of "**", too: it can be anything
		if name, ok := literal(x); ok {
			return !pattern.Match(y, name)
		}
		name, ok := literal(y)
		return ok && !pattern.Match(x, name)
	}
	for i := range min(len(a), len(b)) {
		if a[i] == "**" || b[i] == "**" {
			break
		}
		if differ(a[i], b[i]) {
			return true
		}
	}
	for i := 1; i <= min(len(a), len(b)); i++ {
		x, y := a[len(a)-i], b[len(b)-i]
		if x == "**" || y == "**" {
			break
		}
		if differ(x, y) {
			return true
		}
	}
	return false
}

// literal returns the one name that a pattern matches, where it is a name.
func literal(p string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		switch c := p[i]; c {
		case '*', '?', '[', '{':
			return "", false
		case '\\':
			if i++; i == len(p) {
				return "", false
			}
			fallthrough
		default:
			b.WriteByte(p[i])
		}
	}
	return b.String(), true
}
