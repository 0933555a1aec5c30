// Tells a guest that a table is free, and once more shortly before it is given to somebody else.
package main

import (
	"log/slog"
	"time"

	"relais.internal/relais"
)

func init() {
	relais.Register(relais.Handlers{OnEvent: tableFree, OnTimer: lastCall, OnMessage: answered})
}

func main() {}

type table struct {
	Restaurant string `json:"restaurant"`
}

type settings struct {
	KeptMinutes     int `json:"kept_minutes"`
	LastCallMinutes int `json:"last_call_minutes"`
}

func tableFree(event relais.Event) error {
	var free table
	if err := event.Read(&free); err != nil {
		return err
	}
	customer, err := event.CustomerID()
	if err != nil {
		return err
	}
	var own settings
	if err := relais.Config(&own); err != nil {
		return err
	}
	kept := time.Duration(own.KeptMinutes) * time.Minute
	lastCall := kept - time.Duration(own.LastCallMinutes)*time.Minute
	if err := relais.TimerAfter("last-call", lastCall, free); err != nil {
		return err
	}
	return relais.MessageTo(customer, relais.Alert).
		Template("table_free").Param("restaurant", free.Restaurant).Param("minutes", own.KeptMinutes).
		Textf("Your table at %s is free. We keep it for %d minutes.", free.Restaurant, own.KeptMinutes).
		Expires(event.Time.Add(kept)).
		FallbackAfter(time.Minute).
		Tag("table").
		SendOrSkip()
}

func lastCall(timer relais.Timer) error {
	var free table
	if err := timer.Read(&free); err != nil {
		return err
	}
	customer, err := timer.CustomerID()
	if err != nil {
		return err
	}
	var own settings
	if err := relais.Config(&own); err != nil {
		return err
	}
	slog.Info(customer + " has not answered")
	return relais.MessageTo(customer, relais.Alert).
		Template("table_last_call").Param("restaurant", free.Restaurant).Param("minutes", own.LastCallMinutes).
		Textf("Your table at %s is kept for %d more minutes.", free.Restaurant, own.LastCallMinutes).
		SendOrSkip()
}

func answered(message relais.Incoming) error {
	relais.TimerCancel("last-call")
	return relais.Answer(message).Text("See you in a moment.").SendOrSkip()
}
