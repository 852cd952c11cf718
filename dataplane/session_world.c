// SPDX-License-Identifier: BSD-3-Clause
#include "session_world.h"

#include "pen_test.h"

#include <errno.h>

struct world w;

// ---- TCP ----

size_t pen_tcp_conn_size(void)
{
	return sizeof(void *);
}

int pen_tcp_connect(struct pen_tcp *t, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t remote_port, void *ctx, struct pen_tcp_conn **out, pen_time_us now)
{
	struct pen_tcp_conn *c = &w.conn[w.nconn];

	(void)t;
	(void)remote_port;
	(void)now;
	if (w.full)
		return -ENOBUFS;
	assert_true(w.nconn++ < CONNS);
	*c = (struct pen_tcp_conn){.local = *local, .remote = *remote, .ctx = ctx, .open = true};
	*out = c;
	return 0;
}

void world_closed(struct pen_tcp_conn *c, enum pen_tcp_close why)
{
	assert_true(c->open);
	c->open = false;
	session_tcp_callbacks.on_closed(c->ctx, c, why, w.now);
}

void pen_tcp_abort(struct pen_tcp_conn *c, pen_time_us now)
{
	(void)now;
	world_closed(c, PEN_TCP_CLOSED_ABORTED);
}

void pen_tcp_close(struct pen_tcp_conn *c, pen_time_us now)
{
	(void)now;
	c->closing = true;
}

const char *pen_tcp_close_name(enum pen_tcp_close why)
{
	return why == PEN_TCP_CLOSED_REFUSED   ? "Connection refused"
	       : why == PEN_TCP_CLOSED_TIMEOUT ? "Connection timed out"
					       : "gone";
}

void pen_tcp_get_signs(const struct pen_tcp_conn *c, struct pen_tcp_signs *out)
{
	*out = c->signs;
}

uint32_t pen_tcp_room(const struct pen_tcp_conn *c)
{
	return (uint32_t)(sizeof(c->sent) - c->n);
}

bool pen_tcp_can_copy(struct pen_tcp_conn *c, uint32_t n)
{
	(void)c;
	(void)n;
	return true;
}

uint32_t pen_tcp_write_copy(struct pen_tcp_conn *c, const void *p, uint32_t n)
{
	assert_true(c->open && n < sizeof(c->sent) - c->n);
	memcpy(c->sent + c->n, p, n);
	c->n += n;
	return n;
}

uint32_t pen_tcp_write_ref(struct pen_tcp_conn *c, const void *p, uint32_t n)
{
	return pen_tcp_write_copy(c, p, n);
}

uint64_t pen_tcp_queued(const struct pen_tcp_conn *c)
{
	return c->n;
}

uint64_t pen_tcp_acked(const struct pen_tcp_conn *c)
{
	return c->n;
}

void pen_tcp_flush(struct pen_tcp_conn *c, pen_time_us now)
{
	(void)c;
	(void)now;
}

// ---- the worker ----

int pen_worker_port_of(const struct pen_worker *self, const struct pen_addr *local)
{
	(void)self;
	return local->family == PEN_FAMILY_NONE ? -1 : 0;
}

bool pen_worker_post(struct pen_worker *self, struct pen_ring_msg m)
{
	(void)self;
	w.ready += m.type == PEN_EVENT_LEASE_READY;
	w.done += m.type == PEN_EVENT_DELIVERY_DONE;
	w.ended += m.type == PEN_EVENT_LEASE_ENDED;
	return true;
}

// ---- TLS: a record is its plaintext in angle brackets ----

struct stream {
	pen_session_tls_send_fn *send;
	void *ctx;
	struct pen_span in;
};

static void *thread_new(void *ctx, uint32_t worker, char *err, size_t cap)
{
	(void)worker;
	(void)ctx;
	(void)err;
	(void)cap;
	return &w;
}

static void thread_free(void *thread)
{
	(void)thread;
}

static void *stream_new(void *thread, const struct pen_lease_host *host,
	const struct pen_addr *source, const char *helo, pen_session_tls_send_fn *send, void *ctx)
{
	struct stream *t = calloc(1, sizeof(*t));

	(void)thread;
	w.streams++;
	w.host = host;
	w.source = *source;
	w.helo = helo;
	*t = (struct stream){.send = send, .ctx = ctx};
	return t;
}

static void feed(void *stream, const uint8_t *p, size_t n)
{
	((struct stream *)stream)->in = pen_span(p, n);
}

static enum pen_session_tls_status handshake(void *stream)
{
	struct stream *t = stream;

	if (t->in.n == 0)
		return t->send(t->ctx, (const uint8_t *)"<hello>", 7) == 0
			       ? PEN_SESSION_TLS_WANT_INPUT
			       : PEN_SESSION_TLS_FAILED;
	t->in.n = 0;
	return w.handshake;
}

static enum pen_session_tls_status read_plain(void *stream, uint8_t *p, size_t cap, size_t *got)
{
	struct stream *t = stream;

	if (t->in.n == 0)
		return PEN_SESSION_TLS_WANT_INPUT;
	assert_true(t->in.n <= cap);
	memcpy(p, t->in.p, t->in.n);
	*got = t->in.n;
	t->in.n = 0;
	return PEN_SESSION_TLS_OK;
}

static enum pen_session_tls_status write_plain(
	void *stream, const uint8_t *p, size_t n, size_t *took)
{
	struct stream *t = stream;

	t->send(t->ctx, (const uint8_t *)"<", 1);
	t->send(t->ctx, p, n);
	t->send(t->ctx, (const uint8_t *)">", 1);
	*took = n;
	return PEN_SESSION_TLS_OK;
}

static void shutdown_stream(void *stream)
{
	(void)stream;
}

static const char *protocol(const void *stream)
{
	(void)stream;
	return "TLSv1.3";
}

static const char *cipher(const void *stream)
{
	(void)stream;
	return "TLS_AES_256_GCM_SHA384";
}

static const char *error(const void *stream)
{
	(void)stream;
	return "no common cipher";
}

static unsigned bits(const void *stream)
{
	(void)stream;
	return 256;
}

static void peer(const void *stream, struct pen_tls_peer *out)
{
	(void)stream;
	*out = w.peer;
}

static const struct pen_session_tls fake_tls = {.thread_new = thread_new,
	.thread_free = thread_free,
	.stream_new = stream_new,
	.stream_free = free,
	.feed = feed,
	.handshake = handshake,
	.read = read_plain,
	.write = write_plain,
	.shutdown = shutdown_stream,
	.protocol = protocol,
	.cipher = cipher,
	.error = error,
	.bits = bits,
	.peer = peer};

// ---- the test's hand on all of it ----

struct pen_smtp_rules rules;
struct pen_tls_policy policy[4];
struct pen_lease lease;

void world_set_up(uint8_t nhosts, enum pen_tls_level level)
{
	char err[128];

	memset(&w, 0, sizeof(w));
	memset(&lease, 0, sizeof(lease));
	w.now = 1000 * PEN_US_PER_S;
	w.cfg.max_connections = 4;
	w.cfg.tls = &fake_tls;
	w.env.cfg = &w.cfg;
	w.handshake = PEN_SESSION_TLS_OK;
	w.peer = (struct pen_tls_peer){.certificate = true, .trusted = true, .matched = true};
	w.state = session_app.start(NULL, &w.env, w.now, err, sizeof(err));
	assert_non_null(w.state);
	rules = PEN_SMTP_RULES_DEFAULT;
	lease.rules = &rules;
	lease.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT;
	lease.source = pen_addr_ip4(0x0a000001);
	lease.source6.family = PEN_FAMILY_IP6;
	lease.helo = "me4";
	lease.helo6 = "me6";
	lease.nhosts = nhosts;
	for (unsigned i = 0; i < nhosts; i++) {
		policy[i] = (struct pen_tls_policy){.level = level, .requiretls_strict = true};
		lease.host[i] = (struct pen_lease_host){.name = "mx",
			.tls = &policy[i],
			.addr = pen_addr_ip4(0x0a000010u + i),
			.port = 25};
	}
}

void world_settle(void)
{
	for (int i = 0; i < 20; i++) {
		session_app.poll(w.state, w.now);
		for (unsigned k = 0; k < w.nconn; k++) {
			if (w.conn[k].open && w.conn[k].closing)
				world_closed(&w.conn[k], PEN_TCP_CLOSED_OK);
		}
	}
}

void world_command(uint32_t type, void *p)
{
	const struct pen_ring_msg m = {.type = type, .p = p};

	session_app.command(w.state, &m, w.now);
	world_settle();
}

void world_pass(pen_time_us us)
{
	for (pen_time_us end = w.now + us; w.now < end; world_settle())
		w.now = pen_time_min(end, w.now + 10 * PEN_US_PER_MS);
}

void world_answers(unsigned k)
{
	assert_true(w.conn[k].open);
	session_tcp_callbacks.on_connected(w.conn[k].ctx, &w.conn[k], w.now);
	world_settle();
}

void world_fails(unsigned k)
{
	world_closed(&w.conn[k], PEN_TCP_CLOSED_REFUSED);
	world_settle();
}

void world_says(unsigned k, const char *text)
{
	assert_true(w.conn[k].open);
	session_tcp_callbacks.on_data(
		w.conn[k].ctx, &w.conn[k], (const uint8_t *)text, (uint32_t)strlen(text), w.now);
	world_settle();
}

void world_heard(unsigned k, const char *text)
{
	w.conn[k].sent[w.conn[k].n] = '\0';
	assert_string_equal(w.conn[k].sent, text);
}

unsigned world_host_of(unsigned k)
{
	return w.conn[k].remote.ip[3] - 0x10u;
}

uint64_t world_count(const char *name)
{
	const struct session_worker *sw = w.state;
	const struct pen_counter_set set = session_counter_set(&sw->ctr);

	for (uint32_t i = 0; i < set.n; i++) {
		if (strcmp(set.desc[i].name, name) == 0)
			return set.value[i];
	}
	fail_msg("no counter %s", name);
	return 0;
}

// The lease has ended, or is ended now.
void world_tear_down(void)
{
	if (w.ended == 0)
		world_command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.ended, 1);
	for (unsigned k = 0; k < w.nconn; k++)
		assert_false(w.conn[k].open);
	session_app.stop(w.state);
}

void world_expect_status(unsigned klass, unsigned subject, unsigned detail)
{
	assert_int_equal(lease.result.klass, klass);
	assert_int_equal(lease.result.subject, subject);
	assert_int_equal(lease.result.detail, detail);
}

void world_expect_field(const char *want)
{
	char text[PEN_TLS_FIELD_MAX];

	pen_tls_field_str(&lease.tls_field, text);
	assert_string_equal(text, want);
}
