package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/zricethezav/gitleaks/v8/config"
	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// redactor finds what the rules that come with gitleaks find.
type redactor struct{}

// detector has the rules without what lets a text say of itself that it holds no secret: the program that is watched writes the text. So
// gitleaks:allow means nothing, and what a rule allows by the rest of the line is not allowed.
var detector = sync.OnceValues(func() (*detect.Detector, error) {
	d, err := detect.NewDetectorDefaultConfig()
	if err != nil {
		return nil, err
	}
	d.IgnoreGitleaksAllow = true
	beside := func(a *config.Allowlist) bool { return a.RegexTarget == "line" }
	d.Config.Allowlists = slices.DeleteFunc(d.Config.Allowlists, beside)
	for id, r := range d.Config.Rules {
		r.Allowlists = slices.DeleteFunc(r.Allowlists, beside)
		d.Config.Rules[id] = r
	}
	return d, nil
})

// Find is [pluginapi.Redactor]. A finding says what the secret is and in which line; wherever that text stands it is one.
func (redactor) Find(ctx context.Context, texts []string) ([][]pluginapi.Span, error) {
	d, err := detector()
	if err != nil {
		return nil, fmt.Errorf("the rules of gitleaks: %w", err)
	}
	out := make([][]pluginapi.Span, len(texts))
	for i, text := range texts {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		seen := map[string]bool{}
		for _, f := range d.DetectString(text) {
			if len(f.Secret) < pluginapi.MinSpan || seen[f.Secret] {
				continue
			}
			seen[f.Secret] = true
			for at := 0; ; {
				n := strings.Index(text[at:], f.Secret)
				if n < 0 {
					break
				}
				out[i] = append(out[i], spans(text, at+n, at+n+len(f.Secret), f.RuleID)...)
				at += n + len(f.Secret)
			}
		}
	}
	return out, nil
}

// spans cuts a secret into as many spans as it takes, between characters, none too short.
func spans(text string, from, to int, rule string) []pluginapi.Span {
	var out []pluginapi.Span
	for from < to {
		end := min(to, from+pluginapi.MaxSpan)
		if left := to - end; left > 0 && left < pluginapi.MinSpan {
			end -= pluginapi.MinSpan
		}
		for end < to && !utf8.RuneStart(text[end]) {
			end--
		}
		out = append(out, pluginapi.Span{Start: from, End: end, Rule: rule})
		from = end
	}
	return out
}
