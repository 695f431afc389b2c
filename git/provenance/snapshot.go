package provenance

import (
	"bytes"
	"encoding/json"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/open-covenant/covenant-git/envelope/verdict"
	"github.com/open-covenant/covenant-git/git/oid"
)

// snapshot is one remembered span. Question holds everything the exams depend on. Written down it is a line of JSON, and then
// for each commit a line: its name, a space, and JSON. So who asks about few commits of a long span reads no more than those.
type snapshot struct {
	Question string            `json:"question"`
	Commits  int               `json:"commits"` // lines that follow
	Problems []verdict.Finding `json:"problems"`
	Line     *verdict.Line     `json:"line,omitempty"` // admissions of the ref under review
	// Seen is who saw how far the ledgers reached that carry grants; of others the exams say it.
	Seen      map[string][]seenAt `json:"seen,omitempty"`
	Rewritten bool                `json:"rewritten,omitempty"` // some commit was, or one that a derived one may be made of
	Origins   bool                `json:"origins,omitempty"`   // whose changes those have was asked for
	Newest    freshness           `json:"newest,omitzero"`     // checkpoint, where the policy demands one

	lines [][]byte // that follow
}

// keptExam is an exam, and as much of its commit as output needs.
type keptExam struct {
	Subject string       `json:"subject"`
	When    int64        `json:"when"`
	Exam    verdict.Exam `json:"exam"`
}

// load returns what was stored under a name, nil when there is nothing or somebody else wrote it.
func (c *Cache) load(name string) *snapshot {
	head, rest, _ := bytes.Cut(c.read(name), []byte("\n"))
	var s snapshot
	if len(head) == 0 || json.Unmarshal(head, &s) != nil {
		return nil
	}
	s.lines = make([][]byte, 0, max(0, min(s.Commits, len(rest))))
	for len(rest) > 0 {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\n"))
		s.lines = append(s.lines, line)
	}
	if len(s.lines) != s.Commits {
		return nil
	}
	return &s
}

// ahead bounds how many exams are read before it is known which are wanted.
const ahead = 2048

// exams returns what is remembered of some commits, in the order of the span, and of all where among is nil. It uses all processors, and
// reads while among finds out. It is nil where anything is not as it was stored.
func (s *snapshot) exams(among func() map[oid.ID]bool) []keptExam {
	all := make([]keptExam, len(s.lines))
	read := make([]bool, len(s.lines))
	one := func(i int) {
		name, text, _ := bytes.Cut(s.lines[i], []byte(" "))
		read[i] = json.Unmarshal(text, &all[i]) == nil && all[i].Exam.Commit.String() == string(name)
	}
	want := make([]int, 0, len(s.lines))
	if among == nil {
		for i := range s.lines {
			want = append(want, i)
		}
	} else {
		var known atomic.Bool
		var early sync.WaitGroup
		early.Go(func() {
			for i := 0; i < min(len(s.lines), ahead) && !known.Load(); i++ {
				one(i)
			}
		})
		names := make(map[string]bool)
		for id, in := range among() {
			names[id.String()] = in
		}
		known.Store(true)
		early.Wait()
		for i, line := range s.lines {
			if name, _, _ := bytes.Cut(line, []byte(" ")); names[string(name)] {
				want = append(want, i)
			}
		}
	}
	n := max(1, min(runtime.GOMAXPROCS(0), len(want)/16))
	var wg sync.WaitGroup
	for k := range n {
		wg.Go(func() {
			for _, i := range want[k*len(want)/n : (k+1)*len(want)/n] {
				if !read[i] {
					one(i)
				}
			}
		})
	}
	wg.Wait()
	out := make([]keptExam, 0, len(want))
	for _, i := range want {
		if !read[i] {
			return nil
		}
		out = append(out, all[i])
	}
	return out
}

// store writes a snapshot and its exams down.
func (c *Cache) store(name string, s *snapshot, exams []keptExam) {
	s.Commits = len(exams)
	body, err := json.Marshal(s)
	if err != nil {
		return
	}
	for i := range exams {
		text, err := json.Marshal(&exams[i])
		if err != nil {
			return
		}
		body = append(body, '\n')
		body = append(body, exams[i].Exam.Commit.String()...)
		body = append(append(body, ' '), text...)
	}
	c.write(name, body)
}
