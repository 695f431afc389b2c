package provenance

import (
	"encoding/json"
	"time"

	"github.com/open-covenant/covenant-git/envelope/capability"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// A Batcher is an asker to whom many queries at once cost little more than one.
type Batcher interface {
	verdict.Asker
	DecideAll(queries []capability.Query) []capability.Decision
}

// batchOf is how many exams are judged together where the asker is a [Batcher].
const batchOf = 512

// judgeAll judges exams, in their order.
func judgeAll(exams []verdict.Exam, w *verdict.World, now time.Time) []verdict.Result {
	out := make([]verdict.Result, len(exams))
	together(w, func(w *verdict.World) {
		for i := range exams {
			out[i] = exams[i].Judge(w, now)
		}
	})
	return out
}

// together runs a judge. A batcher is asked all that the judge asks at once: the
// judge is a pure function, so it is run until it asks nothing that was not answered.
func together(w *verdict.World, judge func(*verdict.World)) {
	b, ok := w.Authority.(Batcher)
	if !ok {
		judge(w)
		return
	}
	book := &answers{known: map[string]capability.Decision{}}
	asking := *w
	asking.Authority = book
	for {
		judge(&asking)
		if len(book.open) == 0 {
			return
		}
		for i, d := range b.DecideAll(book.open) {
			book.known[book.keys[i]] = d
		}
		book.open, book.keys = nil, nil
	}
}

// answers is an asker that knows some decisions, and keeps the queries it does not know.
type answers struct {
	known map[string]capability.Decision
	open  []capability.Query
	keys  []string
}

func (a *answers) Decide(q capability.Query) capability.Decision {
	b, err := json.Marshal(q)
	if err != nil {
		return capability.Decision{Reason: err.Error()}
	}
	key := string(b)
	d, ok := a.known[key]
	if !ok {
		a.known[key] = capability.Decision{Reason: "it was not asked yet"}
		a.open, a.keys = append(a.open, q), append(a.keys, key)
	}
	return d
}
