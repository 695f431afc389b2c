package main

import (
	"context"
	"strings"
	"testing"
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

func TestFindEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := (redactor{}).Find(ctx, []string{"x"}); err == nil {
		t.Fatal("it went on after its end")
	}
}
