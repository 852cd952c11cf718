// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_smtp_client.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define DELIVERIES 3

struct world {
	struct pen_smtp_rules rules;
	struct pen_tls_policy policy;
	struct pen_attempt attempt;
	struct pen_lease lease;
	struct pen_smtp_client client;
	struct pen_smtp_client_counters ctr;
	struct pen_delivery *delivery[DELIVERIES];
	unsigned next, done[DELIVERIES], ended;
	bool tls;
};

static struct pen_delivery *next_delivery(void *ctx)
{
	struct world *w = ctx;

	return w->next < DELIVERIES ? w->delivery[w->next++] : NULL;
}

static void on_ready(void *ctx, pen_time_us now)
{
	(void)ctx;
	(void)now;
}

static void on_starttls(void *ctx, pen_time_us now)
{
	(void)now;
	((struct world *)ctx)->tls = true;
}

static void on_delivery_done(void *ctx, struct pen_delivery *d, pen_time_us now)
{
	struct world *w = ctx;

	(void)now;
	PEN_ASSERT(w->ended == 0 && w->done[d->id]++ == 0);
	for (uint32_t i = 0; d->attempted && i < d->nrcpt; i++)
		PEN_ASSERT(d->rcpt[i].result.klass != 0);
	free(d); // nothing may refer to it any more
}

static void on_end(void *ctx, const struct pen_dsn *result, pen_time_us now)
{
	struct world *w = ctx;

	(void)now;
	PEN_ASSERT(w->ended++ == 0 && result->klass != 0);
}

static const struct pen_smtp_client_callbacks callbacks = {
	.next_delivery = next_delivery,
	.on_ready = on_ready,
	.on_starttls = on_starttls,
	.on_delivery_done = on_delivery_done,
	.on_end = on_end,
};

// No mail without what the policy demands.
static void check_mail(const struct world *w)
{
	const struct pen_tls_policy *p = &w->policy;

	if (w->ctr.transactions == 0)
		return;
	PEN_ASSERT(w->lease.tls ||
		   !(pen_tls_required(p->level) || p->requiretls >= PEN_REQUIRETLS_STARTTLS));
	PEN_ASSERT(w->lease.tls_peer.matched || !pen_tls_must_match(p->level));
	PEN_ASSERT(p->requiretls != PEN_REQUIRETLS_ENFORCE ||
		   w->ctr.requiretls == w->ctr.transactions);
	PEN_ASSERT(w->ctr.requiretls == 0 || (w->lease.tls && p->requiretls > 0));
}

static void pull_all(struct world *w, size_t max, pen_time_us now)
{
	struct pen_smtp_out out;

	while (pen_smtp_client_pull(&w->client, max, &out, now)) {
		PEN_ASSERT(out.bytes.n > 0 && out.bytes.n <= max);
		for (size_t i = 0; i < out.bytes.n; i++)
			PEN_ASSERT(out.bytes.p[i] < 0x80);
	}
	check_mail(w);
}

// The first two bytes of the input.
static void configure(struct world *w, uint8_t a, uint8_t b)
{
	static const enum pen_tls_level levels[2][3] = {
		{PEN_TLS_NONE, PEN_TLS_MAY, PEN_TLS_ENCRYPT},
		{PEN_TLS_MAY, PEN_TLS_FINGERPRINT, PEN_TLS_SECURE}};

	w->policy.level = levels[(b >> 4) & 1][a % 3];
	w->policy.requiretls = (enum pen_requiretls)(b & 3);
	w->policy.requiretls_strict = true;
	w->policy.wrapper = (b & 8) != 0 && pen_tls_required(w->policy.level);
	w->rules = PEN_SMTP_RULES_DEFAULT;
	w->rules.block_early_reply = (b & 128) != 0;
	w->lease.rules = &w->rules;
	w->lease.lmtp = (b & 4) != 0;
	w->lease.plain_retry = (b & 128) != 0;
	w->lease.host[0].tls = &w->policy;
	w->lease.host[0].port = 25;
}

static void shake_hands(struct world *w, uint8_t b, pen_time_us now)
{
	w->tls = false;
	w->lease.tls_peer = (struct pen_tls_peer){.certificate = true, .matched = (b & 32) != 0};
	if (b & 64)
		pen_smtp_client_tls_failed(&w->client, "no cipher", now);
	else
		pen_smtp_client_tls_up(&w->client, now);
}

// The first two bytes choose policy and sizes; the rest is what the server says.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct world w;
	pen_time_us now = 1;

	if (size < 2)
		return 0;
	memset(&w, 0, sizeof(w));
	w.lease.helo = w.lease.helo6 = "me";
	w.lease.host[0].name = "mx";
	w.lease.nhosts = 1;
	w.lease.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT;
	configure(&w, data[0], data[1]);
	pen_attempt_init(&w.attempt, &w.lease);
	if (!pen_attempt_next(&w.attempt))
		return 0;
	for (unsigned i = 0; i < DELIVERIES; i++) {
		struct pen_delivery *d = calloc(1, sizeof(*d) + 2 * sizeof(d->rcpt[0]));
		PEN_ASSERT(d != NULL);
		d->id = i;
		d->nrcpt = 2;
		d->rcpt[0].addr = d->rcpt[1].addr = PEN_SPAN_LIT("r@b");
		d->content = PEN_SPAN_LIT(".a\r\n.\r\nb\r\n");
		d->eight_bit = i == 1;
		d->envid = PEN_SPAN_LIT("e+2B1");
		d->ret = PEN_RET_FULL;
		d->rcpt[0].orcpt = PEN_SPAN_LIT("rfc822;r+2B@b");
		d->rcpt[0].notify = PEN_NOTIFY_SUCCESS | PEN_NOTIFY_FAILURE;
		d->rcpt[1].notify = PEN_NOTIFY_NEVER;
		w.delivery[i] = d;
	}
	pen_smtp_client_init(&w.client, &w.lease, false, &callbacks, &w, &w.ctr, now);
	size_t step = 1u + (data[0] >> 4), max = data[0] & 8 ? 4 : 1000;
	if (w.tls)
		shake_hands(&w, data[1], now);
	for (size_t at = 2; at < size && w.ended == 0; at += step) {
		pull_all(&w, max, now);
		PEN_ASSERT(w.ended == (pen_smtp_client_deadline(&w.client) == PEN_TIME_NEVER));
		pen_smtp_client_feed(
			&w.client, data + at, size - at < step ? size - at : step, now++);
		if (w.tls && w.ended == 0)
			shake_hands(&w, data[1], now);
	}
	pull_all(&w, max, now);
	pen_smtp_client_eof(&w.client, now);
	PEN_ASSERT(w.ended == 1 && pen_smtp_client_ended(&w.client));
	for (unsigned i = 0; i < DELIVERIES; i++) {
		PEN_ASSERT(w.done[i] == (i < w.next));
		if (i >= w.next)
			free(w.delivery[i]);
	}
	return 0;
}
