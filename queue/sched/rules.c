// SPDX-License-Identifier: BSD-3-Clause

// What replies and TCP tell the automation of egress.conf, and what it orders.
#include "rules.h"
#include "core.h"

#define SEGMENTS_MIN 50 // before a share of retransmissions says something

void rules_match(
	struct pen_sched *s, struct result *r, const struct pen_dsn *d, struct pen_sched_match *out)
{
	const struct site *site = r->site;

	*out = (struct pen_sched_match){.klass = NULL};
	if (s->ops.match == NULL || d->klass == 2 || site == NULL)
		return;
	if (site->shape != NULL)
		s->ops.match(s->ctx, d, pen_shape_site_provider(site->shape),
			pen_shape_site_name(site->shape), out);
	else
		s->ops.match(s->ctx, d, "", pen_span(site->key, site->key_len), out);
	if (out->klass != NULL)
		r->match = out;
}

static void obey(struct pen_sched *s, struct lease *l, const struct pen_shape_effect *effect,
	const struct pen_dsn *d)
{
	struct site *site = l->pub.site;

	if (effect->rules == 0)
		return;
	site_limits(s, site);
	if (effect->bounce_queue)
		site_condemn(s, site, d);
}

void rules_reply(struct pen_sched *s, struct lease *l, struct pen_shape_class *k,
	const struct pen_sched_match *match, const struct pen_dsn *d)
{
	struct pen_shape_effect effect = {.rules = 0};

	if (l->conn.site == NULL || match->nrules == 0)
		return;
	pen_shape_reply(s->cfg.shape, &l->conn, k, match->rule, match->nrules, s->now, &effect);
	obey(s, l, &effect, d);
}

static void tell(struct pen_sched *s, struct lease *l, enum pen_shape_signal signal, uint32_t value,
	const char *what)
{
	struct pen_shape_effect effect = {.rules = 0};
	struct pen_dsn d;

	pen_shape_signal(s->cfg.shape, &l->conn, signal, value, s->now, &effect);
	if (effect.rules == 0)
		return;
	pen_dsn_set(&d, 4, 4, 2, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"a rule ends the mail for this site: %s", what);
	obey(s, l, &effect, &d);
}

static void tell_retransmits(struct pen_sched *s, struct lease *l)
{
	const struct pen_transport_signs *now = &l->pub.signs;
	uint32_t segments = now->segments - l->told.segments;
	uint32_t again = now->retransmitted - l->told.retransmitted;

	if (segments < SEGMENTS_MIN)
		return;
	l->told.segments = now->segments;
	l->told.retransmitted = now->retransmitted;
	tell(s, l, PEN_SIGNAL_RETRANSMITS, (uint32_t)((uint64_t)again * 100 / segments),
		"too many segments are lost");
}

void rules_signs(struct pen_sched *s, struct lease *l, const struct pen_delivery *d)
{
	const struct pen_transport_signs *now = &l->pub.signs;
	struct pen_transport_signs *told = &l->told;

	if (now->connect_timeout && !told->connect_timeout) {
		told->connect_timeout = true;
		tell(s, l, PEN_SIGNAL_CONNECT_TIMEOUT, 1, "connections time out");
	}
	if (now->refused && !told->refused) {
		told->refused = true;
		tell(s, l, PEN_SIGNAL_REFUSED, 1, "connections are refused");
	}
	if (now->reset && !told->reset) {
		told->reset = true;
		tell(s, l, PEN_SIGNAL_RESET, 1, "sessions are reset");
	}
	if (now->zero_windows != told->zero_windows) {
		told->zero_windows = now->zero_windows;
		tell(s, l, PEN_SIGNAL_ZERO_WINDOW, now->zero_windows, "it stops reading");
	}
	tell_retransmits(s, l);
	if (d != NULL && d->dot_at != 0 && d->done_at > d->dot_at)
		tell(s, l, PEN_SIGNAL_LATENCY, (uint32_t)((d->done_at - d->dot_at) / PEN_US_PER_MS),
			"its replies are slow");
}
