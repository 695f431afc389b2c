package pluginapi

import "errors"

// Failure says why a checker gave no answer. Whatever it is, it denies.
type Failure string

// The failures there are.
const (
	Missing      Failure = "missing"       // there is no such program
	WrongDigest  Failure = "digest"        // it is not the program that was pinned
	Handshake    Failure = "handshake"     // it could not be started, or did not say how to reach it
	Timeout      Failure = "timeout"       // it took too long
	Died         Failure = "died"          // it ended before it answered
	Garbage      Failure = "garbage"       // what it said is no answer
	OtherVersion Failure = "version"       // it speaks another version
	OtherRequest Failure = "other-request" // it answered what was not asked
	Failed       Failure = "failed"        // it said itself that it cannot answer
)

// An Error says which checker gave no answer, and why.
type Error struct {
	Checker string
	Failure Failure
	Err     error
}

func (e *Error) Error() string {
	s := "checker " + e.Checker + ": " + string(e.Failure)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// FailureOf returns the kind of an error about a reply.
func FailureOf(err error) Failure {
	switch {
	case errors.Is(err, ErrVersion):
		return OtherVersion
	case errors.Is(err, ErrOtherRequest):
		return OtherRequest
	}
	return Garbage
}
