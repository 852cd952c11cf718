// SPDX-License-Identifier: BSD-3-Clause

// The receivers: an SMTP server for each address of host 1, in a mood that changes with time.

#include "sim.h"

#include "pen_err.h"
#include "pen_smtp_server.h"

#include <stdlib.h>
#include <string.h>

#define IDLE_LIMIT (300 * PEN_US_PER_S)

enum sim_mood { // of a site, for some minutes
	MOOD_GOOD,
	MOOD_SLOW,      // replies take their time
	MOOD_WEARY,     // many 4xx
	MOOD_STERN,     // many 5xx
	MOOD_BUSY,      // 421, connections dropped
	MOOD_FORGETFUL, // takes mail and does not answer
	MOOD_GONE,      // refuses connections
	MOOD_DARK,      // no packet comes through
	MOODS,
};

struct sim_peer {
	struct sim_peer *next, **at;
	struct sim *s;
	struct pen_tcp_conn *c;
	struct pen_smtp_server smtp;
	uint32_t site, epoch;
	struct pen_buf content;
	char rcpt[SIM_RCPTS][64];
	uint32_t nrcpt;
	pen_time_us answer_at; // a reply to the dot is owed; NEVER: none
	char answer[80];
	pen_time_us open_window_at;
	bool closing, mute;
};

static struct pen_smtp_server_config smtp_cfg = {.hostname = "mx.sim.test",
	.banner = "ESMTP",
	.max_recipients = 1000,
	.soft_error_limit = 100,
	.hard_error_limit = 100,
	.timeout = IDLE_LIMIT,
	.offer_pipelining = true,
	.offer_8bitmime = true,
	.offer_enhanced = true};
static struct pen_smtp_server_counters smtp_ctr;

static struct sim_site *site_of(struct sim_peer *p)
{
	struct sim *s = p->s;
	struct sim_site *site = &s->site[p->site];

	if (sim_now(s) >= site->mood_until) {
		site->mood = sim_trouble(s, 2) ? sim_below(s, MOODS) : MOOD_GOOD;
		site->mood_until = sim_now(s) + PEN_US_PER_S * (5 + sim_below(s, 1200));
		bool dark = site->mood == MOOD_DARK;
		s->faults.blackouts += dark && !site->dark;
		site->dark = dark;
		site->was_dark = site->was_dark || dark;
	}
	if (sim_now(s) >= s->calm_at) {
		site->mood = MOOD_GOOD;
		site->dark = false;
	}
	return site;
}

// In this mood one in `often` times, otherwise one in `seldom`.
static bool inclined(struct sim_peer *p, enum sim_mood mood, uint32_t often, uint32_t seldom)
{
	return sim_trouble(p->s, site_of(p)->mood == mood ? often : seldom);
}

static enum pen_smtp_verdict refuse(struct sim_peer *p, const char *soft, const char *hard)
{
	if (inclined(p, MOOD_BUSY, 8, 400)) {
		p->s->faults.replies_421++;
		p->closing = true;
		pen_smtp_server_reply(&p->smtp, "421 4.3.2 busy");
	} else if (inclined(p, MOOD_WEARY, 3, 60)) {
		p->s->faults.replies_4xx++;
		pen_smtp_server_reply(&p->smtp, "%s", soft);
	} else if (inclined(p, MOOD_STERN, 3, 80)) {
		p->s->faults.replies_5xx++;
		pen_smtp_server_reply(&p->smtp, "%s", hard);
	} else {
		return PEN_SMTP_OK;
	}
	return PEN_SMTP_REPLY;
}

static enum pen_smtp_verdict on_connect(void *ctx)
{
	return refuse(ctx, "421 4.3.2 not now", "421 4.3.2 not ever");
}

static enum pen_smtp_verdict on_helo(void *ctx, struct pen_span name, bool ehlo)
{
	(void)ctx, (void)name, (void)ehlo;
	return PEN_SMTP_OK;
}

static enum pen_smtp_verdict on_mail(void *ctx, const struct pen_smtp_mail *m)
{
	struct sim_peer *p = ctx;

	(void)m;
	p->nrcpt = 0;
	pen_buf_reset(&p->content);
	if (p->epoch == p->s->epoch)
		sim_shape_mail(p->s, p->site);
	return refuse(p, "451 4.7.1 not now", "550 5.7.1 not you");
}

static enum pen_smtp_verdict on_rcpt(void *ctx, const struct pen_smtp_rcpt *r)
{
	struct sim_peer *p = ctx;
	enum pen_smtp_verdict v = refuse(p, "450 4.2.1 try later", "550 5.1.1 no such user");

	if (v == PEN_SMTP_OK) {
		PEN_ASSERT(p->nrcpt < SIM_RCPTS && r->addr.n < sizeof(p->rcpt[0]));
		memcpy(p->rcpt[p->nrcpt], r->addr.p, r->addr.n);
		p->rcpt[p->nrcpt++][r->addr.n] = '\0';
	}
	return v;
}

static enum pen_smtp_verdict on_data(void *ctx)
{
	return refuse(ctx, "451 4.3.0 no room", "554 5.7.1 no data from you");
}

static void on_content(void *ctx, struct pen_span piece)
{
	struct sim_peer *p = ctx;

	pen_buf_add(&p->content, piece.p, piece.n);
	PEN_ASSERT(!p->content.failed);
}

static void close_windows(struct sim_peer *p)
{
	if (!inclined(p, MOOD_SLOW, 40, 2000))
		return;
	p->s->faults.windows_closed++;
	pen_tcp_set_rx_window(p->c, 0, sim_now(p->s));
	p->open_window_at = sim_now(p->s) + PEN_US_PER_S * (1 + sim_below(p->s, 200));
}

static enum pen_smtp_verdict on_message(void *ctx, bool too_big)
{
	struct sim_peer *p = ctx;
	struct sim *s = p->s;
	enum pen_smtp_verdict v = refuse(p, "451 4.3.0 queue full", "554 5.6.0 bad content");

	(void)too_big;
	if (v != PEN_SMTP_OK)
		return v;
	for (uint32_t i = 0; i < p->nrcpt; i++)
		sim_ledger_received(
			s, pen_span_cstr(p->rcpt[i]), pen_buf_span(&p->content), p->site);
	if (inclined(p, MOOD_FORGETFUL, 3, 300)) {
		s->faults.replies_withheld++;
		if (sim_below(s, 2) == 0)
			return PEN_SMTP_DROP;
		p->mute = true;
		return PEN_SMTP_PENDING;
	}
	if (!inclined(p, MOOD_SLOW, 2, 50))
		return PEN_SMTP_OK;
	s->faults.replies_slow++;
	p->answer_at = sim_now(s) + PEN_US_PER_S * sim_below(s, 500);
	return PEN_SMTP_PENDING;
}

static void on_reset(void *ctx)
{
	(void)ctx;
}

static void on_close(void *ctx)
{
	((struct sim_peer *)ctx)->closing = true;
}

static const struct pen_smtp_server_callbacks smtp_callbacks = {.on_connect = on_connect,
	.on_helo = on_helo,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_message = on_message,
	.on_reset = on_reset,
	.on_close = on_close};

static void flush(struct sim_peer *p)
{
	if (p->smtp.out.n > 0 && !p->mute) {
		uint32_t took = pen_tcp_write_copy(p->c, p->smtp.out.p, (uint32_t)p->smtp.out.n);
		pen_smtp_server_consume(&p->smtp, took);
		pen_tcp_flush(p->c, sim_now(p->s));
	}
	if (p->closing && p->smtp.out.n == 0)
		pen_tcp_close(p->c, sim_now(p->s));
}

// ---- TCP ----

static void *tcp_accept(void *listen_ctx, struct pen_tcp_conn *c)
{
	struct sim *s = listen_ctx;
	struct pen_tcp_info info;
	struct sim_peer *p = calloc(1, sizeof(*p));

	PEN_ASSERT(p != NULL);
	pen_tcp_get_info(c, &info);
	*p = (struct sim_peer){.s = s,
		.c = c,
		.epoch = s->epoch,
		.answer_at = PEN_TIME_NEVER,
		.open_window_at = PEN_TIME_NEVER,
		.next = s->peers,
		.at = &s->peers};
	p->site = (uint32_t)(info.local.ip[3] - 2u);
	PEN_ASSERT(p->site < SIM_SITES);
	if (site_of(p)->mood == MOOD_GONE || inclined(p, MOOD_BUSY, 3, 100)) {
		s->faults.connections_dropped++;
		free(p);
		return NULL;
	}
	if (s->peers != NULL)
		s->peers->at = &p->next;
	s->peers = p;
	s->site[p->site].open++;
	sim_shape_opened(s, p->site);
	pen_smtp_server_init(&p->smtp, &smtp_cfg, &smtp_callbacks, p, &smtp_ctr, sim_now(s));
	return p;
}

static void tcp_connected(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	(void)ctx, (void)c, (void)now;
}

static uint32_t tcp_data(
	void *ctx, struct pen_tcp_conn *c, const uint8_t *b, uint32_t n, pen_time_us now)
{
	struct sim_peer *p = ctx;

	(void)c;
	if (p->closing)
		return n;
	uint32_t used = (uint32_t)pen_smtp_server_feed(&p->smtp, b, n, now);
	if (p->open_window_at == PEN_TIME_NEVER)
		close_windows(p);
	return used;
}

static void tcp_peer_fin(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	(void)c, (void)now;
	((struct sim_peer *)ctx)->closing = true;
}

static void tcp_writable(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now)
{
	(void)ctx, (void)c, (void)acked, (void)now;
}

static void peer_end(struct sim_peer *p)
{
	*p->at = p->next;
	if (p->next != NULL)
		p->next->at = p->at;
	if (p->epoch == p->s->epoch)
		p->s->site[p->site].open--;
	pen_smtp_server_fini(&p->smtp);
	pen_buf_fini(&p->content);
	free(p);
}

static void tcp_closed(void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	(void)c, (void)why, (void)now;
	peer_end(ctx);
}

const struct pen_tcp_callbacks sim_peer_callbacks = {
	tcp_accept, tcp_connected, tcp_data, tcp_peer_fin, tcp_writable, tcp_closed};

void sim_peer_listen(struct sim *s)
{
	PEN_ASSERT(pen_tcp_listen(s->net->host[1].tcp, 25, s) == 0);
}

static void peer_due(struct sim_peer *p)
{
	struct sim *s = p->s;

	if (sim_now(s) >= p->answer_at) {
		p->answer_at = PEN_TIME_NEVER;
		pen_smtp_server_reply(&p->smtp, "250 2.0.0 taken");
		pen_tcp_resume(p->c, sim_now(s));
	}
	if (sim_now(s) >= p->open_window_at) {
		p->open_window_at = PEN_TIME_NEVER;
		pen_tcp_set_rx_window(p->c, 65536, sim_now(s));
		pen_tcp_resume(p->c, sim_now(s));
	}
	pen_smtp_server_tick(&p->smtp, sim_now(s));
}

pen_time_us sim_peer_step(struct sim *s)
{
	pen_time_us next = PEN_TIME_NEVER;

	for (struct sim_peer *p = s->peers, *after; p != NULL; p = after) {
		after = p->next;
		peer_due(p);
		next = pen_time_min(next, pen_time_min(p->answer_at, p->open_window_at));
		next = pen_time_min(next, pen_smtp_server_deadline(&p->smtp));
		flush(p);
	}
	return next;
}

void sim_peer_free(struct sim *s)
{
	while (s->peers != NULL)
		peer_end(s->peers);
}
