package provenance

import (
	"bytes"
	"encoding/json"
	"runtime"
	"slices"
	"sync"

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

// exams returns what is remembered of some commits, in the order of the span, and of all where among is nil. It uses all processors.
// It is nil where anything is not as it was stored.
func (s *snapshot) exams(among map[oid.ID]bool) []keptExam {
	lines := s.lines
	if among != nil {
		names := make(map[string]bool, len(among))
		for id, in := range among {
			names[id.String()] = in
		}
		lines = slices.DeleteFunc(slices.Clone(lines), func(line []byte) bool {
			name, _, _ := bytes.Cut(line, []byte(" "))
			return !names[string(name)]
		})
	}
	out := make([]keptExam, len(lines))
	read := func(from, to int) bool {
		for i := from; i < to; i++ {
			name, text, _ := bytes.Cut(lines[i], []byte(" "))
			if json.Unmarshal(text, &out[i]) != nil || out[i].Exam.Commit.String() != string(name) {
				return false
			}
		}
		return true
	}
	n := max(1, min(runtime.GOMAXPROCS(0), len(lines)/16))
	good := make([]bool, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { good[i] = read(i*len(lines)/n, (i+1)*len(lines)/n) })
	}
	wg.Wait()
	if slices.Contains(good, false) {
		return nil
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
