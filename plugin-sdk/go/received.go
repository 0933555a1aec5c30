package relais

import (
	"strings"
	"time"

	types "relais.internal/relais/internal/component/types"
	messages "relais.internal/relais/internal/wit/imports/relais_plugin_messages"
	timers "relais.internal/relais/internal/wit/imports/relais_plugin_timers"
	wit "relais.internal/relais/internal/wit/imports/relais_plugin_types"
)

// Event is something that happened, as CloudEvents 1.0 describes it.
type Event struct {
	// ID is unique together with Source.
	ID string
	// Source is who says so, a URI reference: /shop/paris.
	Source string
	// Type is what happened: com.example.order.ready.
	Type string
	// Subject is what it happened to, by the source's own name for it; empty where there is none.
	Subject string
	Time    time.Time
	// Customer is the one concerned; empty where the host could not tell.
	Customer string
	// Data is JSON; Read has parsed it.
	Data string
	// Attributes are CloudEvents extension attributes, datacontenttype and dataschema.
	Attributes map[string]string
}

// Read reads the data as encoding/json does; what does not fit is a rejection.
func (event Event) Read(into any) error {
	return read("event "+event.ID+" of "+event.Type+": data", event.Data, into)
}

// CustomerID is the customer, or a rejection that says how to name one.
func (event Event) CustomerID() (string, error) {
	return customerOf(event.Customer, "event "+event.ID+" of "+event.Type)
}

// Verb is the last part of the type: ready of com.example.order.ready.
func (event Event) Verb() string { return event.Type[strings.LastIndex(event.Type, ".")+1:] }

// Reference is what Message.Because takes where an earlier event makes a message expected.
func (event Event) Reference() string { return event.Source + "#" + event.ID }

func eventOf(from wit.Event) Event {
	return Event{
		ID: from.Id, Source: from.Source, Type: from.EventType, Subject: from.Subject.SomeOr(""), Time: moment(from.Time),
		Customer: from.Customer.SomeOr(""), Data: from.Data, Attributes: attributesOf(from.Attributes),
	}
}

// Timer has come due, or is set.
type Timer struct {
	Key string
	// Due is when it was to be called, at or before now.
	Due time.Time
	// Customer is whom the run that set it concerned; empty where there was none.
	Customer string
	// Data is JSON; Read has parsed it.
	Data string
	// SetBy is the version of the plugin that set it: the data is in that version's form.
	SetBy      string
	Attributes map[string]string
}

// Read reads the data as encoding/json does.
func (timer Timer) Read(into any) error { return read("timer "+timer.Key+": data", timer.Data, into) }

// CustomerID is the customer, or a rejection that says how to name one.
func (timer Timer) CustomerID() (string, error) {
	return customerOf(timer.Customer, "timer "+timer.Key)
}

func timerOf(from timers.Timer) Timer {
	return Timer{
		Key: from.Key, Due: moment(from.Due), Customer: from.Customer.SomeOr(""), Data: from.Data, SetBy: from.SetBy,
		Attributes: attributesOf(from.Attributes),
	}
}

// DeliveryState is how far a message has come.
type DeliveryState string

// In the order in which they may follow one another.
const (
	Pending     DeliveryState = "pending"
	Sent        DeliveryState = "sent"
	Delivered   DeliveryState = "delivered"
	Read        DeliveryState = "read"
	FallingBack DeliveryState = "falling-back"
	Failed      DeliveryState = "failed"
	Expired     DeliveryState = "expired"
	Cancelled   DeliveryState = "cancelled"
)

var states = map[uint8]DeliveryState{
	messages.DeliveryState_Pending: Pending, messages.DeliveryState_Sent: Sent, messages.DeliveryState_Delivered: Delivered,
	messages.DeliveryState_Read: Read, messages.DeliveryState_FallingBack: FallingBack, messages.DeliveryState_Failed: Failed,
	messages.DeliveryState_Expired: Expired, messages.DeliveryState_Cancelled: Cancelled,
}

// Delivery is what has become of a message.
type Delivery struct {
	ID string
	// Tag is what it was sent with.
	Tag      string
	Customer string
	State    DeliveryState
	// Settled says that nothing follows but Read.
	Settled bool
	Channel string
	Time    time.Time
	// Code is why it failed or falls back, of the registry: not-on-whatsapp, unreachable, …
	Code string
	// Detail is the provider's own words.
	Detail     string
	Attributes map[string]string
}

func deliveryOf(from messages.Delivery) Delivery {
	return Delivery{
		ID: from.Id, Tag: from.Tag.SomeOr(""), Customer: from.Customer.SomeOr(""), State: states[from.State], Settled: from.Settled,
		Channel: from.Channel, Time: moment(from.Time), Code: from.Code.SomeOr(""), Detail: from.Detail.SomeOr(""),
		Attributes: attributesOf(from.Attributes),
	}
}

// Place is in WGS 84 degrees.
type Place struct {
	Latitude, Longitude float64
	Name, Address       string
}

// Media is a file that a customer sent.
type Media struct {
	ID, MimeType, Filename string
	// Size is in bytes, 0 where it is not known.
	Size       int
	Attributes map[string]string
}

// Incoming is what a customer wrote.
type Incoming struct {
	ID string
	// Customer is empty where the sender is no known customer.
	Customer string
	// Sender is the number, where the manifest has the permission phone. Nobody needs it to answer.
	Sender  string
	Channel string
	Time    time.Time
	// Kind is text, choice, image, audio, video, document, location, or another name of the registry.
	Kind string
	// Text is what was written, the label tapped, or the caption.
	Text string
	// Choice is the identifier of the choice tapped.
	Choice   string
	Media    []Media
	Location *Place
	// InReplyTo is the message that it answers, and Tag what that was sent with.
	InReplyTo, Tag string
	// Opening says that nothing was exchanged with this sender in the last 24 hours.
	Opening bool
	// WindowEnds is until when free content is allowed on this channel; zero where it is not.
	WindowEnds time.Time
	Attributes map[string]string
}

// CustomerID is the customer, or a rejection.
func (incoming Incoming) CustomerID() (string, error) {
	return customerOf(incoming.Customer, "message "+incoming.ID)
}

func incomingOf(from messages.Incoming) Incoming {
	found := Incoming{
		ID: from.Id, Customer: from.Customer.SomeOr(""), Sender: from.Sender.SomeOr(""), Channel: from.Channel, Time: moment(from.Time),
		Kind: from.Kind, Text: from.Text, Choice: from.Choice.SomeOr(""), InReplyTo: from.InReplyTo.SomeOr(""), Tag: from.Tag.SomeOr(""),
		Opening: from.Opening, WindowEnds: moments(from.WindowEnds), Attributes: attributesOf(from.Attributes), Location: placeOf(from.Location),
	}
	for _, file := range from.Media {
		found.Media = append(found.Media, Media{
			ID: file.Id, MimeType: file.MimeType, Filename: file.Filename.SomeOr(""), Size: int(file.Size.SomeOr(0)), Attributes: attributesOf(file.Attributes),
		})
	}
	return found
}

func placeOf(from types.Option[wit.Place]) *Place {
	if from.IsNone() {
		return nil
	}
	place := from.Some()
	return &Place{place.Latitude, place.Longitude, place.Name.SomeOr(""), place.Address.SomeOr("")}
}

func customerOf(customer, what string) (string, error) {
	if customer == "" {
		return "", Reject("%s names no customer: give the event the extension attribute `customer`, or say in the manifest where the customer stands", what)
	}
	return customer, nil
}
