package relais

import (
	"encoding/json"
	"sort"
	"time"

	types "relais.internal/relais/internal/component/types"
)

// On the wire, times and lengths of time are milliseconds, as a number that is whole.

func instant(at time.Time) float64 { return float64(at.UnixMilli()) }

func moment(millis float64) time.Time { return time.UnixMilli(int64(millis)).UTC() }

func millis(length time.Duration) float64 { return float64(length.Milliseconds()) }

func moments(millis types.Option[float64]) time.Time {
	if millis.IsNone() {
		return time.Time{}
	}
	return moment(millis.Some())
}

func optional(text string) types.Option[string] {
	if text == "" {
		return types.None[string]()
	}
	return types.Some(text)
}

// pairs are in the order of their names, so that every execution of a run asks for the same.
func pairs(attributes map[string]string) []types.Tuple2[string, string] {
	found := make([]types.Tuple2[string, string], 0, len(attributes))
	for name, value := range attributes {
		found = append(found, types.Tuple2[string, string]{F0: name, F1: value})
	}
	sort.Slice(found, func(a, b int) bool { return found[a].F0 < found[b].F0 })
	return found
}

func attributesOf(pairs []types.Tuple2[string, string]) map[string]string {
	found := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		found[pair.F0] = pair.F1
	}
	return found
}

func read(what, data string, into any) error {
	if err := json.Unmarshal([]byte(data), into); err != nil {
		return Reject("%s: %w", what, err)
	}
	return nil
}

func write(what string, value any) (string, error) {
	written, err := json.Marshal(value)
	if err != nil {
		return "", Reject("%s cannot be written as JSON: %w", what, err)
	}
	return string(written), nil
}
