package cli

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Complete has shells complete at most so many arguments of a command (0: any number) with those of words that begin as what was
// typed, and with no files. What follows "--" are paths.
func Complete(env *Env, most int, words func(ctx context.Context, typed string) []string) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if n := len(env.Args); n > 0 && slices.Contains(env.Args[:n-1], "--") { // cobra does not tell
			return nil, cobra.ShellCompDirectiveDefault
		}
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, w := range words(cmd.Context(), typed) {
			if strings.HasPrefix(w, typed) {
				out = append(out, w)
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}
