package redaction

import (
	"encoding/base64"
	"slices"
	"strings"
)

// databases are the schemes of URLs by which programs reach a database or a queue.
var databases = []string{
	"postgres", "postgresql", "mysql", "mariadb", "mongodb", "mongodb+srv", "redis", "rediss", "amqp", "amqps", "mssql", "sqlserver", "oracle",
	"cockroachdb", "clickhouse", "cassandra", "neo4j", "bolt", "couchbase", "memcached", "nats", "kafka", "mqtt", "mqtts", "snowflake",
}

// anyPassword are passwords that stand in documents, and that nobody keeps secret.
var anyPassword = []string{
	"password", "passwd", "pass", "pwd", "secret", "pw", "user", "username", "token", "mypassword", "yourpassword", "changeit", "changeme",
	"mysecretpassword", "dbpassword", "db_password", "none", "null", "example", "hunter2", "test", "xxx", "p", "passw0rd", "oauth2", "x-oauth-basic",
}

// databaseURL finds the passwords in URLs of databases.
func databaseURL(v *view, start, end int) (from, to int, ok bool) {
	return inURL(v, start, end, true)
}

// urlPassword finds passwords and tokens in other URLs.
func urlPassword(v *view, start, end int) (from, to int, ok bool) {
	return inURL(v, start, end, false)
}

func inURL(v *view, start, end int, database bool) (from, to int, ok bool) {
	scheme, ok := v.back(start, 20, func(c byte) bool { return isAlnum(c) || c == '+' || c == '.' || c == '-' })
	if !ok || scheme == start || database != isDatabase(v.s[scheme:start]) {
		return 0, 0, false
	}
	at, colon := -1, -1
	i := end
scan:
	for ; i < end+512; i++ {
		switch c := v.at(i); {
		case c == '@':
			at = i
		case c == ':':
			if colon < 0 && at < 0 {
				colon = i
			}
		case c <= ' ', isQuote(c), strings.IndexByte(`/?<>\|,;(){}[]`, c) >= 0 && (c != ',' || at >= 0):
			break scan
		}
	}
	if at < 0 || i == end+512 {
		return 0, 0, false
	}
	if colon < 0 {
		user := v.s[end:at]
		return end, at, len(user) >= 20 && random(user, 20) && !filler(user)
	}
	user, password, host := v.s[end:colon], v.s[colon+1:at], v.s[at+1:i]
	if password == user && !strings.Contains(host, ".") || isReference(password) {
		return 0, 0, false
	}
	return colon + 1, at, len(password) >= 3 && !slices.Contains(anyPassword, strings.ToLower(password)) && !filler(password+"~!")
}

// isDatabase reports whether a scheme, or its last part (jdbc:mysql, postgresql+asyncpg), is one of a
// database.
func isDatabase(scheme string) bool {
	scheme = strings.ToLower(scheme)
	base, _, _ := strings.Cut(scheme, "+")
	return slices.Contains(databases, scheme) || slices.Contains(databases, base)
}

// dataSource finds the password of user:password@tcp(host).
func dataSource(v *view, start, _ int) (from, to int, ok bool) {
	from, ok = v.back(start, hold, func(c byte) bool { return c > ' ' && !isQuote(c) && c != ':' && c != '/' && c != '=' && c < 0x80 })
	if !ok || v.at(from-1) != ':' || !isWord(v.at(from-2)) {
		return 0, 0, false
	}
	password := v.s[from:start]
	return from, start, len(password) >= 3 && !isReference(password) && !slices.Contains(anyPassword, strings.ToLower(password))
}

// authorization finds the credentials of an Authorization header, in whatever way programs write it.
func authorization(v *view, _, end int) (from, to int, ok bool) {
	i, _ := v.run(end, 4, func(c byte) bool { return isQuote(c) || c == '\\' || c == ']' })
	i, _ = v.run(i, 4, isBlank)
	if c := v.at(i); c != ':' && c != '=' && c != ',' {
		return 0, 0, false
	}
	from, _ = v.run(i+1, 8, func(c byte) bool { return isBlank(c) || isQuote(c) || c == '\\' || c == '=' || c == '>' })
	scheme, ok := v.run(from, 24, isURLBase64)
	if ok && isBlank(v.at(scheme)) && scheme > from {
		if strings.EqualFold(v.s[from:scheme], "basic") {
			return basic(v, from, scheme+1)
		}
		from, _ = v.run(scheme, 8, isBlank)
	} else if v.at(scheme) == '%' || v.at(scheme) == ',' {
		return 0, 0, false
	}
	to, ok = v.run(from, 4096, isToken68)
	if to > from && v.at(to-1) == '.' {
		to--
	}
	value := v.s[from:to]
	if strings.EqualFold(value, "basic") || strings.EqualFold(value, "bearer") {
		return 0, 0, false
	}
	return from, to, ok && isCredential(value, 8) && v.at(to) != '('
}

// bearer finds what follows the word Bearer elsewhere.
func bearer(v *view, start, end int) (from, to int, ok bool) {
	if !v.wordStart(start) {
		return 0, 0, false
	}
	to, ok = v.run(end, 4096, isToken68)
	return end, to, ok && isCredential(v.s[end:to], 16)
}

// isCredential reports whether a value is more than words.
func isCredential(value string, atLeast int) bool {
	if len(value) < atLeast || filler(value) || isReference(value) || wordy(value) {
		return false
	}
	x := shapeOf(value)
	return x.digit > 0 && x.letters() > 0 && x.entropy >= 2.5
}

// basic finds what follows the word Basic, if it is base64 of a name, a colon and a password.
func basic(v *view, start, end int) (from, to int, ok bool) {
	if !v.wordStart(start) {
		return 0, 0, false
	}
	from, _ = v.run(end, 8, isBlank)
	to, ok = v.run(from, 1024, isBase64)
	return from, to, ok && isUserPassword(v.s[from:to])
}

// isUserPassword reports whether s is base64 of a name, a colon and a password.
func isUserPassword(s string) bool {
	if len(s) < 8 {
		return false
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
	if err != nil {
		return false
	}
	for _, c := range b {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	name, password, found := strings.Cut(string(b), ":")
	return found && name != "" && password != "" && !slices.Contains(anyPassword, strings.ToLower(password)) && !filler(password+"~!")
}

// curlUser finds the password after curl's -u and --user.
func curlUser(v *view, start, end int) (from, to int, ok bool) {
	line, _ := v.back(start, 200, func(c byte) bool { return c != '\n' })
	if !strings.Contains(v.s[line:start], "curl") {
		return 0, 0, false
	}
	i, _ := v.run(end, 4, func(c byte) bool { return isBlank(c) || isQuote(c) || c == '=' || c == '\\' })
	colon, ok := v.run(i, 100, func(c byte) bool { return c > ' ' && c != ':' && !isQuote(c) && c != '/' })
	if !ok || v.at(colon) != ':' || colon == i {
		return 0, 0, false
	}
	to, ok = v.run(colon+1, 500, func(c byte) bool { return c > ' ' && !isQuote(c) && c != '\\' })
	value := v.s[colon+1 : to]
	return colon + 1, to, ok && len(value) >= 3 && !isReference(value) && !filler(value+"~!") && !slices.Contains(anyPassword, strings.ToLower(value))
}

// netrc finds the password of a machine, as .netrc has it.
func netrc(v *view, start, end int) (from, to int, ok bool) {
	if !isSpace(v.at(start - 1)) {
		return 0, 0, false
	}
	low, _ := v.back(start, 200, func(c byte) bool { return c != 0 })
	before := " " + v.s[low:start]
	before = before[max(strings.LastIndex(before, "machine "), strings.LastIndex(before, "default "), 0):]
	fields := strings.Fields(before)
	if len(fields) < 3 || len(fields) > 6 || fields[0] != "machine" && fields[0] != "default" || fields[len(fields)-2] != "login" {
		return 0, 0, false
	}
	from, _ = v.run(end, 8, isSpace)
	to, ok = v.run(from, 1024, func(c byte) bool { return c > ' ' && c != '"' && c != '\\' })
	value := v.s[from:to]
	return from, to, ok && len(value) >= 3 && !isReference(value) && !filler(value+"~!")
}

// pgpass finds the password of a line host:port:database:user:password.
func pgpass(v *view, start, end int) (from, to int, ok bool) {
	host, ok := v.back(start, 100, func(c byte) bool { return isDotted(c) || c == '*' || c == '/' })
	if c := v.at(host - 1); !ok || host == start || c != 0 && c != '\n' && c != '\r' && c != ' ' {
		return 0, 0, false
	}
	from = end
	for range 2 {
		i, ok := v.run(from, 100, func(c byte) bool { return isDotted(c) || c == '*' || c == '@' })
		if !ok || i == from || v.at(i) != ':' {
			return 0, 0, false
		}
		from = i + 1
	}
	to, ok = v.run(from, 500, func(c byte) bool { return c > ' ' && !isQuote(c) })
	value := v.s[from:to]
	return from, to, ok && len(value) >= 3 && !isReference(value) && !filler(value+"~!") && !slices.Contains(anyPassword, strings.ToLower(value))
}
