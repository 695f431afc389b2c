package main

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/zricethezav/gitleaks/v8/detect"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
)

// redactor finds what the rules that come with gitleaks find.
type redactor struct{}

var detector = sync.OnceValues(detect.NewDetectorDefaultConfig)

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
			if f.Secret == "" || seen[f.Secret] {
				continue
			}
			seen[f.Secret] = true
			for at := 0; ; {
				n := strings.Index(text[at:], f.Secret)
				if n < 0 {
					break
				}
				out[i] = append(out[i], pluginapi.Span{Start: at + n, End: at + n + len(f.Secret), Rule: f.RuleID})
				at += n + len(f.Secret)
			}
		}
	}
	return out, nil
}
