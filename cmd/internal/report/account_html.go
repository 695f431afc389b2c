package report

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// HTML writes the account as one static page: it runs and loads nothing, and its policy allows its own style only.
func (a *Account) HTML(w io.Writer) error {
	css := style + chartStyle
	sum := sha256.Sum256([]byte(css))
	out := sticky{w: w}
	out.printf(pageHead, base64.StdEncoding.EncodeToString(sum[:]), "audit report", css)
	out.printf("<h1>Audit report</h1>\n")
	if len(a.Problems) > 0 {
		out.section(a.problems())
	}
	for _, c := range a.opening() {
		out.printf("<p>%s</p>\n", c.html())
	}
	for i, s := range a.sheets() {
		if i == 2 && len(a.Timeline.Lanes) > 0 {
			out.timeline(a)
		}
		out.section(s)
	}
	out.printf("<h2>What this report does not say</h2>\n<ul>\n")
	for _, l := range a.Limits {
		out.printf("<li>%s</li>\n", esc(l))
	}
	out.printf("</ul>\n<footer><p>Told by %d ledgers (<code>%s</code>), held to the trust root <code>%s</code>, pinned by %s. Made %s by covenant %s.</p></footer>\n</body>\n</html>\n",
		a.Ledgers, esc(a.Tips), esc(a.Root), esc(a.Pinned), esc(a.Made), esc(a.Version))
	return out.err
}

func (c cell) html() string {
	var b strings.Builder
	for _, p := range c {
		if p.foreign {
			b.WriteString("<code>" + esc(cut(p.text, maxScope)) + "</code>")
			continue
		}
		b.WriteString(esc(p.text))
	}
	return b.String()
}

func (s *sticky) section(t sheet) {
	if len(t.rows) == 0 && t.nothing == "" {
		return
	}
	if t.grave {
		s.printf("<div class=\"grave\">\n")
		defer s.printf("</div>\n")
	}
	s.printf("<h2>%s</h2>\n", esc(t.title))
	if t.note != "" {
		s.printf("<p>%s</p>\n", esc(t.note))
	}
	if len(t.rows) == 0 {
		s.printf("<p>%s</p>\n", esc(t.nothing))
		return
	}
	s.rows(t)
	if t.more != "" {
		s.printf("<p>%s</p>\n", esc(t.more))
	}
}

func (s *sticky) rows(t sheet) {
	var rows bytes.Buffer
	for _, row := range t.rows {
		rows.WriteString("<tr>")
		for _, c := range row {
			_, _ = fmt.Fprintf(&rows, "<td>%s</td>", c.html())
		}
		rows.WriteString("</tr>\n")
	}
	s.grid(&rows, t.columns...)
}

func (s *sticky) timeline(a *Account) {
	s.printf("<h2>Timeline</h2>\n<div class=\"wide\">\n%s</div>\n<details><summary>The same as a table</summary>\n", a.Timeline.chart())
	s.rows(a.over())
	s.printf("</details>\n")
}
