package settings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/tailscale/hujson"
)

// parse reads settings: one object, of which "hooks", where it is there, is one.
func parse(text []byte) (hujson.Value, *hujson.Object, error) {
	v, err := hujson.Parse(text)
	if err != nil {
		return v, nil, fmt.Errorf("%w: %w", ErrFile, err)
	}
	root, ok := v.Value.(*hujson.Object)
	if !ok {
		return v, nil, fmt.Errorf("%w: there is no object", ErrFile)
	}
	return v, root, once(&v)
}

// once refuses settings in which an object has a name twice: which of them the agent takes is not known.
func once(v *hujson.Value) error {
	switch x := v.Value.(type) {
	case *hujson.Array:
		for i := range x.Elements {
			if err := once(&x.Elements[i]); err != nil {
				return err
			}
		}
	case *hujson.Object:
		seen := map[string]bool{}
		for i := range x.Members {
			name, _ := x.Members[i].Name.Value.(hujson.Literal)
			if seen[name.String()] {
				return fmt.Errorf("%w: %q occurs twice", ErrFile, name.String())
			}
			seen[name.String()] = true
			if err := once(&x.Members[i].Value); err != nil {
				return err
			}
		}
	}
	return nil
}

func member(o *hujson.Object, name string) *hujson.Value {
	for i := range o.Members {
		if l, ok := o.Members[i].Name.Value.(hujson.Literal); ok && l.String() == name {
			return &o.Members[i].Value
		}
	}
	return nil
}

// lists returns the lists of events, nil where there are none.
func lists(root *hujson.Object) (*hujson.Object, error) {
	v := member(root, "hooks")
	if v == nil {
		return nil, nil
	}
	o, ok := v.Value.(*hujson.Object)
	if !ok {
		return nil, fmt.Errorf(`%w: "hooks" is no object`, ErrFile)
	}
	return o, nil
}

// names reports which lists of events settings have; "" is all of them.
func names(text []byte) func(event string) bool {
	var hooks *hujson.Object
	if _, root, err := parse(text); err == nil {
		hooks, _ = lists(root)
	}
	return func(event string) bool { return hooks != nil && (event == "" || member(hooks, event) != nil) }
}

// bare reports whether settings say nothing but their version.
func bare(text []byte) bool {
	v, root, err := parse(text)
	if err != nil {
		return false
	}
	for i := range root.Members {
		if l, ok := root.Members[i].Name.Value.(hujson.Literal); !ok || l.String() != "version" {
			return false
		}
	}
	return v.IsStandard()
}

// lined edits settings whose lines end in a carriage return and a line feed as if they ended in a line feed.
func lined(text []byte, edit func([]byte) ([]byte, error)) ([]byte, error) {
	lf, crlf := []byte("\n"), []byte("\r\n")
	if n := bytes.Count(text, lf); n == 0 || n != bytes.Count(text, crlf) {
		return edit(text)
	}
	out, err := edit(bytes.ReplaceAll(text, crlf, lf))
	return bytes.ReplaceAll(out, lf, crlf), err
}

// cutOut takes out of settings what an installation put into base, which became left, where all of that still stands there as it was written, once.
func cutOut(now, left, base []byte) ([]byte, bool) {
	n := 0
	for n < len(base) && base[n] == left[n] {
		n++
	}
	m := 0
	for m < len(base)-n && base[len(base)-1-m] == left[len(left)-1-m] {
		m++
	}
	put := left[n : len(left)-m]
	if len(put) == 0 || bytes.Count(now, put) != 1 {
		return nil, false
	}
	out := bytes.Replace(now, put, base[n:len(base)-m], 1)
	v, _, err := parse(out)
	if err != nil || json.Valid(now) && !v.IsStandard() {
		return nil, false // what was put beside it belongs to it
	}
	rest, err := without(out, func(string) bool { return true })
	return out, err == nil && bytes.Equal(rest, out)
}

// with returns settings with our hooks. Without any there before they are those that we would write.
func with(text []byte, there bool, l layout, p Place) ([]byte, error) {
	return lined(before{There: there, Text: text}.base(), func(text []byte) ([]byte, error) { return put(text, l, p) })
}

func put(text []byte, l layout, p Place) ([]byte, error) {
	v, root, err := parse(text)
	if err != nil {
		return nil, err
	}
	if l.version != "" && member(root, "version") == nil {
		insert(root, "version", literal(json.RawMessage(l.version), ""), "")
	}
	hooks, err := lists(root)
	if err != nil {
		return nil, err
	}
	if hooks == nil {
		insert(root, "hooks", hujson.Value{Value: &hujson.Object{}}, "")
		if hooks, err = lists(root); err != nil {
			return nil, err
		}
	}
	in := indentOf(root, "")
	for _, h := range l.hooks {
		list := member(hooks, h.Event)
		if list == nil {
			insert(hooks, h.Event, hujson.Value{Value: &hujson.Array{}}, in)
			list = member(hooks, h.Event)
		}
		arr, ok := list.Value.(*hujson.Array)
		if !ok {
			return nil, fmt.Errorf("%w: %q is no list", ErrFile, h.Event)
		}
		deeper := indentOf(hooks, in)
		add(arr, l.entry(p.Command(h.Moment), h), deeper)
	}
	return v.Pack(), nil
}

// indentOf is how the members of an object are indented; outer is how it is itself.
func indentOf(o *hujson.Object, outer string) string {
	if len(o.Members) > 0 {
		if i := bytes.LastIndexByte(o.Members[0].Name.BeforeExtra, '\n'); i >= 0 {
			return string(o.Members[0].Name.BeforeExtra[i+1:])
		}
		return outer
	}
	return outer + "  "
}

func literal(v any, indent string) hujson.Value {
	b, err := json.MarshalIndent(v, indent, "  ")
	if err != nil {
		return hujson.Value{Value: hujson.Literal("null")}
	}
	out, err := hujson.Parse(b)
	if err != nil {
		return hujson.Value{Value: hujson.Literal("null")}
	}
	return out
}

// room makes room for one more part at the end of a list or an object: it returns what stands before the part and what after it. Comments behind the last part
// stay behind that.
func room(after hujson.Extra, empty bool, indent, outer string) (before, behind hujson.Extra) {
	i := bytes.LastIndexByte(after, '\n')
	switch {
	case i >= 0:
		return append(bytes.Clone(after[:i+1]), indent...), append(hujson.Extra("\n"), after[i+1:]...)
	case empty || len(bytes.TrimSpace(after)) > 0:
		return append(append(bytes.Clone(after), '\n'), indent...), hujson.Extra("\n" + outer)
	}
	return hujson.Extra(" "), after
}

func insert(o *hujson.Object, name string, v hujson.Value, outer string) {
	m := hujson.ObjectMember{Name: hujson.Value{Value: hujson.String(name)}, Value: v}
	m.Name.BeforeExtra, o.AfterExtra = room(o.AfterExtra, len(o.Members) == 0, indentOf(o, outer), outer)
	m.Value.BeforeExtra = hujson.Extra(" ")
	if n := len(o.Members); n > 0 {
		m.Value.AfterExtra, o.Members[n-1].Value.AfterExtra = o.Members[n-1].Value.AfterExtra, nil
	}
	o.Members = append(o.Members, m)
}

func add(a *hujson.Array, v any, outer string) {
	indent := outer + "  "
	if len(a.Elements) > 0 {
		if i := bytes.LastIndexByte(a.Elements[0].BeforeExtra, '\n'); i >= 0 {
			indent = string(a.Elements[0].BeforeExtra[i+1:])
		}
	}
	e := literal(v, indent)
	e.BeforeExtra, a.AfterExtra = room(a.AfterExtra, len(a.Elements) == 0, indent, outer)
	if n := len(a.Elements); n > 0 {
		e.AfterExtra, a.Elements[n-1].AfterExtra = a.Elements[n-1].AfterExtra, nil
	}
	a.Elements = append(a.Elements, e)
}

// without returns settings without our hooks, and without the lists that held nothing else and were not there before.
func without(text []byte, had func(event string) bool) ([]byte, error) {
	if len(bytes.TrimSpace(text)) == 0 {
		return text, nil
	}
	return lined(text, func(text []byte) ([]byte, error) { return take(text, had) })
}

func take(text []byte, had func(event string) bool) ([]byte, error) {
	v, root, err := parse(text)
	if err != nil {
		return nil, err
	}
	hooks, err := lists(root)
	if err != nil {
		return nil, err
	}
	if hooks == nil {
		return text, nil
	}
	took := false
	for i := 0; i < len(hooks.Members); i++ {
		arr, ok := hooks.Members[i].Value.Value.(*hujson.Array)
		if !ok {
			continue
		}
		name, _ := hooks.Members[i].Name.Value.(hujson.Literal)
		gone := strip(arr)
		if took = took || gone; gone && len(arr.Elements) == 0 && !had(name.String()) {
			cut(hooks, i)
			i--
		}
	}
	if !took {
		return text, nil
	}
	if len(hooks.Members) == 0 && !had("") {
		for i := range root.Members {
			if l, ok := root.Members[i].Name.Value.(hujson.Literal); ok && l.String() == "hooks" {
				cut(root, i)
				break
			}
		}
	}
	return v.Pack(), nil
}

// strip takes our entries out of the list of an event: of a group of handlers only ours.
func strip(arr *hujson.Array) bool {
	took := false
	for i := 0; i < len(arr.Elements); i++ {
		entry, ok := arr.Elements[i].Value.(*hujson.Object)
		if !ok {
			continue
		}
		gone := isOurs(entry)
		if inner := member(entry, "hooks"); inner != nil {
			if list, ok := inner.Value.(*hujson.Array); ok && len(list.Elements) > 0 {
				if strip(list) {
					took = true
					gone = len(list.Elements) == 0
				}
			}
		}
		if gone {
			took = true
			cutElement(arr, i)
			i--
		}
	}
	return took
}

func isOurs(entry *hujson.Object) bool {
	for _, name := range []string{"command", "bash"} {
		if v := member(entry, name); v != nil {
			if l, ok := v.Value.(hujson.Literal); ok && l.Kind() == '"' {
				if _, yes := ours(l.String()); yes {
					return true
				}
			}
		}
	}
	return false
}

// behind keeps comments that stand in front of what is cut, which belong to what was before it.
func behind(extra, after hujson.Extra) hujson.Extra {
	text := strings.TrimRight(string(extra), " \t\n\r")
	if strings.TrimSpace(text) == "" {
		return after
	}
	if !bytes.HasPrefix(after, []byte("\n")) {
		text += "\n"
	}
	return append(hujson.Extra(text), after...)
}

func cut(o *hujson.Object, i int) {
	m := o.Members[i]
	if last := i == len(o.Members)-1; last {
		if o.AfterExtra = behind(m.Name.BeforeExtra, o.AfterExtra); i > 0 {
			o.Members[i-1].Value.AfterExtra = m.Value.AfterExtra
		}
	} else {
		o.Members[i+1].Name.BeforeExtra = behind(m.Name.BeforeExtra, o.Members[i+1].Name.BeforeExtra)
	}
	o.Members = append(o.Members[:i], o.Members[i+1:]...)
	if len(o.Members) == 0 && len(bytes.TrimSpace(o.AfterExtra)) == 0 {
		o.AfterExtra = nil
	}
}

func cutElement(a *hujson.Array, i int) {
	e := a.Elements[i]
	if last := i == len(a.Elements)-1; last {
		if a.AfterExtra = behind(e.BeforeExtra, a.AfterExtra); i > 0 {
			a.Elements[i-1].AfterExtra = e.AfterExtra
		}
	} else {
		a.Elements[i+1].BeforeExtra = behind(e.BeforeExtra, a.Elements[i+1].BeforeExtra)
	}
	a.Elements = append(a.Elements[:i], a.Elements[i+1:]...)
}
