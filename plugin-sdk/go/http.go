package relais

import (
	"encoding/json"
	"errors"
	"strconv"
	"time"

	types "relais.internal/relais/internal/component/types"
	http "relais.internal/relais/internal/wit/imports/relais_plugin_http"
)

// Request goes to a service that the manifest names and the operator grants.
type Request struct {
	// Method is GET where it is empty.
	Method string
	URL    string
	// Headers may hold the placeholder of a secret, which the host fills in.
	Headers map[string]string
	Body    []byte
	// JSON is a body as JSON, with its content type, where it is not nil.
	JSON any
	// Timeout is the host's own where it is 0.
	Timeout time.Duration
	// Settings are by the registry's name.
	Settings map[string]string
}

// Response is what a service answered; a status such as 404 is an answer as well, and a redirect is not followed.
type Response struct {
	Status int
	// Headers have names in lower case.
	Headers map[string]string
	Body    []byte
	what    string
}

// OK says that the status is from 200 to 299.
func (response Response) OK() bool { return response.Status >= 200 && response.Status < 300 }

// Success is nil if the response is OK, and else an error: one whose status may pass (408, 425, 429, 5xx) has the run tried
// again, after Retry-After.
func (response Response) Success() error {
	if response.OK() {
		return nil
	}
	seconds, _ := strconv.Atoi(response.Headers["retry-after"])
	return &HTTPError{Code: "status", Detail: strconv.Itoa(response.Status), Status: response.Status, After: time.Duration(seconds) * time.Second, what: response.what}
}

// Read reads the body as encoding/json does.
func (response Response) Read(into any) error { return read("the answer", string(response.Body), into) }

// HTTPError says why there is no response. A run that ends with one that may pass is tried again.
type HTTPError struct {
	// Code is "not-permitted", "unreachable", "timed-out", …
	Code, Detail string
	// Status is of Response.Success, and After what the service asks for.
	Status int
	After  time.Duration
	what   string
}

func (err *HTTPError) Error() string {
	if err.Detail == "" {
		return err.what + ": " + err.Code
	}
	return err.what + ": " + err.Code + ": " + err.Detail
}

// MayPass says that the same request may well be answered in a minute.
func (err *HTTPError) MayPass() bool {
	switch err.Status {
	case 408, 425, 429:
		return true
	}
	return err.Status >= 500 || err.Code == "unreachable" || err.Code == "timed-out"
}

// Fetch asks a service. Each request carries an Idempotency-Key that is the same in every execution of the run. The error is a
// *HTTPError where there is no response.
func Fetch(request Request) (Response, error) {
	method := request.Method
	if method == "" {
		method = "GET"
	}
	headers := pairs(request.Headers)
	body := request.Body
	if request.JSON != nil {
		if body != nil {
			return Response{}, errors.New("a request has a Body or a JSON, and not both")
		}
		written, err := json.Marshal(request.JSON)
		if err != nil {
			return Response{}, Reject("the body of %s %s cannot be written as JSON: %w", method, request.URL, err)
		}
		body = written
		headers = append(headers, types.Tuple2[string, string]{F0: "content-type", F1: "application/json"})
	}
	sent := http.Request{Method: method, Url: request.URL, Headers: headers, Body: types.None[[]uint8](), Timeout: types.None[float64](), Settings: pairs(request.Settings)}
	if body != nil {
		sent.Body = types.Some(body)
	}
	if request.Timeout > 0 {
		sent.Timeout = types.Some(millis(request.Timeout))
	}
	answer := http.Send(sent)
	if answer.IsErr() {
		return Response{}, httpErrorOf(answer.Err(), method+" "+request.URL)
	}
	found := answer.Ok()
	return Response{int(found.Status), attributesOf(found.Headers), found.Body, method + " " + request.URL}, nil
}

func httpErrorOf(from http.HttpError, what string) *HTTPError {
	switch from.Tag() {
	case http.HttpError_NotPermitted:
		return &HTTPError{Code: "not-permitted", Detail: from.NotPermitted(), what: what}
	case http.HttpError_BadRequest:
		return &HTTPError{Code: "bad-request", Detail: from.BadRequest(), what: what}
	case http.HttpError_Unreachable:
		return &HTTPError{Code: "unreachable", Detail: from.Unreachable(), what: what}
	case http.HttpError_TimedOut:
		return &HTTPError{Code: "timed-out", what: what}
	case http.HttpError_TooLarge:
		return &HTTPError{Code: "too-large", what: what}
	case http.HttpError_OverQuota:
		return &HTTPError{Code: "over-quota", Detail: from.OverQuota(), what: what}
	}
	return &HTTPError{Code: from.Other(), what: what}
}
