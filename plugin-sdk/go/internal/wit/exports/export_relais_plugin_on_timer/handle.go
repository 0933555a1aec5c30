// Package export_relais_plugin_on_timer is called by the generated export, and calls what the SDK has put here.
package export_relais_plugin_on_timer

import (
	types "relais.internal/relais/internal/component/types"
	"relais.internal/relais/internal/wit/imports/relais_plugin_timers"
	"relais.internal/relais/internal/wit/imports/relais_plugin_types"
)

// Called is set when the SDK is initialised, before the host calls anything.
var Called func(relais_plugin_timers.Timer) types.Result[types.Unit, relais_plugin_types.Failure]

func Handle(given relais_plugin_timers.Timer) types.Result[types.Unit, relais_plugin_types.Failure] {
	return Called(given)
}
