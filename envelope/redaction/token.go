package redaction

import (
	"hash/crc32"
	"strings"
)

// A token is a secret that can be told by its beginning. After the prefix come low to high bytes of a
// class, and then none.
type token struct {
	rule      Rule
	prefix    string
	class     func(byte) bool
	low, high int
	// check decides, where the shape alone does not.
	check func(body string) bool
}

var tokens = []token{
	{AgeKey, "AGE-SECRET-KEY-1", isUpperAlnum, 50, 120, nil},
	{AgeKey, "AGE-SECRET-KEY-PQ-1", isUpperAlnum, 50, 200, nil},

	{AWSAccessKey, "AKIA", isUpperAlnum, 16, 16, nil},
	{AWSAccessKey, "ASIA", isUpperAlnum, 16, 16, nil},
	{AWSAccessKey, "ABIA", isUpperAlnum, 16, 16, nil},
	{AWSAccessKey, "ACCA", isUpperAlnum, 16, 16, nil},
	{AWSSecretKey, "ABSK", isBase64, 100, 300, nil}, // Bedrock

	{GCPKey, "AIza", isURLBase64, 35, 35, nil},
	{GCPKey, "GOCSPX-", isURLBase64, 28, 28, nil},
	{GCPKey, "ya29.", isURLBase64, 30, 1000, nil},
	{GCPKey, "1//0", isURLBase64, 40, 200, nil},

	{AzureKey, "AccountKey=", isBase64, 80, 90, nil},
	{AzureKey, "SharedAccessKey=", isBase64, 40, 90, nil},
	{AzureKey, "EndpointKey=", isBase64, 40, 90, nil},

	{GitHubToken, "ghp_", isAlnum, 36, 251, checksum},
	{GitHubToken, "gho_", isAlnum, 36, 251, checksum},
	{GitHubToken, "ghu_", isAlnum, 36, 251, checksum},
	{GitHubToken, "ghs_", isToken68, 36, 1000, checksum},
	{GitHubToken, "ghr_", isAlnum, 36, 251, checksum},
	{GitHubToken, "github_pat_", isWord, 82, 250, nil},

	{GitLabToken, "glpat-", isDotted, 20, 300, nil},
	{GitLabToken, "gldt-", isDotted, 20, 100, nil},
	{GitLabToken, "glrt-", isDotted, 20, 100, nil},
	{GitLabToken, "glrtr-", isDotted, 20, 100, nil},
	{GitLabToken, "glptt-", isDotted, 20, 100, nil},
	{GitLabToken, "glft-", isDotted, 20, 100, nil},
	{GitLabToken, "glsoat-", isDotted, 20, 100, nil},
	{GitLabToken, "glcbt-", isDotted, 20, 100, nil},
	{GitLabToken, "glagent-", isDotted, 50, 100, nil},
	{GitLabToken, "gloas-", isDotted, 64, 100, nil},
	{GitLabToken, "glimt-", isDotted, 20, 100, nil},
	{GitLabToken, "GR1348941", isURLBase64, 20, 20, nil},

	{AtlassianToken, "ATBB", isAlnum, 32, 32, nil},
	{AtlassianToken, "ATCTT3xFfG", isToken68, 60, 250, nil},
	{AtlassianToken, "ATATT3xFfG", isToken68, 100, 250, nil},
	{AtlassianToken, "BBDC-", isBase64, 40, 60, nil},

	{AnthropicKey, "sk-ant-", isURLBase64, 24, 250, mixed},
	{OpenAIKey, "sk-", isURLBase64, 32, 250, mixed},
	{HuggingFace, "hf_", isAlnum, 30, 50, nil},
	{HuggingFace, "api_org_", isAlnum, 34, 34, nil},
	{ModelKey, "gsk_", isAlnum, 52, 52, nil},
	{ModelKey, "xai-", isAlnum, 70, 100, nil},
	{ModelKey, "pplx-", isAlnum, 40, 64, mixed},
	{ModelKey, "r8_", isAlnum, 37, 37, nil},
	{ModelKey, "nvapi-", isURLBase64, 60, 80, nil},
	{ModelKey, "fw_", isAlnum, 22, 28, mixed},
	{ModelKey, "tvly-", isURLBase64, 28, 60, mixed},
	{ModelKey, "lsv2_pt_", isWord, 40, 60, nil},

	{SlackToken, "xoxb-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxp-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxa-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxr-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxs-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxc-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxe-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxe.xoxp-", isURLBase64, 24, 250, mixed},
	{SlackToken, "xoxd-", func(c byte) bool { return isToken68(c) || c == '%' }, 24, 500, mixed},
	{SlackToken, "xapp-", isURLBase64, 24, 250, mixed},

	{StripeKey, "sk_live_", isAlnum, 16, 250, nil},
	{StripeKey, "sk_test_", isAlnum, 16, 250, nil},
	{StripeKey, "rk_live_", isAlnum, 16, 250, nil},
	{StripeKey, "rk_test_", isAlnum, 16, 250, nil},
	{StripeKey, "whsec_", isBase64, 32, 100, nil},

	{SendGridKey, "SG.", isDotted, 66, 66, func(s string) bool { return s[22] == '.' }},
	{NPMToken, "npm_", isAlnum, 36, 36, checksum},
	{PyPIToken, "pypi-AgE", isURLBase64, 50, 500, nil},

	{ServiceToken, "rubygems_", isLowerHex, 48, 48, nil},
	{ServiceToken, "dckr_pat_", isURLBase64, 27, 40, nil},
	{ServiceToken, "dckr_oat_", isURLBase64, 27, 40, nil},
	{ServiceToken, "shpat_", isHex, 32, 32, nil},
	{ServiceToken, "shpss_", isHex, 32, 32, nil},
	{ServiceToken, "lin_api_", isAlnum, 40, 40, nil},
	{ServiceToken, "dop_v1_", isLowerHex, 64, 64, nil},
	{ServiceToken, "doo_v1_", isLowerHex, 64, 64, nil},
	{ServiceToken, "glc_", isToken68, 60, 400, nil},
	{ServiceToken, "glsa_", isWord, 41, 41, nil},
	{ServiceToken, "hvs.", isURLBase64, 24, 250, mixed},
	{ServiceToken, "hvb.", isURLBase64, 24, 500, mixed},
	{ServiceToken, "dp.pt.", isAlnum, 40, 44, nil},
	{ServiceToken, "dp.st.", isDotted, 40, 80, nil},
	{ServiceToken, "pul-", isLowerHex, 40, 40, nil},
	{ServiceToken, "NRAK-", isUpperAlnum, 27, 27, nil},
	{ServiceToken, "figd_", isURLBase64, 40, 60, nil},
	{ServiceToken, "ntn_", isAlnum, 40, 50, nil},
	{ServiceToken, "secret_", isAlnum, 43, 43, mixed},
	{ServiceToken, "tskey-", isURLBase64, 24, 100, mixed},
	{ServiceToken, "sntrys_", isToken68, 60, 500, nil},
	{ServiceToken, "sntryu_", isLowerHex, 64, 64, nil},
	{ServiceToken, "PMAK-", isURLBase64, 59, 59, nil},
	{ServiceToken, "ops_eyJ", isURLBase64, 100, 2000, nil},
	{ServiceToken, "cio", isAlnum, 32, 32, mixed},
	{ServiceToken, "key-", isLowerHex, 32, 32, nil}, // Mailgun
	{ServiceToken, "sbp_", isLowerHex, 40, 40, nil},
	{ServiceToken, "dapi", isLowerHex, 32, 34, nil}, // Databricks
	{ServiceToken, "EAAA", isURLBase64, 60, 60, mixed},
	{ServiceToken, "sq0csp-", isURLBase64, 43, 43, nil},
	{ServiceToken, "fo1_", isURLBase64, 43, 43, nil},

	{TwilioKey, "SK0", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK1", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK2", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK3", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK4", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK5", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK6", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK7", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK8", isLowerHex, 31, 31, nil},
	{TwilioKey, "SK9", isLowerHex, 31, 31, nil},
	{TwilioKey, "SKa", isLowerHex, 31, 31, nil},
	{TwilioKey, "SKb", isLowerHex, 31, 31, nil},
	{TwilioKey, "SKc", isLowerHex, 31, 31, nil},
	{TwilioKey, "SKd", isLowerHex, 31, 31, nil},
	{TwilioKey, "SKe", isLowerHex, 31, 31, nil},
	{TwilioKey, "SKf", isLowerHex, 31, 31, nil},
}

func (t token) match(v *view, start, end int) (from, to int, ok bool) {
	if !v.has(start, t.prefix) {
		return 0, 0, false
	}
	from = start
	if strings.HasSuffix(t.prefix, "=") {
		from = end
	} else if !v.wordStart(start) {
		return 0, 0, false
	}
	to, ok = v.run(end, t.high+1, t.class)
	if !ok || isWord(v.at(to)) {
		return 0, 0, false
	}
	for to > end && (v.at(to-1) == '.' || v.at(to-1) == '-' && to-end > t.high) {
		to-- // the end of a sentence
	}
	body := v.s[end:to]
	if len(body) < t.low || len(body) > t.high {
		return 0, 0, false
	}
	if t.check != nil && t.check(body) {
		return from, to, true
	}
	return from, to, (t.check == nil || t.low == 36) && !filler(body)
}

// mixed reports whether a body has letters and digits as chance gives them.
func mixed(body string) bool { return random(body, 20) && !filler(body) }

// checksum reports whether a token of GitHub or npm ends in the CRC-32 of the rest. One that does is
// no filler, whatever it looks like.
func checksum(body string) bool {
	if len(body) != 36 {
		return false
	}
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, want := crc32.ChecksumIEEE([]byte(body[:30])), [6]byte{}
	for i := 5; i >= 0; i-- {
		want[i] = digits[sum%62]
		sum /= 62
	}
	return body[30:] == string(want[:])
}

// awsAfterID finds a secret access key that follows its id, as in the files that AWS hands out.
func awsAfterID(v *view, start, _ int) (from, to int, ok bool) {
	id, ok := v.run(start, 21, isUpperAlnum)
	if !ok || id != start+20 || !v.wordStart(start) {
		return 0, 0, false
	}
	from, ok = v.run(id, 8, func(c byte) bool {
		return isSpace(c) || isQuote(c) || c == ',' || c == ':' || c == ';' || c == '/' || c == '|'
	})
	if !ok || from == id {
		return 0, 0, false
	}
	to, ok = v.run(from, 41, isBase64)
	return from, to, ok && to == from+40 && random(v.s[from:to], 40) && !filler(v.s[from:to])
}

// awsAssigned finds a secret access key by the name it is assigned to.
func awsAssigned(v *view, start, end int) (from, to int, ok bool) {
	a, ok := parseAssignment(v, start, end)
	if !ok || a.to-a.from != 40 {
		return 0, 0, false
	}
	name := strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(a.name))
	if !strings.Contains(name, "aws") && !strings.Contains(name, "secretaccesskey") && !strings.Contains(name, "secretkey") {
		return 0, 0, false
	}
	value := v.s[a.from:a.to]
	to, _ = v.run(a.from, 41, isBase64)
	return a.from, a.to, to == a.to && strings.Contains(name, "secret") && random(value, 40) && !filler(value)
}

// azureSecret finds the secret of an Entra application: three characters, a digit, Q~, and 31 to 34 more.
func azureSecret(v *view, start, end int) (from, to int, ok bool) {
	class := func(c byte) bool { return isToken68(c) && c != '/' && c != '+' && c != '=' }
	from = start - 4
	if !v.has(start, "Q~") || !isDigit(v.at(start-1)) || !class(v.at(from)) || !class(v.at(from+1)) || !class(v.at(from+2)) || class(v.at(from-1)) {
		return 0, 0, false
	}
	to, ok = v.run(end, 40, class)
	return from, to, ok && to-end >= 31 && to-end <= 34 && !filler(v.s[end:to])
}

// azureSignature finds the signature of a shared access signature.
func azureSignature(v *view, _, end int) (from, to int, ok bool) {
	to, ok = v.run(end, 120, func(c byte) bool { return isBase64(c) || c == '%' })
	return end, to, ok && to-end >= 43 && random(v.s[end:to], 43)
}

// telegram finds a bot's token: its number, a colon, and 35 characters.
func telegram(v *view, start, end int) (from, to int, ok bool) {
	from, ok = v.back(start, 12, isDigit)
	if !ok || start-from < 8 || !v.has(start, ":AA") || isWord(v.at(from-1)) && !v.has(from-3, "bot") {
		return 0, 0, false
	}
	to, ok = v.run(end, 34, isURLBase64)
	return from, to, ok && to-end == 33 && mixed(v.s[end:to])
}

// webhook finds what lets everybody post to a channel: the path of a webhook.
func webhook(v *view, start, end int) (from, to int, ok bool) {
	class := func(c byte) bool { return isURLBase64(c) || c == '/' || c == '@' }
	if to, ok = v.run(end, 300, class); !ok {
		return 0, 0, false
	}
	path := v.s[end:to]
	if v.at(start) == '.' { // .webhook.office.com/webhookb2/
		return end, to, len(path) >= 80 && random(path, 80)
	}
	if v.at(start) == 'h' {
		service, rest, found := strings.Cut(path, "/")
		return end + len(service) + 1, to, found && len(rest) >= 30 && random(rest, 30) && !filler(rest)
	}
	id, secret, found := strings.Cut(path, "/")
	return end + len(id) + 1, to, found && isDigit(v.at(end)) && len(secret) >= 40 && mixed(secret)
}
