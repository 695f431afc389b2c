package review

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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
	maxPages     = 1000    // JSON values, one after the other
)

// Given is a review as a forge has it.
type Given struct {
	Name    string  // of the account
	Verdict Verdict // Withdraw: it was dismissed since, whatever it said
	Commit  oid.ID  // that it was given; zero where the forge does not say
	At      string  // when, in UTC and whole seconds
	URL     string
	Text    string
}

// A Forged is what a forge answers.
type Forged struct {
	Given []Given // in the order of when they were given
	Gone  int     // reviews that were passed over, since their accounts are no more
	Whole bool    // all that stands there of what accounts say: of who is not in it nothing does any more
	Of    oid.ID  // then, the commit that all of it is of; zero where the forge does not say
}

// Forges are the names of the forms that [ParseForge] reads.
var Forges = []string{"gerrit", "github", "gitlab"}

// ParseForge reads reviews as the API of a forge writes them:
//
//   - github: GET /repos/OWNER/REPO/pulls/N/reviews, an array; of pending ones nothing is taken, and of those of commits that are gone that they were dismissed;
//   - gitlab: GET /projects/ID/merge_requests/N/approvals, an object; it does not say of which commit;
//   - gerrit: GET /changes/ID/detail?o=CURRENT_REVISION, an object behind its )]}' line: votes of +2 and -2 on Code-Review.
//
// Several of them may follow each other, as the pages of an answer do. The error wraps ErrInvalid.
func ParseForge(forge string, data []byte) (*Forged, error) {
	if len(data) > MaxForgeSize {
		return nil, fmt.Errorf("%w: %d bytes of reviews, at most %d may be", ErrInvalid, len(data), MaxForgeSize)
	}
	read := github
	switch forge {
	case "github":
	case "gitlab":
		read = gitlab
	case "gerrit":
		read, data = gerrit, bytes.TrimPrefix(data, magic)
	default:
		return nil, fmt.Errorf("%w: %.40q is none of %s", ErrInvalid, forge, strings.Join(Forges, ", "))
	}
	out, pages := &Forged{}, 0
	for d := json.NewDecoder(bytes.NewReader(data)); ; pages++ {
		var page json.RawMessage
		var more Forged
		err := d.Decode(&page)
		if errors.Is(err, io.EOF) && pages > 0 {
			break
		}
		if errors.Is(err, io.EOF) {
			err = errors.New("there is nothing to read")
		} else if err == nil && pages == maxPages {
			err = fmt.Errorf("more than %d pages", maxPages)
		}
		if err == nil {
			more, err = read(page)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: reviews of %s: %w", ErrInvalid, forge, inWords(err))
		}
		out.Given, out.Whole, out.Of = append(out.Given, more.Given...), more.Whole && (pages == 0 || out.Whole && out.Of == more.Of), more.Of
	}
	all := len(out.Given)
	out.Given = slices.DeleteFunc(out.Given, func(g Given) bool { return g.Name == "" })
	out.Gone = all - len(out.Given)
	if len(out.Given) > maxForge {
		return nil, fmt.Errorf("%w: %d reviews, at most %d may be", ErrInvalid, len(out.Given), maxForge)
	}
	for i := range out.Given {
		g := &out.Given[i]
		if len(g.Name) > 127 || !envelope.IsLine(g.Name, maxWord) || strings.ContainsAny(g.Name, "/ \t") {
			return nil, fmt.Errorf("%w: account %.100q", ErrInvalid, g.Name)
		}
		if g.Text = plain(g.Text); !page(g.URL) {
			g.URL = ""
		}
	}
	slices.SortStableFunc(out.Given, func(a, b Given) int { return strings.Compare(a.At, b.At) })
	return out, nil
}

// inWords says what is wrong with JSON without names of Go's types.
func inWords(err error) error {
	var of *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &of):
		return err
	case of.Field == "":
		return fmt.Errorf("that is another form: what is there is %s", of.Value)
	}
	return fmt.Errorf("that is another form: %.100q is %s", of.Field, of.Value)
}

// answered says what an object is that is none of those which were asked for: what a forge answers where it has none, or another form.
func answered(page []byte, want string) error {
	var said struct {
		Message any `json:"message"`
	}
	if json.Unmarshal(page, &said) == nil && said.Message != nil {
		return fmt.Errorf("it is no answer with %s, and says %.200q", want, fmt.Sprint(said.Message))
	}
	return fmt.Errorf("it is no answer with %s", want)
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

func github(data []byte) (out Forged, err error) {
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
	if bytes.HasPrefix(data, []byte("{")) {
		return out, answered(data, "a list of reviews")
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return out, err
	}
	words := map[string]Verdict{"APPROVED": Approve, "CHANGES_REQUESTED": Reject, "COMMENTED": Comment, "DISMISSED": Withdraw}
	for i, r := range list {
		verdict, ok := words[strings.ToUpper(r.State)]
		if !ok {
			continue
		}
		at, err := when(r.Submitted)
		if err != nil {
			return out, fmt.Errorf("review %d: %w", i+1, err)
		}
		var id oid.ID
		if r.Commit != "" {
			if id, err = oid.Parse(r.Commit); err != nil {
				return out, fmt.Errorf("review %d: commit_id: %w", i+1, err)
			}
		} else if verdict != Withdraw {
			continue // what it was about is gone
		}
		out.Given = append(out.Given, Given{Name: r.User.Login, Verdict: verdict, Commit: id, At: at, URL: r.URL, Text: r.Body})
	}
	return out, nil
}

func gitlab(data []byte) (out Forged, err error) {
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
		return out, err
	}
	if mr.ApprovedBy == nil {
		return out, answered(data, "approvals (approved_by)")
	}
	out.Whole = true
	for i, a := range mr.ApprovedBy {
		text := a.At
		if text == "" {
			text = mr.Updated
		}
		at, err := when(text)
		if err != nil {
			return out, fmt.Errorf("approval %d: %w", i+1, err)
		}
		out.Given = append(out.Given, Given{Name: a.User.Name, Verdict: Approve, At: at})
	}
	return out, nil
}

// magic begins what Gerrit answers, so that no page runs it as a script.
var magic = []byte(")]}'")

func gerrit(data []byte) (out Forged, err error) {
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
	if err := json.Unmarshal(data, &change); err != nil {
		return out, err
	}
	if change.Current == "" {
		return out, answered(data, "a change (current_revision)")
	}
	id, err := oid.Parse(change.Current)
	if err != nil {
		return out, fmt.Errorf("current_revision: %w", err)
	}
	out.Whole, out.Of = change.Labels["Code-Review"].All != nil, id
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
			return out, fmt.Errorf("vote %d: %w", i+1, err)
		}
		out.Given = append(out.Given, Given{Name: v.Name, Verdict: verdict, Commit: id, At: at})
	}
	return out, nil
}
