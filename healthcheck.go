package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"wswarden/proxy/admin/console"
)

// healthTimeout is shorter than that of other commands: who asks for health asks again
// soon, and wants an answer before that.
const healthTimeout = 2 * time.Second

func (o *operator) healthCommand() *cobra.Command {
	var live bool
	cmd := o.command("healthcheck", "Tell whether wswarden is ready for new sessions; the exit code says it, too", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) error { return c.Health(ctx, live) })
	cmd.Long = `Tell whether wswarden is ready for new sessions: it does not drain, and upstream can be
reached. Exit code 0: it is; 1: it is not, or it cannot be asked; 2: the command line is wrong.`
	cmd.Example = `  wswarden healthcheck --config wswarden.yaml
  wswarden healthcheck --live --timeout 500ms`
	cmd.Flags().BoolVar(&live, "live", false, "only whether it runs and answers")
	// The flags of all commands share their variables.
	timeout := cmd.Flags().Lookup("timeout")
	timeout.DefValue = healthTimeout.String()
	cmd.PreRun = func(*cobra.Command, []string) {
		if !timeout.Changed {
			o.timeout = healthTimeout
		}
	}
	return cmd
}
