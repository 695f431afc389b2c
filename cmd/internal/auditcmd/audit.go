// Package auditcmd is the command group "audit": what happened, and the proof that nothing of it was taken out.
package auditcmd

import (
	"github.com/spf13/cobra"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
)

// New returns the command group.
func New(env *cli.Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "See all that happened, add to it, and prove that nothing was taken out",
		Long: `The audit log is what all ledgers say, of all who write here, in the order of cause and
effect: grants, commits, checks, refusals, and what was recorded with "append". Nothing is
in it twice, and nothing in it was taken from anybody's word: each line is a statement
that its writer signed.

A checkpoint signs all of it as a Merkle tree: "prove" makes a file by which anybody can check
offline, without this repository, that an entry was there; "verify" holds everything to
everything.`,
	}
	cmd.AddCommand(
		newAppend(env), newAttest(env), newAttestations(env), newCheckProof(env), newCheckpoint(env), newCheckpoints(env), newConsistency(env), newExport(env), newImport(env), newKinds(env), newLog(env), newProve(env), newPrune(env), newReport(env), newResolve(env), newScan(env), newVerify(env), newVerifyAttestation(env), newWitness(env),
	)

	return cmd
}
