package git

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Config is the configuration of a repository as "git config --list" gives it: every file, include
// and command-line setting, in order of precedence. The zero value is empty. It is immutable.
type Config struct {
	entries []setting
	index   map[string][]int // key → positions in entries
}

type setting struct {
	scope, origin, key, value string
	bare                      bool // a name without "=", which is a true boolean
}

// parseConfig reads the output of "git config --list -z --show-origin --show-scope":
// scope NUL origin NUL key LF value NUL, the LF and value absent for a name without "=".
func parseConfig(b []byte) (Config, error) {
	c := Config{index: map[string][]int{}}
	for len(b) > 0 {
		var f [3][]byte
		for i := range f {
			n := bytes.IndexByte(b, 0)
			if n < 0 {
				return Config{}, errors.New("parse configuration: cut short")
			}
			f[i], b = b[:n], b[n+1:]
		}
		key, value, ok := strings.Cut(string(f[2]), "\n")
		if !strings.Contains(key, ".") {
			return Config{}, fmt.Errorf("parse configuration: bad key %q", clip(key))
		}
		c.index[key] = append(c.index[key], len(c.entries))
		c.entries = append(c.entries, setting{string(f[0]), string(f[1]), key, value, !ok})
	}
	return c, nil
}

// without returns the configuration without what the command line and the environment say of keys that begin with one
// of the prefixes.
func (c Config) without(prefixes []string) Config {
	out := Config{index: map[string][]int{}}
	for _, s := range c.entries {
		if s.scope == "command" && slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s.key, p) }) {
			continue
		}
		out.index[s.key] = append(out.index[s.key], len(out.entries))
		out.entries = append(out.entries, s)
	}
	return out
}

// canonical returns key as Git prints it: section and variable name in lower case, the subsection
// between them as it is (git-config(1)).
func canonical(key string) string {
	first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
	if first < 0 {
		return strings.ToLower(key)
	}
	return strings.ToLower(key[:first]) + key[first:last] + strings.ToLower(key[last:])
}

func (c Config) last(key string) (setting, bool) {
	at := c.index[canonical(key)]
	if len(at) == 0 {
		return setting{}, false
	}
	return c.entries[at[len(at)-1]], true
}

// Get returns the value of key that wins, the last one. A name without "=" has the value "".
func (c Config) Get(key string) (string, bool) {
	s, ok := c.last(key)
	return s.value, ok
}

// All returns every value of key, lowest precedence first.
func (c Config) All(key string) []string {
	var all []string
	for _, i := range c.index[canonical(key)] {
		all = append(all, c.entries[i].value)
	}
	return all
}

// Bool returns the value of key as Git reads booleans: true, yes, on, a number other than 0 or a
// name without "=" is true; false, no, off, 0 or an empty value is false. It returns def when key
// is absent or its value is no boolean.
func (c Config) Bool(key string, def bool) bool {
	s, ok := c.last(key)
	if !ok {
		return def
	}
	if s.bare {
		return true
	}
	return parseBool(s.value, def)
}

func parseBool(v string, def bool) bool {
	switch strings.ToLower(v) {
	case "true", "yes", "on":
		return true
	case "false", "no", "off", "":
		return false
	}
	digits := strings.TrimSpace(v)
	if n := len(digits); n > 1 && strings.ContainsRune("kKmMgG", rune(digits[n-1])) {
		digits = digits[:n-1]
	}
	n, err := strconv.ParseInt(digits, 0, 64)
	if err != nil {
		return def
	}
	return n != 0
}

// Scope returns where the value that wins comes from: "system", "global", "local", "worktree" or
// "command"; "" when key is absent.
func (c Config) Scope(key string) string {
	s, _ := c.last(key)
	return s.scope
}

// Keys returns the keys that begin with prefix, each once, in order of first appearance. The
// section name in prefix is matched without regard to case.
func (c Config) Keys(prefix string) []string {
	if i := strings.IndexByte(prefix, '.'); i >= 0 {
		prefix = strings.ToLower(prefix[:i]) + prefix[i:]
	} else {
		prefix = strings.ToLower(prefix)
	}
	var keys []string
	seen := map[string]bool{}
	for _, s := range c.entries {
		if strings.HasPrefix(s.key, prefix) && !seen[s.key] {
			seen[s.key] = true
			keys = append(keys, s.key)
		}
	}
	return keys
}
