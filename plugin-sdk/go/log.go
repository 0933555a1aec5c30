package relais

import (
	"context"
	"log/slog"

	types "relais.internal/relais/internal/component/types"
	run "relais.internal/relais/internal/wit/imports/relais_plugin_run"
)

// handler writes what log/slog and log are given to the host's log, with the attributes as fields.
type handler struct {
	fields []types.Tuple2[string, string]
	group  string
}

// The host filters by level, so nothing is held back.
func (*handler) Enabled(context.Context, slog.Level) bool { return true }

func (own *handler) Handle(_ context.Context, record slog.Record) error {
	fields := append([]types.Tuple2[string, string]{}, own.fields...)
	record.Attrs(func(attr slog.Attr) bool {
		fields = appended(fields, own.group, attr)
		return true
	})
	run.Log(level(record.Level), record.Message, fields)
	return nil
}

func (own *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := append([]types.Tuple2[string, string]{}, own.fields...)
	for _, attr := range attrs {
		fields = appended(fields, own.group, attr)
	}
	return &handler{fields, own.group}
}

func (own *handler) WithGroup(name string) slog.Handler {
	return &handler{own.fields, own.group + name + "."}
}

func appended(fields []types.Tuple2[string, string], group string, attr slog.Attr) []types.Tuple2[string, string] {
	value := attr.Value.Resolve()
	if value.Kind() != slog.KindGroup {
		return append(fields, types.Tuple2[string, string]{F0: group + attr.Key, F1: value.String()})
	}
	for _, inner := range value.Group() {
		fields = appended(fields, group+attr.Key+".", inner)
	}
	return fields
}

func level(level slog.Level) uint8 {
	switch {
	case level >= slog.LevelError:
		return run.Level_Error
	case level >= slog.LevelWarn:
		return run.Level_Warn
	case level >= slog.LevelInfo:
		return run.Level_Info
	case level >= slog.LevelDebug:
		return run.Level_Debug
	}
	return run.Level_Trace
}
