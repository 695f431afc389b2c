package report

import (
	"fmt"
	"strings"
	"time"
)

// chartStyle is the timeline's part of the page's style.
const chartStyle = `
svg{display:block;width:100%;min-width:48rem;height:auto;font:12px system-ui,sans-serif}svg text{fill:var(--fg)}
.axis{stroke:var(--line)}.band{fill:var(--soft);fill-opacity:.6}.good{fill:var(--good)}.not{fill:none;stroke:var(--bad);stroke-width:2}
details{margin-top:.6rem}.grave{border-left:.3rem solid var(--bad);padding-left:1rem}.num{text-align:right}`

// Measures of the timeline, in its own units.
const (
	chartWidth = 960
	chartLeft  = 150 // where time begins
	chartRight = 10
	chartTop   = 40
	rowHeight  = 12 // of a class in a lane
	laneGap    = 8
)

// chart draws the timeline as SVG: lanes from above, time to the right. A mark's form tells its kind, its size roughly how many it
// stands for, and a cross that something was denied or failed. Marks of one lane, kind and outcome are one path, so the bytes are bounded.
func (t *Timeline) chart() string {
	var b strings.Builder
	height := chartTop + len(t.Lanes)*(int(classes)*rowHeight+laneGap) + 10
	fmt.Fprintf(&b, `<svg viewBox="0 0 %d %d" role="img" aria-labelledby="chart-title chart-about">`, chartWidth, height)
	fmt.Fprintf(&b, "\n<title id=\"chart-title\">Timeline</title>\n<desc id=\"chart-about\">What happened from %s to %s, a lane for each principal. The table below says the same in numbers.</desc>\n", esc(t.From), esc(t.To))
	t.legend(&b)
	t.axis(&b, height)
	for i := range t.Lanes {
		t.lane(&b, &t.Lanes[i], chartTop+i*(int(classes)*rowHeight+laneGap))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func (t *Timeline) legend(b *strings.Builder) {
	x := chartLeft
	for c := range classes {
		fmt.Fprintf(b, "<path class=\"good\" d=\"%s\"/><text x=\"%d\" y=\"14\">%s</text>\n", shapeOfMark(c, float64(x), 10, 4), x+8, classNames[c])
		x += 20 + 8*len(classNames[c])
	}
	fmt.Fprintf(b, "<path class=\"not\" d=\"%s\"/><text x=\"%d\" y=\"14\">denied or failed</text>\n", cross(float64(x), 10, 4), x+8)
}

// axis draws a line and the time at up to five places.
func (t *Timeline) axis(b *strings.Builder, height int) {
	const places = 4
	layout := "2006-01-02"
	if t.to-t.from < 8*24*3600 {
		layout = "01-02 15:04"
	}
	if t.to-t.from < 600 {
		layout = "15:04:05"
	}
	for i := 0; i <= places; i++ {
		at := t.from + (t.to-t.from)/places*int64(i)
		if i == places {
			at = t.to
		}
		x, anchor := t.x(at), "middle"
		switch i {
		case 0:
			anchor = "start"
		case places:
			anchor = "end"
		}
		fmt.Fprintf(b, "<path class=\"axis\" d=\"M%.1f %dV%d\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"%s\">%s</text>\n", x, chartTop-6, height, x, chartTop-10, anchor, time.Unix(at, 0).UTC().Format(layout))
		if t.to == t.from {
			return
		}
	}
}

// x is where a moment stands.
func (t *Timeline) x(at int64) float64 {
	if t.to <= t.from {
		return chartLeft
	}
	share := float64(at-t.from) / float64(t.to-t.from)
	return chartLeft + min(max(share, 0), 1)*float64(chartWidth-chartLeft-chartRight)
}

func (t *Timeline) lane(b *strings.Builder, l *Lane, top int) {
	fmt.Fprintf(b, "<rect class=\"band\" x=\"0\" y=\"%d\" width=\"%d\" height=\"%d\"/><text x=\"4\" y=\"%d\">%s</text>\n", top, chartWidth, int(classes)*rowHeight, top+int(classes)*rowHeight/2+4, esc(cut(l.name(), 20)))
	var paths [classes][2]strings.Builder
	var sums [classes][2]int
	for _, m := range l.Marks {
		x := t.x(m.step<<t.shift + t.Seconds/2)
		y := float64(top + int(m.class)*rowHeight + rowHeight/2)
		if m.OK > 0 {
			paths[m.class][0].WriteString(shapeOfMark(m.class, x, y, size(m.OK)))
			sums[m.class][0] += m.OK
		}
		if m.NotOK > 0 {
			paths[m.class][1].WriteString(cross(x, y, size(m.NotOK)))
			sums[m.class][1] += m.NotOK
		}
	}
	for c := range classes {
		for bad, style := range []string{"good", "not"} {
			if sums[c][bad] == 0 {
				continue
			}
			what := classNames[c]
			if bad == 1 {
				what += ", denied or failed"
			}
			fmt.Fprintf(b, "<path class=\"%s\" d=\"%s\"><title>%s: %s, %d</title></path>\n", style, paths[c][bad].String(), esc(l.name()), what, sums[c][bad])
		}
	}
}

// size tells roughly how many a mark stands for: half of its width.
func size(n int) float64 {
	switch {
	case n < 10:
		return 3
	case n < 100:
		return 4
	}
	return 5
}

// shapeOfMark is the form of a kind, around a point.
func shapeOfMark(c class, x, y, r float64) string {
	switch c {
	case seals:
		return fmt.Sprintf("M%.1f %.1fh%gv%gh-%gz", x-r, y-r, 2*r, 2*r, 2*r)
	case decisions:
		return fmt.Sprintf("M%.1f %.1fl%g %gl-%g %gl-%g -%gz", x, y-r, r, r, r, r, r, r)
	case grants:
		return fmt.Sprintf("M%.1f %.1fl%g %gh-%gz", x, y-r, r, 2*r, 2*r)
	case tools:
		return fmt.Sprintf("M%.1f %.1fa%g %g 0 1 0 %g 0a%g %g 0 1 0 -%g 0z", x-r, y, r, r, 2*r, r, r, 2*r)
	}
	return fmt.Sprintf("M%.1f %.1fh%gv%gh-%gz", x-r, y-1, 2*r, 2.0, 2*r)
}

func cross(x, y, r float64) string {
	return fmt.Sprintf("M%.1f %.1fl%g %gm0 -%gl-%g %g", x-r, y-r, 2*r, 2*r, 2*r, 2*r, 2*r)
}
