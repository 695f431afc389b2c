package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope/trust"
)

// TestWitnessGuideDoesNotDrift: what the guide has people type and sign is what the programs take.
func TestWitnessGuideDoesNotDrift(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "guide", "witness.md"))
	if err != nil {
		t.Fatal(err)
	}
	typed := 0
	for _, m := range regexp.MustCompile("(?ms)^```sh\n(.*?)^```$").FindAllStringSubmatch(string(b), -1) {
		for line := range strings.Lines(m[1]) {
			line, _, _ = strings.Cut(strings.TrimSpace(line), " | ")
			words := strings.Fields(line)
			if words[0] == "covenant" && len(words) > 3 && words[1] == "audit" && words[2] == "witness" { // it is that program's
				words = append([]string{"covenant-witness"}, words[3:]...)
			}
			known := false
			for _, p := range programs() {
				if p.Name() != words[0] {
					continue
				}
				known = true
				cli.Prepare(&cli.Env{}, p)
				c, rest, err := p.Find(words[1:])
				if err == nil {
					err = c.ParseFlags(rest)
				}
				if err == nil {
					err = c.ValidateArgs(c.Flags().Args())
				}
				if err == nil {
					err = c.ValidateRequiredFlags()
				}
				if err != nil || !c.Runnable() || c == p {
					t.Errorf("%s: %v", line, err)
				}
			}
			if !known {
				t.Errorf("%s: none of our programs", line)
			}
			typed++
		}
	}
	policies := fence.FindAllStringSubmatch(string(b), -1)
	for _, m := range policies {
		if _, err := trust.ParsePolicy([]byte(m[1])); err != nil {
			t.Errorf("%v\n%s", err, m[1])
		}
	}
	if typed < 8 || len(policies) != 1 {
		t.Errorf("the guide has %d commands and %d policies", typed, len(policies))
	}
}
