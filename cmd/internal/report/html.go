package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/say"
	"github.com/open-covenant/covenant-git/envelope/verdict"
)

// style is the page's own; the Content-Security-Policy names its digest and allows
// nothing else.
const style = `:root{color-scheme:light dark;--fg:#1f2328;--bg:#fff;--line:#d1d9e0;--soft:#f6f8fa;--good:#1a7f37;--bad:#cf222e;--warn:#9a6700}
@media (prefers-color-scheme:dark){:root{--fg:#e6edf3;--bg:#0d1117;--line:#3d444d;--soft:#151b23;--good:#3fb950;--bad:#f85149;--warn:#d29922}}
body{margin:0 auto;max-width:72rem;padding:1rem;font:16px/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg)}
h1{margin:0;font-size:1.6rem}h2{margin-top:2rem;font-size:1.2rem}
.wide{overflow-x:auto}
table{width:100%;border-collapse:collapse}th,td{padding:.4rem .6rem;border:1px solid var(--line);text-align:left;vertical-align:top;overflow-wrap:anywhere}
th{background:var(--soft)}code{font:.9em ui-monospace,monospace;overflow-wrap:anywhere}
.ok{color:var(--good)}.no{color:var(--bad)}.warn{color:var(--warn)}footer{margin-top:2rem;opacity:.8}`

// pageHead begins a page: with the digest of its style, its title and the style.
const pageHead = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-%s'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Covenant: %s</title>
<style>%s</style>
</head>
<body>
`

// page writes a report as one static HTML page. html/template is not linked: it would
// make the everyday program start slower. Somebody else's text stands in one kind of
// place only, between two tags, and goes there through [esc].
type page struct {
	w                    io.Writer
	run                  Run
	found, commits, rest bytes.Buffer
	covers, runs, said   bytes.Buffer
	last                 lastChanges
	words                legend
	more                 int // runs and reviews that no commit has
}

func newHTML(w io.Writer, run Run) Encoder {
	return &page{w: w, run: run, last: newLastChanges(run), words: legend{}}
}

// esc makes s the text of an element.
func esc(s string) string { return html.EscapeString(say.Line(s)) }

func (p *page) finding(bad bool, at string, f verdict.Finding) {
	class, word := "warn", "warning"
	if bad {
		class, word = "no", "error"
	}
	path := ""
	if f.Path != "" {
		path = say.Name(f.Path)
	}
	_, _ = fmt.Fprintf(&p.found, "<tr><td class=\"%s\">%s</td><td><code>%s</code></td><td><code>%s</code></td><td><code>%s</code></td><td>%s</td><td><code>%s</code></td></tr>\n",
		class, word, esc(string(f.Code)), esc(at), esc(path), esc(f.Message), esc(f.Hint))
}

func (p *page) Commit(c Commit) error {
	p.last.add(c)
	p.words.add(c)
	for _, f := range c.Findings {
		p.finding(!c.Verdict.OK(), short(c), f)
	}
	for _, f := range c.Warnings {
		p.finding(false, short(c), f)
	}
	if c.Verdict == verdict.Before {
		return nil
	}
	class := "ok"
	if !c.Verdict.OK() {
		class = "no"
	}
	name, accountable := principals(c)
	mode := string(c.Mode)
	if c.Unattended {
		mode += " (unattended)"
	}
	_, _ = fmt.Fprintf(&p.commits, "<tr><td><code>%s</code></td><td>%s</td><td class=\"%s\">%s</td><td>%s</td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
		esc(short(c)), esc(c.Subject), class, esc(string(c.Verdict)), esc(name), esc(accountable), esc(mode), esc(c.Coverage))
	rows(&p.covers, coverRows(c))
	rows(&p.runs, runRows(c))
	rows(&p.said, reviewRows(c))
	p.more += c.More
	return nil
}

func (p *page) Problem(f verdict.Finding, refused bool) error {
	p.finding(refused, "", about(f))
	return nil
}

func (p *page) Ref(r Ref) error {
	for _, f := range r.Findings {
		p.finding(true, r.RefState.Ref, f)
	}
	for _, f := range r.Warnings {
		p.finding(false, r.RefState.Ref, f)
	}
	return nil
}

func (p *page) End(s Summary) error {
	for _, f := range s.Findings {
		p.finding(true, "trust root", f)
	}
	for _, x := range p.last.list() {
		_, _ = fmt.Fprintf(&p.rest, "<tr><td><code>%s</code></td><td><code>%s</code></td><td>%s</td><td>%s</td><td>%s</td></tr>\n",
			esc(say.Name(x.path)), esc(x.commit), esc(x.who), esc(x.authority), esc(x.proof))
	}
	class, head := "no", "Refused"
	switch {
	case s.Undecided != "":
		class, head = "warn", "No answer: "+s.Undecided
	case s.OK:
		class, head = "ok", "Every commit passes"
	}
	sum := sha256.Sum256([]byte(style))
	out := sticky{w: p.w}
	out.printf(pageHead, base64.StdEncoding.EncodeToString(sum[:]), esc(s.answer()), style)
	out.printf("<h1 class=\"%s\">%s</h1>\n<p>%s.</p>\n", class, esc(head), esc(s.Counts()))
	out.table("Findings", &p.found, "", "code", "in", "path", "what is wrong", "what to do")
	out.table("Commits", &p.commits, "commit", "subject", "verdict", "who", "accountable", "mode", "coverage")
	out.table("Files: who changed them last, and on whose authority", &p.rest, "file", "commit", "who", "authority", "evidence")
	out.table(madeOf.title, &p.covers, madeOf.columns...)
	out.table(evidence.title, &p.runs, evidence.columns...)
	out.table(reviews.title, &p.said, reviews.columns...)
	if p.more > 0 {
		out.printf("<p>%d more runs and reviews are not shown: <code>covenant evidence list</code>, <code>covenant review list</code></p>\n", p.more)
	}
	out.printf("<h2>Words</h2>\n<ul>\n")
	p.words.tell(func(word, meaning string) { out.printf("<li><b>%s</b>: %s</li>\n", esc(word), esc(meaning)) })
	out.printf("<li>What a code of an error or a warning means, and what to do: <a href=\"%s\">findings</a></li>\n</ul>\n", findingsPage)
	out.printf("<footer><p>Held to the trust root <code>%s</code>, pinned by %s.", esc(p.run.Root), esc(p.run.Pinned))
	if p.run.Ref != "" {
		out.printf(" Judged for <code>%s</code>.", esc(p.run.Ref))
	}
	out.printf(" Revisions: <code>%s</code>. Verified %s by covenant %s.</p></footer>\n</body>\n</html>\n",
		esc(strings.Join(p.run.Revisions, " ")), esc(p.run.Now.UTC().Format(time.RFC3339)), esc(p.run.Version))
	return out.err
}

func rows(b *bytes.Buffer, rows [][]cell) {
	for _, row := range rows {
		b.WriteString("<tr>")
		for _, c := range row {
			b.WriteString("<td>" + c.html() + "</td>")
		}
		b.WriteString("</tr>\n")
	}
}

func (s *sticky) table(title string, rows *bytes.Buffer, columns ...string) {
	if rows.Len() == 0 {
		return
	}
	s.printf("<h2>%s</h2>\n", title)
	s.grid(rows, columns...)
}

// grid is a table of rows that are there.
func (s *sticky) grid(rows *bytes.Buffer, columns ...string) {
	s.printf("<div class=\"wide\"><table>\n<thead><tr>")
	for _, c := range columns {
		s.printf("<th>%s</th>", c)
	}
	s.printf("</tr></thead>\n<tbody>\n%s</tbody>\n</table></div>\n", rows.Bytes())
}
