package report

import "github.com/open-covenant/covenant-git/envelope/verdict"

// findingsPage is where every code is explained; a rule's section is an anchor there.
const findingsPage = "https://github.com/open-covenant/covenant-git/blob/main/docs/spec/findings.md"

// A rule is what docs/spec/findings.md says of a code.
type rule struct{ section, meaning string }

// rules has the codes that verify tells of commits, refs, the trust root and the
// repository, in the words of docs/spec/findings.md; a test compares them.
var rules = map[verdict.Code]rule{
	"seal.missing":          {"seals", "nobody known here sealed the commit"},
	"seal.signature":        {"seals", "the signature is not one of this payload by this key"},
	"seal.unknown-key":      {"seals", "the signing key is of nobody the trust root or a grant names"},
	"seal.syntax":           {"seals", "the envelope parses, and its payload is no seal: not canonical, unknown fields, malformed"},
	"seal.too-large":        {"seals", "the envelope is over 64 MiB"},
	"seal.signature-count":  {"seals", "it has not exactly one signature"},
	"seal.payload-type":     {"seals", "its payload type is none of a ledger's"},
	"seal.newer":            {"seals", "its version is newer than this program; verify then exits 2, it can't decide"},
	"seal.repository":       {"seals", "it is a statement of another repository"},
	"seal.subject":          {"seals", "it seals another commit"},
	"seal.tree":             {"seals", "it names another tree than the commit has"},
	"seal.parents":          {"seals", "it names other parents"},
	"seal.change-missing":   {"seals", "Git shows a change that the seal does not list"},
	"seal.change-extra":     {"seals", "the seal lists a change that Git does not show"},
	"seal.change-differs":   {"seals", "status, mode or object of a path are not Git's"},
	"seal.change-duplicate": {"seals", "the seal lists a path twice"},
	"seal.content":          {"seals", "a content or patch digest is not that of the content"},
	"seal.principal":        {"seals", "it names another principal, kind or accountable human than the key's"},
	"seal.decision":         {"seals", "it says witness, and no decision for this commit precedes it in its ledger"},
	"seal.grant":            {"seals", "the grants it relies on are no line from an operator's down to this key, or it names none and the signer is no operator"},
	"seal.gate-bypassed":    {"seals", "the gate refused the commit, the refusal is recorded, and the commit was made all the same"},
	"seal.authority":        {"seals", "the key may not do this now: no grant, expired, or the committer's address is not the sealer's and it may not vouch"},
	"seal.not-in-ledger":    {"seals", "only a note has the seal; its ledger is not here"},
	"seal.intent":           {"seals", "the intent never was in the state that it names: another number of statements or state, a step against the rules, or by who never might take it"},
	"seal.evidence":         {"seals", "what it names as evidence is none, or about another tree"},
	"seal.review":           {"seals", "what it names as a review is none, or of another step"},
	"seal.lapsed":           {"seals", "what it names counts for nothing now: its signer had left, or its ledger is broken before it"},
	"seal.conflict":         {"seals", "several good seals; the message says which counts"},
	"seal.other-refused":    {"seals", "a good seal counts, or the commit is exempt; another seal was refused"},
	"ledger.fork":           {"ledgers", "another identity stands at a place that a seal, or a note, has seen; or a remote has another entry of that number, signed by the same writer"},
	"checkpoint.stale":      {"ledgers", "the policy demands a checkpoint that is newer than there is; verify has no answer then (exit 2), log and show warn of it, and they, status, blame and stats go on"},
	"ledger.rolled-back":    {"ledgers", "a ledger ends before an entry that a seal, or a note, has seen; or a seal names evidence, a review or a statement about an intent that no ledger here has; or a remote had more of it than it has now"},
	"ledger.pruned":         {"ledgers", "entries of a ledger are missing, and no statement that counts says that they were dropped; or somebody says that something was dropped and may not, or drops what stays"},
	"ledger.withheld":       {"ledgers", "a ledger that a key of the trust root writes lacks an entry that persons or automation of the root saw, that the root names, or that others of the ledger follow; it ends before, has a hole or another entry in its place: a revocation, or an admission, may be what is missing"},
	"ledger.late":           {"ledgers", "a key signed entries that were not known where the trust root removed it: they count for nothing, and what they seal or give was not done again"},
	"ledger.order":          {"ledgers", "an entry's number or predecessor is not that of its place"},
	"ledger.damaged":        {"ledgers", "an entry cannot be read: an object is missing, it has two parents, or the statement is malformed"},
	"ledger.signature":      {"ledgers", "an entry's signature does not verify, or its key is not known"},
	"ledger.writer":         {"ledgers", "an entry belongs to another ledger, or is signed by another key than the writer's"},
	"ledger.heads-back":     {"ledgers", "an entry saw less of another ledger than an earlier entry of the same chain"},
	"ledger.newer":          {"ledgers", "an entry's version is newer than this program"},
	"ledger.unknown-writer": {"ledgers", "the ref is no name of a ledger, or nobody introduced the key"},
	"grant.refused":         {"ledgers", "a grant or revocation counts for nothing: its signer had no authority for it, or the key or name is somebody else's already"},
	"policy.mode":           {"policy", "the seal's mode is not enough on this ref, or for this path"},
	"policy.path":           {"policy", "a rule says who may change this path, and the sealer is none of them"},
	"evidence.missing":      {"policy", "required evidence is missing"},
	"evidence.failed":       {"policy", "required evidence did not pass"},
	"evidence.stale":        {"policy", "required evidence is too old, or dated ahead"},
	"evidence.author":       {"policy", "required evidence is by nobody whose evidence counts"},
	"policy.review":         {"policy", "too few other people approved the change that the commit is in, or somebody rejects it"},
	"policy.coverage":       {"policy", "the policy wants a seal of the commit itself, or of all that it was made of, on this ref"},
	"derived.uncovered":     {"derived-commits", "sealed changes cover other paths of this commit, and not this one"},
	"derived.history":       {"derived-commits", "sealed changes would cover it, and a shallow clone ends the history in which they may have been used before, or lacks content that they may have been applied to, as a partial clone does; verify then exits 2"},
	"derived.partial":       {"derived-commits", "the commit took some changes of a sealed one, and left these out"},
	"ref.not-admitted":      {"protected-refs", "nobody with authority admitted that the ref is where it is"},
	"ref.moved":             {"protected-refs", "the ref is not where its newest admission put it, or is gone"},
	"ref.admission-gap":     {"protected-refs", "an admission does not follow the one before it, or two follow one and lead to different places"},
	"ref.authority":         {"protected-refs", "who signed an admission was not allowed to; it counts for nothing. A warning while the ref is in order without it"},
	"note.junk":             {"notes", "a line that is no envelope, no seal or is refused; or the view cannot be read"},
	"note.missing":          {"notes", "the view, or a note, lacks a statement that a ledger has"},
	"note.unknown-key":      {"notes", "beside a good seal stands a line by an unknown key"},
	"note.elsewhere":        {"notes", "a statement stands beside a good one and is about another object"},
	"root.mismatch":         {"trust-root", "the trust root is not the pinned one"},
	"root.invalid":          {"trust-root", "it cannot be read, is not valid, or is not signed by its operators; or a remote has something else in its place, or in that of a draft"},
	"root.rolled-back":      {"trust-root", "a remote had a later version of the trust root than it has now, or has none any more"},
	"root.expired":          {"trust-root", "the version in force has expired"},
	"root.fork":             {"trust-root", "one version has two successors, both signed by enough operators: operators disagree, or keys were stolen. Nothing may be relied on"},
	"root.withheld":         {"trust-root", "keys of the trust root say that a later version came into force, or held an admission to one, and it is not here: who was removed since is not known"},
	"root.missing":          {"trust-root", "the pinned trust root is not in this clone; or an admission was held to a version that is not"},
	"git.diff":              {"git-hooks-keys", "Git cannot say what the commit changes: a tree is missing, two different trees show no difference, or more than 500,000 paths differ"},
	"git.object-hash":       {"git-hooks-keys", "an object's content is not what its name says"},
	"git.object-malformed":  {"git-hooks-keys", "a commit or tree that Git reads and would not write: entries out of order or twice, for instance"},
	"git.path":              {"git-hooks-keys", "the commit brings a path that Git checks out for nobody: .., .git, an empty name. Who takes it away again has no such finding"},
}

// ruleOf returns the rule of a code. A code that is not listed, from another release,
// stands for itself.
func ruleOf(c verdict.Code) rule {
	if r, ok := rules[c]; ok {
		return r
	}
	return rule{meaning: string(c)}
}

// help is where a person reads about a code.
func (r rule) help() string {
	if r.section == "" {
		return findingsPage
	}
	return findingsPage + "#" + r.section
}
