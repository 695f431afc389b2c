// Command docs writes the reference of the programs, generated from their commands:
// man pages in docs/man and Markdown in docs/cli. Pages of commands that are gone
// are removed.
//
// It is run from the top of the repository as "go run ./cmd/internal/docs".
package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/cmd/internal/root"
	"github.com/open-covenant/covenant-git/cmd/internal/witnesscmd"
)

func main() {
	top := "."
	if len(os.Args) > 1 {
		top = os.Args[1]
	}
	if err := write(top); err != nil {
		fmt.Fprintln(os.Stderr, "docs:", err)
		os.Exit(2)
	}
}

// write generates all pages below top/docs.
func write(top string) error {
	pages, err := generate()
	if err != nil {
		return err
	}
	for _, dir := range []string{"man", "cli"} {
		dir = filepath.Join(top, "docs", dir)
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for name, body := range pages {
		if err := os.WriteFile(filepath.Join(top, "docs", filepath.FromSlash(name)), body, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the pages by their slash-separated path below docs. It depends
// on the commands only: not on the clock, the machine or the order of a map.
func generate() (map[string][]byte, error) {
	pages := make(map[string][]byte)
	for _, cmd := range programs() {
		cli.Prepare(&cli.Env{}, cmd)
		if err := page(cmd, pages); err != nil {
			return nil, err
		}
	}
	return pages, nil
}

// programs are the commands that people start: the everyday program, and those that stand beside it.
func programs() []*cobra.Command {
	return []*cobra.Command{root.New(&cli.Env{}), witnesscmd.New(&cli.Env{})}
}

func page(cmd *cobra.Command, pages map[string][]byte) error {
	if cmd.HasParent() && !cmd.IsAvailableCommand() { // hidden, deprecated, or help itself
		return nil
	}
	cmd.DisableAutoGenTag = true
	var man, md bytes.Buffer
	date := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	header := &doc.GenManHeader{Section: "1", Source: "Covenant", Manual: "Covenant Manual", Date: &date}
	if err := doc.GenMan(cmd, header, &man); err != nil {
		return err
	}
	if err := doc.GenMarkdown(cmd, &md); err != nil {
		return err
	}
	pages["man/"+strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"] = man.Bytes()
	pages["cli/"+strings.ReplaceAll(cmd.CommandPath(), " ", "_")+".md"] = md.Bytes()
	for _, sub := range cmd.Commands() {
		if err := page(sub, pages); err != nil {
			return err
		}
	}
	return nil
}
