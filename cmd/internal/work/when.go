package work

import (
	"strconv"
	"strings"
	"time"

	"github.com/open-covenant/covenant-git/cmd/internal/cli"
	"github.com/open-covenant/covenant-git/envelope"
)

// In reads a time to come as people give it: RFC 3339, a day such as 2027-01-31, or
// from now on in days or hours, 365d or 48h. The result is as statements carry it.
func In(flag, text string, now time.Time) (string, error) { return when(flag, text, now, 1) }

// Ago is In for a time that has passed: 2d is two days ago.
func Ago(flag, text string, now time.Time) (string, error) { return when(flag, text, now, -1) }

func when(flag, text string, now time.Time, sign time.Duration) (string, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return envelope.Timestamp(t), nil
		}
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return envelope.Timestamp(now.Add(sign * time.Duration(n) * 24 * time.Hour)), nil //nolint:gosec // 16 bits
		}
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return envelope.Timestamp(now.Add(sign * d)), nil
	}
	return "", cli.Usage("%s takes a time such as 2027-01-31T12:00:00Z, 2027-01-31, 365d or 48h, not %q", flag, text)
}
