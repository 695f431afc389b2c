// Command redactor stands in for a redactor in stories: words that begin with "zz-" are secrets. Some make it misbehave.
package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/open-covenant/covenant-git/plugins/pluginapi"
	"github.com/open-covenant/covenant-git/plugins/pluginwire"
)

type words struct{}

var secret = regexp.MustCompile(`zz-\S+`)

func (words) Find(_ context.Context, texts []string) ([][]pluginapi.Span, error) {
	out := make([][]pluginapi.Span, len(texts))
	for i, text := range texts {
		switch {
		case strings.Contains(text, "zz-fail"):
			return nil, errors.New("it can't say")
		case strings.Contains(text, "zz-die"):
			os.Exit(1)
		case strings.Contains(text, "zz-lie"):
			return [][]pluginapi.Span{{{Start: 0, End: len(text) + 1, Rule: "zz"}}}, nil
		}
		for _, at := range secret.FindAllStringIndex(text, -1) {
			out[i] = append(out[i], pluginapi.Span{Start: at[0], End: at[1], Rule: "zz"})
		}
	}
	return out, nil
}

func main() { pluginwire.ServeRedactor(words{}) }
