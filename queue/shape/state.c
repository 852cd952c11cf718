// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <errno.h>
#include <stdio.h>

// What survives a restart, as lines of words:
//
//   penstock-shape 1 WALL
//   lost AGE
//   meter PERIOD KIND LIMIT NAME WHERE AGE:COUNT ... +COUNT
//   warmup NAME WHERE DAY COUNT
//   suspend SCOPE NAME AT UNTIL WHO BY REASON
//   backoff KIND NAME UNTIL LINE SHIPPED
//   limit KIND NAME UNTIL LINE SHIPPED GIVEN CONNECTIONS RATE RATE RATE MESSAGES RCPTS TIME
//
// Times are microseconds; AGE counts back from WALL. "+" is what is open or reserved: at
// the next start it counts as used then. Words are percent-encoded, "-" is the empty one.
//
// A meter that is not named has used nothing and may use one chunk (1/32 of its limit)
// before it is named: at the next start that is what it is taken to have used. So most
// sites need no line, and the first mail to a new one waits for no disk. "lost" says that
// at that time a state could not be read: what is not named may have used all before it.

const char *const shape_state_kinds[PEN_HELD_WARMUP + 1] = {[PEN_HELD_SITE] = "site",
	[PEN_HELD_PROVIDER] = "provider",
	[PEN_HELD_SOURCE] = "source",
	[PEN_HELD_SOURCE_AT_SITE] = "source-at-site",
	[PEN_HELD_SOURCE_AT_PROVIDER] = "source-at-provider",
	[PEN_HELD_POOL] = "pool",
	[PEN_HELD_TENANT] = "tenant",
	[PEN_HELD_CAMPAIGN] = "campaign",
	[PEN_HELD_WARMUP] = "warmup"};
const char *const shape_state_scopes[PEN_SUSPEND_SCOPES] = {
	"site", "domain", "tenant", "campaign", "source"};

// ---- words

void shape_state_word(struct pen_buf *b, struct pen_span s)
{
	static const char hex[] = "0123456789ABCDEF";

	pen_buf_add(b, " ", 1);
	if (s.n == 0)
		pen_buf_add(b, "-", 1);
	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (c > ' ' && c < 0x7f && c != '%' && !(c == '-' && s.n == 1)) {
			pen_buf_add(b, &c, 1);
			continue;
		}
		char out[3] = {'%', hex[c >> 4], hex[c & 15]};
		pen_buf_add(b, out, 3);
	}
}

// The words of KIND LIMIT NAME WHERE, the key of a meter.
void shape_state_key(
	struct pen_shape *sh, struct pen_buf *b, const struct pen_shape_node *n, const char *limit)
{
	struct pen_span where = PEN_SPAN_LIT("");
	const char *kind = n->kind == NODE_EFFECT ? "limit" : shape_state_kinds[n->kind];
	char line[40];

	if (n->kind == PEN_HELD_SOURCE_AT_SITE || n->kind == PEN_HELD_SOURCE_AT_PROVIDER ||
		n->kind == PEN_HELD_WARMUP) {
		const struct at_node *a = container(n, const struct at_node, node);
		where = a->at_provider
				? pen_span_cstr(((const struct provider *)a->where)->name)
				: pen_shape_site_name((const struct pen_shape_site *)a->where);
	} else if (n->kind == PEN_HELD_CAMPAIGN) {
		where = pen_span_cstr(container(n, const struct owner, node)->tenant);
	} else if (n->kind == NODE_EFFECT) {
		const struct effect *e = container(n, const struct effect, node);
		snprintf(line, sizeof(line), "%s:%u:%d", shape_state_kinds[e->on->kind], e->line,
			e->shipped);
		where = pen_span_cstr(line);
	}
	shape_state_word(b, pen_span_cstr(kind));
	shape_state_word(b, pen_span_cstr(limit));
	shape_state_word(b, shape_node_name(sh, n));
	shape_state_word(b, where);
}

// ---- saving

struct saver {
	struct pen_buf *out;
	pen_time_us now;
};

static void add_slot(void *ctx, pen_time_us ended, uint64_t n)
{
	struct saver *s = ctx;

	pen_buf_addf(s->out, " %lld:%llu", (long long)(s->now - ended), (unsigned long long)n);
}

const char *shape_state_limit(const struct meter *l)
{
	return shape_limit_word[LIMIT_CRATE + l->which];
}

static uint64_t reserve_next(struct pen_shape *sh, struct reserve *r, uint64_t limit)
{
	uint64_t n = shape_chunk(limit);

	// A save that was not confirmed may be on disk or not: both hold.
	if (sh->pending && r->next < r->left)
		r->left = r->next;
	if (r->want > n)
		n = r->want;
	if (r->left > n) // whoever waited for it may have to wait elsewhere first
		n = r->left;
	r->next = n < limit ? n : limit;
	r->want = 0;
	return r->next;
}

static void save_meter(struct pen_shape *sh, struct meter *l, struct pen_buf *out)
{
	struct saver s = {out, sh->now};
	uint64_t next = reserve_next(sh, &l->res, l->rate.count);
	uint64_t used = pen_meter_used(&l->m, &l->rate, sh->now);

	if (used == 0 && next <= shape_chunk(l->rate.count))
		return;
	pen_buf_addf(out, "meter %lld", (long long)l->rate.period);
	shape_state_key(sh, out, l->node, shape_state_limit(l));
	pen_meter_each(&l->m, &l->rate, sh->now, add_slot, &s);
	pen_buf_addf(out, " +%llu\n", (unsigned long long)(l->m.open + next));
}

static void save_warm(struct pen_shape *sh, struct at_node *a, struct pen_buf *out)
{
	uint64_t cap;

	if (!shape_warm_cap(sh, a, &cap))
		return;
	uint64_t used = shape_warm_used(sh, a), next = reserve_next(sh, &a->res, cap);
	if (used == 0)
		return;
	struct pen_span where = a->at_provider ? pen_span_cstr(((struct provider *)a->where)->name)
					       : pen_shape_site_name(a->where);
	pen_buf_addf(out, "warmup");
	shape_state_word(out, shape_node_name(sh, &a->node));
	shape_state_word(out, where);
	pen_buf_addf(out, " %lld %llu\n", (long long)a->day, (unsigned long long)(used + next));
}

static void save_restored(struct pen_shape *sh, struct pen_buf *out)
{
	for (uint32_t i = 0; i <= sh->restored.mask; i++) {
		for (struct hent *e = sh->restored.bucket[i]; e != NULL; e = e->next) {
			const struct restored *r = container(e, struct restored, hent);
			if (r->period == 0) { // a warm-up: the day stands for the time
				pen_buf_addf(out, "warmup%s %lld %llu\n", r->key,
					(long long)r->e[0].ended, (unsigned long long)r->e[0].n);
				continue;
			}
			pen_buf_addf(out, "meter %lld%s", (long long)r->period, r->key);
			for (uint32_t k = 0; k < r->n; k++) {
				if (r->e[k].ended + r->period > sh->now)
					pen_buf_addf(out, " %lld:%llu",
						(long long)(sh->now - r->e[k].ended),
						(unsigned long long)r->e[k].n);
			}
			pen_buf_addf(out, "\n");
		}
	}
}

static void save_suspension(const struct suspension *s, struct pen_buf *out)
{
	pen_buf_addf(out, "suspend %s", shape_state_scopes[s->scope]);
	shape_state_word(out, pen_span_cstr(s->name));
	shape_state_word(out, pen_span_cstr(s->where));
	pen_buf_addf(out, " %lld %s", (long long)s->until, s->rule ? "rule" : "operator");
	shape_state_word(out, pen_span_cstr(s->by));
	shape_state_word(out, pen_span_cstr(s->reason));
	pen_buf_add(out, "\n", 1);
}

static void save_limit(struct pen_buf *out, const char *kind, struct pen_span name,
	pen_wall_us until, uint32_t line, bool shipped, const struct pen_limits *l)
{
	const struct pen_rate *rate[3] = {&l->connection_rate, &l->message_rate, &l->byte_rate};
	char text[PEN_RATE_STR_MAX];

	pen_buf_addf(out, "limit %s", kind);
	shape_state_word(out, name);
	pen_buf_addf(out, " %lld %u %d %u %u", (long long)until, line, shipped, l->given,
		l->connections);
	for (unsigned i = 0; i < 3; i++)
		shape_state_word(out, pen_span_cstr(pen_rate_str(rate[i], text)));
	pen_buf_addf(out, " %u %u %lld\n", l->connection_messages, l->recipients,
		(long long)l->connection_time);
}

static void save_backoff(struct pen_buf *out, const char *kind, struct pen_span name,
	pen_wall_us until, uint32_t line, bool shipped)
{
	pen_buf_addf(out, "backoff %s", kind);
	shape_state_word(out, name);
	pen_buf_addf(out, " %lld %u %d\n", (long long)until, line, shipped);
}

static void save_effects(struct pen_shape *sh, struct pen_shape_node *n, struct pen_buf *out)
{
	if ((n->flags & (N_CALM | N_EXTRA)) == 0)
		return;
	if ((n->flags & N_CALM) && n->calm_at > sh->now)
		save_backoff(out, shape_state_kinds[n->kind], shape_node_name(sh, n),
			n->calm_at + sh->offset, n->calm_line, n->calm_shipped);
	for (struct effect *e = n->extra; e != NULL; e = e->next) {
		if (e->ends > sh->now)
			save_limit(out, shape_state_kinds[n->kind], shape_node_name(sh, n),
				e->ends + sh->offset, e->line, e->shipped, &e->limits.l);
	}
}

static void save_pending_effects(struct pen_shape *sh, struct pen_buf *out)
{
	for (uint32_t i = 0; i <= sh->due_effects.mask; i++) {
		for (struct hent *e = sh->due_effects.bucket[i]; e != NULL; e = e->next) {
			struct pending_effect *p = container(e, struct pending_effect, hent);
			struct pen_span name = pen_span_cstr(p->name);
			if (p->backoff)
				save_backoff(out, shape_state_kinds[p->kind], name,
					p->ends + sh->offset, p->line, p->shipped);
			else
				save_limit(out, shape_state_kinds[p->kind], name,
					p->ends + sh->offset, p->line, p->shipped, &p->limits);
		}
	}
}

int pen_shape_save(struct pen_shape *sh, pen_time_us now, pen_wall_us wall, struct pen_buf *out,
	uint64_t *generation)
{
	shape_clock(sh, now);
	sh->offset = wall - sh->now;
	pen_buf_addf(out, "penstock-shape 1 %lld\n", (long long)wall);
	if (sh->lost_at != PEN_TIME_NEVER && sh->now - sh->lost_at < AGE_MAX)
		pen_buf_addf(out, "lost %lld\n", (long long)(sh->now - sh->lost_at));
	for (struct meter *l = sh->longs; l != NULL; l = l->next)
		save_meter(sh, l, out);
	for (struct at_node *a = sh->warms; a != NULL; a = a->next_warm)
		save_warm(sh, a, out);
	save_restored(sh, out);
	for (const struct suspension *s = sh->suspensions; s != NULL; s = s->next) {
		if (s->ends > sh->now)
			save_suspension(s, out);
	}
	for (uint32_t i = 0; i <= sh->sites.mask; i++) {
		for (struct hent *e = sh->sites.bucket[i]; e != NULL; e = e->next)
			save_effects(sh, &container(e, struct pen_shape_site, hent)->node, out);
	}
	for (uint32_t i = 0; i <= sh->providers.mask; i++) {
		for (struct hent *e = sh->providers.bucket[i]; e != NULL; e = e->next)
			save_effects(sh, &container(e, struct provider, hent)->node, out);
	}
	save_pending_effects(sh, out);
	*generation = ++sh->generation;
	sh->pending = true;
	sh->low = sh->dirty = sh->starved = false;
	sh->saved_at = sh->now;
	return out->failed ? -ENOMEM : 0;
}

bool pen_shape_save_wanted(const struct pen_shape *sh, pen_time_us now)
{
	if (!sh->low && !sh->dirty && !sh->starved && (sh->confirmed || sh->pending))
		return false;
	// Nothing waits for it: not more often than once a second.
	return sh->starved || !sh->confirmed || now - sh->saved_at >= PEN_US_PER_S;
}

void pen_shape_saved(struct pen_shape *sh, uint64_t generation, pen_time_us now)
{
	shape_clock(sh, now);
	if (generation != sh->generation || !sh->pending)
		return;
	sh->pending = false;
	sh->confirmed = true;
	for (struct meter *l = sh->longs; l != NULL; l = l->next) {
		l->res.left = l->res.next;
		shape_event(sh, l->node->kind == NODE_EFFECT
					? container(l->node, struct effect, node)->on
					: l->node);
		shape_event(sh, l->node);
	}
	for (struct at_node *a = sh->warms; a != NULL; a = a->next_warm) {
		a->res.left = a->res.next;
		shape_event(sh, &a->node);
	}
	for (uint32_t i = 0; sh->lanes_waiting > 0 && i < sh->cfg->nsources; i++)
		shape_lane_event(sh, i);
}
