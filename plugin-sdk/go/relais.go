// Package relais is for plugins in Go.
//
// A plugin is told what happens and asks for what is to follow:
//
//	package main
//
//	import "relais.internal/relais"
//
//	type Table struct {
//		Restaurant string `json:"restaurant"`
//	}
//
//	func init() { relais.Register(relais.Handlers{OnEvent: tableFree}) }
//
//	func main() {}
//
//	func tableFree(event relais.Event) error {
//		var table Table
//		if err := event.Read(&table); err != nil {
//			return err
//		}
//		customer, err := event.CustomerID()
//		if err != nil {
//			return err
//		}
//		return relais.MessageTo(customer, relais.Alert).Textf("Your table at %s is free.", table.Restaurant).SendOrSkip()
//	}
//
// Each call is a run: a fresh instance, and a transaction. What a handler asks for is kept if it returns nil, all of it at
// once; or not at all. An error sets the run aside, [Retry] has it tried again later, and a panic is set aside with its stack.
package relais

import (
	"log"
	"log/slog"
	"runtime/debug"

	types "relais.internal/relais/internal/component/types"
	onDelivery "relais.internal/relais/internal/wit/exports/export_relais_plugin_on_delivery"
	onEvent "relais.internal/relais/internal/wit/exports/export_relais_plugin_on_event"
	onMessage "relais.internal/relais/internal/wit/exports/export_relais_plugin_on_message"
	onTimer "relais.internal/relais/internal/wit/exports/export_relais_plugin_on_timer"
	_ "relais.internal/relais/internal/wit/exports/wit_exports"
	wit "relais.internal/relais/internal/wit/imports/relais_plugin_types"
)

// Handlers are those that plugin.toml asks for; a run of another kind is set aside with a sentence that says so.
type Handlers struct {
	// OnEvent is called for each event that the manifest subscribes the plugin to.
	OnEvent func(Event) error
	// OnTimer is called when a timer that the plugin set for this entity has come due.
	OnTimer func(Timer) error
	// OnDelivery is called when something has become of a message that the plugin sent.
	OnDelivery func(Delivery) error
	// OnMessage is called when a customer has written.
	OnMessage func(Incoming) error
}

// Register says what is called; it is for an init function, because main is never run.
func Register(handlers Handlers) { registered = handlers }

var registered Handlers

// The collector reads the clock, which a component must not do while an argument is being written into it. So it rests until
// there is this much: nearly every run ends before, with all its memory.
const collectFromBytes = 40 << 20

// A recursion without an end is to end as one, and not as a lack of memory.
const goStackBytesMax = 8 << 20

func init() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(collectFromBytes)
	debug.SetMaxStack(goStackBytesMax)
	slog.SetDefault(slog.New(&handler{}))
	log.SetFlags(0)
	onEvent.Called = entry("OnEvent", func() func(Event) error { return registered.OnEvent }, eventOf)
	onTimer.Called = entry("OnTimer", func() func(Timer) error { return registered.OnTimer }, timerOf)
	onDelivery.Called = entry("OnDelivery", func() func(Delivery) error { return registered.OnDelivery }, deliveryOf)
	onMessage.Called = entry("OnMessage", func() func(Incoming) error { return registered.OnMessage }, incomingOf)
}

type result = types.Result[types.Unit, wit.Failure]

func entry[From, To any](name string, handler func() func(To) error, received func(From) To) func(From) result {
	return func(given From) (ended result) {
		defer func() {
			if panicked := recover(); panicked != nil {
				ended = types.Err[types.Unit](failureOfPanic(panicked, debug.Stack()))
			}
		}()
		call := handler()
		if call == nil {
			return types.Err[types.Unit](failureOf(Reject("plugin.toml asks for a handler that the plugin does not register: %s", name)))
		}
		if err := call(received(given)); err != nil {
			return types.Err[types.Unit](failureOf(err))
		}
		return types.Ok[types.Unit, wit.Failure](types.Unit{})
	}
}
