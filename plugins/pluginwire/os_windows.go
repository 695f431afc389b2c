package pluginwire

import (
	"os"
	"path/filepath"
	"syscall"
)

func root() string { return filepath.VolumeName(os.TempDir()) + `\` }

func openFile(path string) (*os.File, error) { return os.Open(path) }

func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{HideWindow: true, CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}

func killGroup(int) {}

func textBusy(error) bool { return false }
