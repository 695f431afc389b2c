package hooks

import (
	"cmp"
	"context"
	"strings"

	"github.com/open-covenant/covenant-git/git/handoff"
	"github.com/open-covenant/covenant-git/git/ledger"
	"github.com/open-covenant/covenant-git/git/notes"
	"github.com/open-covenant/covenant-git/git/provenance"
)

// names looks at what can be told from the names of refs alone.
func (p *pushed) names(context.Context) error {
	times := map[string]int{}
	first := map[bool]string{} // of the record, and of what is not
	for _, m := range p.moves {
		if times[m.ref]++; times[m.ref] == 2 { // Git carries out one that it can, whichever was judged
			p.refuse(m.ref, "name it once", "is named more than once in one push")
		}
		record := isRecord(m.ref)
		first[record] = cmp.Or(first[record], m.ref)
		p.name(m.ref, m.new.IsZero())
	}
	if first[true] != "" && first[false] != "" {
		p.refuse("", "the record first: covenant sync --yes; then the rest: git push REMOTE BRANCH", "%s and %s in one push: the record is pushed alone, and the rest after it, since Git may take one and not the other", first[true], first[false])
	}
	return p.alike()
}

// name looks at one name, of a ref that is to be, or is to be gone.
func (p *pushed) name(ref string, gone bool) {
	_, isLedger := ledger.ParseRef(ref)
	record := isRecord(ref)
	switch {
	case strings.HasPrefix(ref, "refs/replace/"):
		p.refuse(ref, "", "replacements of objects are not taken: they show everybody else another history")
	case strings.HasPrefix(ref, provenance.RemotePrefix), strings.HasPrefix(ref, provenance.ForkPrefix):
		p.refuse(ref, "", "what a clone fetched is its own affair, and not taken")
	case strings.HasPrefix(ref, ledger.Prefix) && !isLedger:
		p.refuse(ref, "", "is no name of a ledger")
	case record && !isLedger && !recordName(ref):
		p.refuse(ref, "", "is no name of a record")
	case strings.HasPrefix(ref, notes.Ref+"/"):
		p.refuse(ref, "", "would be in the way of %s", notes.Ref)
	case ref == "refs/covenant", ref == "refs/notes":
		p.refuse(ref, "", "would be in the way of the record")
	case record && gone && !strings.HasPrefix(ref, provenance.StagedPrefix):
		p.refuse(ref, "", "is a record, and records are never deleted")
	}
}

// isRecord reports whether a ref is of the record that code is judged by.
func isRecord(ref string) bool { return strings.HasPrefix(ref, "refs/covenant/") || ref == notes.Ref }

// alike refuses, where files are found by names of other case, names of refs that differ from others by nothing else: they are one ref there.
func (p *pushed) alike() error {
	if !p.s.Repo().Config().Bool("core.ignorecase", false) {
		return nil
	}
	refs, err := p.s.Refs()
	if err != nil {
		return err
	}
	as := map[string]string{} // each name and each folder, folded, as it is written
	same := func(name string) string {
		for i := 0; i <= len(name); i++ {
			if i < len(name) && name[i] != '/' {
				continue
			}
			folded := strings.ToLower(strings.ToUpper(name[:i]))
			if is, ok := as[folded]; ok && is != name[:i] {
				return is
			}
			as[folded] = name[:i]
		}
		return ""
	}
	for _, name := range []string{"refs/heads", "refs/tags", "refs/replace", notes.Ref, provenance.RootRef, ledger.Prefix + "x"} {
		same(name)
	}
	for _, r := range refs {
		same(r.Name)
	}
	for _, m := range p.moves {
		if is := same(m.ref); is != "" {
			p.refuse(m.ref, "", "differs only in case from %s, which is the same here", is)
		}
	}
	return nil
}

// recordName reports whether a ref beside ledgers is one that holds a record: anything else could stand in the way of one.
func recordName(ref string) bool {
	if ref == provenance.RootRef || ref == notes.Ref {
		return true
	}
	if _, ok := handoff.IDOf(ref); ok {
		return true
	}
	for _, prefix := range []string{provenance.StagedPrefix, provenance.FormerPrefix} {
		if rest, ok := strings.CutPrefix(ref, prefix); ok && rest != "" && !strings.ContainsFunc(rest, func(r rune) bool {
			return (r < '0' || r > '9') && (r < 'a' || r > 'f') && r != '-'
		}) {
			return true
		}
	}
	return false
}
