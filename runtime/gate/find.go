package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Prefix is what the program of a plugin is called before its name.
const Prefix = "covenant-capability-"

// Find returns the program of a plugin: what the user configured (covenant.plugin.<name>.path), else
// covenant-capability-<name> in one of the directories, which are that of our own
// program and plugins/ in the user's configuration directory. It does not look on PATH.
func Find(plugin, configured string, dirs ...string) (string, error) {
	if !ValidName(plugin) {
		return "", fmt.Errorf("%.80q is no name of a plugin", plugin)
	}
	if configured != "" {
		if !filepath.IsAbs(configured) {
			return "", fmt.Errorf("covenant.plugin.%s.path: %s is no absolute path", plugin, configured)
		}
		return configured, program(configured)
	}
	return in(dirs, Prefix+plugin)
}

// in finds a program in folders, which are absolute.
func in(dirs []string, file string) (string, error) {
	if runtime.GOOS == "windows" {
		file += ".exe"
	}
	for _, dir := range dirs {
		p := filepath.Join(dir, file)
		if err := program(p); filepath.IsAbs(p) && !errors.Is(err, fs.ErrNotExist) {
			return p, err
		}
	}
	return "", fmt.Errorf("there is no program %s: %w", file, fs.ErrNotExist)
}

func program(path string) error {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return err
	case !st.Mode().IsRegular(), runtime.GOOS != "windows" && st.Mode()&0o111 == 0:
		return fmt.Errorf("%s is no program", path)
	}
	return nil
}

// Digest returns the digest that a plugin's program is pinned to.
func Digest(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}
