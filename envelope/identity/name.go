package identity

// ValidName reports whether s may name a principal: 1 to 64 letters, digits and
// ".", "_" or "-", the first a letter or digit.
func ValidName(s string) bool {
	for i, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return s != "" && len(s) <= 64
}
