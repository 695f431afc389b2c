package identity

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// An agent that takes the question and never answers is given up.
func TestSilentAgent(t *testing.T) {
	dir, err := os.MkdirTemp("", "agent")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	sock := filepath.Join(dir, "s")
	l, err := net.Listen("unix", sock)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := dialAgent(sock, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.List()
	if err := c.fault(err); !errors.Is(err, errAgentSlow) {
		t.Error(err)
	}
}
