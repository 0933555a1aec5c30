package relais

import (
	"time"

	types "relais.internal/relais/internal/component/types"
	events "relais.internal/relais/internal/wit/imports/relais_plugin_events"
	state "relais.internal/relais/internal/wit/imports/relais_plugin_state"
	timers "relais.internal/relais/internal/wit/imports/relais_plugin_timers"
)

// Keep is how long an entry of the state stays, and about whom it is; the zero value is for ever, and the run's customer.
type Keep struct {
	TTL        time.Duration
	Customer   string
	Attributes map[string]string
}

// StateGet reads what the plugin keeps of the run's entity, as JSON; false where there is no such entry. Runs about one entity
// never overlap: read, change, write back.
func StateGet(key string, into any) (bool, error) {
	found := state.Get(key)
	if found.IsNone() {
		return false, nil
	}
	return true, read("state "+key, string(found.Some()), into)
}

// StateSet writes the entry.
func StateSet(key string, value any) error { return StateKeep(key, value, Keep{}) }

// StateKeep writes the entry, to be forgotten after a time or with a customer.
func StateKeep(key string, value any, keep Keep) error {
	written, err := write("state "+key, value)
	if err != nil {
		return err
	}
	ttl := types.None[float64]()
	if keep.TTL > 0 {
		ttl = types.Some(millis(keep.TTL))
	}
	options := state.EntryOptions{Ttl: ttl, Customer: optional(keep.Customer), Attributes: pairs(keep.Attributes)}
	state.Set(key, []byte(written), types.Some(options))
	return nil
}

// StateRemove removes the entry, if it is there.
func StateRemove(key string) { state.Remove(key) }

// Entry is one of a scan; Read parses it.
type Entry struct {
	Key   string
	Value []byte
}

// Read reads the entry as encoding/json does.
func (entry Entry) Read(into any) error { return read("state "+entry.Key, string(entry.Value), into) }

// Entries per page of a scan: enough for nearly every entity in one call, and still a few megabytes at most.
const pageEntries = 100

// StateScan gives every entry whose key begins with prefix, in the order of the keys.
func StateScan(prefix string) []Entry {
	var found []Entry
	after := types.None[string]()
	for {
		page := state.Scan(prefix, after, pageEntries)
		for _, entry := range page.Entries {
			found = append(found, Entry{entry.Key, entry.Value})
		}
		if page.Next.IsNone() {
			return found
		}
		after = page.Next
	}
}

// TimerAt sets an alarm that outlives the run and the host, in place of an earlier one with that key. Where expires is not
// zero, it is of no use any more after that.
func TimerAt(key string, due time.Time, data any, expires time.Time) error {
	written, err := write("timer "+key, data)
	if err != nil {
		return err
	}
	until := types.None[float64]()
	if !expires.IsZero() {
		until = types.Some(instant(expires))
	}
	timers.Set(key, instant(due), written, until)
	return nil
}

// TimerAfter sets one for some time from now.
func TimerAfter(key string, wait time.Duration, data any) error {
	return TimerAt(key, Now().Add(wait), data, time.Time{})
}

// TimerCancel removes it, if there is one.
func TimerCancel(key string) { timers.Cancel(key) }

// TimerGet is the timer with this key, if there is one.
func TimerGet(key string) (Timer, bool) {
	found := timers.Get(key)
	if found.IsNone() {
		return Timer{}, false
	}
	return timerOf(found.Some()), true
}

// Emission is how an event of the plugin's own is raised; the zero value will do.
type Emission struct {
	Subject string
	// Customer is that of the run where it is empty.
	Customer string
	// DedupKey is for at most one event with this key from this plugin.
	DedupKey string
	// Attributes are CloudEvents extension attributes, of lower-case letters and digits.
	Attributes map[string]string
}

// Emit raises an event, of a type that the manifest declares, once the run has ended well.
func Emit(eventType string, data any, how Emission) error {
	written, err := write("event "+eventType, data)
	if err != nil {
		return err
	}
	options := events.EmitOptions{Customer: optional(how.Customer), DedupKey: optional(how.DedupKey), Attributes: pairs(how.Attributes)}
	events.Emit(eventType, optional(how.Subject), written, types.Some(options))
	return nil
}
