// Uses every interface of the contract, and writes what it saw to the log.
package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"time"

	"relais.internal/relais"
)

func init() {
	relais.Register(relais.Handlers{OnEvent: told, OnTimer: due, OnDelivery: delivered, OnMessage: written})
}

func main() {}

type seen map[string]any

func saw(what string, all seen) {
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	slog.Info("saw "+what+": "+string(text), "part", what)
}

// outcome is what comes of a message: sent, or the code of its refusal.
func outcome(message *relais.Message) string {
	_, err := message.Send()
	var refused *relais.SendError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return "sent"
}

func ofRun() error {
	var config struct{ Greeting string }
	if err := relais.Config(&config); err != nil {
		return err
	}
	plugin, _ := relais.Attribute("plugin")
	_, known := relais.Attribute("no-such-name")
	_, secret := relais.Secret("no-such-secret")
	saw("run", seen{
		"attempt": relais.Attempt(), "entity": relais.Entity(), "customer": relais.CustomerOfRun(), "identified": relais.RunID() != "",
		"now": relais.Now().UnixMilli() > 0, "plugin": plugin, "unknown": !known, "random": len(relais.Random(16)),
		"greeting": config.Greeting, "secret": !secret,
	})
	return nil
}

func ofState() error {
	var word string
	before, err := relais.StateGet("a/1", &word)
	if err != nil {
		return err
	}
	err = errors.Join(
		relais.StateKeep("a/1", "one", relais.Keep{TTL: time.Hour}),
		relais.StateKeep("a/2", "two", relais.Keep{Customer: "paul"}),
	)
	if err != nil {
		return err
	}
	var scanned []string
	for _, entry := range relais.StateScan("a/") {
		scanned = append(scanned, entry.Key)
	}
	relais.StateRemove("a/1")
	after, _ := relais.StateGet("a/1", &word)
	if _, err := relais.StateGet("a/2", &word); err != nil {
		return err
	}
	saw("state", seen{"before": !before, "scanned": scanned, "removed": !after, "kept": word})
	return nil
}

func ofTimers() error {
	err := errors.Join(
		relais.TimerAt("soon", relais.Now().Add(10*time.Minute), seen{"n": 2}, relais.Now().Add(time.Hour)),
		relais.TimerAfter("never", time.Minute, nil),
	)
	if err != nil {
		return err
	}
	relais.TimerCancel("never")
	soon, _ := relais.TimerGet("soon")
	_, never := relais.TimerGet("never")
	var data struct{ N int }
	if err := soon.Read(&data); err != nil {
		return err
	}
	saw("timers", seen{"due_in": soon.Due.Sub(relais.Now()).Milliseconds(), "data": data.N, "set_by": soon.SetBy, "cancelled": !never})
	return nil
}

func ofCustomers() {
	paul, _ := relais.CustomerByID("paul")
	_, nobody := relais.CustomerByID("nobody")
	routes, addressable, history := relais.Routes("paul"), []string{}, []string{}
	for _, route := range routes {
		if route.Addressable {
			addressable = append(addressable, route.Channel)
		}
	}
	for _, event := range relais.History("paul", "com.example.polite.*", 5) {
		history = append(history, event.Type)
	}
	saw("customers", seen{
		"locale": paul.Locale, "timezone": paul.Timezone, "unknown": !nobody, "routes": addressable, "consent": routes[0].Consent,
		"marketing": relais.ConsentTo("paul", "whatsapp", "marketing"), "history": history,
	})
}

func ofCalendar() {
	at, _ := relais.ParseTime("2026-03-29T01:30:00", "Europe/Paris")
	local, weekday, _ := relais.Local(at, "Europe/Paris")
	_, _, nowhere := relais.Local(at, "Europe/Nowhere")
	skipped, _ := relais.FromLocal(relais.LocalTime{Year: 2026, Month: 3, Day: 29, Hour: 2, Minute: 30}, "Europe/Paris")
	saw("calendar", seen{
		"at": at.UnixMilli(), "hour": local.Hour, "weekday": (int(weekday)+6)%7 + 1, "skipped": skipped.UnixMilli(), "unknown": !nowhere,
		"written": relais.FormatTime(at, "Europe/Paris", "fr-FR", relais.Date),
	})
}

func toPaul() *relais.Message { return relais.MessageTo("paul", relais.Alert) }

func ofMessages(event relais.Event) error {
	whole := func() *relais.Message {
		return toPaul().Because(event.Reference()).Template("polite_note").Param("text", "hello").Text("hello").
			Choice("yes", "Yes").SMSText("hello by SMS").FallbackAfter(30 * time.Second).Expires(relais.Now().Add(time.Hour)).
			DedupKey("polite").Locale("en").Tag("polite")
	}
	id, err := whole().Send()
	if err != nil {
		return err
	}
	given, err := toPaul().Text("cancelled").SMSOnly().Send()
	if err != nil {
		return err
	}
	relais.Cancel(given)
	again, err := whole().Send()
	if err != nil {
		return err
	}
	status, _ := relais.Status(id)
	_, unknown := relais.Status("no-such-message")
	saw("messages", seen{
		"sent": id != "", "again": again == id, "state": status.State, "unknown": !unknown,
		"phone":    outcome(relais.MessageToPhone("+33612345678", relais.Alert).Text("no")),
		"nobody":   outcome(relais.MessageTo("nobody", relais.Alert).Text("no")),
		"content":  outcome(toPaul().Content("com.example.nothing", seen{})),
		"setting":  outcome(toPaul().Text("no").Setting("com.example.nothing", "1")),
		"asset":    outcome(toPaul().AttachAsset("no-such-file.png")),
		"bytes":    outcome(toPaul().AttachBytes([]byte("\x89PNG"), "image/png", "").NoSMS()),
		"url":      outcome(toPaul().AttachURL("ftp://files.example/a.png", "image/png", "")),
		"location": outcome(toPaul().Text("here").Location(relais.Place{Latitude: 48.85, Longitude: 2.35, Name: "Paris"}).SMSOnly()),
	})
	return nil
}

func ofHTTP() {
	_, err := relais.Fetch(relais.Request{
		Method: "POST", URL: "https://service.example/", JSON: seen{"hello": true}, Headers: map[string]string{"x-polite": "yes"}, Timeout: 2 * time.Second,
	})
	var refused *relais.HTTPError
	if errors.As(err, &refused) {
		saw("http", seen{"code": refused.Code})
	}
}

func told(event relais.Event) error {
	var data struct{ N int }
	if err := event.Read(&data); err != nil {
		return err
	}
	saw("event", seen{
		"id": event.ID, "source": event.Source, "type": event.Type, "subject": event.Subject, "customer": event.Customer,
		"data": data.N, "tone": event.Attributes["tone"],
	})
	if err := errors.Join(ofRun(), ofState(), ofTimers()); err != nil {
		return err
	}
	ofCustomers()
	ofCalendar()
	if err := ofMessages(event); err != nil {
		return err
	}
	ofHTTP()
	return relais.Emit("com.example.polite.told", seen{"n": 1}, relais.Emission{
		Subject: "it", DedupKey: "told", Attributes: map[string]string{"tone": "kind"},
	})
}

func due(timer relais.Timer) error {
	var data struct{ N int }
	if err := timer.Read(&data); err != nil {
		return err
	}
	saw("timer", seen{"key": timer.Key, "data": data.N, "customer": timer.Customer, "set_by": timer.SetBy})
	return nil
}

func delivered(delivery relais.Delivery) error {
	saw("delivery", seen{"state": delivery.State, "settled": delivery.Settled, "tag": delivery.Tag, "customer": delivery.Customer})
	return nil
}

func written(message relais.Incoming) error {
	_, media := relais.FileOf(relais.Media{ID: "no-such-file"})
	saw("message", seen{
		"text": message.Text, "kind": message.Kind, "customer": message.Customer, "channel": message.Channel, "sender": message.Sender == "",
		"media": !media, "answer": outcome(relais.Answer(message).Text("thank you").Quote(message.ID)),
	})
	return nil
}
