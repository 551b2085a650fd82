package tracing

import (
	"context"
	"log/slog"
)

// sdkLog is what the SDK logs of its own accord, mostly of variables that it cannot
// read. It would show their values, and collectors' headers are secret.
type sdkLog struct{ slog.Handler }

func (l sdkLog) Handle(ctx context.Context, r slog.Record) error {
	shown := slog.NewRecord(r.Time, r.Level, "tracing: "+r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "err" {
			shown.AddAttrs(slog.Attr{Key: "error", Value: a.Value})
		}
		return true
	})
	return l.Handler.Handle(ctx, shown)
}

func (l sdkLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l sdkLog) WithGroup(string) slog.Handler { return l }
