package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/envelope/event"
	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// Written is a call of an agent's tool that wrote a file, as the agent's hooks recorded it.
type Written struct {
	Entry                      envelope.Digest
	By                         string // whose record it is: a name, or a key that nobody has
	Agent, Session, Tool, Call string // "" where nobody says
	Model                      string // that the session had, as it was said last before that
	At                         time.Time
	Path                       string
	SHA256                     string // in hexadecimal, of what the call left; "" where that is not known
	Ranges                     []LineRange
	Heard                      Heard  // before that, in the session
	hashes                     string // of the lines of the ranges, one range after the other
}

// Heard is what is known of what a person had said to an agent when it made a call, and of what was said in the session.
type Heard struct {
	SHA256     string // in hexadecimal, of the last prompt, after redaction; "" where none is known
	Transcript string // the object that has what was said, in the clone in which it was kept last; "" for none
}

// LineRange is some lines of a file, from 1; the last is one of them.
type LineRange struct{ From, To int }

// ParseLineRange reads "3" or "3-7", as hooks record lines.
func ParseLineRange(s string) (LineRange, bool) {
	from, to, two := strings.Cut(s, "-")
	if !two {
		to = from
	}
	a, err := strconv.Atoi(from)
	b, berr := strconv.Atoi(to)
	return LineRange{a, b}, err == nil && berr == nil && 0 < a && a <= b
}

// Writes reads which calls of agents' tools wrote files, the last first. Of the filter its kinds are not looked at.
func Writes(s *git.Session, f *provenance.Facts, filter Filter, wanted func(path string) bool) ([]Written, error) {
	filter.Kinds = []string{"file_written", "prompt_submitted", "session_started", "session_ended", "transcript_kept"}
	var out []Written
	type pending struct{ model, prompt []int } // calls of a session of which it was not said yet
	waiting := map[string]*pending{}
	transcripts := map[string]string{} // that were kept last, by session
	for e, err := range Backwards(s, f, filter) {
		if err != nil {
			return nil, err
		}
		if e.Err != nil {
			continue
		}
		own := e.KeyID + "\x00" + e.Session
		whole, _, _ := strings.Cut(own, "/") // what a person says to an agent is said to its sub-agents
		for _, name := range []string{own, whole} {
			if waiting[name] == nil {
				waiting[name] = &pending{}
			}
		}
		switch {
		case e.Kind == "transcript_kept":
			if transcripts[whole] == "" {
				transcripts[whole] = e.Get("blob")
			}
		case e.Kind == "prompt_submitted":
			for _, i := range waiting[whole].prompt {
				out[i].Heard.SHA256 = e.Get("sha256")
			}
			waiting[whole].prompt = nil
		case e.Kind != "file_written":
			if model := e.Get("model"); model != "" {
				for _, i := range waiting[own].model {
					out[i].Model = model
				}
				waiting[own].model = nil
			}
		case wanted == nil || wanted(e.Get("path")):
			w := Written{Entry: e.ID, By: e.KeyID, Agent: e.Get("agent"), Session: e.Session, Tool: e.Get("tool"), Call: e.Get("call"), At: e.At, Path: e.Get("path"), SHA256: e.Get("sha256"), hashes: e.Get("line_hashes")}
			if e.Principal != nil {
				w.By = e.Principal.Name
			}
			for _, d := range e.Data {
				var list []string
				if d.Name == "lines" && json.Unmarshal(d.Value, &list) == nil {
					for _, x := range list {
						if r, ok := ParseLineRange(x); ok {
							w.Ranges = append(w.Ranges, r)
						}
					}
				}
			}
			w.Heard.Transcript = transcripts[whole]
			waiting[own].model, waiting[whole].prompt = append(waiting[own].model, len(out)), append(waiting[whole].prompt, len(out))
			out = append(out, w)
		}
	}
	return out, nil
}

// Lines says the lines that the call put in, as the file was then.
func (w *Written) Lines() string {
	out := make([]string, 0, len(w.Ranges))
	for _, r := range w.Ranges {
		if r.From == r.To {
			out = append(out, strconv.Itoa(r.From))
		} else {
			out = append(out, strconv.Itoa(r.From)+"-"+strconv.Itoa(r.To))
		}
	}
	return strings.Join(out, ",")
}

// Left reports whether the call left exactly this content, of which the SHA-256 is given in hexadecimal.
func (w *Written) Left(digest string) bool { return digest != "" && w.SHA256 == digest }

// Limits of how lines are found that a call put in and that stand elsewhere now.
const (
	maxMakers = 16      // that lines of one content have
	maxPlaces = 64      // that one line is looked for at
	maxSteps  = 4 << 20 // in lines, for one content
)

// PutIn tells which call put in each line of a content: the last of the calls, of which the first in the list is the last, that left the content so and names the line; else
// the last that put in a run of lines of which one has a letter or a digit, and which stand there. nil where none is known. Of lines that are the same the longest run counts, of
// equal ones the first. The calls are of one file; what is found by lines is likely and not certain: each line is told by 24 bits. makers
// names who made a line, from 1: where one of them recorded such a call, what others recorded is not looked at. It may be nil.
func PutIn(calls []*Written, content []byte, makers func(line int) []string) []*Written {
	out := putIn(calls, content)
	if makers == nil || len(calls) == 0 {
		return out
	}
	of := map[string][]*Written{} // by makers
	for i := range out {
		who := makers(i + 1)
		key := strings.Join(who, "\x00")
		own, ok := of[key]
		if !ok && len(of) < maxMakers {
			mine := slices.DeleteFunc(slices.Clone(calls), func(w *Written) bool { return !slices.Contains(who, w.By) })
			if 0 < len(mine) && len(mine) < len(calls) {
				own = putIn(mine, content)
			}
			of[key] = own
		}
		if own != nil && own[i] != nil {
			out[i] = own[i]
		}
	}
	return out
}

func putIn(calls []*Written, content []byte) []*Written {
	sum := sha256.Sum256(content)
	digest := hex.EncodeToString(sum[:])
	hashes := event.LineHashes(content)
	n := len(hashes) / event.HashSize
	out := make([]*Written, n)
	line := func(of string, i int) string { return of[i*event.HashSize : (i+1)*event.HashSize] }
	solid := make([]bool, n) // has a letter or a digit
	places := map[string][]int{}
	i := 0
	for l := range strings.Lines(string(content)) {
		solid[i] = strings.ContainsFunc(l, wordRune)
		h := line(hashes, i)
		places[h] = append(places[h], i)
		i++
	}
	steps := maxSteps
	for _, w := range calls {
		if w.Left(digest) {
			for _, r := range w.Ranges {
				for l := r.From; l <= min(r.To, n); l++ {
					if out[l-1] == nil {
						out[l-1] = w
					}
				}
			}
			continue
		}
		rest := w.hashes
		for _, r := range w.Ranges {
			size := (r.To - r.From + 1) * event.HashSize
			if size > len(rest) {
				break
			}
			var part string
			part, rest = rest[:size], rest[size:]
			for at := 0; at < len(part)/event.HashSize; {
				from, length, firm := 0, 0, false
				for k, p := range places[line(part, at)] {
					if k == maxPlaces || steps < 0 {
						break
					}
					run, sound := 0, false
					for p+run < n && at+run < len(part)/event.HashSize && out[p+run] == nil && line(hashes, p+run) == line(part, at+run) {
						sound = sound || solid[p+run]
						run++
					}
					if steps -= run + 1; sound && run > length {
						from, length, firm = p, run, true
					}
				}
				if !firm {
					at++
					continue
				}
				for l := from; l < from+length; l++ {
					out[l] = w
				}
				at += length
			}
		}
	}
	return out
}

// wordRune reports whether a rune is a letter or a digit, of whatever script.
func wordRune(r rune) bool {
	return r >= 0x80 || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}
