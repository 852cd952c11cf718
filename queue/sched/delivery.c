// SPDX-License-Identifier: BSD-3-Clause

// Deliveries: a job on its way through a worker.
#include "delivery.h"
#include "core.h"
#include "pen_verp.h"
#include "rules.h"

#include <errno.h>
#include <stdlib.h>

#define SPARE_MAX 16384
// How long a connection waits for its source before another source has a try.
#define SOURCE_PATIENCE (1 * PEN_US_PER_S)
#define RETURNS_MAX 20 // untried returns after which a job waits for its retry

// `extra` bytes behind the recipients are the caller's.
static struct pen_delivery *delivery_new(struct pen_sched *s, uint32_t nrcpt, size_t extra)
{
	struct pen_delivery *d = s->spare;

	if (nrcpt == 1 && extra == 0 && d != NULL) {
		s->spare = d->next;
		s->nspare--;
		return d;
	}
	return malloc(sizeof(*d) + nrcpt * sizeof(d->rcpt[0]) + extra);
}

// With VERP the sender has the recipient in it; see batch_limit in activate.c.
static size_t verp_sender(const struct job *j, char out[PEN_VERP_MAX])
{
	const struct pen_message *m = j->entry->m;

	if (m->extra == NULL || m->extra->verp[0] == '\0' || j->nrcpt != 1)
		return 0;
	return pen_verp_make(out, pen_message_sender(m), pen_recipient_addr(&m->rcpt[j->rcpt[0]]),
		m->extra->verp);
}

void delivery_free(struct pen_sched *s, struct pen_delivery *d)
{
	if (d->nrcpt == 1 && s->nspare < SPARE_MAX) {
		d->next = s->spare;
		s->spare = d;
		s->nspare++;
		return;
	}
	free(d);
}

static void delivery_init(
	struct pen_sched *s, struct pen_delivery *d, struct lease *l, struct job *j)
{
	const struct pen_message *m = j->entry->m;

	*d = (struct pen_delivery){
		.id = ++s->delivery_id,
		.message = j,
		.lease = &l->pub,
		.sender = pen_message_sender(m),
		.content = pen_span(m->content, m->content_len),
		.eight_bit = (m->flags & PEN_MESSAGE_8BIT) != 0,
		.envid = pen_message_envid(m),
		.ret = m->flags & PEN_MESSAGE_RET_HDRS   ? PEN_RET_HDRS
		       : m->flags & PEN_MESSAGE_RET_FULL ? PEN_RET_FULL
							 : PEN_RET_UNSET,
		.nrcpt = j->nrcpt,
	};
	for (uint32_t i = 0; i < j->nrcpt; i++) {
		struct pen_delivery_rcpt *r = &d->rcpt[i];
		const struct pen_recipient *of = &m->rcpt[j->rcpt[i]];
		r->addr = pen_recipient_addr(of);
		r->orcpt = pen_recipient_orcpt(of);
		r->notify = of->notify;
		r->ref = NULL;
		// Not the whole result: its text is large, and empty.
		memset(&r->result, 0, offsetof(struct pen_dsn, text) + 1);
	}
}

static void content_lost(struct pen_sched *s, struct job *j, int err)
{
	struct pen_dsn d;
	struct result r = {.dsn = &d, .source = PEN_TROUBLE_DELIVERY, .site = j->site};

	// Damaged or missing bytes do not come back; its sender has to know.
	unsigned klass = err == -EBADMSG || err == -ENOENT ? 5 : 4;
	pen_dsn_set(&d, klass, 3, 0, PEN_SCOPE_MESSAGE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"the message could not be read from the spool: %s", strerror(-err));
	flow_take(s, ware_flow(&j->ware), &j->ware);
	job_finish(s, j, &r);
}

// Its flow, its site or its connection waits until shaping lets it go on.
static enum delivery_send_result hold(
	struct pen_sched *s, struct lease *l, struct flow *f, const struct pen_shape_block *why)
{
	struct site *site = l->pub.site;

	switch (why->holder) {
	case PEN_HELD_TENANT:
	case PEN_HELD_CAMPAIGN:
		flow_block(s, f, why);
		return DELIVERY_GONE; // others may go
	case PEN_HELD_SOURCE:
	case PEN_HELD_SOURCE_AT_SITE:
	case PEN_HELD_SOURCE_AT_PROVIDER:
	case PEN_HELD_WARMUP:
		if (l->in_flight > 0)
			return DELIVERY_HELD; // asks again when that is done
		if (why->until - s->now > SOURCE_PATIENCE)
			lease_close(s, l);
		else
			pen_shape_wait(s->cfg.shape, &l->waiter.shape, why);
		return DELIVERY_HELD;
	default:
		pen_shape_wait(s->cfg.shape, &site->sender.shape, why);
		return DELIVERY_HELD;
	}
}

// Into the worker's ring.
static enum delivery_send_result hand_over(
	struct pen_sched *s, struct lease *l, struct job *j, struct pen_shape_class *k)
{
	int err = entry_load_content(s, j->entry);

	if (err != 0) {
		content_lost(s, j, err);
		return DELIVERY_GONE;
	}
	char verp[PEN_VERP_MAX];
	size_t nverp = verp_sender(j, verp);
	struct pen_delivery *d = delivery_new(s, j->nrcpt, nverp);
	if (d == NULL)
		return DELIVERY_BUSY;
	delivery_init(s, d, l, j);
	if (nverp > 0)
		d->sender = pen_span(memcpy(&d->rcpt[j->nrcpt], verp, nverp), nverp);
	d->rcpt[0].ref = k; // what it counts for, whatever becomes of the message meanwhile
	struct pen_ring_msg msg = {.type = PEN_CMD_DELIVERY, .p = d};
	if (!s->ops.send(s->ctx, l->pub.worker, msg)) {
		delivery_free(s, d);
		return DELIVERY_BUSY;
	}
	return DELIVERY_SENT;
}

// Small enough, and its recipients' domains open. False: it went elsewhere.
static bool prepare(struct pen_sched *s, struct job *j)
{
	if (job_held(s, j)) {
		job_reroute(s, j, true);
		return false;
	}
	uint32_t most = j->site->recipients;
	if (most == 0 || j->nrcpt <= most || job_split(s, j, (uint16_t)most))
		return true;
	return true; // without memory for two it goes as it is: only ever when a limit was lowered
}

enum delivery_send_result delivery_send(struct pen_sched *s, struct lease *l, struct job *j)
{
	struct flow *f = ware_flow(&j->ware);
	struct pen_shape_class *k = f->owner->shape;
	uint64_t bytes = j->entry->m->content_len;
	struct pen_shape_block why;

	if (!prepare(s, j))
		return DELIVERY_GONE;
	if (l->conn.site != NULL && !pen_shape_send(s->cfg.shape, &l->conn, k, bytes, s->now, &why))
		return hold(s, l, f, &why);
	enum delivery_send_result r = hand_over(s, l, j, k);
	if (r != DELIVERY_SENT) {
		if (l->conn.site != NULL)
			pen_shape_done(s->cfg.shape, &l->conn, k, bytes, s->now, false);
		return r;
	}
	if (j->pile != NULL)
		j->pile->work.slots++;
	struct site *site = j->site;
	flow_take(s, f, &j->ware);
	flow_charge(s, f, j->nrcpt); // then: a flow that has nothing left is not filed again
	flow_prefetch(site);
	j->state = JOB_FLYING;
	j->site->in_flight++;
	s->in_flight++;
	l->in_flight++;
	l->given++;
	return DELIVERY_SENT;
}

// The job goes back to the front of its queue, as if it had never left.
static void job_untried(struct pen_sched *s, struct job *j, struct lease *l)
{
	struct entry *e = j->entry;

	s->total.returned++;
	if (e->deleting || e->m->flags & PEN_MESSAGE_HOLD || s->wall >= entry_expiry(s, e) ||
		!job_strip(j)) {
		job_free(s, j);
		entry_check(s, e);
		return;
	}
	if (++j->returns >= RETURNS_MAX) {
		struct pen_dsn d;
		struct result r = {
			.dsn = &d, .source = PEN_TROUBLE_LEASE, .site = j->site, .lease = l};
		pen_dsn_set(&d, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
			"%u connections ended before it was their turn", RETURNS_MAX);
		job_finish(s, j, &r);
		return;
	}
	j->front = true;
	site_push(s, j->site, j);
}

// Applies the results; recipients without one stay in the job when nothing was
// tried. Returns what the server did.
enum {
	DID_ANSWER = 1 << 0, // something
	DID_JUDGE = 1 << 1,  // yes or no for some recipient
};

static bool same_reply(const struct pen_dsn *a, const struct pen_dsn *b)
{
	return a->klass == b->klass && a->reply == b->reply && a->subject == b->subject &&
	       a->detail == b->detail && strcmp(a->text, b->text) == 0;
}

static unsigned apply_results(
	struct pen_sched *s, struct job *j, struct lease *l, struct pen_delivery *d)
{
	struct entry *e = j->entry;
	struct pen_dsn none;
	struct result r = {
		.source = PEN_TROUBLE_DELIVERY, .site = j->site, .lease = l, .delivery = d};
	struct pen_sched_match match;
	const struct pen_dsn *known = NULL; // what `match` is of
	uint32_t left = 0;
	unsigned did = 0;

	for (uint32_t i = 0; i < j->nrcpt; i++) {
		const struct pen_dsn *got = &d->rcpt[i].result;
		struct pen_recipient *rcpt = &e->m->rcpt[j->rcpt[i]];
		if (got->klass == 0 && !d->attempted) {
			j->rcpt[left++] = j->rcpt[i];
			continue;
		}
		if (got->klass == 0) {
			pen_dsn_set(&none, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL,
				PEN_STAGE_NONE,
				"the session ended before this recipient was tried");
			got = &none;
		}
		if (got->reply != 0 || got->klass == 2)
			did |= got->klass == 4 ? DID_ANSWER : DID_ANSWER | DID_JUDGE;
		if (d->attempted) {
			rcpt->attempts += rcpt->attempts < UINT16_MAX;
			e->tried = true;
		}
		// Refused in RCPT is certain; only what waited for the dot is in doubt.
		r.in_doubt = d->dot == PEN_DOT_ACKED && got->klass == 4 && got->reply == 0;
		r.dsn = got;
		r.match = NULL;
		if (got->klass != 2) {
			if (known == NULL || !same_reply(known, got)) {
				rules_match(s, &r, got, &match);
				rules_reply(s, l, d->rcpt[0].ref, &match, got);
				known = got;
			}
			r.match = match.klass != NULL ? &match : NULL;
		}
		result_apply(s, e, j->rcpt[i], &r);
	}
	result_fini(&r);
	j->nrcpt = (uint16_t)left;
	return did;
}

// Deliveries are recorded as they happen: a crash must not repeat them.
static void finish_job(struct pen_sched *s, struct job *j)
{
	struct entry *e = j->entry;

	job_free(s, j);
	if (e->live == 0 && e->jobs == NULL && e->failures == NULL) {
		entry_conclude(s, e);
		return;
	}
	if (s->nchanges > 0)
		entry_record(s, e, false);
	entry_check(s, e);
}

// Connections in use, near enough: with several deliveries on each it may count
// one that is idle.
static uint32_t busy_leases(const struct site *site)
{
	uint32_t n = site->in_flight + site->nopening;

	return n < site->nleases ? n : site->nleases;
}

// The end of a message touches its neighbours everywhere: they are on their way
// to the cache while its result is judged.
static void prefetch_end(const struct pen_sched *s, const struct job *j)
{
	const struct entry *e = j->entry;

	__builtin_prefetch(e->all.next, 1);
	__builtin_prefetch(e->all.prev, 1);
	__builtin_prefetch(e->timer.next, 1);
	__builtin_prefetch(e->timer.prev, 1);
	id_table_prefetch(&s->entries, e->m->id);
	flow_prefetch_head(j->site);
}

void delivery_on_done(struct pen_sched *s, struct pen_delivery *d)
{
	struct lease *l = LINK_OF(d->lease, struct lease, pub);
	struct job *j = d->message;
	struct site *site = l->pub.site;

	PEN_ASSERT(j->state == JOB_FLYING && l->in_flight > 0);
	prefetch_end(s, j);
	uint32_t busy = busy_leases(site);
	j->state = JOB_NEW;
	site->in_flight--;
	s->in_flight--;
	l->in_flight--;
	if (!l->ended)
		lease_touch(s, l);
	if (!d->attempted)
		l->given--;
	if (l->conn.site != NULL) {
		pen_shape_done(s->cfg.shape, &l->conn, d->rcpt[0].ref, j->entry->m->content_len,
			s->now, d->attempted);
		rules_signs(s, l, d);
	}
	unsigned did = apply_results(s, j, l, d);
	if (did & DID_JUDGE)
		site_success(s, site, busy);
	if (did & DID_ANSWER && l->handled++ == 0)
		site_widen(s, site);
	if (j->nrcpt > 0) {
		l->untried++;
		l->spent = true;
		job_untried(s, j, l);
	} else {
		finish_job(s, j);
	}
	delivery_free(s, d);
	if (!l->ended)
		lease_fill(s, l);
	else if (l->in_flight == 0)
		lease_bury(s, l);
	if (site->queued > 0)
		site_kick(s, site);
	site_maybe_reap(s, site);
}
