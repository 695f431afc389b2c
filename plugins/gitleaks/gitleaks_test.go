package main

import (
	"context"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// What stands in a text is found wherever it stands, in bytes of that text, and by the rule that gitleaks has for it.
func TestFind(t *testing.T) {
	secret := "ghp_" + strings.Repeat("0aB1cD2eF3", 4)[:36]
	texts := []string{"nothing here", "né " + secret + "\nand again: " + secret, ""}
	found, err := redactor{}.Find(context.Background(), texts)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 3 || len(found[0])+len(found[2]) > 0 || len(found[1]) != 2 {
		t.Fatalf("%+v", found)
	}
	for _, s := range found[1] {
		if texts[1][s.Start:s.End] != secret || s.Rule != "github-pat" {
			t.Errorf("%+v is %q", s, texts[1][s.Start:s.End])
		}
	}
}

// What else stands in a text does not make gitleaks look away: neither its own word for that, nor what its rules take for harmless beside a
// secret.
func TestNothingBesideASecretHidesIt(t *testing.T) {
	secret := "pscale_tkn_" + strings.Repeat("aB3dE5gH7j", 4)[:38]
	generic := "api_key = \"" + "q8Zr2xV7mT4w" + "L9pD3nK6sJ1f" + "\""
	for _, text := range []string{
		secret, "key " + secret + " # gitleaks:allow", "gitleaks:allow\n" + secret + "\n// gitleaks:allow", "go.sum " + secret, ".gitleaksignore:gitleaks.toml:1 " + secret,
		generic, generic + " gitleaks:allow", generic + " --mount=type=secret,id=x", "import { x } from 'y'; " + generic, "LICENSE = \"x\" " + generic,
	} {
		found, err := redactor{}.Find(context.Background(), []string{text})
		if err != nil || len(found[0]) != 1 {
			t.Errorf("%q: %+v, %v", text, found, err)
		}
	}
}

// A secret that is longer than a span may be is all of it named.
func TestSpans(t *testing.T) {
	for _, n := range []int{6, 4095, 4096, 4097, 4101, 4102, 8192, 9000} {
		text := "x" + strings.Repeat("é", n)[:n/2*2] + strings.Repeat("y", n%2) + "z"
		at := 1
		for _, s := range spans(text, 1, 1+n, "r") {
			if s.Start != at || s.End-s.Start < pluginapi.MinSpan || s.End-s.Start > pluginapi.MaxSpan || !utf8.RuneStart(text[s.Start]) {
				t.Errorf("%d bytes: %+v after %d", n, s, at)
			}
			at = s.End
		}
		if at != 1+n {
			t.Errorf("%d bytes: named up to %d", n, at)
		}
	}
}

func TestFindEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (redactor{}).Find(ctx, []string{"x"}); err == nil {
		t.Fatal("it went on after its end")
	}
}
