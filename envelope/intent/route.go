package intent

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// keywords are the words by which a text asks for what an action is for.
var keywords = []struct {
	action string
	words  []string
}{
	{"intent.delegate", []string{"assign", "delegate", "ask another", "route to"}},
	{"intent.subscribe", []string{"hello", "hi", "echo", "ping", "test"}},
	{"memory.read", []string{"recall", "what did", "previous", "earlier"}},
	{"memory.write", []string{"remember", "save", "note", "store", "log"}},
	{"tool.gpu_inference", []string{"generate", "render", "image", "diffusion", "infer"}},
	{"tool.summarize", []string{"summarize", "summarise", "tl;dr", "brief", "summary"}},
	{"tool.web_search", []string{"search", "find", "look up", "papers", "articles", "research", "news", "what is"}},
}

// RoutedActions lists the actions that texts are routed by.
func RoutedActions() []string {
	var out []string
	for _, k := range keywords {
		out = append(out, k.action)
	}
	return out
}

// A Card says what somebody may do.
type Card struct {
	Name    string
	Actions []string // of [RoutedActions]
}

// Match is an action that a text asks for, by the words that it has.
type Match struct {
	Action string   `json:"action"`
	Words  []string `json:"words"`
}

// Routed is how well a card suits a text.
type Routed struct {
	Name    string
	Score   int // words, of all actions together
	Matches []Match
}

// Route returns the cards that suit a text, the best first: most words, then most actions, then the name that comes first. A word
// counts where no letter or digit stands beside it, whatever its case; the words of one keyword may have any space between them.
func Route(text string, cards []Card) []Routed {
	words := strings.ToLower(" " + strings.Join(strings.Fields(text), " ") + " ")
	var matches []Match
	for _, k := range keywords {
		m := Match{Action: k.action}
		for _, w := range k.words {
			if has(words, w) {
				m.Words = append(m.Words, w)
			}
		}
		if len(m.Words) > 0 {
			matches = append(matches, m)
		}
	}
	var out []Routed
	for _, c := range cards {
		r := Routed{Name: c.Name}
		for _, m := range matches {
			if slices.Contains(c.Actions, m.Action) {
				r.Score += len(m.Words)
				r.Matches = append(r.Matches, m)
			}
		}
		if r.Score > 0 {
			out = append(out, r)
		}
	}
	slices.SortFunc(out, func(a, b Routed) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), cmp.Compare(len(b.Matches), len(a.Matches)), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// has reports whether a text has a word that no letter or digit stands beside.
func has(text, word string) bool {
	for from := 0; ; {
		i := strings.Index(text[from:], word)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(word):])
		if !beside(before) && !beside(after) {
			return true
		}
		from = i + 1
	}
}

func beside(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }
