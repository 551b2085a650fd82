package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"wswarden/config"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/admin/client"
	"wswarden/proxy/admin/console"
)

// operateCommands ask a wswarden that runs, at its admin address.
func operateCommands(code *int) []*cobra.Command {
	o := &operator{code: code}
	sessions := o.listCommand("sessions")
	sessions.Short = "List, show, end and watch sessions"
	sessions.AddCommand(o.listCommand("list"), o.showCommand(), o.killCommand(), o.watchCommand())
	return []*cobra.Command{sessions, o.topicsCommand(), o.eventsCommand(), o.reportCommand(), o.reloadCommand(), o.drainCommand(), o.healthCommand()}
}

// operator is what these commands share.
type operator struct {
	code *int // the exit code if a command fails
	// Flags.
	admin, tokenFile, file, output string
	timeout                        time.Duration
}

// usageError is a mistake on the command line that was found only after its parsing.
type usageError struct{ error }

// command returns one that does something with a console.
func (o *operator) command(use, short string, args cobra.PositionalArgs, do func(ctx context.Context, c *console.Console, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: args}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := o.console(cmd)
		if err != nil {
			return err
		}
		defer c.Client.Close()
		*o.code = exitFailed
		err = do(cmd.Context(), c, args)
		if _, is := errors.AsType[usageError](err); is {
			*o.code = exitUsage
		}
		return err
	}
	flags := cmd.Flags()
	flags.StringVar(&o.admin, "admin", "", "`ADDRESS` of the admin API: host:port or http://host:port (default 127.0.0.1:9090)")
	flags.StringVar(&o.tokenFile, "token-file", "", "`FILE` with the admin API's token")
	flags.StringVar(&o.file, "config", "", "configuration `FILE` or folder of wswarden, for its admin.address and admin.token_file")
	flags.StringVarP(&o.output, "output", "o", "table", "table, or json for programs")
	flags.DurationVar(&o.timeout, "timeout", 10*time.Second, "without an answer after which it is given up")
	flags.SortFlags = false
	return cmd
}

// console returns where a command asks and answers. A flag wins over the environment,
// and that over the file.
func (o *operator) console(cmd *cobra.Command) (*console.Console, error) {
	if o.output != "table" && o.output != "json" {
		return nil, fmt.Errorf("--output %s is not known; use table or json", o.output)
	}
	if o.timeout <= 0 {
		return nil, fmt.Errorf("--timeout %s is too short; write one such as 10s", o.timeout)
	}
	admin := config.Default().Admin
	if o.file != "" {
		var err error
		if admin, err = (config.Source{Path: o.file}).Admin(); err != nil {
			return nil, err
		}
		if admin.Address == "" && o.admin == "" {
			return nil, fmt.Errorf("%s has an empty admin.address: there is no admin API", o.file)
		}
	}
	admin.Address = cmp.Or(o.admin, os.Getenv("WSWARDEN_ADMIN_ADDRESS"), admin.Address)
	admin.TokenFile = cmp.Or(o.tokenFile, os.Getenv("WSWARDEN_ADMIN_TOKEN_FILE"), admin.TokenFile)
	token, err := admin.Token()
	if err != nil {
		return nil, fmt.Errorf("--token-file: %w", err)
	}
	asked, err := client.New(client.Options{Address: admin.Address, Token: token, Timeout: o.timeout})
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	return &console.Console{
		Client: asked,
		In:     cmd.InOrStdin(), Out: cmd.OutOrStdout(), Err: cmd.ErrOrStderr(),
		JSON: o.output == "json",
	}, nil
}

func (o *operator) listCommand(use string) *cobra.Command {
	var f filterFlags
	var order string
	var limit int
	cmd := o.command(use, "List sessions", cobra.NoArgs, func(ctx context.Context, c *console.Console, _ []string) error {
		query, err := f.query(c, order, limit)
		if err != nil {
			return err
		}
		return c.List(ctx, query)
	})
	cmd.Example = `  wswarden sessions list --policy passengers --idle-for 5m --sort -idle
  wswarden sessions list --output json | jq -r '.sessions[].id'`
	f.add(cmd)
	addSort(cmd, &order)
	cmd.Flags().IntVar(&limit, "limit", 0, "how many; 0: all")
	return cmd
}

func (o *operator) showCommand() *cobra.Command {
	return o.command("show ID", "Show all of one session, and what each rule would say next", cobra.ExactArgs(1),
		func(ctx context.Context, c *console.Console, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			return c.Show(ctx, ids[0])
		})
}

func (o *operator) killCommand() *cobra.Command {
	var f filterFlags
	var yes bool
	var closeCode uint16
	var reason string
	cmd := o.command("kill {ID... | filter flags}", "End sessions, by their ids or all that fit a filter", cobra.ArbitraryArgs,
		func(ctx context.Context, c *console.Console, args []string) error {
			ids, err := parseIDs(args)
			if err != nil {
				return err
			}
			filter, err := f.filter(c)
			switch {
			case err != nil:
				return err
			case len(ids) > 0 && filter != api.Filter{}:
				return usageError{errors.New("give ids or filter flags, not both")}
			case len(ids) > 0:
				return c.Kill(ctx, ids, closeCode, reason)
			case filter == api.Filter{}:
				return usageError{errors.New("which sessions? Give ids or filter flags, such as --policy NAME; all are ended by wswarden drain")}
			case !yes && !c.Asks():
				return usageError{errors.New("nobody is there to confirm it; give --yes")}
			}
			return c.KillAll(ctx, filter, yes, closeCode, reason)
		})
	cmd.Example = `  wswarden sessions kill ccdb8a82f9ca75cf
  wswarden sessions kill --policy guests --older-than 12h --code 1012 --yes`
	f.add(cmd)
	cmd.Flags().BoolVar(&yes, "yes", false, "do not ask before the sessions of a filter are ended")
	cmd.Flags().Uint16Var(&closeCode, "code", 0, "close code for the clients (default 1008)")
	cmd.Flags().StringVar(&reason, "reason", "", "reason for the clients (default killed)")
	return cmd
}

func (o *operator) watchCommand() *cobra.Command {
	var f filterFlags
	var order string
	var watch console.Watch
	cmd := o.command("watch", "Watch sessions on a live screen; without a terminal, one snapshot after the other", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) (err error) {
			if watch.Limit < 1 || watch.Limit > client.PageLimit || watch.Interval <= 0 || watch.Count < 0 {
				return usageError{fmt.Errorf("--limit is 1 to %d, --interval above zero, and --count not below", client.PageLimit)}
			}
			if watch.Query, err = f.query(c, order, watch.Limit); err != nil {
				return err
			}
			// The screen restores the terminal before it goes.
			ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
			context.AfterFunc(ctx, stop)
			defer stop()
			return c.Watch(ctx, watch)
		})
	f.add(cmd)
	addSort(cmd, &order)
	cmd.Flags().IntVar(&watch.Limit, "limit", 200, "how many of them to look at")
	cmd.Flags().DurationVar(&watch.Interval, "interval", 2*time.Second, "from one look to the next")
	cmd.Flags().IntVar(&watch.Count, "count", 0, "of snapshots to print, without a live screen; 0: no end")
	return cmd
}

func (o *operator) topicsCommand() *cobra.Command {
	var f filterFlags
	var limit int
	cmd := o.command("topics", "List the topics that sessions subscribe to, those with the most first", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) error {
			filter, err := f.filter(c)
			if err != nil {
				return err
			}
			return c.Topics(ctx, filter, limit)
		})
	f.add(cmd)
	cmd.Flags().IntVar(&limit, "limit", 100, "how many, at most 10000")
	return cmd
}

func (o *operator) eventsCommand() *cobra.Command {
	var watch client.Watch
	var kinds []string
	cmd := o.command("events", "Follow what happens, a line each", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) error {
			for _, kind := range kinds {
				if !slices.Contains(api.EventKinds(), api.EventKind(kind)) {
					return usageError{fmt.Errorf("--kind %s is not known; use some of %s", kind, join(api.EventKinds()))}
				}
				watch.Kinds = append(watch.Kinds, api.EventKind(kind))
			}
			if watch.Session != "" {
				if _, err := parseIDs([]string{watch.Session}); err != nil {
					return err
				}
			}
			return c.Events(ctx, watch)
		})
	cmd.Flags().StringSliceVar(&kinds, "kind", nil, "only these: "+join(api.EventKinds()))
	cmd.Flags().StringVar(&watch.Policy, "policy", "", "only of this policy")
	cmd.Flags().StringVar(&watch.Session, "session", "", "only of the session with this id")
	cmd.Flags().IntVar(&watch.Replay, "replay", 0, "begin with so many of the sessions that have ended last, at most 256")
	return cmd
}

func (o *operator) reportCommand() *cobra.Command {
	var window time.Duration
	var policy string
	cmd := o.command("report", "Tell what the rules have met lately, or would have, and what sessions needed", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) error { return c.Report(ctx, policy, window) })
	cmd.Example = `  wswarden report --policy passengers
  wswarden report --window 10m --output json | jq '.policies[].rules[] | select(.hit > 0)'`
	cmd.Flags().DurationVar(&window, "window", time.Hour, "up to now, of which it tells: 1s to 2h")
	cmd.Flags().StringVar(&policy, "policy", "", "only of this policy")
	return cmd
}

func (o *operator) reloadCommand() *cobra.Command {
	cmd := o.command("reload", "Read the configuration again, as SIGHUP does, and tell what has changed", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) error { return c.Reload(ctx) })
	cmd.Long = `Read the configuration again, as SIGHUP does, and tell what has changed.

Exit code 1: it is refused, nothing has changed, and a line tells of each problem.`
	return cmd
}

func (o *operator) drainCommand() *cobra.Command {
	var wait bool
	cmd := o.command("drain", "Drain, as SIGTERM does: admit nobody, end all sessions, then stop", cobra.NoArgs,
		func(ctx context.Context, c *console.Console, _ []string) error { return c.Drain(ctx, wait) })
	cmd.Flags().BoolVar(&wait, "wait", false, "until no session is left")
	return cmd
}

// filterFlags say which sessions are meant.
type filterFlags struct {
	cmd   *cobra.Command
	flags map[string]*string // by the parameter of the API
}

func (f *filterFlags) add(cmd *cobra.Command) {
	help := map[string]string{
		"policy":        "only sessions of this policy",
		"identity":      "only of this identity; -: a line of standard input tells it, and the process list does not",
		"identity_hash": "only of the identity with this hash, as in logs",
		"address":       "only of this address or network, such as 10.0.0.0/8",
		"topic":         "only those that subscribe to it",
		"state":         "only in this state: " + join(api.States()),
		"older_than":    "only those that are at least so old, such as 2h",
		"idle_for":      "only those without a data message for at least so long, such as 5m",
	}
	f.cmd, f.flags = cmd, map[string]*string{}
	for _, name := range api.FilterParams() {
		f.flags[name] = cmd.Flags().String(flagName(name), "", help[name])
	}
}

func flagName(parameter string) string { return strings.ReplaceAll(parameter, "_", "-") }

// filter reads the flags that are given: one that is empty, as the variable of a script
// may be, is a mistake, and does not mean all. An identity is hashed here, and not sent
// as it is.
func (f *filterFlags) filter(c *console.Console) (api.Filter, error) {
	query := url.Values{}
	for name, value := range f.flags {
		if f.cmd.Flags().Changed(flagName(name)) {
			query.Set(name, *value)
		}
	}
	if query.Get("identity") == "-" {
		text, err := bufio.NewReader(c.In).ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			return api.Filter{}, usageError{fmt.Errorf("--identity -: standard input has no identity (%v)", err)}
		}
		query.Set("identity", text)
	}
	filter, err := api.ParseFilter(query)
	if wrong, is := errors.AsType[*api.FieldError](err); is {
		return filter, usageError{fmt.Errorf("--%s: %s", flagName(wrong.Field), wrong.Text)}
	}
	return filter, err
}

func (f *filterFlags) query(c *console.Console, order string, limit int) (q console.Query, err error) {
	if limit < 0 {
		return q, usageError{fmt.Errorf("--limit %d is below zero; 0 is all", limit)}
	}
	q.Limit = limit
	if q.Sort, err = api.ParseSort(order); err != nil {
		return q, usageError{fmt.Errorf("--%w", err)}
	}
	q.Filter, err = f.filter(c)
	return q, err
}

func addSort(cmd *cobra.Command, order *string) {
	cmd.Flags().StringVar(order, "sort", "-age", "by "+join(api.Sorts())+"; with a minus in front, the greatest first")
}

func parseIDs(args []string) ([]api.ID, error) {
	ids := make([]api.ID, len(args))
	for i, text := range args {
		var err error
		if ids[i], err = api.ParseID(text); err != nil {
			return nil, usageError{err}
		}
	}
	return ids, nil
}

func join[T ~string](words []T) string {
	texts := make([]string, len(words))
	for i, word := range words {
		texts[i] = string(word)
	}
	return strings.Join(texts, ", ")
}
