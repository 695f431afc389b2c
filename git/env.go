package git

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// forced is what every child's environment says, whatever the caller's says. See git(1).
var forced = [...]string{
	"LC_ALL=C",
	"GIT_NO_REPLACE_OBJECTS=1",
	"GIT_GRAFT_FILE=" + os.DevNull,
	"GIT_OPTIONAL_LOCKS=0",
	"GIT_TERMINAL_PROMPT=0",
	"GIT_PAGER=cat",
	"GIT_NO_LAZY_FETCH=1",
}

// dropped is what no child's environment has: variables that change what a diff, the
// configuration or a pathspec says without being part of the repository.
var dropped = [...]string{
	"GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_CONFIG", "LANGUAGE", "GIT_ATTR_SOURCE",
	"GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS",
}

// flags precede every subcommand. The commit-graph is a cache that an attacker can edit, and
// quoted paths would not be the bytes of the tree.
var flags = [...]string{"-c", "core.commitGraph=false", "-c", "core.quotePath=false", "-c", "core.warnAmbiguousRefs=false", "-c", "advice.graftFileDeprecated=false"}

// childEnv returns the environment of children, made from the caller's.
func childEnv(env []string) []string {
	out := make([]string, 0, len(env)+len(forced))
next:
	for _, kv := range env {
		for _, name := range dropped {
			if isVar(kv, name) {
				continue next
			}
		}
		for _, f := range forced {
			name, _, _ := strings.Cut(f, "=")
			if isVar(kv, name) {
				continue next
			}
		}
		out = append(out, kv)
	}
	return append(out, forced[:]...)
}

// withEnv returns env with the settings applied; a bare name removes the variable.
func withEnv(env []string, settings ...string) []string {
	out := make([]string, 0, len(env)+len(settings))
next:
	for _, kv := range env {
		for _, s := range settings {
			name, _, _ := strings.Cut(s, "=")
			if isVar(kv, name) {
				continue next
			}
		}
		out = append(out, kv)
	}
	for _, s := range settings {
		if strings.Contains(s, "=") {
			out = append(out, s)
		}
	}
	return out
}

func isVar(kv, name string) bool {
	if len(kv) <= len(name) || kv[len(name)] != '=' {
		return false
	}
	if runtime.GOOS == "windows" {
		return strings.EqualFold(kv[:len(name)], name)
	}
	return kv[:len(name)] == name
}

// lookupEnv returns the value of a variable; as in exec.Cmd.Env, the last setting wins.
func lookupEnv(env []string, name string) (string, bool) {
	for i := len(env) - 1; i >= 0; i-- {
		if isVar(env[i], name) {
			return env[i][len(name)+1:], true
		}
	}
	return "", false
}

// lookGit finds the git binary on the PATH of env. Relative entries of PATH are skipped: they
// would run whatever lies in the directory under inspection.
func lookGit(env []string) (string, error) {
	name := "git"
	if runtime.GOOS == "windows" {
		name = "git.exe"
	}
	path, _ := lookupEnv(env, "PATH")
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		file := filepath.Join(dir, name)
		st, err := os.Stat(file)
		if err == nil && st.Mode().IsRegular() && (runtime.GOOS == "windows" || st.Mode()&0o111 != 0) {
			return file, nil
		}
	}
	return "", fmt.Errorf("find git: %w", &exec.Error{Name: name, Err: exec.ErrNotFound})
}

// readFile reads a whole file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, &TooLargeError{Name: path, Size: int64(len(b)), Limit: limit}
	}
	return b, nil
}

// readLine reads the first line of a small file, without its end.
func readLine(path string) (string, error) {
	b, err := readFile(path, headerLimit)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	line = strings.TrimRight(line, "\r")
	if line == "" {
		return "", errors.New(path + ": empty")
	}
	return line, nil
}
