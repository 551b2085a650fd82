package quota

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrURL never shows the URL: a password with an odd character in it may look like
// any other part.
var ErrURL = errors.New("not a URL of Redis, or with an option that is not known; write one such as redis://user:password@127.0.0.1:6379/0")

// ErrRefused is what NewRedis returns where Redis answers, but not as it should.
var ErrRefused = errors.New("Redis refuses")

func init() { redis.SetLogger(silent{}) }

// silent is the library's logger: the store itself says when Redis fails.
type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// newClient returns a client that waits for nothing longer than the options allow,
// and makes no request twice by itself. It connects to nothing more once alive is
// done. The address is for logs.
func newClient(alive context.Context, o *RedisOptions) (client redis.UniversalClient, address string, err error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" {
		return nil, "", ErrURL
	}
	quiet := &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	const never, once = -1, 1
	if o.Cluster {
		c, err := redis.ParseClusterURL(o.URL)
		if err != nil {
			return nil, "", ErrURL
		}
		c.ContextTimeoutEnabled = true
		c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout = o.ConnectTimeout, o.Timeout, o.Timeout, o.Timeout
		c.MaxRetries, c.DialerRetries = never, once
		c.DisableIdentity, c.MaintNotificationsConfig = true, quiet
		c.Dialer = dialer(alive, o.ConnectTimeout, c.TLSConfig)
		return redis.NewClusterClient(c), u.Host, nil
	}
	c, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, "", ErrURL
	}
	c.ContextTimeoutEnabled = true
	c.DialTimeout, c.ReadTimeout, c.WriteTimeout, c.PoolTimeout = o.ConnectTimeout, o.Timeout, o.Timeout, o.Timeout
	c.MaxRetries, c.DialerRetries = never, once
	c.DisableIdentity, c.MaintNotificationsConfig = true, quiet
	c.Dialer = dialer(alive, o.ConnectTimeout, c.TLSConfig)
	return redis.NewClient(c), u.Host, nil
}

// dialer is as the library's own, but that what is under way, a handshake of TLS too,
// ends with either context.
func dialer(alive context.Context, timeout time.Duration, config *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	plain := &net.Dialer{Timeout: timeout}
	dial := plain.DialContext
	if config != nil {
		dial = (&tls.Dialer{NetDialer: plain, Config: config}).DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(alive, cancel)()
		return dial(ctx, network, address)
	}
}

// isAnswer reports whether an error is what Redis itself has said, such as that the
// password is wrong: to wait for it is of no use.
func isAnswer(err error) bool {
	var said redis.Error
	return errors.As(err, &said) && !redis.HasErrorPrefix(err, "LOADING")
}

// redisMetrics are there from the start, as a rate needs the zero before the first
// event.
type redisMetrics struct {
	up                                    prometheus.Gauge
	admitted, refused, alone, unavailable prometheus.Counter
}

func newRedisMetrics(registerer prometheus.Registerer) *redisMetrics {
	register := promauto.With(registerer)
	admissions := register.NewCounterVec(prometheus.CounterOpts{
		Name: "wswarden_store_admissions_total",
		Help: "Admissions under connection limits, by outcome: admitted or refused by the store; local, which counts this replica's own sessions while the store cannot be reached; unavailable, which refuses then.",
	}, []string{"outcome"})
	return &redisMetrics{
		up: register.NewGauge(prometheus.GaugeOpts{
			Name: "wswarden_store_up",
			Help: "Whether the store of connection limits can be reached.",
		}),
		admitted:    admissions.WithLabelValues("admitted"),
		refused:     admissions.WithLabelValues("refused"),
		alone:       admissions.WithLabelValues("local"),
		unavailable: admissions.WithLabelValues("unavailable"),
	}
}
