package git_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/open-covenant/covenant-git/git"
	"github.com/open-covenant/covenant-git/git/gittest"
)

// Nobody is asked a password in a context that is unattended, and what a child started ends with it.
func TestUnattended(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a shell script as ssh")
	}
	dir := t.TempDir()
	script := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // it is to run
			t.Fatal(err)
		}
		return path
	}
	r := gittest.New(t)
	said := filepath.Join(dir, "said")
	r.Env = append(r.Env, "SSH_ASKPASS="+script("ask", "echo asked >"+said), "GIT_ASKPASS="+script("ask", "echo asked >"+said),
		"GIT_SSH="+script("ssh", "trap '' TERM\necho $$ ask=$GIT_ASKPASS$SSH_ASKPASS >"+said+"\nwhile :; do sleep 1; done\n"), "GIT_SSH_VARIANT=simple")
	ctx, cancel := context.WithCancel(git.Unattended(t.Context()))
	go func() {
		for range 200 {
			time.Sleep(50 * time.Millisecond)
			if b, _ := os.ReadFile(said); len(b) > 0 {
				break
			}
		}
		cancel()
	}()
	begun := time.Now()
	_, err := r.Open().Run(ctx, nil, "fetch", "ssh://nowhere.invalid/x")
	if !errors.Is(err, context.Canceled) || time.Since(begun) > 20*time.Second {
		t.Errorf("after %s: %v", time.Since(begun), err)
	}
	b, err := os.ReadFile(said)
	if err != nil {
		t.Fatal(err)
	}
	pid, ask, _ := strings.Cut(strings.TrimSpace(string(b)), " ")
	if ask != "ask=" {
		t.Errorf("it may ask: %s", ask)
	}
	for range 100 {
		if _, err := os.Stat("/proc/" + pid); err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	if _, err := os.Stat("/proc/self"); err == nil {
		stat, _ := os.ReadFile("/proc/" + pid + "/stat")
		if !strings.Contains(string(stat), ") Z ") {
			t.Errorf("what it started is still there: %s", stat)
		}
	}
}
