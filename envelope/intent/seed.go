package intent

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// SeedFormat names the task files of the system that this one re-creates: autonomy/tasks/<id>.json, and lines of events.jsonl.
const SeedFormat = "autonomy/v1"

// ErrSeed says that a task file, or a line of its events, is none.
var ErrSeed = errors.New("not a task of the seed")

// seedTask are the fields of a task file that are known; others are kept as they are.
type seedTask struct {
	ID           string   `json:"id"`
	Title        string   `json:"title"`
	State        State    `json:"state"`
	Priority     Priority `json:"priority"`
	OwnerRole    Role     `json:"ownerRole"`
	Scope        []string `json:"scope"`
	Summary      string   `json:"summary"`
	Failures     []string `json:"expectedFailureModes"`
	Gates        []Gate   `json:"gates"`
	Verification []string `json:"verification"`
	Escalation   []string `json:"humanEscalation"`
	Next         string   `json:"nextAction"`
	Updated      string   `json:"updated"`
}

// SeedEvent is a line of events.jsonl.
type SeedEvent struct {
	Timestamp string `json:"timestamp"`
	Task      string `json:"taskId"`
	From      *State `json:"from"`
	To        State  `json:"to"`
	Role      Role   `json:"actorRole"`
	Note      string `json:"note"`
}

// ReadSeed reads a task file, and the lines of events.jsonl that are of it, by their numbers: what opens the same intent here, and what it says
// otherwise than the file, for people.
func ReadSeed(record []byte, events map[int]string) (Opened, []string, error) {
	bad := func(format string, a ...any) (Opened, []string, error) {
		return Opened{}, nil, fmt.Errorf("%w: %w", ErrSeed, fmt.Errorf(format, a...))
	}
	if len(record) > MaxImported || !utf8.Valid(record) {
		return bad("it has %d bytes of UTF-8 or not; at most %d are taken", len(record), MaxImported)
	}
	if _, err := members(record); err != nil {
		return bad("%w", err)
	}
	var t seedTask
	if err := json.Unmarshal(record, &t); err != nil {
		return bad("%w", err)
	}
	f, told := t.fields()
	if !ValidName(f.Name) {
		return bad("id %.140q", t.ID)
	}
	o := Opened{Fields: f, Imported: &Imported{Format: SeedFormat, Record: string(record)}}
	if o.State = t.State; t.State == Proposed {
		o.State = ""
	}
	for n, text := range events {
		e, err := ReadSeedEvent([]byte(text))
		if err != nil {
			return bad("line %d of its events: %w", n, err)
		}
		if e.Task != t.ID {
			return bad("line %d of its events is of %.140q", n, e.Task)
		}
		o.Imported.Lines = append(o.Imported.Lines, n)
	}
	slices.Sort(o.Imported.Lines)
	for _, n := range o.Imported.Lines {
		o.Imported.Events = append(o.Imported.Events, events[n])
	}
	if err := o.Validate(); err != nil {
		return bad("%s: %w", t.ID, err)
	}
	if !slices.Contains(States, t.State) {
		return bad("%s: state %.40q", t.ID, t.State)
	}
	return o, told, nil
}

// ReadSeedEvent reads a line of events.jsonl.
func ReadSeedEvent(text []byte) (SeedEvent, error) {
	var e SeedEvent
	if err := json.Unmarshal(text, &e); err != nil {
		return e, err
	}
	if !utf8.Valid(text) || e.Task == "" || !slices.Contains(States, e.To) {
		return e, fmt.Errorf("%w: it has no task, or no state that is known", ErrSeed)
	}
	return e, nil
}

// SeedID is the id that a task had.
func (i *Imported) SeedID() string {
	var t struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal([]byte(i.Record), &t) // it was read when it came in
	return t.ID
}

// fields are what a task says, as an intent says it, and what that says otherwise, for people.
func (t *seedTask) fields() (f Fields, told []string) {
	tell := func(format string, a ...any) { told = append(told, fmt.Sprintf(format, a...)) }
	lines := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace
	flat := func(what, text string) string {
		out := text
		if strings.ContainsAny(text, "\r\n") {
			out = strings.Join(strings.Fields(text), " ")
			tell("%s is one line", what)
		}
		return out
	}
	all := func(what string, list []string, more func(string) []string) []string {
		var out []string
		for _, x := range list {
			if x == "" {
				tell("an empty text of %s is left out", what)
				continue
			}
			out = append(out, more(x)...)
		}
		return out
	}
	prose := func(what string, list []string) []string {
		return all(what, list, func(x string) []string { return []string{flat("a text of "+what, x)} })
	}
	f = Fields{Name: t.ID, Title: t.Title, Text: strings.TrimSpace(t.Summary), Priority: cmp.Or(t.Priority, Medium), Role: cmp.Or(t.OwnerRole, Implementer), Gates: slices.Clone(t.Gates)}
	if LikeID(f.Name) { // it could be taken for the beginning of an intent's id
		f.Name = "task-" + f.Name
		tell("its name is %s", f.Name)
	}
	if text := lines(f.Text); text != f.Text {
		f.Text = text
		tell("the summary's lines end otherwise")
	}
	if f.Title = flat("the title", f.Title); len(f.Title) > MaxTitle {
		if f.Text != "" {
			f.Text = "\n\n" + f.Text
		}
		f.Text, f.Title = f.Title+f.Text, TitleOf(f.Title)
		tell("the title is cut, and stands whole in the text")
	}
	if f.Text == "" {
		f.Text = f.Title
	}
	if f.Title == "" {
		f.Title = TitleOf(f.Text)
	}
	f.Next = flat("the next action", t.Next)
	f.Failures, f.Escalations = prose("expectedFailureModes", t.Failures), prose("humanEscalation", t.Escalation)
	f.Verification = all("verification", t.Verification, func(x string) []string {
		if !strings.ContainsAny(x, "\r\n") {
			return []string{x}
		}
		tell("a verification of several lines is one for each line")
		return slices.DeleteFunc(strings.Split(lines(x), "\n"), func(l string) bool { return strings.TrimSpace(l) == "" })
	})
	for _, p := range t.Scope {
		now := p
		if clean := path.Clean(p); p != "" && !path.IsAbs(clean) && clean != ".." && !strings.HasPrefix(clean, "../") {
			switch now = clean; {
			case clean == ".":
				now = "**"
			case strings.HasSuffix(p, "/"):
				now += "/**"
			}
		}
		if f.Scope = append(f.Scope, now); now != p {
			tell("scope %.100q is %.100q", p, now)
		}
	}
	slices.Sort(f.Gates)
	f.Gates = slices.Compact(f.Gates)
	return f, told
}

// member is a member of a JSON object, in the order of the text.
type member struct {
	name  string
	value json.RawMessage
}

// members reads an object without losing the order or the form of what is in it.
func members(text []byte) ([]member, error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	if tok, err := dec.Token(); err != nil || tok != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	var out []member
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := tok.(string)
		if slices.ContainsFunc(out, func(m member) bool { return m.name == name }) {
			return nil, fmt.Errorf("it has %.100q twice", name)
		}
		var v json.RawMessage
		if err := dec.Decode(&v); err != nil {
			return nil, err
		}
		out = append(out, member{name, v})
	}
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows it")
	}
	return out, nil
}

// SeedName is the id of an intent in task files: the one that it had there, else its name, else its id.
func (s *Intent) SeedName() string {
	if o := s.Opening(); o != nil && o.Opened.Imported != nil {
		return o.Opened.Imported.SeedID()
	}
	return cmp.Or(s.Fields.Name, string(s.ID))
}

// WriteSeed returns the task file of an intent. One that was imported, and not touched since, is the file that it was, byte
// for byte; else fields that did not change are as they stood there, those that the seed does not know among them, and the file is laid out as the
// seed's own writer does it.
func (s *Intent) WriteSeed() ([]byte, error) {
	opening := s.Opening()
	if opening == nil || s.Void != "" {
		return nil, fmt.Errorf("%w: there is no such intent", ErrInvalid)
	}
	now := s.seedTask()
	now.ID = s.SeedName() // whatever an edit said since
	was, imported := seedTask{}, opening.Opened.Imported
	var list []member
	if imported != nil {
		if len(s.Counted()) == 1 {
			return []byte(imported.Record), nil
		}
		var err error
		if list, err = members([]byte(imported.Record)); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(imported.Record), &was); err != nil {
			return nil, err
		}
		f, _ := was.fields()
		old := Intent{ID: s.ID, Fields: f, State: was.State}
		was = old.seedTask()
	}
	a, b := reflect.ValueOf(was), reflect.ValueOf(now)
	for i := range b.NumField() {
		name := b.Type().Field(i).Tag.Get("json")
		at := slices.IndexFunc(list, func(m member) bool { return m.name == name })
		if imported != nil && name != "updated" && reflect.DeepEqual(a.Field(i).Interface(), b.Field(i).Interface()) {
			continue
		}
		text, err := encode(b.Field(i).Interface())
		if err != nil {
			return nil, err
		}
		if at < 0 {
			list = append(list, member{name, text})
		} else {
			list[at].value = text
		}
	}
	var flat bytes.Buffer
	for i, m := range list {
		name, err := encode(m.name)
		if err != nil {
			return nil, err
		}
		flat.WriteByte("{,"[min(i, 1)])
		flat.Write(name)
		flat.WriteByte(':')
		flat.Write(m.value)
	}
	flat.WriteByte('}')
	var out bytes.Buffer
	if err := json.Indent(&out, flat.Bytes(), "", "  "); err != nil {
		return nil, err
	}
	return append(out.Bytes(), '\n'), nil
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), err
}

// seedTask is what a task file says of an intent.
func (s *Intent) seedTask() seedTask {
	f := &s.Fields
	list := func(l []string) []string { return append([]string{}, l...) } // never null
	t := seedTask{
		ID: cmp.Or(f.Name, string(s.ID)), Title: f.Title, State: s.State, Priority: f.Priority, OwnerRole: f.Role, Scope: list(f.Scope), Summary: f.Text,
		Failures: list(f.Failures), Gates: append([]Gate{}, f.Gates...), Verification: list(f.Verification), Escalation: list(f.Escalations), Next: f.Next,
	}
	if n := len(s.Counted()); n > 0 {
		t.Updated, _, _ = strings.Cut(s.Steps[n-1].Time, "T")
	}
	return t
}

// SeedLine is a line of events.jsonl: where it stood, 0 for one that came to be here, and its text without the newline.
type SeedLine struct {
	Number int
	Time   time.Time
	Text   string
}

// SeedEvents returns the lines of events.jsonl of an intent: those that were imported, then one for each move that counts.
func (s *Intent) SeedEvents() ([]SeedLine, error) {
	opening := s.Opening()
	if opening == nil || s.Void != "" {
		return nil, nil
	}
	var out []SeedLine
	name := s.SeedName()
	add := func(at string, e SeedEvent) error {
		text, err := encode(e)
		if err != nil {
			return err
		}
		t, err := time.Parse(time.RFC3339, at)
		out = append(out, SeedLine{Time: t, Text: string(text)})
		return err
	}
	if i := opening.Opened.Imported; i != nil {
		for k, text := range i.Events {
			out = append(out, SeedLine{Number: i.Lines[k], Text: text})
		}
	} else if err := add(opening.Time, SeedEvent{Timestamp: opening.Time, Task: name, To: Proposed, Role: opening.Opened.Role, Note: opening.Opened.Title}); err != nil {
		return nil, err
	}
	for _, m := range s.Moves() {
		from := m.Moved.From
		if err := add(m.Time, SeedEvent{Timestamp: m.Time, Task: name, From: &from, To: m.Moved.To, Role: m.Moved.Role, Note: m.Moved.Note}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
