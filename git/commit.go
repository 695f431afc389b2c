package git

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/git/oid"
)

// Ident is who and when of a commit, as the commit says: unverified bytes. Where Git cannot make sense of the line, neither do we: the name and
// address are empty, or the time is zero.
type Ident struct {
	Name, Email string
	When        time.Time // in the zone the commit names, to the second
}

// Commit is what a commit object says of itself.
type Commit struct {
	ID, Tree oid.ID
	// Parents are the parents in order. At a shallow boundary [Session.Log] gives none
	// ([Repo.Shallow] lists those commits), while [ParseCommit] gives what the object names.
	Parents           []oid.ID
	Author, Committer Ident
	Subject           string   // the first paragraph of the message on one line, as %s of git-log(1)
	Refs              []string // see LogQuery.Decorate
}

var errCommit = errors.New("malformed commit")

// ParseCommit reads the body of the commit object called id. It is strict about structure: the
// headers tree, parent (any number), author and committer once each in this order, then any others
// with their continuation lines, then a blank line and the message; no NUL in a header, none
// longer than 64 KiB, no all-zero name. It is as lenient as Git about names and times. Text stays in
// the encoding the commit has.
func ParseCommit(format oid.Format, id oid.ID, body []byte) (Commit, error) {
	c := Commit{ID: id}
	fail := func(what string) (Commit, error) {
		return Commit{}, fmt.Errorf("%w %s: %s", errCommit, id, what)
	}
	state := "tree"
	for len(body) > 0 {
		line, rest, ok := bytes.Cut(body, []byte{'\n'})
		if !ok {
			return fail("a header without end")
		}
		body = rest
		if len(line) == 0 {
			break
		}
		if len(line) > headerLimit || bytes.IndexByte(line, 0) >= 0 {
			return fail("a header is too long or holds NUL")
		}
		key, value, spaced := strings.Cut(string(line), " ")
		switch {
		case !spaced && state != "other":
			return fail("a header without value")
		case state == "tree" && key == "tree":
			if c.Tree, ok = parseName(format, value); !ok {
				return fail("bad tree")
			}
			state = "parent"
		case state == "parent" && key == "parent":
			p, ok := parseName(format, value)
			if !ok {
				return fail("bad parent")
			}
			c.Parents = append(c.Parents, p)
		case state == "parent" && key == "author":
			c.Author = parseIdent(value)
			state = "committer"
		case state == "committer" && key == "committer":
			c.Committer = parseIdent(value)
			state = "other"
		case state == "other" && key != "tree" && key != "parent" && key != "author" && key != "committer":
			// gpgsig, encoding, mergetag; an empty key continues the header before.
		default:
			return fail("unexpected header " + strconv.Quote(clip(key)))
		}
	}
	if state != "other" {
		return fail("no " + state)
	}
	c.Subject = subject(body)
	return c, nil
}

// parseName reads the name of an object that is there: of the format, and not Git's all-zero name.
func parseName(format oid.Format, s string) (oid.ID, bool) {
	id, err := oid.Parse(s)
	return id, err == nil && id.Format() == format && !id.IsZero()
}

// parseIdent reads "name <address> seconds zone". Like Git it takes the address between the first
// "<" and the first ">" after it, and the time after the last ">".
func parseIdent(s string) Ident {
	name, rest, ok := strings.Cut(s, "<")
	if !ok {
		return Ident{}
	}
	email, _, ok := strings.Cut(rest, ">")
	if !ok {
		return Ident{}
	}
	stamp := strings.Trim(rest[strings.LastIndexByte(rest, '>')+1:], " \t\r\n")
	seconds := digits(stamp)
	zone := strings.TrimLeft(stamp[len(seconds):], " \t\r\n")
	if seconds == "" || zone == "" || zone[0] != '+' && zone[0] != '-' || digits(zone[1:]) == "" {
		return Ident{}
	}
	return Ident{Name: strings.TrimRight(name, " \t\r\n"), Email: email, When: parseTime(seconds, zone[:1+len(digits(zone[1:]))])}
}

func digits(s string) string {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n]
}

// parseTime reads seconds since 1970 and a zone such as "+0530". What does not fit is 0, as in Git.
func parseTime(seconds, zone string) time.Time {
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Unix(0, 0).UTC()
	}
	tz, err := strconv.ParseInt(zone, 10, 32)
	if err != nil {
		tz = 0
	}
	if tz == 0 {
		return time.Unix(sec, 0).UTC()
	}
	return time.Unix(sec, 0).In(time.FixedZone("", int(tz/100*3600+tz%100*60)))
}

// subject joins the lines of a message up to the first blank one, skipping blank lines before.
func subject(msg []byte) string {
	if i := bytes.IndexByte(msg, 0); i >= 0 {
		msg = msg[:i]
	}
	var lines []string
	for line := range bytes.Lines(msg) {
		text := strings.TrimRight(string(line), " \t\r\n")
		if text != "" {
			lines = append(lines, text)
		} else if len(lines) > 0 {
			break
		}
	}
	return strings.Join(lines, " ")
}

// EncodeCommit returns the body of a commit object. Names and addresses lose the bytes that would
// end the line early ("<", ">", newline, NUL) and surrounding space; times are written in UTC, to
// the second, none before 1970. The message is written as it is.
func EncodeCommit(tree oid.ID, parents []oid.ID, author, committer Ident, message string) []byte {
	var b bytes.Buffer
	b.WriteString("tree " + tree.String() + "\n")
	for _, p := range parents {
		b.WriteString("parent " + p.String() + "\n")
	}
	b.WriteString("author " + author.encode() + "\n")
	b.WriteString("committer " + committer.encode() + "\n\n")
	b.WriteString(message)
	return b.Bytes()
}

func (i Ident) encode() string {
	clean := func(s string) string {
		return strings.TrimSpace(strings.Map(func(r rune) rune {
			if r == '<' || r == '>' || r == '\n' || r == 0 {
				return -1
			}
			return r
		}, s))
	}
	return clean(i.Name) + " <" + clean(i.Email) + "> " + strconv.FormatInt(max(i.When.Unix(), 0), 10) + " +0000"
}
