package main

import (
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"golang.org/x/sys/unix"

	"wswarden/config"
)

const (
	// sessionDescriptors is how many a session has: one of each connection.
	sessionDescriptors = 2
	// otherDescriptors are for listeners, event loops, the admin API, plain HTTP's idle
	// connections, and what else is open but for sessions.
	otherDescriptors = 500
	// memoryShare is how much of the memory that the cgroup allows Go may use before it
	// collects garbage all the time.
	memoryShare = 0.9
	// leastBacklog of connections that wait to be accepted is enough for clients that
	// all come back at once.
	leastBacklog = 1024
)

// limitMemory has Go's memory follow the cgroup's, unless GOMEMLIMIT says what it is to
// be. It returns the limit; 0: there is none.
func limitMemory(log *slog.Logger) int64 {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryShare))
	if err != nil && !errors.Is(err, memlimit.ErrCgroupsNotSupported) && !errors.Is(err, memlimit.ErrNoCgroup) {
		log.Info("the memory that the cgroup allows is not known", "error", err.Error())
	}
	if limit == math.MaxInt64 {
		return 0
	}
	return limit
}

// tellLimits tells the log what the process may use. Descriptors are as many as the hard
// limit allows: Go itself raises the soft one, and gives processes that it starts the
// one that was.
func tellLimits(log *slog.Logger, memory int64) {
	log.Info("limits", "descriptors", descriptors(), "sessions", room(descriptors()), "loops", runtime.GOMAXPROCS(0), "memory", memory)
	const file = "/proc/sys/net/core/somaxconn"
	text, err := os.ReadFile(file)
	if backlog, numberErr := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && numberErr == nil && backlog < leastBacklog {
		log.Warn("few connections can wait to be accepted; raise net.core.somaxconn", "backlog", backlog, "wanted", leastBacklog)
	}
}

// checkRoom warns if the sessions that the policies allow need more descriptors than
// there are. A limit that replicas have together says nothing of this one.
func checkRoom(log *slog.Logger, cfg *config.Config, descriptors uint64) {
	if cfg.Store.Kind != "memory" || descriptors == 0 {
		return
	}
	allowed := uint64(0)
	for i := range cfg.Policies {
		allowed += uint64(cfg.Policies[i].Connections.Max)
	}
	if fit := room(descriptors); allowed > fit {
		log.Warn("connections.max allows more sessions than there are file descriptors for; raise the hard limit (LimitNOFILE=, ulimit -Hn)",
			"allowed", allowed, "fit", fit, "descriptors", descriptors, "wanted", allowed*sessionDescriptors+otherDescriptors)
	}
}

// room is for how many sessions there are descriptors.
func room(descriptors uint64) uint64 {
	return (max(descriptors, otherDescriptors) - otherDescriptors) / sessionDescriptors
}

// descriptors returns how many this process may have; 0: that is not known.
func descriptors() uint64 {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur)
}
