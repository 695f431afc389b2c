package provenance_test

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// TestDerivedLoad prints what a hostile history costs.
func TestDerivedLoad(t *testing.T) {
	if os.Getenv("LOAD") == "" {
		t.Skip("by hand")
	}
	p := newPress(t)
	p.branch("work", "HEAD")
	p.sealed("coder", "src/a=1")
	p.sealed("coder", "src/a=2")
	p.sealed("coder", "src/a=1")
	p.on("main")
	head := p.git("rev-parse", "HEAD")
	var b strings.Builder
	who := "committer A <alice@example.org> 1772366400 +0000\n"
	for i := range 20000 {
		fmt.Fprintf(&b, "commit refs/heads/long\n%sdata 1\nx\n", who)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", head)
		}
		fmt.Fprintf(&b, "M 100644 inline src/a\ndata 2\n%d\n\n", 1+i%2)
	}
	p.gitIn(b.String(), "fast-import", "--quiet")
	start := time.Now()
	res, _, err := p.verify(false, "long")
	n := map[string]int{}
	for _, r := range res {
		n[string(r.Verdict)]++
	}
	t.Log("linear", time.Since(start), n, err)
	b.Reset()
	for i := range 5000 {
		fmt.Fprintf(&b, "commit refs/heads/side\nmark :%d\n%sdata 1\ns\n", 2*i+1, who)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", head)
		} else {
			fmt.Fprintf(&b, "from :%d\n", 2*i)
		}
		fmt.Fprintf(&b, "M 100644 inline src/a\ndata 2\n%d\n\n", 1+i%2)
		fmt.Fprintf(&b, "commit refs/heads/merged\nmark :%d\n%sdata 1\nm\n", 2*i+2, who)
		if i == 0 {
			fmt.Fprintf(&b, "from %s\n", head)
		}
		fmt.Fprintf(&b, "merge :%d\nM 100644 inline src/a\ndata 2\n%d\n\n", 2*i+1, 1+i%2)
	}
	p.gitIn(b.String(), "fast-import", "--quiet", "--force")
	start = time.Now()
	res, _, err = p.verify(false, "merged")
	n = map[string]int{}
	for _, r := range res {
		n[string(r.Verdict)]++
	}
	t.Log("merges", time.Since(start), n, err)
}
