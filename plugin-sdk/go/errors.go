package relais

import (
	"errors"
	"fmt"
	"strings"
	"time"

	types "relais.internal/relais/internal/component/types"
	wit "relais.internal/relais/internal/wit/imports/relais_plugin_types"
)

// Failure is an error whose author has said what is to become of the run. Any other error sets it aside.
type Failure struct {
	Message string
	// Detail is what else helps to find it.
	Detail string
	// Again says that it is worth trying again, not before After has passed where that is not 0.
	Again bool
	After time.Duration
	// Attributes are settings by the registry's name.
	Attributes map[string]string
	cause      error
}

func (failure *Failure) Error() string { return failure.Message }

func (failure *Failure) Unwrap() error { return failure.cause }

// Reject is not worth trying again: the host sets the run aside at once, with this reason.
func Reject(format string, arguments ...any) error {
	wrapped := fmt.Errorf(format, arguments...)
	return &Failure{Message: wrapped.Error(), cause: errors.Unwrap(wrapped)}
}

// Retry is worth trying again: the host runs the handler later, with growing pauses, and at last sets the run aside.
func Retry(format string, arguments ...any) error { return RetryAfter(0, format, arguments...) }

// RetryAfter is the same, and not before this time has passed.
func RetryAfter(after time.Duration, format string, arguments ...any) error {
	wrapped := fmt.Errorf(format, arguments...)
	return &Failure{Message: wrapped.Error(), Again: true, After: after, cause: errors.Unwrap(wrapped)}
}

// The host keeps a run's last words, and the stack of a deep recursion would push out everything else.
const stackBytesMax = 4000

func failureOf(err error) wit.Failure {
	var said *Failure
	var http *HTTPError
	switch {
	case errors.As(err, &said):
		return made(err.Error(), said.Detail, said.Again, said.After, said.Attributes)
	// A service that could not be asked may be there in a minute.
	case errors.As(err, &http) && http.MayPass():
		return made(err.Error(), "", true, http.After, nil)
	default:
		return made(err.Error(), "", false, 0, nil)
	}
}

func failureOfPanic(panicked any, stack []byte) wit.Failure {
	message := fmt.Sprintf("panic: %v", panicked)
	first, _, _ := strings.Cut(message, "\n")
	return made(first, message+"\n"+ownFrames(string(stack)), false, 0, nil)
}

// ownFrames leaves out what every stack begins with: the frames of the panic itself and of this package.
func ownFrames(stack string) string {
	lines := strings.Split(strings.TrimRight(stack, "\n"), "\n")
	var kept []string
	for at := 1; at+1 < len(lines); at += 2 {
		function := lines[at]
		if strings.HasPrefix(function, "relais.internal/relais") || strings.HasPrefix(function, "runtime/debug.") || strings.HasPrefix(function, "panic(") {
			continue
		}
		place, _, _ := strings.Cut(strings.TrimSpace(lines[at+1]), " +0x")
		kept = append(kept, "    at "+function+" ("+place+")")
	}
	return strings.Join(kept, "\n")
}

func made(message, detail string, again bool, after time.Duration, attributes map[string]string) wit.Failure {
	if len(detail) > stackBytesMax {
		detail = strings.ToValidUTF8(detail[:stackBytesMax], "") + " …"
	}
	more := optional(detail)
	if !again {
		return wit.MakeFailureReject(wit.RejectInfo{Message: message, Detail: more, Attributes: pairs(attributes)})
	}
	wait := types.None[float64]()
	if after > 0 {
		wait = types.Some(millis(after))
	}
	return wit.MakeFailureRetry(wit.RetryInfo{Message: message, Detail: more, After: wait, Attributes: pairs(attributes)})
}

// SendError says why a message was not taken.
type SendError struct {
	// Code is "no-consent", "bad-template", …
	Code string
	// Detail says more where there is more.
	Detail string
}

func (err *SendError) Error() string {
	if err.Detail == "" {
		return "the message was not taken: " + err.Code
	}
	return "the message was not taken: " + err.Code + ": " + err.Detail
}

// AboutTheCustomer says that nobody has made a mistake: this customer cannot or does not want to be written to now.
func (err *SendError) AboutTheCustomer() bool {
	switch err.Code {
	case "no-address", "no-consent", "over-quota", "expired":
		return true
	}
	return false
}
