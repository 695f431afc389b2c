package review

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/envelope"
	"github.com/open-covenant/covenant-git/git/oid"
)

// Limits of what is read from a forge.
const (
	MaxForgeSize = 8 << 20 // bytes
	maxForge     = 5000    // reviews
)

// Given is a review as a forge has it.
type Given struct {
	Name    string // of the account
	Verdict Verdict
	Commit  oid.ID // that it was given; zero where the forge does not say
	At      string // when, in UTC and whole seconds
	URL     string
	Text    string
}

// Forges are the names of the forms that [ParseForge] reads.
var Forges = []string{"gerrit", "github", "gitlab"}

// ParseForge reads reviews as the API of a forge writes them:
//
//   - github: GET /repos/OWNER/REPO/pulls/N/reviews, an array; of dismissed and pending ones, and those of commits that are gone, nothing is taken;
//   - gitlab: GET /projects/ID/merge_requests/N/approvals, an object; it does not say of which commit;
//   - gerrit: GET /changes/ID/detail?o=CURRENT_REVISION, an object behind its )]}' line: votes of +2 and -2 on Code-Review.
//
// The newest word of each account that approves or rejects comes last. The error wraps ErrInvalid.
func ParseForge(forge string, data []byte) ([]Given, error) {
	if len(data) > MaxForgeSize {
		return nil, fmt.Errorf("%w: %d bytes of reviews, at most %d may be", ErrInvalid, len(data), MaxForgeSize)
	}
	var out []Given
	var err error
	switch forge {
	case "github":
		out, err = github(data)
	case "gitlab":
		out, err = gitlab(data)
	case "gerrit":
		out, err = gerrit(data)
	default:
		return nil, fmt.Errorf("%w: %.40q is none of %s", ErrInvalid, forge, strings.Join(Forges, ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("%w: reviews of %s: %w", ErrInvalid, forge, err)
	}
	if len(out) > maxForge {
		return nil, fmt.Errorf("%w: %d reviews, at most %d may be", ErrInvalid, len(out), maxForge)
	}
	for i := range out {
		g := &out[i]
		if len(g.Name) > 127 || !envelope.IsLine(g.Name, maxWord) || strings.ContainsAny(g.Name, "/ \t") {
			return nil, fmt.Errorf("%w: account %.100q", ErrInvalid, g.Name)
		}
		if g.Text = plain(g.Text); !page(g.URL) {
			g.URL = ""
		}
	}
	slices.SortStableFunc(out, func(a, b Given) int { return strings.Compare(a.At, b.At) })
	return out, nil
}

// plain makes a text that may be said of one that somebody typed.
func plain(s string) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\r\n", "\n"), "\uFFFD")
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return -1
		}
		return r
	}, s)
	for len(s) > MaxText {
		_, n := utf8.DecodeLastRuneInString(s[:MaxText+1])
		s = s[:MaxText+1-max(1, n)]
	}
	return s
}

func when(text string, layouts ...string) (string, error) {
	for _, l := range append(layouts, time.RFC3339Nano) {
		if t, err := time.Parse(l, text); err == nil {
			if at := envelope.Timestamp(t); envelope.CheckTime(at) == nil {
				return at, nil
			}
		}
	}
	return "", fmt.Errorf("time %.60q", text)
}

func github(data []byte) ([]Given, error) {
	var list []struct {
		User struct {
			Login string `json:"login"`
		} `json:"user"`
		State     string `json:"state"`
		Body      string `json:"body"`
		Commit    string `json:"commit_id"`
		Submitted string `json:"submitted_at"`
		URL       string `json:"html_url"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	words := map[string]Verdict{"APPROVED": Approve, "CHANGES_REQUESTED": Reject, "COMMENTED": Comment}
	var out []Given
	for i, r := range list {
		verdict, ok := words[strings.ToUpper(r.State)]
		if !ok {
			continue
		}
		at, err := when(r.Submitted)
		if err != nil {
			return nil, fmt.Errorf("review %d: %w", i+1, err)
		}
		if r.Commit == "" {
			continue // what it was about is gone
		}
		id, err := oid.Parse(r.Commit)
		if err != nil {
			return nil, fmt.Errorf("review %d: commit_id: %w", i+1, err)
		}
		out = append(out, Given{Name: r.User.Login, Verdict: verdict, Commit: id, At: at, URL: r.URL, Text: r.Body})
	}
	return out, nil
}

func gitlab(data []byte) ([]Given, error) {
	var mr struct {
		Updated    string `json:"updated_at"`
		ApprovedBy []struct {
			User struct {
				Name string `json:"username"`
			} `json:"user"`
			At string `json:"approved_at"`
		} `json:"approved_by"`
	}
	if err := json.Unmarshal(data, &mr); err != nil {
		return nil, err
	}
	var out []Given
	for i, a := range mr.ApprovedBy {
		text := a.At
		if text == "" {
			text = mr.Updated
		}
		at, err := when(text)
		if err != nil {
			return nil, fmt.Errorf("approval %d: %w", i+1, err)
		}
		out = append(out, Given{Name: a.User.Name, Verdict: Approve, At: at})
	}
	return out, nil
}

// magic begins what Gerrit answers, so that no page runs it as a script.
var magic = []byte(")]}'")

func gerrit(data []byte) ([]Given, error) {
	var change struct {
		Current string `json:"current_revision"`
		Labels  map[string]struct {
			All []struct {
				Name  string `json:"username"`
				Value int    `json:"value"`
				Date  string `json:"date"`
			} `json:"all"`
		} `json:"labels"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, magic), &change); err != nil {
		return nil, err
	}
	id, err := oid.Parse(change.Current)
	if err != nil {
		return nil, fmt.Errorf("current_revision: %w", err)
	}
	var out []Given
	for i, v := range change.Labels["Code-Review"].All {
		var verdict Verdict
		switch v.Value {
		case 2:
			verdict = Approve
		case -2:
			verdict = Reject
		default:
			continue
		}
		at, err := when(v.Date, "2006-01-02 15:04:05.999999999")
		if err != nil {
			return nil, fmt.Errorf("vote %d: %w", i+1, err)
		}
		out = append(out, Given{Name: v.Name, Verdict: verdict, Commit: id, At: at})
	}
	return out, nil
}
