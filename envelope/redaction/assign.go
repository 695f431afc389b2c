package redaction

import (
	"slices"
	"strings"
)

// An assignment is a name, and the place of the value that follows it.
type assigned struct {
	name     string
	from, to int
	quoted   bool
}

const (
	maxKey   = 48   // bytes of a name on either side of its anchor
	maxValue = 1024 // bytes of a value
)

// assignment finds values of names that mean secrets.
func assignment(v *view, start, end int) (from, to int, ok bool) {
	a, ok := parseAssignment(v, start, end)
	if !ok {
		return 0, 0, false
	}
	return a.from, a.to, isSecret(classify(a.name), v.s[a.from:a.to], a.quoted)
}

// passwordAfter finds what follows words after which only a password can stand.
func passwordAfter(v *view, _, end int) (from, to int, ok bool) {
	a, ok := v.value(assigned{}, end)
	return a.from, a.to, ok && isSecret(password, v.s[a.from:a.to], true)
}

// parseAssignment reads the name around an anchor and its value, in the ways of programming languages,
// settings, command lines, headers, queries, XML, and JSON inside of strings.
func parseAssignment(v *view, start, end int) (a assigned, ok bool) {
	from, ok1 := v.back(start, maxKey, isURLBase64)
	to, ok2 := v.run(end, maxKey, isURLBase64)
	if !ok1 || !ok2 {
		return a, false
	}
	a.name = v.s[from:to]
	flag := strings.HasPrefix(a.name, "--")
	i, _ := v.run(to, 4, func(c byte) bool { return isQuote(c) || c == '\\' || c == ']' })
	quoted := i > to
	gap := i
	i, _ = v.run(i, 16, isBlank)
	switch c := v.at(i); {
	case c == '=':
		i, _ = v.run(i+1, 2, func(c byte) bool { return c == '=' || c == '>' })
	case c == ':' && (v.has(from-2, "//") || v.at(from-1) == ':' && !isBlank(v.at(i+1))):
		return a, false // the user of a URL, or a part of an ARN
	case c == ':' && v.at(i+1) != ':':
		if i++; v.at(i) == '=' {
			i++
		}
	case (c == '+' || c == '?') && v.at(i+1) == '=':
		i += 2
	case c == '>' && v.at(from-1) == '<':
		i++
	case flag && quoted && c == ',':
		i++
	case flag && i > gap:
	default:
		return a, false
	}
	if a, ok = v.value(a, i); ok && !a.quoted && v.at(i-1) == ':' {
		a = v.typed(a)
	}
	return a, ok
}

// typed goes over the type in name: type = "value".
func (v *view) typed(a assigned) assigned {
	i, _ := v.run(a.to, 4, isBlank)
	if i == a.to || v.at(i) != '=' {
		return a
	}
	if b, ok := v.value(a, i+1); ok && b.quoted {
		return b
	}
	return a
}

// value reads the value that begins at i, after white space.
func (v *view) value(a assigned, i int) (assigned, bool) {
	i, _ = v.run(i, 16, isBlank)
	if c := v.at(i); isAlpha(c) || c == '@' || c == '$' {
		if isQuote(v.at(i + 1)) { // b"", r'', @""
			i++
		}
	}
	open, _ := v.run(i, 8, func(c byte) bool { return c == '\\' })
	if quote := v.at(open); isQuote(quote) {
		a.quoted, a.from = true, open+1
		escapes := open > i
		for j := a.from; j <= a.from+maxValue; j++ {
			switch c := v.at(j); {
			case c == quote:
				for a.to = j; escapes && a.to > a.from && v.at(a.to-1) == '\\'; {
					a.to--
				}
				return a, true
			case c == '\\' && !escapes:
				j++
				if c := v.at(j); c == 0 || c == '\n' {
					return a, false
				}
			case c == 0 || c == '\n':
				return a, false
			}
		}
		return a, false
	}
	to, ok := v.run(i, maxValue, func(c byte) bool { return c > ' ' && strings.IndexByte("\"'`,;)}]&|<>\\({[", c) < 0 })
	a.quoted, a.from, a.to = false, i, to
	if c := v.at(to); c == '(' || c == '[' || c == '{' {
		return a, false // code
	}
	for a.to > a.from && (v.at(a.to-1) == '.' || v.at(a.to-1) == ':') {
		a.to--
	}
	return a, ok && a.to > a.from
}

// A kind is how much a name says about its value.
type kind uint8

const (
	plain    kind = iota
	hint          // the name is about a secret, and perhaps not it
	secret        // a token, a key
	password      // chosen by people: less of chance in it
)

var (
	passwords = []string{"password", "passwd", "passphrase", "passcode", "passwort", "pwd"}
	// keysOf are the words that make a key one that is secret.
	keysOf = []string{
		"api", "access", "auth", "encryption", "encrypt", "signing", "sign", "master", "private", "account", "secret", "session", "shared", "app",
		"application", "service", "storage", "hmac", "aes", "cipher", "crypto", "admin", "license", "subscription", "jwt", "webhook", "integration",
		"consumer", "client", "deploy", "server", "write", "read", "functions", "x", "apikey", "cookie", "rails",
	}
	// sameThing are words after which a name still means the secret.
	sameThing = []string{
		"value", "val", "key", "base64", "b64", "string", "str", "text", "plain", "raw", "prod", "production", "dev", "development", "staging", "stage",
		"test", "live", "old", "new", "current", "default", "1", "2", "3", "env", "here", "secret", "token", "password", "arg",
	}
	// otherThing are words after which a name means something else.
	otherThing = []string{
		"hash", "hashed", "count", "counts", "name", "names", "url", "uri", "endpoint", "file", "filename", "path", "dir", "id", "ids", "type", "types",
		"length", "len", "size", "policy", "field", "fields", "expiry", "expires", "expiration", "ttl", "limit", "limits", "max", "min", "usage", "used",
		"index", "pos", "position", "kind", "ref", "reset", "strength", "label", "hint", "placeholder", "input", "form", "prompt", "regex", "pattern",
		"provider", "manager", "store", "service", "error", "errors", "digest", "fingerprint", "algorithm", "alg", "issuer", "age", "date", "at", "sha",
		"sha1", "sha256", "checksum", "version", "budget", "per", "message", "info", "class", "format", "prefix", "suffix", "header", "scheme", "method",
		"set", "list", "map", "source", "bits", "rotation", "title", "description", "required", "visible", "enabled", "validator", "grant", "code",
	}
	// otherBefore are words before which token or key means something else.
	otherBefore = []string{
		"page", "next", "cancellation", "cancel", "continuation", "continue", "sync", "resume", "public", "pub", "design", "syntax", "num", "max", "min",
		"bos", "eos", "pad", "unk", "stop", "special", "prompt", "completion", "total", "cache", "cached", "input", "output", "mask", "sep", "cls", "primary",
		"foreign", "partition", "sort", "lookup", "row", "idempotency", "expected", "got", "comment", "eof", "ident", "nav", "symbol",
	}
)

// classify tells what a name says about its value.
func classify(name string) kind {
	words := split(name)
	last, found := len(words)-1, plain
	for ; last >= 0 && found == plain; last-- {
		found = meaning(words, last)
	}
	if found == plain {
		return plain
	}
	for _, w := range words[last+2:] {
		switch {
		case slices.Contains(otherThing, w):
			return plain
		case !slices.Contains(sameThing, w):
			found = hint
		}
	}
	return found
}

// meaning tells what the word at i means, after the words before it.
func meaning(words []string, i int) kind {
	w, before := words[i], ""
	if i > 0 {
		before = words[i-1]
	}
	for _, p := range passwords {
		if strings.HasSuffix(w, p) {
			return password
		}
	}
	switch {
	case w == "pass" && before != "" && !slices.Contains(otherBefore, before), strings.HasSuffix(w, "dbpass"), strings.HasSuffix(w, "userpass"):
		return password
	case w == "auth" && len(words) == 1:
		return hint
	case w == "key" && slices.Contains(keysOf, before):
		return secret
	case strings.HasSuffix(w, "apikey"), strings.HasSuffix(w, "secretkey"), strings.HasSuffix(w, "accesskey"), strings.HasSuffix(w, "privatekey"),
		strings.HasSuffix(w, "authkey"), strings.HasSuffix(w, "signingkey"), strings.HasSuffix(w, "encryptionkey"), strings.HasSuffix(w, "masterkey"),
		strings.HasSuffix(w, "accountkey"), strings.HasSuffix(w, "sharedkey"):
		return secret
	case slices.Contains(otherBefore, before):
		return plain
	case strings.HasSuffix(w, "secret"), strings.HasSuffix(w, "token"), w == "secrets":
		return secret
	case w == "credential", w == "credentials", w == "tokens", w == "passwords":
		return hint
	}
	return plain
}

// split returns the words of a name in lower case: db_password, dbPassword, DB-PASSWORD, APIKey.
func split(name string) []string {
	var words []string
	begin := 0
	cut := func(i int) {
		if i > begin {
			words = append(words, strings.ToLower(name[begin:i]))
		}
		begin = i
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c == '_' || c == '-' || c == '.' || c == ' ':
			cut(i)
			begin = i + 1
		case i > begin && isUpper(c) && !isUpper(name[i-1]), i > begin && isUpper(name[i-1]) && isUpper(c) && i+1 < len(name) && isLower(name[i+1]),
			i > begin && isDigit(c) && !isDigit(name[i-1]):
			cut(i)
		}
	}
	cut(len(name))
	return words
}

// isSecret reports whether the value of a name of some kind is a secret, and not what stands for one.
func isSecret(k kind, value string, quoted bool) bool {
	if k == plain || len(value) < 6 || len(value) > maxValue || isReference(value) || isPublic(value) {
		return false
	}
	if k == hint && isUserPassword(value) {
		return true
	}
	if slices.Contains(anyPassword, strings.ToLower(strings.TrimRight(value, "0123456789!"))) && !strings.EqualFold(value, "hunter2") || filler(value) {
		return false
	}
	x := shapeOf(value)
	several := x.digit > 0 && x.letters() > 0 || x.symbol > 0 && x.letters()+x.digit > 0
	switch {
	case strings.ContainsRune(value, ' ') || !several || wordy(value) && (k != password || !oneWord(value)):
		return false
	case !quoted && (x.symbol > 0 && x.digit == 0 && x.upper == 0 || k == secret && classify(value) != plain):
		return false // an expression
	case k == password:
		return x.distinct >= 5
	case k == secret:
		return len(value) >= 8 && x.distinct >= 6 && x.entropy >= 2.5 && (quoted || x.digit >= 2)
	}
	return random(value, 20)
}

// isReference reports whether a value says where the secret is, or is an expression.
func isReference(s string) bool {
	if s == "" {
		return true
	}
	switch c := s[0]; {
	case strings.Contains(s, "${"), strings.Contains(s, "{{"), strings.Contains(s, "$("), strings.Contains(s, "://"), strings.Contains(s, "%s"):
		return true
	case c == '<' || c == '{' || c == '[' || c == '(':
		return true
	case c == '%' && s[len(s)-1] == '%', c == '*' && strings.Trim(s, "*") == "":
		return true
	case c == '$' && len(s) > 1 && (s[1] == '$' || shapeOf(s).lower == 0 || wordy(s[1:])), c == '@' && wordy(s[1:]), c == '&' && wordy(s[1:]):
		return true
	case (c == '/' || c == '.' || c == '~') && wordy(strings.TrimLeft(s, "./~")):
		return true
	case strings.Contains(s, ":") && isVault(s[:strings.IndexByte(s, ':')]):
		return true
	}
	return false
}

// isVault reports whether s is where references to vaults begin.
func isVault(s string) bool {
	return slices.Contains([]string{"op", "vault", "env", "file", "arn", "ssm", "sm", "secretref", "ref", "keyring"}, s)
}

// isPublic reports whether a value is a digest, or a public key.
func isPublic(s string) bool {
	l := strings.ToLower(s)
	for _, p := range []string{"sha1", "sha224", "sha256", "sha384", "sha512", "md5", "blake2", "blake3", "h1"} {
		if rest, ok := strings.CutPrefix(l, p); ok && (rest == "" || rest[0] == ':' || rest[0] == '-' || rest[0] == '=') {
			return true
		}
	}
	return strings.HasPrefix(s, "AAAAB3Nza") || strings.HasPrefix(s, "AAAAC3Nza") || strings.HasPrefix(s, "AAAAE2Vj") || strings.HasPrefix(s, "age1")
}

// wordy reports whether a string is words, joined as names and paths are: letters, perhaps with a
// short number after them.
func wordy(s string) bool {
	for part := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune("-_./: @,+=?&#", r) }) {
		letters := strings.TrimRight(part, "0123456789")
		digits := len(part) - len(letters)
		switch {
		case letters == "" && digits <= 4:
			continue
		case letters == "", len(letters) > 24, digits > 2 && (len(letters) > 3 || digits > 5):
			return false
		}
		if x := shapeOf(letters); x.digit > 0 || x.symbol > 0 {
			return false
		}
	}
	return true
}

// oneWord reports whether a string has no joints.
func oneWord(s string) bool { return !strings.ContainsAny(s, "-_./: ") }
