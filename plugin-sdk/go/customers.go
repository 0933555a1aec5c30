package relais

import (
	"strings"
	"time"

	calendar "relais.internal/relais/internal/wit/imports/relais_plugin_calendar"
	customers "relais.internal/relais/internal/wit/imports/relais_plugin_customers"
)

// Customer is what the tenant knows of one, as far as the manifest permits.
type Customer struct {
	ID, Name string
	// Locale is BCP 47, fr-FR; Timezone is IANA, Europe/Paris.
	Locale, Timezone string
	// Attributes are the fields that the manifest names.
	Attributes map[string]string
}

// Language is the language alone, fr of fr-FR; fallback where it is not known.
func (customer Customer) Language(fallback string) string {
	language, _, _ := strings.Cut(strings.ReplaceAll(customer.Locale, "_", "-"), "-")
	if language == "" {
		return fallback
	}
	return language
}

// CustomerByID is the customer, where there is one with this identifier.
func CustomerByID(id string) (Customer, bool) {
	option := customers.Get(id)
	if option.IsNone() {
		return Customer{}, false
	}
	found := option.Some()
	return Customer{found.Id, found.Name.SomeOr(""), found.Locale.SomeOr(""), found.Timezone.SomeOr(""), attributesOf(found.Attributes)}, true
}

// Consent is whether a customer has agreed.
type Consent string

// Unknown where nothing is recorded, Refused also where it was withdrawn.
const (
	Unknown Consent = "unknown"
	Granted Consent = "granted"
	Refused Consent = "refused"
)

func consentOf(from uint8) Consent {
	return map[uint8]Consent{customers.Consent_Unknown: Unknown, customers.Consent_Granted: Granted, customers.Consent_Refused: Refused}[from]
}

// Route is one way to reach a customer.
type Route struct {
	Channel     string
	Addressable bool
	// Consent is that to messages of the four purposes.
	Consent Consent
	// WindowEnds is until when free content is allowed; zero where it is not.
	WindowEnds time.Time
	Attributes map[string]string
}

// Routes are the ways to reach the customer, the preferred one first.
func Routes(customer string) []Route {
	var found []Route
	for _, route := range customers.Routes(customer) {
		found = append(found, Route{route.Channel, route.Addressable, consentOf(route.Consent), moments(route.WindowEnds), attributesOf(route.Attributes)})
	}
	return found
}

// ConsentTo is what the customer has agreed to on a channel: service for messages of the four purposes, marketing for
// templates that the provider files so.
func ConsentTo(customer, channel, scope string) Consent {
	return consentOf(customers.GetConsent(customer, channel, scope))
}

// History gives the customer's latest events of one type, or of any type that begins with it where it ends in .*
func History(customer, eventType string, limit int) []Event {
	var found []Event
	for _, event := range customers.History(customer, eventType, uint32(limit)) {
		found = append(found, eventOf(event))
	}
	return found
}

// ParseTime reads an RFC 3339 time; one without an offset is taken in timezone.
func ParseTime(text, timezone string) (time.Time, bool) {
	found := calendar.Parse(text, timezone)
	return moments(found), found.IsSome()
}

// LocalTime is a time as the clocks somewhere show it.
type LocalTime struct{ Year, Month, Day, Hour, Minute, Second int }

// Local is the time as the clocks in timezone show it; false where there is no such zone.
func Local(at time.Time, timezone string) (LocalTime, time.Weekday, bool) {
	option := calendar.ToLocal(instant(at), timezone)
	if option.IsNone() {
		return LocalTime{}, 0, false
	}
	found := option.Some()
	local := LocalTime{int(found.Year), int(found.Month), int(found.Day), int(found.Hour), int(found.Minute), int(found.Second)}
	return local, time.Weekday(found.Weekday % 7), true
}

// FromLocal is the first time at which the clocks in timezone show this; in the hour that is skipped in spring, an hour later.
func FromLocal(local LocalTime, timezone string) (time.Time, bool) {
	found := calendar.FromLocal(calendar.LocalTime{
		Year: int32(local.Year), Month: uint8(local.Month), Day: uint8(local.Day), Hour: uint8(local.Hour), Minute: uint8(local.Minute), Second: uint8(local.Second), Weekday: 1,
	}, timezone)
	return moments(found), found.IsSome()
}

// Style is how a time is written out.
type Style uint8

// mercredi 1 août, 20 h 30, both, or the weekday alone.
const (
	Date     = Style(calendar.Style_Date)
	Clock    = Style(calendar.Style_Time)
	DateTime = Style(calendar.Style_DateTime)
	Weekday  = Style(calendar.Style_Weekday)
)

// FormatTime writes a time out for a reader.
func FormatTime(at time.Time, timezone, locale string, style Style) string {
	return calendar.Format(instant(at), timezone, locale, uint8(style))
}
