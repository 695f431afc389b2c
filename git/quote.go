package git

import (
	"strconv"
	"strings"
)

// Unquote undoes how Git quotes a path with odd bytes (core.quotePath in git-config(1)).
func Unquote(name string) string {
	if !strings.HasPrefix(name, `"`) {
		return name
	}
	out := make([]byte, 0, len(name))
	for i := 1; i < len(name)-1; i++ {
		if name[i] != '\\' {
			out = append(out, name[i])
			continue
		}
		i++
		if at := strings.IndexByte(`abtnvfr"\`, name[i]); at >= 0 {
			out = append(out, "\a\b\t\n\v\f\r\"\\"[at])
			continue
		}
		if i+3 > len(name)-1 {
			return name
		}
		n, err := strconv.ParseUint(name[i:i+3], 8, 8)
		if err != nil {
			return name
		}
		out = append(out, byte(n))
		i += 2
	}
	return string(out)
}
