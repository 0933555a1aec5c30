package relais

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	types "relais.internal/relais/internal/component/types"
	messages "relais.internal/relais/internal/wit/imports/relais_plugin_messages"
	wit "relais.internal/relais/internal/wit/imports/relais_plugin_types"
)

// Purpose is why the customer expects a message. There is no case for promotion.
type Purpose uint8

// What a message may be for.
const (
	Reply        = Purpose(messages.Purpose_Reply)
	Confirmation = Purpose(messages.Purpose_Confirmation)
	Alert        = Purpose(messages.Purpose_Alert)
	Reminder     = Purpose(messages.Purpose_Reminder)
)

// Message is being written. With a text and a template, the text is sent while the customer's 24-hour window is open, and the
// template otherwise.
type Message struct {
	recipient func() *messages.Draft
	setters   []func(*messages.Draft)
	template  string
	params    []types.Tuple2[string, string]
	choices   []messages.Choice
	err       error
}

// MessageTo is to a known customer: the host finds the addresses and checks consent.
func MessageTo(customer string, purpose Purpose) *Message {
	return &Message{recipient: func() *messages.Draft { return messages.DraftToCustomer(customer, uint8(purpose)) }}
}

// MessageToPhone is to a telephone number in E.164 form, where the manifest has the permission phone.
func MessageToPhone(number string, purpose Purpose) *Message {
	return &Message{recipient: func() *messages.Draft { return messages.DraftToPhone(number, uint8(purpose)) }}
}

// Answer is to whoever sent a message, known or not; its purpose is Reply.
func Answer(incoming Incoming) *Message {
	return &Message{recipient: func() *messages.Draft { return messages.DraftAnswer(incoming.ID) }}
}

func (message *Message) with(setter func(*messages.Draft)) *Message {
	message.setters = append(message.setters, setter)
	return message
}

// Because is what makes it expected, where that is not what set off this run: an event's Reference, or a message's identifier.
func (message *Message) Because(reference string) *Message {
	return message.with(func(draft *messages.Draft) { draft.Because(reference) })
}

// Text is the text, or the caption of the attachment.
func (message *Message) Text(text string) *Message {
	return message.with(func(draft *messages.Draft) { draft.Text(text) })
}

// Textf is the same, written as fmt.Sprintf writes it.
func (message *Message) Textf(format string, arguments ...any) *Message {
	return message.Text(fmt.Sprintf(format, arguments...))
}

// Template is one that the manifest names; Param gives its parameters.
func (message *Message) Template(name string) *Message {
	message.template = name
	return message
}

// Param is a parameter of the template.
func (message *Message) Param(name string, value any) *Message {
	message.params = append(message.params, types.Tuple2[string, string]{F0: name, F1: fmt.Sprint(value)})
	return message
}

// AttachURL is a picture, a sound, a film or a document at an https URL; its MIME type says which. The file name may be empty.
func (message *Message) AttachURL(url, mimeType, filename string) *Message {
	return message.with(func(draft *messages.Draft) { draft.AttachUrl(url, mimeType, optional(filename)) })
}

// AttachAsset is a file of the plugin's package.
func (message *Message) AttachAsset(path string) *Message {
	return message.with(func(draft *messages.Draft) { draft.AttachAsset(path) })
}

// AttachBytes are the bytes themselves.
func (message *Message) AttachBytes(content []byte, mimeType, filename string) *Message {
	return message.with(func(draft *messages.Draft) { draft.AttachBytes(content, mimeType, optional(filename)) })
}

// Location is a place on the map.
func (message *Message) Location(place Place) *Message {
	return message.with(func(draft *messages.Draft) {
		draft.Location(wit.Place{Latitude: place.Latitude, Longitude: place.Longitude, Name: optional(place.Name), Address: optional(place.Address)})
	})
}

// Choice is one more answer to tap, or to number where there is no tapping.
func (message *Message) Choice(id, label string) *Message {
	message.choices = append(message.choices, messages.Choice{Id: id, Label: label, Attributes: pairs(nil)})
	return message
}

// Content is of a kind that has no method here, by the registry's name.
func (message *Message) Content(kind string, data any) *Message {
	written, err := write("content "+kind, data)
	message.err = errors.Join(message.err, err)
	return message.with(func(draft *messages.Draft) { draft.Content(kind, written) })
}

// SMSText is how it reads as SMS; derived from the content where this is not called.
func (message *Message) SMSText(text string) *Message {
	return message.with(func(draft *messages.Draft) { draft.SmsText(text) })
}

// NoSMS says that it is not for SMS.
func (message *Message) NoSMS() *Message { return message.with((*messages.Draft).NoSms) }

// SMSOnly is SMS at once, without trying WhatsApp.
func (message *Message) SMSOnly() *Message { return message.with((*messages.Draft).SmsOnly) }

// FallbackAfter falls back to SMS when it is not delivered after this time.
func (message *Message) FallbackAfter(wait time.Duration) *Message {
	return message.with(func(draft *messages.Draft) { draft.FallbackAfter(millis(wait)) })
}

// Expires says that it is not worth delivering later than this, on any channel.
func (message *Message) Expires(at time.Time) *Message {
	return message.with(func(draft *messages.Draft) { draft.Expires(instant(at)) })
}

// DedupKey is for at most one message with this key from this plugin to this recipient.
func (message *Message) DedupKey(key string) *Message {
	return message.with(func(draft *messages.Draft) { draft.DedupKey(key) })
}

// Locale is the language, BCP 47, where it is not the customer's own.
func (message *Message) Locale(tag string) *Message {
	return message.with(func(draft *messages.Draft) { draft.Locale(tag) })
}

// Tag is given back in Delivery.Tag and Incoming.Tag.
func (message *Message) Tag(tag string) *Message {
	return message.with(func(draft *messages.Draft) { draft.Tag(tag) })
}

// Quote quotes a message of the conversation.
func (message *Message) Quote(id string) *Message {
	return message.with(func(draft *messages.Draft) { draft.Quote(id) })
}

// Setting is one that has no method here, by the registry's name.
func (message *Message) Setting(name, value string) *Message {
	return message.with(func(draft *messages.Draft) { draft.Setting(name, value) })
}

var sendErrors = map[uint8]string{
	messages.SendError_UnknownCustomer: "unknown-customer", messages.SendError_NoAddress: "no-address", messages.SendError_NoConsent: "no-consent",
	messages.SendError_NotExpected: "not-expected", messages.SendError_TemplateNeeded: "template-needed", messages.SendError_BadTemplate: "bad-template",
	messages.SendError_BadContent: "bad-content", messages.SendError_NotPermitted: "not-permitted", messages.SendError_OverQuota: "over-quota",
	messages.SendError_Expired: "expired",
}

func sendErrorOf(from messages.SendError) *SendError {
	switch from.Tag() {
	case messages.SendError_NoConsent:
		return &SendError{"no-consent", from.NoConsent()}
	case messages.SendError_NotExpected:
		return &SendError{"not-expected", from.NotExpected()}
	case messages.SendError_BadTemplate:
		return &SendError{"bad-template", from.BadTemplate()}
	case messages.SendError_BadContent:
		return &SendError{"bad-content", from.BadContent()}
	case messages.SendError_NotPermitted:
		return &SendError{"not-permitted", from.NotPermitted()}
	case messages.SendError_OverQuota:
		return &SendError{"over-quota", from.OverQuota()}
	case messages.SendError_Other:
		return &SendError{from.Other(), ""}
	}
	return &SendError{sendErrors[from.Tag()], ""}
}

// Send asks for the message, to be sent once the run has ended well, and gives its identifier. The error is a *SendError where
// it is refused.
func (message *Message) Send() (string, error) {
	if message.err != nil {
		return "", message.err
	}
	draft := message.recipient()
	defer draft.Drop()
	if message.template != "" {
		draft.Template(message.template, message.params)
	}
	for _, set := range message.setters {
		set(draft)
	}
	if len(message.choices) > 0 {
		draft.Choices(message.choices)
	}
	sent := draft.Send()
	if sent.IsErr() {
		return "", sendErrorOf(sent.Err())
	}
	return sent.Ok(), nil
}

// SendOrSkip is the same, but goes on without the message where the reason lies with the customer: no consent, no address,
// quota used up, too late. The log says so.
func (message *Message) SendOrSkip() error {
	_, err := message.Send()
	var refused *SendError
	if errors.As(err, &refused) && refused.AboutTheCustomer() {
		slog.Info("no message", "why", refused.Error())
		return nil
	}
	return err
}

// Cancel asks that a message not be sent, or not fall back, where it can still be stopped.
func Cancel(id string) { messages.Cancel(id) }

// Status is what is known of a message that this plugin sent.
func Status(id string) (Delivery, bool) {
	found := messages.Status(id)
	if found.IsNone() {
		return Delivery{}, false
	}
	return deliveryOf(found.Some()), true
}

// FileOf gives the bytes of a file that a customer sent, where they can be had.
func FileOf(media Media) ([]byte, bool) {
	found := messages.Media(media.ID)
	return found.SomeOr(nil), found.IsSome()
}
