// SPDX-License-Identifier: BSD-3-Clause

// The SMTP client against servers that behave at random: whatever they do, each
// delivery is reported once, the session ends once, every state has a deadline,
// and no mail goes out that the TLS policy does not allow.

#include "pen_rand.h"
#include "pen_smtp_client.h"
#include "pen_test.h"

#define DELIVERIES 4
#define RCPTS 3

struct world {
	struct pen_rand rnd;
	struct pen_smtp_rules rules;
	struct pen_tls_policy policy;
	struct pen_attempt attempt;
	struct pen_lease lease;
	struct pen_smtp_client client;
	struct pen_smtp_client_counters ctr;
	pen_time_us now;
	unsigned ndeliveries, next, ended;
	struct pen_delivery *delivery[DELIVERIES];
	unsigned done[DELIVERIES];
	bool tls_asked, tls_agreed, tls_up;
	// The server's side.
	bool rude;       // draws replies that do not fit, too
	char line[2048]; // what the client sends, up to CRLF
	size_t line_n;
	bool in_content, quit;
	unsigned messages; // contents read to the end
	unsigned rcpts;    // accepted in this transaction
	char reply[4096];
	size_t reply_n;
};

static uint64_t draw(struct world *w, uint64_t n)
{
	return pen_rand_below(&w->rnd, n);
}

static struct pen_delivery *next_delivery(void *ctx)
{
	struct world *w = ctx;

	return w->next < w->ndeliveries ? w->delivery[w->next++] : NULL;
}

static void on_ready(void *ctx, pen_time_us now)
{
	(void)ctx;
	(void)now;
}

static void on_starttls(void *ctx, pen_time_us now)
{
	struct world *w = ctx;

	(void)now;
	assert_false(w->tls_agreed);
	w->tls_asked = w->tls_agreed = true;
}

static void on_delivery_done(void *ctx, struct pen_delivery *d, pen_time_us now)
{
	struct world *w = ctx;

	(void)now;
	assert_int_equal(w->ended, 0);
	assert_int_equal(w->done[d->id]++, 0);
	for (uint32_t i = 0; d->attempted && i < d->nrcpt; i++) {
		assert_int_not_equal(d->rcpt[i].result.klass, 0);
		// A success needs the whole content and its final dot.
		if (d->rcpt[i].result.klass == 2)
			assert_int_equal(d->dot, PEN_DOT_ACKED);
	}
	if (!d->attempted)
		assert_int_equal(d->dot, PEN_DOT_NOT_SENT);
}

static void on_end(void *ctx, const struct pen_dsn *result, pen_time_us now)
{
	struct world *w = ctx;

	(void)now;
	assert_int_equal(w->ended++, 0);
	assert_true(result->klass == 2 || result->klass == 4 || result->klass == 5);
	assert_int_equal(result->text_len, strlen(result->text));
}

static const struct pen_smtp_client_callbacks callbacks = {
	.next_delivery = next_delivery,
	.on_ready = on_ready,
	.on_starttls = on_starttls,
	.on_delivery_done = on_delivery_done,
	.on_end = on_end,
};

static void say(struct world *w, const char *text)
{
	size_t n = strlen(text);

	if (w->reply_n + n < sizeof(w->reply)) {
		memcpy(w->reply + w->reply_n, text, n);
		w->reply_n += n;
	}
}

static const char *any(struct world *w, const char *usual)
{
	static const char *const odd[] = {"250 ok\r\n", "550 5.1.1 no\r\n",
		"450-4.2.0 a\r\n450 b\r\n", "354 go\r\n", "421 4.3.2 bye\r\n", "250-x\r\n",
		"nonsense\r\n", "220 hi\r\n", "", "250 mx\r\n250 2.1.0 ok\r\n"};
	static const char *const usual_refusals[] = {"550 5.1.1 no\r\n", "450 later\r\n"};

	if (w->rude && draw(w, 30) == 0)
		return odd[draw(w, sizeof(odd) / sizeof(odd[0]))];
	if (draw(w, 8) == 0)
		return usual_refusals[draw(w, 2)];
	return usual;
}

static void content_end(struct world *w)
{
	w->in_content = false;
	w->messages++;
	for (unsigned i = 0; i < (w->lease.lmtp ? w->rcpts : 1); i++)
		say(w, any(w, "250 2.0.0 queued\r\n"));
}

// What the policy demands before mail may be sent at all.
static void check_mail(const struct world *w, const char *line)
{
	const struct pen_tls_policy *p = &w->policy;
	const struct pen_tls_peer *peer = &w->lease.tls_peer;
	bool requiretls = strstr(line, " REQUIRETLS") != NULL;

	assert_int_equal(strstr(line, " SMTPUTF8") != NULL, w->lease.smtputf8);
	assert_true(!w->tls_agreed || w->tls_up);
	assert_int_equal(w->lease.tls, w->tls_up);
	if (pen_tls_required(p->level) || p->requiretls >= PEN_REQUIRETLS_STARTTLS)
		assert_true(w->tls_up);
	if (pen_tls_must_match(p->level))
		assert_true(peer->matched || (p->level == PEN_TLS_DANE && peer->tlsa_unusable));
	if (p->requiretls == PEN_REQUIRETLS_ENFORCE)
		assert_true(requiretls && pen_tls_must_match(p->level) && peer->matched);
	if (requiretls)
		assert_true(w->tls_up && p->requiretls > PEN_REQUIRETLS_DISABLE);
	else if (p->requiretls > PEN_REQUIRETLS_DISABLE && w->lease.dsn)
		assert_non_null(strstr(line, " RET=HDRS"));
}

static void envelope_line(struct world *w, const char *l)
{
	const char *r = any(w, "250 2.1.0 ok\r\n");

	if (strncmp(l, "MAIL FROM:<", 11) == 0) {
		check_mail(w, l);
		w->rcpts = 0;
	} else if (strncmp(l, "RCPT TO:<", 9) == 0) {
		w->rcpts += r[0] == '2';
	} else {
		// An LMTP server that gives one reply too many answers DATA with what
		// was meant for another command: then content comes unasked for.
		assert_true((w->rude && w->lease.lmtp) || strcmp(l, "RSET") == 0 ||
			    strncmp(l, "HELO", 4) == 0);
	}
	say(w, r);
}

static void server_line(struct world *w)
{
	static const char *const ehlos[] = {"250 mx\r\n",
		"250-mx\r\n250-STARTTLS\r\n250 SIZE 60\r\n",
		"250-mx\r\n250-PIPELINING\r\n250 8BITMIME\r\n",
		"250-mx\r\n250-DSN\r\n250 PIPELINING\r\n",
		"250-mx\r\n250-SMTPUTF8\r\n250-SIZE 60\r\n250 PIPELINING\r\n",
		"250-mx\r\n250-REQUIRETLS\r\n250-DSN\r\n250 PIPELINING\r\n",
		"250-mx\r\n250-REQUIRETLS\r\n250-STARTTLS\r\n250-SIZE\r\n250 PIPELINING\r\n",
		"250 me.example\r\n"};
	const char *l = w->line;

	assert_true(!w->tls_agreed || w->tls_up); // TLS or nothing
	if (w->in_content) {
		if (strcmp(l, ".") == 0)
			content_end(w);
		return;
	}
	if (strncmp(l, w->lease.lmtp ? "LHLO" : "EHLO", 4) == 0) {
		// Mostly one that offers what there is.
		say(w, any(w, ehlos[draw(w, 2) == 0 ? draw(w, 8) : 6]));
	} else if (strcmp(l, "DATA") == 0) {
		const char *r =
			any(w, w->lease.lmtp && w->rcpts == 0 ? "503 5.5.1 no\r\n" : "354 go\r\n");
		w->in_content = r[0] == '3';
		say(w, r);
	} else if (strcmp(l, "STARTTLS") == 0) {
		say(w, any(w, "220 go\r\n"));
	} else if (strcmp(l, "QUIT") == 0) {
		w->quit = true;
		say(w, any(w, "221 bye\r\n"));
	} else {
		envelope_line(w, l);
	}
}

static void pull_some(struct world *w)
{
	struct pen_smtp_out out;

	for (uint64_t k = draw(w, 20); k > 0; k--) {
		if (!pen_smtp_client_pull(&w->client, 1 + (size_t)draw(w, 60), &out, w->now))
			return;
		assert_true(out.bytes.n > 0);
		for (size_t i = 0; i < out.bytes.n; i++) {
			assert_true(w->line_n < sizeof(w->line) - 1);
			w->line[w->line_n++] = (char)out.bytes.p[i];
			if (out.bytes.p[i] != '\n')
				continue;
			assert_true(w->line_n >= 2 && w->line[w->line_n - 2] == '\r');
			w->line[w->line_n - 2] = '\0';
			w->line_n = 0;
			server_line(w);
		}
	}
}

static void reply_some(struct world *w)
{
	size_t n = (size_t)draw(w, w->reply_n + 1);

	pen_smtp_client_feed(&w->client, (const uint8_t *)w->reply, n, w->now);
	memmove(w->reply, w->reply + n, w->reply_n - n);
	w->reply_n -= n;
}

static void shake_hands(struct world *w)
{
	bool matched = draw(w, 4) > 0;

	w->tls_asked = false;
	w->lease.tls_peer = (struct pen_tls_peer){.certificate = draw(w, 8) > 0,
		.matched = matched,
		.tlsa_unusable = !matched && draw(w, 2) == 0};
	if (draw(w, 4) > 0) {
		w->tls_up = true;
		w->reply_n = 0; // plaintext that was on its way
		if (w->policy.wrapper)
			say(w, any(w, "220 mx\r\n"));
		pen_smtp_client_tls_up(&w->client, w->now);
	} else {
		pen_smtp_client_tls_failed(&w->client, "handshake failed", w->now);
	}
}

static void step(struct world *w)
{
	if (w->tls_asked && draw(w, 4) > 0) {
		shake_hands(w);
		return;
	}
	switch (draw(w, 24)) {
	case 0:
		if (w->rude && draw(w, 20) == 0)
			pen_smtp_client_eof(&w->client, w->now);
		break;
	case 1:
		// Rarely, or few sessions would get far.
		if (draw(w, 40) == 0)
			w->now = pen_smtp_client_deadline(&w->client);
		pen_smtp_client_tick(&w->client, w->now);
		break;
	case 2:
		w->now += (pen_time_us)draw(w, PEN_US_PER_S);
		pen_smtp_client_tick(&w->client, w->now);
		break;
	case 3:
		pen_smtp_client_wake(&w->client, w->now);
		break;
	case 4:
		if (draw(w, 8) == 0)
			pen_smtp_client_close(&w->client, w->now);
		break;
	case 5:
		if (w->rude && draw(w, 20) == 0)
			say(w, any(w, "421 sudden\r\n"));
		break;
	case 6:
		pen_smtp_client_dot_acked(&w->client);
		break;
	default:
		if (draw(w, 2) == 0)
			pull_some(w);
		else
			reply_some(w);
	}
}

// False: the policy does not let the host be tried.
static bool world_init(struct world *w, uint64_t seed)
{
	static const enum pen_tls_level levels[] = {PEN_TLS_NONE, PEN_TLS_MAY, PEN_TLS_MAY,
		PEN_TLS_ENCRYPT, PEN_TLS_DANE, PEN_TLS_SECURE};
	static const char *const contents[] = {"", "x\r\n", "..\r\n.\r\n\r\n.", "no end",
		"one line of some length\r\n.two\r\nthree\r\n",
		"a content that is longer than the limit of the one server that has a limit\r\n"};

	memset(w, 0, sizeof(*w));
	pen_rand_seed(&w->rnd, seed);
	w->rude = draw(w, 2) == 0;
	w->now = 1;
	w->lease.helo = w->lease.helo6 = "me.example";
	w->lease.host[0].name = "mx";
	w->lease.nhosts = 1;
	w->lease.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT;
	w->rules = PEN_SMTP_RULES_DEFAULT;
	w->rules.block_early_reply = draw(w, 2) == 0;
	w->lease.rules = &w->rules;
	w->lease.plain_retry = draw(w, 2) == 0;
	w->lease.lmtp = draw(w, 4) == 0;
	w->lease.smtputf8 = draw(w, 16) == 0;
	w->policy.level = levels[draw(w, sizeof(levels) / sizeof(levels[0]))];
	w->policy.wrapper = w->policy.level > PEN_TLS_MAY && draw(w, 8) == 0;
	w->policy.requiretls =
		draw(w, 2) == 0 ? PEN_REQUIRETLS_DISABLE : (enum pen_requiretls)draw(w, 4);
	w->policy.requiretls_strict = true;
	w->lease.host[0].tls = &w->policy;
	w->lease.host[0].port = 25;
	w->lease.max_messages = (uint32_t)draw(w, 4);
	w->ndeliveries = (unsigned)draw(w, DELIVERIES + 1);
	for (unsigned i = 0; i < w->ndeliveries; i++) {
		uint32_t n = 1 + (uint32_t)draw(w, RCPTS);
		struct pen_delivery *d = calloc(1, sizeof(*d) + n * sizeof(d->rcpt[0]));
		d->id = i;
		d->lease = &w->lease;
		d->sender = PEN_SPAN_LIT("sender@a.example");
		d->content = pen_span_cstr(contents[draw(w, 6)]);
		d->eight_bit = draw(w, 2) == 0;
		d->nrcpt = n;
		d->envid = pen_span_cstr(draw(w, 2) == 0 ? "" : "an+2Benvelope");
		d->ret = (uint8_t)draw(w, 3);
		for (uint32_t k = 0; k < n; k++) {
			d->rcpt[k].addr = PEN_SPAN_LIT("rcpt@b.example");
			d->rcpt[k].notify = (uint8_t)draw(w, 16);
		}
		w->delivery[i] = d;
	}
	pen_attempt_init(&w->attempt, &w->lease);
	if (!pen_attempt_next(&w->attempt))
		return false;
	pen_smtp_client_init(&w->client, &w->lease, false, &callbacks, w, &w->ctr, w->now);
	if (!w->policy.wrapper)
		say(w, any(w, "220 mx\r\n"));
	return true;
}

// Over all runs: the test is worth something only if much happens in it.
static struct pen_smtp_client_counters total;

static void run(uint64_t seed)
{
	static struct world w;
	unsigned steps = 0;

	bool begun = world_init(&w, seed);
	while (begun && w.ended == 0) {
		pen_time_us deadline = pen_smtp_client_deadline(&w.client);
		assert_true(deadline != PEN_TIME_NEVER);
		if (++steps > 100000)
			fail_msg("seed %llu never ends", (unsigned long long)seed);
		step(&w);
	}
	if (begun) {
		assert_true(pen_smtp_client_ended(&w.client));
		assert_int_equal(pen_smtp_client_deadline(&w.client), PEN_TIME_NEVER);
		assert_int_equal(w.ctr.sessions_clean + w.ctr.sessions_failed, 1);
		if (pen_smtp_client_how(&w.client) == PEN_ATTEMPT_RETRY_PLAIN)
			assert_true(w.policy.level == PEN_TLS_MAY && w.lease.plain_retry &&
				    w.policy.requiretls < PEN_REQUIRETLS_STARTTLS);
	}
	for (unsigned i = 0; i < w.ndeliveries; i++) {
		if (w.done[i] != (i < w.next ? 1u : 0u))
			fail_msg("seed %llu: delivery %u reported %u times",
				(unsigned long long)seed, i, w.done[i]);
		free(w.delivery[i]);
	}
	assert_true(w.lease.max_messages == 0 || w.lease.messages <= w.lease.max_messages);
	const struct pen_counter_set one = pen_smtp_client_counter_set(&w.ctr);
	for (uint32_t i = 0; i < one.n; i++)
		((uint64_t *)&total)[i] += one.value[i];
}

static void whatever_the_server_does_each_delivery_is_reported_once(void **state)
{
	(void)state;
	uint64_t seed = pen_test_seed();

	for (unsigned i = 0; i < 20000; i++)
		run(seed + i);
	const struct pen_counter_set sum = pen_smtp_client_counter_set(&total);
	for (uint32_t i = 0; i < sum.n; i++) {
		if (sum.value[i] == 0)
			fail_msg("nothing counted as %s", sum.desc[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whatever_the_server_does_each_delivery_is_reported_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
