// Package versioncmd is the command "version": which build this is.
package versioncmd

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
)

// A Build says which build is running.
type Build struct {
	Type     string `json:"type"` // "version"
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`   // empty when the build did not record it
	Modified bool   `json:"modified,omitempty"` // built from a work tree with changes
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// Read returns what the build recorded about itself. ok is what
// [debug.ReadBuildInfo] returns.
func Read(info *debug.BuildInfo, ok bool) Build {
	b := Build{Type: "version", Version: "(devel)", Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

// New returns the command.
func New(env *cli.Env) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Tell which build this is",
		Long: `Tell which build this is: its version, the commit it was built from if the
build recorded one, the Go release and the platform.`,
		Example: `  covenant version
  covenant version --json | jq -r .version`,
		RunE: func(*cobra.Command, []string) error {
			b := Read(debug.ReadBuildInfo())
			if asJSON {
				return env.JSON(b)
			}
			return show(env, b)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return cmd
}

func show(env *cli.Env, b Build) error {
	line := "covenant " + b.Version
	if b.Commit != "" {
		line += " " + b.Commit
		if b.Modified {
			line += " (modified)"
		}
	}
	_, err := fmt.Fprintf(env.Out, "%s %s %s/%s\n", line, b.Go, b.OS, b.Arch)
	return err
}
