package relais

import (
	"time"

	run "relais.internal/relais/internal/wit/imports/relais_plugin_run"
)

// RunID is the run's identifier, the same for every execution of the run.
func RunID() string { return run.Id() }

// Attempt is 1 for the first execution.
func Attempt() int { return int(run.Attempt()) }

// Entity is what the run is about, and in whose order it is: customer/4711.
func Entity() string { return run.Entity() }

// CustomerOfRun is whom the run concerns; empty where the host could not tell.
func CustomerOfRun() string { return run.Customer().SomeOr("") }

// Now is the time of the run, at which the clock stands still; time.Now is the same.
func Now() time.Time { return moment(run.Now()) }

// Attribute is another fact about the run, by the registry's name: tenant, plugin, version, deadline.
func Attribute(name string) (string, bool) {
	found := run.Attribute(name)
	return found.SomeOr(""), found.IsSome()
}

// Random gives bytes that are fit for secrets, and the same for every execution of the run.
func Random(count int) []byte { return run.Random(uint32(count)) }

// The letters and digits that nobody confuses when reading them aloud: no 0 and O, no 1, I and L.
const readable = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"

// Code is one that a person can read out, K7FM2Q: about five bits for each of its characters.
func Code(length int) string {
	var code []byte
	for len(code) < length {
		for _, drawn := range Random(max(2*length, 8)) {
			// Bytes from 248 on would make the first letters likelier than the others; they are drawn again.
			if drawn < 248 && len(code) < length {
				code = append(code, readable[int(drawn)%len(readable)])
			}
		}
	}
	return string(code)
}

// Config reads the settings: the manifest's defaults with the operator's on top.
func Config(into any) error { return read("config", run.Config(), into) }

// Secret is a placeholder, which the host replaces by the secret in the headers of requests that the manifest permits.
func Secret(name string) (string, bool) {
	found := run.Secret(name)
	return found.SomeOr(""), found.IsSome()
}
