// Command wswarden is a sidecar that supervises every WebSocket connection to
// the server it stands in front of.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/spf13/cobra"

	"wswarden/config"
	"wswarden/proxy"
)

// Exit codes.
const (
	exitOK     = 0 // drained
	exitFailed = 1 // it could not go on, or not begin without its store
	exitUsage  = 2 // nothing was started: wrong flags, configuration or address
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

func run(args []string, stdout, stderr io.Writer) int {
	code := exitUsage
	root := &cobra.Command{
		Use:           "wswarden",
		Short:         "Supervises every WebSocket connection to the server it stands in front of",
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       proxy.Version() + " " + runtime.Version(),
	}
	root.SetVersionTemplate("wswarden {{.Version}}\n")
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(serveCommand(&code), checkCommand(&code), schemaCommand(), versionCommand())
	root.AddCommand(operateCommands(&code)...)
	if err := root.Execute(); err != nil {
		fmt.Fprintln(stderr, "wswarden:", err)
		return code
	}
	return exitOK
}

func serveCommand(code *int) *cobra.Command {
	var file, upstream, listen string
	cmd := &cobra.Command{
		Use:   "serve {--config FILE|DIR | --upstream URL [--listen ADDR]}",
		Short: "Serve until SIGTERM or SIGINT, then drain; a second signal ends at once",
		Long: `Serve until SIGTERM or SIGINT, then drain; a second signal ends at once.

The configuration is read again with SIGHUP, with wswarden reload, and when one of its
files changes. Sessions live on under their policy's new values. If something is wrong
with it, nothing changes, and the log says what it is.

SIGUSR2 starts the program again, as it is by then. The new process takes over the
listeners, and this one drains. If the new one does not get ready, this one goes on.`,
		Example: `  wswarden serve --upstream http://127.0.0.1:5000 --listen 127.0.0.1:8080
  wswarden serve --config wswarden.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			source, err := sourceOf(file, upstream, listen)
			if err != nil {
				return err
			}
			r, s := newReloader(source), newSuccession()
			cfg, err := r.load()
			if err != nil {
				return err
			}
			signal.Ignore(syscall.SIGPIPE) // of a log that nobody reads any more
			var level slog.LevelVar
			level.Set(levelOf(cfg.Log))
			r.log = newLogger(cfg.Log.Format, &level, cmd.ErrOrStderr())
			slog.SetDefault(r.log) // for what libraries log of their own accord
			if unknown := cfg.Unknown(os.Environ()); len(unknown) > 0 {
				r.log.Warn("variables of the environment that name no key", "variables", unknown)
			}
			if err := s.takeOver(r.log); err != nil {
				return err
			}
			r.systemd = s.systemd
			memory := limitMemory(r.log)
			use := func(c *config.Config) {
				level.Set(levelOf(c.Log))
				s.systemd.use(c)
				checkRoom(r.log, c, descriptors())
			}
			server, err := proxy.New(cfg.Config, r.log, proxy.Options{Listen: s.listen})
			if errors.Is(err, proxy.ErrNoStore) {
				*code = exitFailed // another start may succeed
			}
			if err != nil {
				return err
			}
			*code = exitFailed
			tellLimits(r.log, memory)
			use(cfg.Config)
			server.ReloadFrom(r.reload, use)
			ctx := untilSignal()
			return s.run(server, func() error { return r.run(ctx, server) })
		},
	}
	cmd.Flags().StringVar(&file, "config", "", "configuration file, or a folder whose *.yaml are read in order")
	cmd.Flags().StringVar(&upstream, "upstream", "", "URL of the server to stand in front of")
	cmd.Flags().StringVar(&listen, "listen", "", "address to listen on (127.0.0.1:8080)")
	return cmd
}

// sourceOf is the configuration that the flags ask for.
func sourceOf(file, upstream, listen string) (config.Source, error) {
	switch {
	case file != "" && (upstream != "" || listen != ""):
		return config.Source{}, errors.New("--config excludes --upstream and --listen: say these in the file, as upstream.url and listeners")
	case file == "" && upstream == "":
		return config.Source{}, errors.New("nothing to stand in front of: give --upstream URL or --config FILE")
	default:
		return config.Source{Path: file, Upstream: upstream, Listen: listen}, nil
	}
}

func levelOf(c config.Log) slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		level = slog.LevelInfo // not reached: the configuration is checked
	}
	return level
}

func newLogger(format string, level slog.Leveler, w io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: level}
	if format == "text" {
		return slog.New(slog.NewTextHandler(w, options))
	}
	return slog.New(slog.NewJSONHandler(w, options))
}

// untilSignal returns a context that ends with the first SIGTERM or SIGINT. The
// second one meets the system's default: the process ends at once.
func untilSignal() context.Context {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop)
	return ctx
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), "wswarden", proxy.Version(), runtime.Version())
			return err
		},
	}
}
