package redaction

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Rule is the name of a rule. Names are stable: marks carry them, and records keep marks.
type Rule string

// The rules, in the order in which they win when they claim the same bytes.
const (
	Known          Rule = "known"             // what the caller said is secret
	PrivateKey     Rule = "private-key"       // PEM, OpenSSH, OpenPGP, SSH2 and PuTTY private keys
	AgeKey         Rule = "age-key"           // age secret keys
	AWSAccessKey   Rule = "aws-access-key"    // AWS access key ids
	AWSSecretKey   Rule = "aws-secret-key"    // AWS secret access keys, by name or after their id
	GCPKey         Rule = "gcp-key"           // Google API keys, OAuth tokens and client secrets
	AzureKey       Rule = "azure-key"         // Azure account keys, SAS signatures and client secrets
	GitHubToken    Rule = "github-token"      // GitHub tokens of all kinds
	GitLabToken    Rule = "gitlab-token"      // GitLab tokens of all kinds
	AtlassianToken Rule = "atlassian-token"   // Bitbucket and Atlassian tokens
	AnthropicKey   Rule = "anthropic-key"     // Anthropic keys
	OpenAIKey      Rule = "openai-key"        // OpenAI keys, and others that begin with sk-
	HuggingFace    Rule = "huggingface-token" // Hugging Face tokens
	ModelKey       Rule = "model-key"         // keys of other providers of models
	SlackToken     Rule = "slack-token"       // Slack tokens
	Webhook        Rule = "webhook"           // Slack, Discord and Teams webhooks
	StripeKey      Rule = "stripe-key"        // Stripe secret and restricted keys, webhook secrets
	SendGridKey    Rule = "sendgrid-key"      // SendGrid keys
	TwilioKey      Rule = "twilio-key"        // Twilio API keys
	TelegramToken  Rule = "telegram-token"    // Telegram bot tokens
	NPMToken       Rule = "npm-token"         // npm tokens
	PyPIToken      Rule = "pypi-token"        // PyPI tokens
	ServiceToken   Rule = "service-token"     // tokens of other services that can be told by their beginning
	JWT            Rule = "jwt"               // signed and encrypted JSON Web Tokens
	DatabaseURL    Rule = "database-url"      // passwords in database URLs
	URLPassword    Rule = "url-password"      // passwords and tokens before the @ of other URLs
	Authorization  Rule = "authorization"     // credentials of Authorization headers, Bearer and Basic
	Netrc          Rule = "netrc"             // passwords of .netrc
	PGPass         Rule = "pgpass"            // passwords of .pgpass
	Assignment     Rule = "assignment"        // values of names such as password, token, api_key
	Home           Rule = "home"              // the name in a path below a home directory
	User           Rule = "user"              // the caller's user name
	Host           Rule = "host"              // the caller's host name
	Email          Rule = "email"             // addresses; off unless asked for
)

// maxName is the length of the longest name.
const maxName = 24

type ruleID uint8

// catalogue lists the rules in their order; off are those that are not in force by default.
var catalogue = [...]struct {
	name Rule
	off  bool
}{
	{name: Known},
	{name: PrivateKey},
	{name: AgeKey},
	{name: AWSAccessKey},
	{name: AWSSecretKey},
	{name: GCPKey},
	{name: AzureKey},
	{name: GitHubToken},
	{name: GitLabToken},
	{name: AtlassianToken},
	{name: AnthropicKey},
	{name: OpenAIKey},
	{name: HuggingFace},
	{name: ModelKey},
	{name: SlackToken},
	{name: Webhook},
	{name: StripeKey},
	{name: SendGridKey},
	{name: TwilioKey},
	{name: TelegramToken},
	{name: NPMToken},
	{name: PyPIToken},
	{name: ServiceToken},
	{name: JWT},
	{name: DatabaseURL},
	{name: URLPassword},
	{name: Authorization},
	{name: Netrc},
	{name: PGPass},
	{name: Assignment},
	{name: Home},
	{name: User},
	{name: Host},
	{name: Email, off: true},
}

func (r Rule) id() (ruleID, bool) {
	for i := range catalogue {
		if catalogue[i].name == r {
			return ruleID(i), true
		}
	}
	return 0, false
}

// Exists reports whether there is such a rule.
func (r Rule) Exists() bool {
	_, ok := r.id()
	return ok
}

// ErrRule says that no rule has this name.
var ErrRule = errors.New("no such redaction rule")

// Rules says what is redacted. The zero value is the default: every rule but [Email]. Methods return
// changed copies.
type Rules struct {
	flipped uint64 // the rules that are not as the catalogue has them
	person  Person
	secrets []string
}

// A Person is who runs the program, and where. What is empty is not looked for.
type Person struct {
	// Home is the home directory; the last part of its path is replaced.
	Home string
	// User is the user name; it is replaced where it stands as a word. Names that are too short or
	// that mean anybody, such as root or runner, are not looked for.
	User string
	// Host is the host name; it is replaced where it stands as a word, in any letter case.
	Host string
}

// With returns the rules with those of the given names in force. An unknown name is ErrRule.
func (r Rules) With(names ...Rule) (Rules, error) { return r.set(true, names) }

// Without returns the rules with those of the given names not in force. An unknown name is ErrRule.
func (r Rules) Without(names ...Rule) (Rules, error) { return r.set(false, names) }

func (r Rules) set(on bool, names []Rule) (Rules, error) {
	for _, name := range names {
		id, ok := name.id()
		if !ok {
			return Rules{}, fmt.Errorf("%w: %q", ErrRule, string(name))
		}
		if r.on(id) != on {
			r.flipped ^= 1 << id
		}
	}
	return r, nil
}

// For returns the rules with a person's names among what is replaced.
func (r Rules) For(p Person) Rules {
	r.person = p
	return r
}

const (
	// MinSecret is the length of the shortest secret that [Rules.Secrets] takes.
	MinSecret = 6
	// MaxSecrets is how many of them there may be; the automaton of more would take too much memory.
	MaxSecrets = 10_000
)

// Secrets returns the rules with these values as secrets wherever they stand, in addition to those of
// before: what a program was given and must not show. Values shorter than [MinSecret] or longer than
// 4096 bytes, and those that hold a mark, are left out. Of more than [MaxSecrets] no redactor can be made.
func (r Rules) Secrets(values ...string) Rules {
	r.secrets = slices.Clone(r.secrets)
	for _, v := range values {
		if len(r.secrets) > MaxSecrets {
			break
		}
		if len(v) >= MinSecret && len(v) <= 4096 && !strings.Contains(v, markOpen) && !slices.Contains(r.secrets, v) {
			r.secrets = append(r.secrets, v)
		}
	}
	return r
}

// Names returns the rules that are in force, in their order.
func (r Rules) Names() []Rule {
	var names []Rule
	for i := range catalogue {
		if r.on(ruleID(i)) {
			names = append(names, catalogue[i].name)
		}
	}
	return names
}

func (r Rules) on(id ruleID) bool { return catalogue[id].off == (r.flipped&(1<<id) != 0) }

// standard is the machine of the zero Rules.
var standard = sync.OnceValue(func() *machine { return Rules{}.build() })

func (r Rules) machine() *machine {
	if r.flipped == 0 && r.person == (Person{}) && len(r.secrets) == 0 {
		return standard()
	}
	return r.build()
}

func (r Rules) build() *machine {
	var m machine
	add := func(name Rule, match matcher, words ...string) {
		id, ok := name.id()
		if !ok || !r.on(id) {
			return
		}
		for _, w := range words {
			m.anchors = append(m.anchors, anchor{word: w, rule: id, match: match})
		}
	}
	for _, t := range tokens {
		add(t.rule, t.match, t.prefix)
	}
	add(PrivateKey, pemBlock, "-----begin ", "---- begin ")
	add(PrivateKey, puttyBlock, "private-lines:")
	add(AWSSecretKey, awsAfterID, "akia", "asia")
	add(AWSSecretKey, awsAssigned, "secret", "key")
	add(AzureKey, azureSecret, "q~")
	add(AzureKey, azureSignature, "&sig=", "?sig=")
	add(Webhook, webhook, "hooks.slack.com/", "/api/webhooks/", ".webhook.office.com/webhookb2/")
	add(TelegramToken, telegram, ":aa")
	add(JWT, jwt, "eyj")
	add(DatabaseURL, databaseURL, "://")
	add(DatabaseURL, dataSource, "@tcp(", "@unix(")
	add(URLPassword, urlPassword, "://")
	add(Authorization, authorization, "authorization")
	add(Authorization, bearer, "bearer ")
	add(Authorization, basic, "basic ")
	add(Authorization, curlUser, " -u", " --user")
	add(Netrc, netrc, "password ", "password\n", "password\t", "password\r")
	add(PGPass, pgpass, ":5432:", ":5433:", ":5434:", ":6432:", ":6543:", ":*:")
	add(Assignment, assignment, "pass", "pwd", "secret", "token", "credential", "key", "auth")
	add(Assignment, passwordAfter, "identified by ", "sshpass -p")
	add(Home, unixHome, "/home/", "/users/", "\\home\\", "\\users\\", "%2fhome%2f", "%2fusers%2f")
	add(Home, rootHome, "/root")
	add(Home, tildeHome, "~")
	add(Home, encodedHome, "-home-", "-users-")
	add(Email, email, "@")
	r.person.anchors(add)
	for _, s := range r.secrets {
		add(Known, literal(s), s[:min(len(s), 16)])
	}
	m.auto = newAutomaton(m.anchors)
	return &m
}
