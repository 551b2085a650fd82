package proxy

import (
	"log/slog"

	"wswarden/config"
	"wswarden/proxy/evloop"
)

// NewPortable is New on poll(2), which the tests run on Linux too.
func NewPortable(cfg *config.Config, log *slog.Logger) (*Server, error) {
	return newServer(cfg, log, evloop.NewPortable)
}
