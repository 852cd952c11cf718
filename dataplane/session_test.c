// SPDX-License-Identifier: BSD-3-Clause

// Sessions over a TCP and a TLS that are played by the test: which connections
// are made, from where, what is said on them, and what the scheduler hears.

#include "pen_test.h"
#include "session.h"

#include <errno.h>

// ---- TCP ----

#define CONNS 12

struct pen_tcp_conn {
	struct pen_addr local, remote;
	void *ctx;
	bool open, closing;
	char sent[4096]; // what we said on it; TLS records in angle brackets
	size_t n;
};

static struct {
	struct pen_worker_env env;
	struct pen_dataplane_config cfg;
	void *state;
	pen_time_us now;
	struct pen_tcp_conn conn[CONNS];
	unsigned nconn;
	bool full; // no object for another connection
	uint32_t ready, done, ended;
	// TLS
	enum pen_session_tls_status handshake;
	struct pen_tls_peer peer;
	unsigned streams;
	struct pen_addr source;
	const char *helo;
	const struct pen_lease_host *host;
} w;

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

static void closed(struct pen_tcp_conn *c, enum pen_tcp_close why)
{
	assert_true(c->open);
	c->open = false;
	session_tcp_callbacks.on_closed(c->ctx, c, why, w.now);
}

void pen_tcp_abort(struct pen_tcp_conn *c, pen_time_us now)
{
	(void)now;
	closed(c, PEN_TCP_CLOSED_ABORTED);
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

static void *thread_new(void *ctx, char *err, size_t cap)
{
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

static struct pen_smtp_rules rules;
static struct pen_tls_policy policy[4];
static struct pen_lease lease;

static void set_up(uint8_t nhosts, enum pen_tls_level level)
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

static void settle(void)
{
	for (int i = 0; i < 20; i++) {
		session_app.poll(w.state, w.now);
		for (unsigned k = 0; k < w.nconn; k++) {
			if (w.conn[k].open && w.conn[k].closing)
				closed(&w.conn[k], PEN_TCP_CLOSED_OK);
		}
	}
}

static void command(uint32_t type, void *p)
{
	const struct pen_ring_msg m = {.type = type, .p = p};

	session_app.command(w.state, &m, w.now);
	settle();
}

static void pass(pen_time_us us)
{
	for (pen_time_us end = w.now + us; w.now < end; settle())
		w.now = pen_time_min(end, w.now + 10 * PEN_US_PER_MS);
}

static void answers(unsigned k)
{
	assert_true(w.conn[k].open);
	session_tcp_callbacks.on_connected(w.conn[k].ctx, &w.conn[k], w.now);
	settle();
}

static void fails(unsigned k)
{
	closed(&w.conn[k], PEN_TCP_CLOSED_REFUSED);
	settle();
}

static void says(unsigned k, const char *text)
{
	assert_true(w.conn[k].open);
	session_tcp_callbacks.on_data(
		w.conn[k].ctx, &w.conn[k], (const uint8_t *)text, (uint32_t)strlen(text), w.now);
	settle();
}

static void heard(unsigned k, const char *text)
{
	w.conn[k].sent[w.conn[k].n] = '\0';
	assert_string_equal(w.conn[k].sent, text);
}

static unsigned host_of(unsigned k)
{
	return w.conn[k].remote.ip[3] - 0x10u;
}

static uint64_t count(const char *name)
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
static void tear_down(void)
{
	if (w.ended == 0)
		command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.ended, 1);
	for (unsigned k = 0; k < w.nconn; k++)
		assert_false(w.conn[k].open);
	session_app.stop(w.state);
}

static void expect_status(unsigned klass, unsigned subject, unsigned detail)
{
	assert_int_equal(lease.result.klass, klass);
	assert_int_equal(lease.result.subject, subject);
	assert_int_equal(lease.result.detail, detail);
}

static void expect_field(const char *want)
{
	char text[PEN_TLS_FIELD_MAX];

	pen_tls_field_str(&lease.tls_field, text);
	assert_string_equal(text, want);
}

#define OFFER "220 mx\r\n250-mx\r\n250 STARTTLS\r\n"
#define HELLO "EHLO me4\r\n"
#define UP_TO_TLS                                                                                  \
	do {                                                                                       \
		answers(w.nconn - 1);                                                              \
		says(w.nconn - 1, "220 mx\r\n");                                                   \
		says(w.nconn - 1, "250-mx\r\n250 STARTTLS\r\n");                                   \
		says(w.nconn - 1, "220 go\r\n");                                                   \
	} while (0)

static void each_family_has_its_own_source_and_name(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	lease.host[1].addr.family = PEN_FAMILY_IP6;
	command(PEN_CMD_LEASE_OPEN, &lease);
	assert_int_equal(w.conn[0].local.family, PEN_FAMILY_IP4);
	fails(0);
	assert_int_equal(w.conn[1].local.family, PEN_FAMILY_IP6);
	UP_TO_TLS;
	assert_ptr_equal(w.host, &lease.host[1]);
	assert_int_equal(w.source.family, PEN_FAMILY_IP6);
	assert_string_equal(w.helo, "me6");
	says(1, "hello");
	heard(1, "EHLO me6\r\nSTARTTLS\r\n<hello><EHLO me6\r\n>");
	says(1, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	assert_string_equal(lease.tls_protocol, "TLSv1.3");
	assert_string_equal(lease.tls_cipher, "TLS_AES_256_GCM_SHA384");
	assert_int_equal(lease.tls_bits, 256);
	assert_true(lease.tls && lease.starttls_offered && lease.tls_peer.trusted);
	expect_field("may");
	tear_down();
}

static void a_host_of_a_family_without_a_source_is_passed_over(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	lease.host[0].addr.family = PEN_FAMILY_IP6;
	lease.source6.family = PEN_FAMILY_NONE;
	command(PEN_CMD_LEASE_OPEN, &lease);
	assert_int_equal(w.nconn, 1);
	assert_int_equal(host_of(0), 1);
	assert_int_equal(count("hosts_skipped"), 1);
	tear_down();

	set_up(1, PEN_TLS_MAY);
	lease.source.family = PEN_FAMILY_NONE;
	command(PEN_CMD_LEASE_OPEN, &lease);
	expect_status(4, 4, 1);
	assert_non_null(strstr(lease.result.text, "no source address"));
	tear_down();
}

static void a_plaintext_retry_is_a_new_connection_to_the_same_address(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	lease.plain_retry = true;
	w.handshake = PEN_SESSION_TLS_FAILED;
	w.peer.certificate = false;
	command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	says(0, "garbage");
	// Nothing follows on the connection where TLS was agreed on.
	heard(0, HELLO "STARTTLS\r\n<hello>");
	assert_false(w.conn[0].open);
	assert_int_equal(w.nconn, 2);
	assert_int_equal(host_of(1), 0);
	assert_int_equal(w.ended, 0);
	answers(1);
	says(1, "220 mx\r\n");
	says(1, "250-mx\r\n250 STARTTLS\r\n");
	heard(1, HELLO);
	assert_int_equal(w.ready, 1);
	assert_false(lease.tls);
	expect_field("may:none");
	assert_int_equal(lease.host[0].tls_event, PEN_TLSRPT_VALIDATION_FAILURE);
	assert_int_equal(count("plaintext_retries"), 1);
	assert_int_equal(count("next_hosts"), 0);
	tear_down();
}

static void without_leave_for_plaintext_the_next_host_is_tried(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	w.handshake = PEN_SESSION_TLS_FAILED;
	w.peer.certificate = false;
	command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	says(0, "garbage");
	assert_int_equal(host_of(1), 1);
	assert_int_equal(count("next_hosts"), 1);
	fails(1);
	assert_int_equal(w.ended, 1);
	expect_status(4, 4, 1);
	tear_down();
}

static void a_lost_connection_in_the_handshake_is_a_lost_connection(void **state)
{
	(void)state;
	set_up(1, PEN_TLS_ENCRYPT);
	command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	closed(&w.conn[0], PEN_TCP_CLOSED_RESET);
	settle();
	expect_status(4, 4, 2);
	expect_field("encrypt?");
	assert_int_equal(count("handshakes_failed"), 1);
	tear_down();
}

static void an_operators_abort_is_no_failure_of_tls(void **state)
{
	(void)state;
	set_up(1, PEN_TLS_MAY);
	lease.plain_retry = true;
	command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.nconn, 1);
	assert_int_equal(lease.host[0].tls_event, PEN_TLSRPT_NONE);
	tear_down();
}

static void tls_from_the_first_byte_says_nothing_before_it(void **state)
{
	(void)state;
	set_up(1, PEN_TLS_ENCRYPT);
	policy[0].wrapper = true;
	command(PEN_CMD_LEASE_OPEN, &lease);
	answers(0);
	heard(0, "<hello>");
	says(0, "hello");
	says(0, "220 mx\r\n");
	says(0, "250 mx\r\n");
	heard(0, "<hello><EHLO me4\r\n>");
	assert_int_equal(w.ready, 1);
	tear_down();
}

static void a_certificate_that_does_not_match_leads_to_the_next_host(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_SECURE);
	w.peer.matched = false;
	command(PEN_CMD_LEASE_OPEN, &lease);
	UP_TO_TLS;
	says(0, "hello");
	heard(0, HELLO "STARTTLS\r\n<hello><QUIT\r\n>");
	says(0, "221 bye\r\n");
	assert_int_equal(w.nconn, 2);
	w.peer.matched = true;
	UP_TO_TLS;
	says(1, "hello");
	says(1, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	expect_field("secure");
	tear_down();
}

static void requiretls_bounces_when_the_last_host_lacks_it(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_SECURE);
	policy[0].requiretls = policy[1].requiretls = PEN_REQUIRETLS_ENFORCE;
	command(PEN_CMD_LEASE_OPEN, &lease);
	for (unsigned k = 0; k < 2; k++) {
		assert_int_equal(w.nconn, k + 1);
		assert_int_equal(w.ended, 0);
		UP_TO_TLS;
		says(k, "hello");
		says(k, "250 mx\r\n");
		says(k, "221 bye\r\n");
	}
	expect_status(5, 7, 30);
	assert_int_equal(lease.result.scope, PEN_SCOPE_SITE);
	assert_int_equal(lease.result.origin, PEN_ORIGIN_POLICY);
	expect_field("secure/!requiretls:none");
	assert_int_equal(w.ready, 0);
	tear_down();
}

static void a_policy_that_forbids_every_host_makes_no_connection(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	policy[0].requiretls = policy[1].requiretls = PEN_REQUIRETLS_ENFORCE;
	command(PEN_CMD_LEASE_OPEN, &lease);
	assert_int_equal(w.nconn, 0);
	assert_int_equal(w.ended, 1);
	expect_status(5, 7, 10);
	assert_int_equal(lease.result.scope, PEN_SCOPE_SITE);
	assert_true(lease.host_tried);
	tear_down();
}

// ---- racing ----

static void set_up_race(uint8_t nhosts)
{
	set_up(nhosts, PEN_TLS_MAY);
	rules.race_delay = 250 * PEN_US_PER_MS;
	command(PEN_CMD_LEASE_OPEN, &lease);
	pass(240 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 1);
	pass(20 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 2);
	assert_int_equal(count("races"), 1);
}

static void the_first_connection_to_be_established_wins(void **state)
{
	(void)state;
	set_up_race(3);
	answers(1);
	assert_false(w.conn[0].open);
	assert_int_equal(lease.host_used, 1);
	assert_int_equal(count("races_won"), 1);
	says(1, "220 mx\r\n");
	says(1, "250 mx\r\n");
	assert_int_equal(w.ready, 1);
	heard(0, "");
	heard(1, HELLO);
	tear_down();

	set_up_race(3);
	answers(0);
	assert_false(w.conn[1].open);
	assert_int_equal(lease.host_used, 0);
	assert_int_equal(count("races_won"), 0);
	pass(PEN_US_PER_S); // and no other begins
	assert_int_equal(w.nconn, 2);
	tear_down();
}

static void without_the_option_hosts_come_one_after_the_other(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	command(PEN_CMD_LEASE_OPEN, &lease);
	pass(29 * PEN_US_PER_S);
	assert_int_equal(w.nconn, 1);
	pass(2 * PEN_US_PER_S);
	assert_int_equal(w.nconn, 2);
	assert_false(w.conn[0].open);
	assert_int_equal(count("races"), 0);
	tear_down();
}

static void a_race_goes_on_when_one_of_two_fails(void **state)
{
	(void)state;
	// The first fails: the other has its place, and another rival.
	set_up_race(3);
	fails(0);
	assert_int_equal(lease.host_used, 1);
	pass(260 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 3);
	fails(2);
	fails(1);
	assert_int_equal(w.ended, 1);
	expect_status(4, 4, 1);
	tear_down();
	// The rival fails.
	set_up_race(3);
	fails(1);
	assert_int_equal(lease.host_used, 0);
	pass(260 * PEN_US_PER_MS);
	assert_int_equal(w.nconn, 3);
	assert_int_equal(host_of(2), 2);
	answers(2);
	assert_int_equal(lease.host_used, 2);
	tear_down();
}

static void both_time_limits_of_a_race_are_kept(void **state)
{
	(void)state;
	set_up_race(2);
	pass(30 * PEN_US_PER_S - 265 * PEN_US_PER_MS);
	assert_true(w.conn[0].open && w.conn[1].open);
	pass(20 * PEN_US_PER_MS);
	assert_true(!w.conn[0].open && w.conn[1].open);
	pass(260 * PEN_US_PER_MS);
	assert_int_equal(w.ended, 1);
	assert_non_null(strstr(lease.result.text, "Connection timed out"));
	assert_int_equal(count("connect_timeouts"), 2);
	tear_down();
}

static void the_loser_of_a_race_is_tried_again_when_the_winner_is_of_no_use(void **state)
{
	(void)state;
	set_up_race(2);
	answers(1);
	says(1, "421 busy\r\n");
	assert_int_equal(w.nconn, 3);
	assert_int_equal(host_of(2), 0);
	fails(2);
	assert_int_equal(w.ended, 1);
	tear_down();
}

static void a_rival_that_we_have_no_means_for_is_no_failure(void **state)
{
	(void)state;
	set_up(2, PEN_TLS_MAY);
	rules.race_delay = 250 * PEN_US_PER_MS;
	command(PEN_CMD_LEASE_OPEN, &lease);
	w.full = true;
	pass(PEN_US_PER_S);
	assert_int_equal(w.nconn, 1);
	assert_int_equal(count("races"), 0);
	w.full = false;
	fails(0);
	assert_int_equal(w.nconn, 2);
	assert_int_equal(host_of(1), 1);
	tear_down();
}

static void an_end_from_outside_ends_both(void **state)
{
	(void)state;
	set_up_race(2);
	command(PEN_CMD_LEASE_ABORT, &lease);
	assert_int_equal(w.ended, 1);
	tear_down();
	set_up_race(2);
	command(PEN_CMD_LEASE_CLOSE, &lease);
	assert_int_equal(w.ended, 1);
	expect_status(2, 0, 0);
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_family_has_its_own_source_and_name),
		cmocka_unit_test(a_host_of_a_family_without_a_source_is_passed_over),
		cmocka_unit_test(a_plaintext_retry_is_a_new_connection_to_the_same_address),
		cmocka_unit_test(without_leave_for_plaintext_the_next_host_is_tried),
		cmocka_unit_test(a_lost_connection_in_the_handshake_is_a_lost_connection),
		cmocka_unit_test(an_operators_abort_is_no_failure_of_tls),
		cmocka_unit_test(tls_from_the_first_byte_says_nothing_before_it),
		cmocka_unit_test(a_certificate_that_does_not_match_leads_to_the_next_host),
		cmocka_unit_test(requiretls_bounces_when_the_last_host_lacks_it),
		cmocka_unit_test(a_policy_that_forbids_every_host_makes_no_connection),
		cmocka_unit_test(the_first_connection_to_be_established_wins),
		cmocka_unit_test(without_the_option_hosts_come_one_after_the_other),
		cmocka_unit_test(a_race_goes_on_when_one_of_two_fails),
		cmocka_unit_test(both_time_limits_of_a_race_are_kept),
		cmocka_unit_test(the_loser_of_a_race_is_tried_again_when_the_winner_is_of_no_use),
		cmocka_unit_test(a_rival_that_we_have_no_means_for_is_no_failure),
		cmocka_unit_test(an_end_from_outside_ends_both),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
