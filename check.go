package main

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// checker is the command that reads a configuration and serves nobody.
type checker struct {
	upstream, listen string // if there is no file
	print            bool
	request, client  string // to explain, and where it comes from
	headers          []string
	listener         string // by which it comes; empty: the only one that there is

	notes io.Writer // for what is no error
}

func checkCommand(code *int) *cobra.Command {
	var c checker
	cmd := &cobra.Command{
		Use:   "check {FILE… | DIR… | --upstream URL [--listen ADDR]}",
		Short: "Tell what is wrong with a configuration, what it comes to, or what a handshake would meet",
		Long: `Tell what is wrong with a configuration, all at once, a line for each problem:
file:line:column: key: what is wrong, and what to write instead.

Each FILE is a configuration by itself. The *.yaml and *.yml of a DIR are one together,
as they are for serve. The environment counts, and so does what ${NAME} and ${file:/path}
stand for: what comes from there is not shown.

Exit code 0: all is well. 1: something is wrong with a configuration.`,
		Example: `  wswarden check wswarden.yaml
  wswarden check /etc/wswarden.d --print
  wswarden check wswarden.yaml --explain 'GET /chat/1' -H 'Host: chat.example.com' -H 'Origin: https://example.com'`,
		RunE: func(cmd *cobra.Command, files []string) error {
			if err := c.usage(files); err != nil {
				return err
			}
			var head []byte
			var client netip.Addr
			if cmd.Flags().Changed("explain") {
				var err error
				if head, err = requestHead(c.request, c.headers); err != nil {
					return err
				}
				if client, err = netip.ParseAddr(c.client); err != nil {
					return fmt.Errorf("--from %s is not an address; write one such as 10.1.2.3", c.client)
				}
			}
			*code = exitFailed
			c.notes = cmd.ErrOrStderr()
			return c.run(cmd.OutOrStdout(), files, head, client)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&c.print, "print", false, "print every key with its value, and where that comes from; without secrets")
	flags.StringVar(&c.request, "explain", "", "tell which policy a handshake such as `'GET /path'` would meet, and why")
	flags.StringArrayVarP(&c.headers, "header", "H", nil, "`'Name: value'` of that handshake; may be repeated")
	flags.StringVar(&c.client, "from", "127.0.0.1", "`ADDRESS` from which that handshake comes")
	flags.StringVar(&c.listener, "listener", "", "`NAME` of the listener by which that handshake comes, where there are several")
	flags.StringVar(&c.upstream, "upstream", "", "URL of the server to stand in front of, instead of a file")
	flags.StringVar(&c.listen, "listen", "", "address to listen on, beside --upstream")
	flags.SortFlags = false
	return cmd
}

func (c *checker) usage(files []string) error {
	switch {
	case len(files) > 0 && (c.upstream != "" || c.listen != ""):
		return errors.New("FILE excludes --upstream and --listen: say these in the file, as upstream.url and listeners")
	case len(files) == 0 && c.upstream == "":
		return errors.New("nothing to check: name a FILE or DIR, or give --upstream URL")
	case c.print && c.request != "":
		return errors.New("--print excludes --explain: ask one by one")
	case len(files) > 1 && (c.print || c.request != ""):
		return errors.New("--print and --explain are for one FILE or DIR")
	case len(c.headers) > 0 && c.request == "":
		return errors.New("-H is for --explain")
	case c.listener != "" && c.request == "":
		return errors.New("--listener is for --explain")
	}
	return nil
}

// run tells of each file, and returns an error if one of them is wrong.
func (c *checker) run(w io.Writer, files []string, head []byte, client netip.Addr) error {
	if len(files) == 0 {
		return c.tell(w, "flags", config.Source{Upstream: c.upstream, Listen: c.listen}, head, client)
	}
	if len(files) == 1 {
		return c.tell(w, files[0], config.Source{Path: files[0]}, head, client)
	}
	wrong := 0
	for _, file := range files {
		if err := c.tell(w, file, config.Source{Path: file}, head, client); err != nil {
			wrong++
		}
	}
	if wrong > 0 {
		return fmt.Errorf("%d of %d configurations cannot be used", wrong, len(files))
	}
	return nil
}

var errWrong = errors.New("the configuration cannot be used")

// tell answers for one configuration, or says what is wrong with it.
func (c *checker) tell(w io.Writer, name string, source config.Source, head []byte, client netip.Addr) error {
	loaded, err := source.Load()
	for _, line := range loaded.Unknown(os.Environ()) {
		fmt.Fprintln(c.notes, line)
	}
	switch {
	case err != nil:
		if _, err := fmt.Fprintln(w, err); err != nil {
			return err
		}
		return errWrong
	case c.print:
		return config.Print(w, loaded.Config, loaded.Places)
	case head != nil:
		listener, err := c.cameBy(loaded.Listeners)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, explain(loaded, proxy.Expect(loaded.Config, head, client, listener)))
		return err
	default:
		_, err := fmt.Fprintf(w, "%s: ok, %s\n", name, plural(len(loaded.Policies), "policy", "policies"))
		return err
	}
}

// cameBy returns the name of the listener that the handshake comes by; empty if nobody
// can tell.
func (c *checker) cameBy(listeners []config.Listener) (string, error) {
	named := func(l config.Listener) bool { return l.Known() == c.listener }
	switch {
	case c.listener != "" && !slices.ContainsFunc(listeners, named):
		return "", fmt.Errorf("--listener %s names none; give the name of a listener or, of one without, its address, as --print shows them", c.listener)
	case c.listener == "" && len(listeners) == 1:
		return listeners[0].Known(), nil
	}
	return c.listener, nil
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// requestHead makes a handshake of a request line such as GET /path and of headers;
// what a handshake needs beside them is added.
func requestHead(line string, headers []string) ([]byte, error) {
	words := strings.Fields(line)
	if len(words) < 2 || len(words) > 3 || strings.ToUpper(words[0]) != words[0] || strings.ContainsAny(line, "\r\n") {
		return nil, fmt.Errorf("--explain %q is not a request; write one such as 'GET /path'", line)
	}
	if len(words) == 2 {
		words = append(words, "HTTP/1.1")
	}
	head := strings.Join(words, " ") + "\r\n"
	given := map[string]bool{}
	for _, header := range headers {
		name, _, found := strings.Cut(header, ":")
		if !found || name == "" || strings.ContainsAny(header, "\r\n") {
			return nil, fmt.Errorf("-H %q is not a header; write one such as 'Origin: https://example.com'", header)
		}
		given[strings.ToLower(name)] = true
		head += header + "\r\n"
	}
	host := "localhost"
	if target, err := url.Parse(words[1]); err == nil && target.IsAbs() { // RFC 9112 §3.2.2
		host = target.Host
	}
	for _, header := range []string{
		"Host: " + host, "Upgrade: websocket", "Connection: Upgrade",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
	} {
		if name, _, _ := strings.Cut(header, ":"); !given[strings.ToLower(name)] {
			head += header + "\r\n"
		}
	}
	return []byte(head + "\r\n"), nil
}

// explain says what a handshake would meet: a line for each policy that is asked, and
// what the one that selects it says.
func explain(c *config.Loaded, e proxy.Expected) string {
	if e.Plain {
		return "no handshake: it asks for no WebSocket, and goes upstream as any other request, whatever the policies say\n"
	}
	var b strings.Builder
	if e.Path != "" {
		origin := "no origin"
		if e.Origin != "" {
			origin = "origin " + e.Origin
		}
		fmt.Fprintf(&b, "handshake: path %s, host %s, %s\n", e.Path, e.Host, origin)
	}
	if e.Policy != nil || e.Status == 404 {
		for i := range c.Policies {
			p, shown := &c.Policies[i], settings(c.Settings(i))
			name := fmt.Sprintf("policies[%d] %s (%s): ", i, shown.text("name"), c.Places.Of(fmt.Sprintf("policies[%d]", i)))
			if p == e.Policy {
				b.WriteString(name + "selects it\n" + demands(p, shown, e))
				break
			}
			b.WriteString(name + misfits(&p.Match, shown.section("match"), e) + "\n")
		}
	}
	if e.Status != 0 {
		fmt.Fprintf(&b, "answer: %d, %s\n", e.Status, e.Reason)
		if e.Policy != nil && e.Policy.RefuseWith == policies.RefuseWithClose {
			b.WriteString("  as refuse_with is close, in a close frame behind a 101\n")
		}
	} else {
		b.WriteString("answer: upstream's, if the policy's rates and limits allow it\n")
	}
	return b.String()
}

// settings are those of a section, as they may be shown.
type settings map[string]any

func (s settings) section(key string) settings { return s[key].(map[string]any) }

// text is one value, or all of a list.
func (s settings) text(key string) string {
	list, ok := s[key].([]any)
	if !ok {
		return fmt.Sprint(s[key])
	}
	texts := make([]string, len(list))
	for i, item := range list {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ", ")
}

// misfits says what keeps a policy from selecting a handshake.
func misfits(m *policies.Match, shown settings, e proxy.Expected) string {
	parts := map[string]string{
		"path": e.Path, "host": e.Host, "origin": e.Origin,
		"subprotocol": strings.Join(e.Subprotocols, ", "), "listener": e.Listener,
	}
	var why []string
	for _, key := range m.Misfits(&e.Request) {
		switch got := parts[key]; {
		case key == "header":
			why = append(why, missedHeaders(m.Header, shown["header"].([]any), e)...)
		case got != "":
			why = append(why, fmt.Sprintf("%s does not fit match.%s, %s", got, key, shown.text(key)))
		case key == "listener":
			why = append(why, fmt.Sprintf("no --listener is given, and match.listener is %s", shown.text(key)))
		default:
			why = append(why, fmt.Sprintf("it has no %s, and match.%s is %s", key, key, shown.text(key)))
		}
	}
	return strings.Join(why, "; ")
}

// missedHeaders says which headers do not fit.
func missedHeaders(headers []policies.HeaderMatch, shown []any, e proxy.Expected) (why []string) {
	for i, h := range headers {
		if (&policies.Match{Header: headers[i : i+1]}).Fits(&e.Request) {
			continue
		}
		wanted := settings(shown[i].(map[string]any))
		name, got := wanted.text("name"), strings.Join(e.Header(h.Name), ", ")
		if got == "" {
			why = append(why, fmt.Sprintf("it has no header %s, which match.header asks for", name))
		} else {
			why = append(why, fmt.Sprintf("its %s, %s, does not fit match.header, %s", name, got, wanted.text("value")))
		}
	}
	return why
}

// demands says what a policy asks of a handshake that it selects.
func demands(p *policies.Policy, shown settings, e proxy.Expected) string {
	origin := "none, so nothing is asked of it"
	switch {
	case e.Origin != "" && e.OriginAdmitted:
		origin = "allowed"
	case e.Origin != "":
		allowed := "is empty"
		if len(p.Origins.Allow) > 0 {
			allowed = "is " + shown.section("origins").text("allow")
		}
		origin = fmt.Sprintf("not allowed: it is not that of %s, and origins.allow %s", strings.Join(e.OwnHosts, " or "), allowed)
		origin += onlyObserved(p, p.Origins.Mode)
	}

	id := p.Connections.Identity
	identities := shown.section("connections").section("identity")
	where := identities.text("from") + " " + identities.text("name")
	identity := ""
	switch {
	case id.From == "":
		identity = "none is looked for"
	case id.From == policies.FromMessage:
		identity = "comes in a message, if at all"
	case id.From == policies.FromCertificate:
		identity = fmt.Sprintf("comes with the client's certificate, if at all: its %s", identities.text("name"))
	case e.IdentityDoubtful:
		identity = fmt.Sprintf("in doubt: %s could be read in two ways", where) + onlyObserved(p, p.Connections.Mode)
	case e.Identity != "":
		identity = fmt.Sprintf("found in %s, %s in logs", where, e.Identity)
	case id.Required:
		identity = fmt.Sprintf("missing: %s is required", where) + onlyObserved(p, p.Connections.Mode)
	default:
		identity = fmt.Sprintf("missing, and not required: no %s", where)
	}
	return "  origin: " + origin + "\n  identity: " + identity + "\n"
}

func onlyObserved(p *policies.Policy, rule policies.Mode) string {
	if p.Observes(rule) {
		return "; which is only observed"
	}
	return ""
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print a JSON Schema of the configuration, with which editors complete and check it",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}
