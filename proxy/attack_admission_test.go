package proxy_test

import (
	"net/http"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// However a client spells what upstream takes for the identity, it is the same one,
// or the handshake is refused.
func TestIdentitySpellings(t *testing.T) {
	t.Parallel()
	const seated, refused = policies.RefusedPerIdentity, policies.RefusedIdentity
	for _, source := range []struct {
		rule    policies.Identity
		target  string
		headers []string
		others  []struct {
			target  string
			headers []string
			why     policies.Refusal
		}
	}{
		{rule: policies.Identity{From: policies.FromCookie, Name: "sid"}, target: "/", headers: []string{"Cookie: sid=s:al ice"}, others: []struct {
			target  string
			headers []string
			why     policies.Refusal
		}{
			{"/", []string{"Cookie: sid=s%3Aal%20ice"}, seated}, // Express encodes what it sets
			{"/", []string{"Cookie: sid=%73:al ice"}, seated},
			{"/", []string{`Cookie: sid="s:al ice"`}, seated},
			{"/", []string{"Cookie: sid =s:al ice"}, seated},
			{"/", []string{"Cookie: sid=\ts:al ice "}, seated},
			{"/", []string{"Cookie: \xa0sid=s:al ice\xa0"}, seated},
			{"/", []string{"Cookie: sid; sid=s:al ice"}, seated},
			{"/", []string{"Cookie: sid =s:al ice; sid=other"}, refused},
			{"/", []string{"Cookie: sid=other; \xa0sid=s:al ice"}, refused},
			{"/", []string{"Cookie: sid=; sid=other"}, refused},
			{"/", []string{`Cookie: sid="\163:al ice"`}, refused},
		}},
		{rule: policies.Identity{From: policies.FromQuery, Name: "id"}, target: "/?id=alice", others: []struct {
			target  string
			headers []string
			why     policies.Refusal
		}{
			{"/?id=%61lice", nil, seated},
			{"/?id[]=alice", nil, refused},
			{"/?id%5B0%5D=alice&id=other", nil, refused},
			{"/?id=&id=other", nil, refused},
		}},
		{rule: policies.Identity{From: policies.FromHeader, Name: "X-User"}, target: "/", headers: []string{"X-User: alice"}, others: []struct {
			target  string
			headers []string
			why     policies.Refusal
		}{
			{"/", []string{"x_user: alice"}, seated}, // the same to CGI, WSGI, Rack, PHP
			{"/", []string{"X_User: alice", "X-User: other"}, refused},
			{"/", []string{"X-User:", "X-User: other"}, refused},
		}},
	} {
		for _, other := range source.others {
			t.Run(other.target+" "+first(other.headers), func(t *testing.T) {
				t.Parallel()
				w := start(t, policies.Policy{Connections: policies.Connections{PerIdentity: 1, Identity: source.rule}})
				w.let(w.ask(source.target, source.headers...))
				w.ask(other.target, other.headers...).wantRefused(other.why)
			})
		}
	}
}

func first(of []string) string {
	if len(of) == 0 {
		return ""
	}
	return of[0]
}

// A header that upstream does not get is no identity.
func TestIdentityThatIsNotPassedOn(t *testing.T) {
	t.Parallel()
	for header, names := range map[string][]string{
		"X-User":           {"X-User: other", "Connection: X-User"},
		"X-Forwarded-User": {"X-Forwarded-User: other"}, // of one who is not trusted
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Connections: policies.Connections{
				Identity: policies.Identity{From: policies.FromHeader, Name: header, Required: true}}})
			w.ask("/", names...).wantRefused(policies.RefusedIdentity)
		})
	}
}

// Which policy a handshake falls under does not depend on what no upstream takes for
// its host or its path.
func TestTargetThatLooksLikeAHost(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(cfg *config.Config) {
		cfg.Policies = []policies.Policy{
			{Name: "strict", Match: policies.Match{Host: []string{"test"}}, Connections: byQuery(1, "")},
			{Name: "lax"},
		}
		cfg.Policies[0].Connections.Identity.Required = true
	})
	w.ask("/ws").wantRefused(policies.RefusedIdentity)
	for _, target := range []string{"//lax/ws?://", "//lax/ws?u=http://test/", "//test@lax/ws?://"} {
		client := w.ask(target)
		if status := client.response().StatusCode; status != http.StatusBadRequest {
			t.Errorf("%s: status %d", target, status)
		}
	}
}

// A session that ends as soon as the message under way is over keeps nobody out.
func TestFinishingIsNotCounted(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: byQuery(1, policies.ExcessReject), Lifetime: policies.Lifetime{Max: soon}})
	first := w.ask("/?id=a")
	firstUp := w.let(first)
	firstUp.send(firstUp.frame(textBegins, "begins"))
	first.want(textBegins, "begins")
	first.wantNothing() // longer than max
	first.wantNothing()
	second := w.ask("/?id=a")
	w.wantNobody()
	firstUp.send(firstUp.frame(goesEnd, "ends"))
	firstUp.wantClose(1001, "max_age")
	firstUp.answerClose(1001)
	w.let(second)
}

// One who gives way before there is a session is told as the policy wants it told.
func TestEvictOpeningWithClose(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(cfg *config.Config) {
		cfg.Policies[0] = policies.Policy{Connections: byQuery(1, policies.ExcessEvictOldest), RefuseWith: policies.RefuseWithClose}
	})
	first := w.ask("/?id=a")
	firstUp := w.accept()
	firstUp.request()
	second := w.ask("/?id=a")
	firstUp.wantEOF()
	firstUp.end()
	w.let(second)
	if status := first.response().StatusCode; status != http.StatusSwitchingProtocols {
		t.Fatalf("status %d", status)
	}
	first.wantClose(1008, policies.RefusedSuperseded.Reason())
	first.send(first.closeFrame(1008, ""))
	first.wantEOF()
	first.end()
}

// What all together may not have does not cost an address its share.
func TestTotalRateCostsNoShare(t *testing.T) {
	t.Parallel()
	const refill = 2 * time.Second // in which a session comes and goes on a busy machine, too
	w := start(t, policies.Policy{Handshakes: policies.Handshakes{PerIPRate: 0.001, Burst: 2, TotalRate: policies.PerSecond(1 / refill.Seconds()), TotalBurst: 1}})
	client := w.ask("/")
	w.bye(client, w.let(client))
	w.ask("/").wantRefused(policies.RefusedTotalRate)
	time.Sleep(refill)
	client = w.ask("/")
	w.bye(client, w.let(client))
	time.Sleep(refill)
	w.ask("/").wantRefused(policies.RefusedIPRate)
}
