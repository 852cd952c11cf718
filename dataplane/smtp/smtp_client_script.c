// SPDX-License-Identifier: BSD-3-Clause
#include "smtp_client_script.h"

#include "pen_test.h"

#define EVENTS 64
#define DELIVERIES 8

struct script {
	const char *name;
	const char *at; // the line that runs
	size_t feed_step, pull_max;
	const struct smtp_script_options *opt;
	struct pen_smtp_rules rules;
	struct pen_attempt attempt;
	struct pen_lease lease;
	struct pen_tls_peer tls_peer;
	struct pen_smtp_client client;
	pen_time_us now;
	bool hold, ended;
	char wire[1 << 16];
	size_t wire_n, wire_at;
	char event[EVENTS][600];
	unsigned nevent, event_at;
	struct pen_delivery *offered[DELIVERIES];
	struct pen_delivery *taken[DELIVERIES];
	char names[DELIVERIES][8];
	char addrs[DELIVERIES][16][32];
	unsigned noffered, next, ntaken, ndone, ndots;
};

#define CHECK(s, cond, ...)                                                                        \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s (feed %zu, pull %zu) at '%s': ", (s)->name,            \
				(s)->feed_step, (s)->pull_max, (s)->at);                           \
			fprintf(stderr, __VA_ARGS__);                                              \
			fprintf(stderr, "\n");                                                     \
			fail();                                                                    \
		}                                                                                  \
	} while (0)

__attribute__((format(printf, 2, 3))) static void note(struct script *s, const char *fmt, ...)
{
	va_list ap;

	CHECK(s, s->nevent < EVENTS, "too many events");
	va_start(ap, fmt);
	vsnprintf(s->event[s->nevent++], sizeof(s->event[0]), fmt, ap);
	va_end(ap);
}

static struct pen_delivery *next_delivery(void *ctx)
{
	struct script *s = ctx;

	return s->next < s->noffered ? s->offered[s->next++] : NULL;
}

static void on_ready(void *ctx, pen_time_us now)
{
	struct script *s = ctx;

	CHECK(s, s->lease.ready && s->lease.ready_at == now, "lease is not ready");
	note(s, "ready tls=%d size=%llu", s->lease.tls, (unsigned long long)s->lease.size_limit);
}

static void on_starttls(void *ctx, pen_time_us now)
{
	(void)now;
	note(ctx, "starttls");
}

static void on_delivery_done(void *ctx, struct pen_delivery *d, pen_time_us now)
{
	struct script *s = ctx;
	static const char scopes[] = "RMS";

	CHECK(s, !s->ended, "done after the end");
	CHECK(s, d->message != NULL, "delivery reported twice");
	CHECK(s, d->done_at == now, "done_at");
	CHECK(s, !d->attempted || (d->dot != PEN_DOT_NOT_SENT) == (d->dot_at != 0), "dot_at");
	CHECK(s, d->dot_at == 0 || (d->dot_at >= d->started_at && d->dot_at <= now), "dot_at");
	note(s, "done %s tried=%d dot=%d use=%u", (char *)d->message, d->attempted, d->dot,
		d->conn_use);
	d->message = NULL;
	s->ndone++;
	for (uint32_t i = 0; d->attempted && i < d->nrcpt; i++) {
		const struct pen_dsn *r = &d->rcpt[i].result;
		CHECK(s, r->klass != 0, "recipient %u has no result", i);
		CHECK(s, r->text_len == strlen(r->text), "text_len");
		note(s, "rcpt %u.%u.%u %c %s", r->klass, r->subject, r->detail, scopes[r->scope],
			r->text);
	}
}

static void on_end(void *ctx, const struct pen_dsn *r, pen_time_us now)
{
	struct script *s = ctx;

	(void)now;
	CHECK(s, !s->ended, "ended twice");
	s->ended = true;
	note(s, "end %u.%u.%u %s", r->klass, r->subject, r->detail, r->text);
}

static const struct pen_smtp_client_callbacks callbacks = {
	.next_delivery = next_delivery,
	.on_ready = on_ready,
	.on_starttls = on_starttls,
	.on_delivery_done = on_delivery_done,
	.on_end = on_end,
};

static bool pull_one(struct script *s, size_t max)
{
	struct pen_smtp_out out;

	if (!pen_smtp_client_pull(&s->client, max, &out, s->now))
		return false;
	CHECK(s, out.bytes.n > 0 && out.bytes.n <= max, "pulled %zu bytes", out.bytes.n);
	CHECK(s, s->wire_n + out.bytes.n <= sizeof(s->wire), "wire is full");
	memcpy(s->wire + s->wire_n, out.bytes.p, out.bytes.n);
	s->wire_n += out.bytes.n;
	if (out.final_dot) {
		s->ndots++;
		CHECK(s, s->wire_n >= 3 && memcmp(s->wire + s->wire_n - 3, ".\r\n", 3) == 0,
			"final_dot");
	}
	return true;
}

static void settle(struct script *s)
{
	while (!s->hold && pull_one(s, s->pull_max))
		;
	CHECK(s, pen_smtp_client_ended(&s->client) == s->ended, "ended() and on_end differ");
	CHECK(s, s->ended == (pen_smtp_client_deadline(&s->client) == PEN_TIME_NEVER),
		"a living session needs a deadline");
}

static void feed(struct script *s, const char *text, size_t n)
{
	for (size_t at = 0; at < n; at += s->feed_step) {
		size_t piece = n - at < s->feed_step ? n - at : s->feed_step;
		// An exact-size copy: reads past the piece are seen by ASan.
		uint8_t *copy = malloc(piece);
		memcpy(copy, text + at, piece);
		pen_smtp_client_feed(&s->client, copy, piece, s->now);
		free(copy);
		settle(s);
	}
}

static void expect_line(struct script *s, const char *want)
{
	const char *from = s->wire + s->wire_at;
	const char *lf = memchr(from, '\n', s->wire_n - s->wire_at);

	CHECK(s, lf != NULL, "nothing was sent; left: '%.*s'", (int)(s->wire_n - s->wire_at), from);
	size_t n = (size_t)(lf - from) + 1;
	CHECK(s, n >= 2 && n - 2 == strlen(want) && memcmp(from, want, n - 2) == 0, "sent '%.*s'",
		(int)n, from);
	s->wire_at += n;
}

static void expect_event(struct script *s, const char *want)
{
	size_t n = strlen(want);

	CHECK(s, s->event_at < s->nevent, "no event");
	const char *got = s->event[s->event_at++];
	bool same = n > 0 && want[n - 1] == '*' ? strncmp(got, want, n - 1) == 0
						: strcmp(got, want) == 0;
	CHECK(s, same, "event was '%s'", got);
}

static void offer(struct script *s, const char *arg)
{
	unsigned k = s->noffered++, nrcpt;
	char flag;
	int used = 0;

	CHECK(s, k < DELIVERIES, "too many deliveries");
	int got = sscanf(arg, "%7s %u %c%n", s->names[k], &nrcpt, &flag, &used);
	CHECK(s, got == 3 && nrcpt <= 16, "bad D line");
	const char *content = arg[used] == ' ' ? arg + used + 1 : "";
	struct pen_delivery *d = calloc(1, sizeof(*d) + nrcpt * sizeof(d->rcpt[0]));
	d->message = s->names[k];
	d->lease = &s->lease;
	d->sender = PEN_SPAN_LIT("s@a.example");
	d->content = pen_span_cstr(content);
	d->eight_bit = flag == '8';
	d->nrcpt = nrcpt;
	for (unsigned i = 0; i < nrcpt; i++) {
		snprintf(s->addrs[k][i], sizeof(s->addrs[k][i]), "r%u@b.example", i);
		d->rcpt[i].addr = pen_span_cstr(s->addrs[k][i]);
		d->rcpt[i].orcpt = pen_span_cstr(s->opt->orcpt);
		d->rcpt[i].notify = s->opt->notify[i % 2];
	}
	d->envid = pen_span_cstr(s->opt->envid);
	d->ret = s->opt->ret;
	s->offered[k] = d;
	pen_smtp_client_wake(&s->client, s->now);
}

static void expect_text(struct script *s, const char *what, const char *got, const char *want)
{
	CHECK(s, strcmp(got, want) == 0, "%s was '%s'", what, got);
}

static void describe_peer(struct script *s, const char *words)
{
	bool matched = strstr(words, "matched") != NULL;

	s->tls_peer = (struct pen_tls_peer){.certificate = strstr(words, "none") == NULL,
		.trusted = strstr(words, "trusted") != NULL,
		.matched = matched,
		.tlsa_unusable = strstr(words, "unusable") != NULL,
		.failure = matched ? PEN_TLSRPT_NONE : PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH};
}

// What the script asks about the session; false: not one of these letters.
static bool run_check(struct script *s, char letter, const char *arg)
{
	static const char *const hows[] = {"end", "retry", "passed"};
	const struct pen_lease_host *h = &s->lease.host[0];
	char text[PEN_TLS_FIELD_MAX + 64];

	switch (letter) {
	case 'A':
		expect_text(s, "how", hows[pen_smtp_client_how(&s->client)], arg);
		return true;
	case 'B':
		pen_tls_field_str(&s->lease.tls_field, text);
		expect_text(s, "tls field", text, arg);
		return true;
	case 'M':
		snprintf(text, sizeof(text), "%s%s%s",
			pen_tlsrpt_result_name((enum pen_tlsrpt_result)h->tls_event),
			h->tls_reason != NULL ? " " : "",
			h->tls_reason != NULL ? h->tls_reason : "");
		expect_text(s, "event", text, arg);
		return true;
	case 'V':
		describe_peer(s, arg);
		return true;
	default:
		return false;
	}
}

static void run_line(struct script *s, const char *line)
{
	const char *arg = strstr(line, ": ");

	s->at = line;
	arg = arg != NULL ? arg + 2 : "";
	if (run_check(s, line[0], arg))
		return;
	switch (line[0]) {
	case 'S':
		// One feed, so that whole pieces stay whole.
		if (line[1] != '-') {
			char text[8192];
			snprintf(text, sizeof(text), "%s\r\n", arg);
			feed(s, text, strlen(text));
		} else {
			feed(s, arg, strlen(arg));
		}
		break;
	case 'C':
		expect_line(s, arg);
		return;
	case 'E':
		expect_event(s, arg);
		return;
	case 'D':
		offer(s, arg);
		break;
	case 'T':
		s->now += (pen_time_us)atoi(arg) * PEN_US_PER_S;
		pen_smtp_client_tick(&s->client, s->now);
		break;
	case 'L': {
		pen_time_us left = pen_smtp_client_deadline(&s->client) - s->now;
		CHECK(s, left == (pen_time_us)atoi(arg) * PEN_US_PER_S, "time left: %lld us",
			(long long)left);
		break;
	}
	case 'W':
		pen_smtp_client_wake(&s->client, s->now);
		break;
	case 'Q':
		pen_smtp_client_close(&s->client, s->now);
		break;
	case 'X':
		pen_smtp_client_eof(&s->client, s->now);
		break;
	case 'F':
		s->lease.tls_peer = s->tls_peer;
		pen_smtp_client_tls_failed(&s->client, arg, s->now);
		break;
	case 'K':
		pen_smtp_client_dot_acked(&s->client);
		break;
	case 'U':
		s->lease.tls_peer = s->tls_peer;
		pen_smtp_client_tls_up(&s->client, s->now);
		break;
	case 'H':
		s->hold = true;
		break;
	case 'G':
		s->hold = false;
		break;
	case 'N':
		CHECK(s, s->wire_at == s->wire_n, "sent '%.*s'", (int)(s->wire_n - s->wire_at),
			s->wire + s->wire_at);
		break;
	case 'R':
		pen_smtp_client_result_stored(&s->client);
		break;
	case 'P':
		CHECK(s, pull_one(s, (size_t)atoi(arg)), "nothing to pull");
		break;
	default:
		CHECK(s, false, "unknown line");
	}
	settle(s);
}

static void set_up(struct script *s, const struct smtp_script_options *opt)
{
	struct pen_lease_host *h = &s->lease.host[0];
	struct pen_tls_policy *policy = pen_tls_policy_plain(opt->tls, "mx");

	policy->requiretls = opt->requiretls;
	policy->requiretls_strict = true;
	policy->wrapper = opt->wrapper;
	snprintf(policy->nexthop, sizeof(policy->nexthop), "%s",
		opt->nexthop != NULL ? opt->nexthop : "");
	s->opt = opt;
	s->now = 1000 * PEN_US_PER_S;
	s->rules = PEN_SMTP_RULES_DEFAULT;
	s->rules.block_early_reply = opt->block_early;
	s->rules.skip_5xx_greeting = !opt->keep_5xx_greeting;
	s->rules.discard_keywords = opt->discard;
	s->lease.rules = &s->rules;
	s->lease.plain_retry = opt->plain_retry;
	s->lease.lmtp = opt->lmtp;
	s->lease.helo = opt->helo != NULL ? opt->helo : "me.example";
	s->lease.helo6 = "me6.example";
	h->name = "mx";
	h->tls = policy;
	h->addr = pen_addr_ip4(0xc0000201);
	h->port = 25;
	s->lease.nhosts = 1;
	s->lease.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT;
	s->lease.max_messages = opt->max_messages;
	s->lease.max_age = opt->max_age;
	s->lease.hold_dots = opt->hold_dots;
	describe_peer(s, "trusted matched");
	pen_attempt_init(&s->attempt, &s->lease);
	CHECK(s, pen_attempt_next(&s->attempt), "the policy forbids the host");
	if (opt->plain) {
		pen_attempt_ended(&s->attempt, PEN_ATTEMPT_RETRY_PLAIN, &s->lease.result);
		CHECK(s, pen_attempt_next(&s->attempt) && s->attempt.plain, "no plain retry");
	}
}

static void run_once(struct script *s, const struct smtp_script_options *opt,
	const char *const *script, struct pen_smtp_client_counters *ctr)
{
	struct pen_smtp_client_callbacks cb = callbacks;

	set_up(s, opt);
	if (opt->no_engine)
		cb.on_starttls = NULL;
	s->at = "init";
	pen_smtp_client_init(&s->client, &s->lease, s->attempt.plain, &cb, s, ctr, s->now);
	settle(s);
	for (; *script != NULL; script++)
		run_line(s, *script);
	s->at = "the end";
	CHECK(s, s->event_at == s->nevent, "unexpected event '%s'", s->event[s->event_at]);
	CHECK(s, s->wire_at == s->wire_n, "unexpected output '%.*s'", (int)(s->wire_n - s->wire_at),
		s->wire + s->wire_at);
	CHECK(s, s->ended, "the session lives");
	CHECK(s, s->ndone == s->next, "%u of %u deliveries reported", s->ndone, s->next);
	for (unsigned i = 0; i < s->noffered; i++)
		free(s->offered[i]);
	pen_tls_policy_unref(s->lease.host[0].tls);
}

void smtp_script_run(const char *name, const struct smtp_script_options *opt,
	const char *const *script, struct pen_smtp_client_counters *ctr)
{
	static const struct {
		size_t feed, pull;
	} steps[] = {{1 << 16, 1 << 16}, {1, 1}, {3, 7}, {1 << 16, 1}, {1, 1460}};

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct script *s = calloc(1, sizeof(*s));
		memset(ctr, 0, sizeof(*ctr));
		s->name = name;
		s->feed_step = steps[i].feed;
		s->pull_max = steps[i].pull;
		run_once(s, opt, script, ctr);
		free(s);
	}
}
