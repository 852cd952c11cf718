// SPDX-License-Identifier: BSD-3-Clause
#include "backlog.h"
#include "core.h"
#include "delivery.h"
#include "turn.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCKED_RETRY PEN_US_PER_MS // how soon a full ring is tried again

void pen_sched_config_init(struct pen_sched_config *cfg)
{
	*cfg = (struct pen_sched_config){
		.mailer_daemon = "MAILER-DAEMON",
		.retry = PEN_RETRY_POLICY_DEFAULT,
		.bounce_size_limit = 50000,
		.redact_dsn = true,
		.error_notice_recipient = "postmaster",
		.delay_notice_recipient = "postmaster",
		.concurrency_limit = 20,
		.initial_concurrency = 5,
		.positive_feedback = {1, PEN_FEEDBACK_FIXED},
		.negative_feedback = {1, PEN_FEEDBACK_FIXED},
		.failed_cohort_limit = 1,
		.preempt = PEN_PREEMPT_RULES_DEFAULT,
		.recipient_limit = 50,
		.connection_message_limit = 100,
		.connection_age_limit = 300 * PEN_US_PER_S,
		.lease_limit = 10000,
		.ready_limit = 1000,
		.pipeline_depth = 64,
		.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT,
		.rules = PEN_SMTP_RULES_DEFAULT,
		.shuffle_hosts = true,
		.in_doubt_policy = PEN_IN_DOUBT_DELAY,
		.in_doubt_delay = 900 * PEN_US_PER_S,
		.greylist_retry = 310 * PEN_US_PER_S,
		.maximal_host_backoff_time = 4000 * PEN_US_PER_S,
		.dead_host_limit = 32768,
		.message_limit = 5000000,
		.recipient_total_limit = 5000000,
		.content_memory_limit = 512u << 20,
		.resolve_timeout = 120 * PEN_US_PER_S,
		.route_keep = 3600 * PEN_US_PER_S,
		.lease_watchdog = 7200 * PEN_US_PER_S,
	};
}

static bool init_sources(struct pen_sched *s, const struct pen_sched_config *cfg)
{
	struct pen_sched_source *copy = malloc(cfg->nsources * sizeof(*copy));

	s->cfg.source = copy;
	s->source[0] = malloc(cfg->nsources * sizeof(uint32_t));
	s->source[1] = malloc(cfg->nsources * sizeof(uint32_t));
	if (copy == NULL || s->source[0] == NULL || s->source[1] == NULL)
		return false;
	memcpy(copy, cfg->source, cfg->nsources * sizeof(*copy));
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		unsigned family = copy[i].addr.family == PEN_FAMILY_IP6;
		s->source[family][s->nsource[family]++] = i;
	}
	return true;
}

// NULL with 0 transports, or when out of memory.
static struct pen_sched_transport *copy_transports(const struct pen_sched_config *cfg)
{
	size_t size = cfg->ntransports * sizeof(*cfg->transport);
	struct pen_sched_transport *copy = size > 0 ? malloc(size) : NULL;

	if (copy != NULL)
		memcpy(copy, cfg->transport, size);
	return copy;
}

static struct pen_feedback_rules feedback_rules(const struct pen_sched_config *cfg)
{
	return (struct pen_feedback_rules){.initial = cfg->initial_concurrency,
		.limit = cfg->concurrency_limit,
		.positive = cfg->positive_feedback,
		.negative = cfg->negative_feedback,
		.failed_cohort_limit = cfg->failed_cohort_limit};
}

static uint64_t entry_id(const void *object)
{
	return ((const struct entry *)object)->m->id;
}

// Empty when it is not wanted.
static struct pen_span notice_address(
	const struct pen_sched *s, bool wanted, const char *to, char *text, size_t cap)
{
	bool whole = strchr(to, '@') != NULL;

	if (!wanted || to[0] == '\0')
		return pen_span(NULL, 0);
	snprintf(text, cap, "%s%s%s", to, whole ? "" : "@", whole ? "" : s->cfg.myhostname);
	return pen_span_cstr(text);
}

static void init_postmaster(struct pen_sched *s)
{
	s->postmaster = notice_address(s, s->cfg.notify_double_bounce,
		s->cfg.error_notice_recipient, s->postmaster_text, sizeof(s->postmaster_text));
	s->delay_notice = notice_address(s, s->cfg.notify_delay, s->cfg.delay_notice_recipient,
		s->delay_notice_text, sizeof(s->delay_notice_text));
}

static void init_lists(struct pen_sched *s)
{
	struct link *lists[] = {&s->all_entries, &s->all_sites, &s->hungry, &s->wanting, &s->idle,
		&s->blocked, &s->graves, &s->draining, &s->reap, &s->settling, &s->unasked,
		&s->idle_flows};

	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		link_init(lists[i]);
}

static void free_tables(struct pen_sched *s)
{
	owners_fini(s);
	id_table_fini(&s->entries);
	table_fini(&s->nexthops);
	table_fini(&s->sites);
	table_fini(&s->resolving);
	free((void *)s->cfg.source);
	free((void *)s->cfg.transport);
	free(s->source[0]);
	free(s->source[1]);
	free(s->change);
	free(s->hop);
	calendar_fini(&s->calendar);
	dead_hosts_free(s->dead);
	free(s->failed);
	free(s->chosen);
	free(s);
}

struct pen_sched *pen_sched_new(const struct pen_sched_config *cfg, const struct pen_sched_ops *ops,
	void *ctx, pen_time_us now, pen_wall_us wall)
{
	struct pen_sched *s = calloc(1, sizeof(*s));

	PEN_ASSERT(cfg->workers > 0 && cfg->workers <= 64 && cfg->nsources > 0);
	PEN_ASSERT(cfg->concurrency_limit > 0 && cfg->initial_concurrency > 0 &&
		   cfg->recipient_limit > 0 && cfg->recipient_limit <= UINT16_MAX &&
		   cfg->lease_limit > 0 && cfg->pipeline_depth > 0 && cfg->ready_limit > 0);
	if (s == NULL)
		return NULL;
	s->cfg = *cfg;
	s->cfg.transport = copy_transports(cfg);
	s->feedback = feedback_rules(cfg);
	s->ops = *ops;
	s->ctx = ctx;
	s->now = now;
	s->wall = wall;
	pen_rand_seed(&s->rand, cfg->seed);
	s->key.k0 = pen_rand_u64(&s->rand);
	s->key.k1 = pen_rand_u64(&s->rand);
	s->dead = dead_hosts_new(cfg->dead_host_limit, &s->key);
	pen_wheel_init(&s->wheel, now);
	init_lists(s);
	init_postmaster(s);
	if (!calendar_init(&s->calendar, now) || !id_table_init(&s->entries, entry_id) ||
		!table_init(&s->nexthops, 1024) || !table_init(&s->sites, 1024) ||
		!table_init(&s->resolving, 256) || !init_sources(s, cfg) || !owners_init(s) ||
		(cfg->ntransports > 0 && s->cfg.transport == NULL) || s->dead == NULL) {
		free_tables(s);
		return NULL;
	}
	return s;
}

int pen_sched_reconfigure(struct pen_sched *s, const struct pen_sched_config *cfg)
{
	struct pen_sched_config next = *cfg;

	PEN_ASSERT(cfg->concurrency_limit > 0 && cfg->initial_concurrency > 0 &&
		   cfg->recipient_limit > 0 && cfg->recipient_limit <= UINT16_MAX &&
		   cfg->pipeline_depth > 0);
	next.transport = copy_transports(cfg);
	if (cfg->ntransports > 0 && next.transport == NULL)
		return -ENOMEM;
	memcpy(next.myhostname, s->cfg.myhostname, sizeof(next.myhostname));
	memcpy(next.mailer_daemon, s->cfg.mailer_daemon, sizeof(next.mailer_daemon));
	next.workers = s->cfg.workers;
	next.nsources = s->cfg.nsources;
	next.source = s->cfg.source;
	next.lease_limit = s->cfg.lease_limit;
	next.shape = s->cfg.shape;
	next.rules = s->cfg.rules; // workers read them where they are
	next.seed = s->cfg.seed;
	free((void *)s->cfg.transport);
	s->cfg = next;
	s->feedback = feedback_rules(&s->cfg);
	init_postmaster(s);
	return 0;
}

static void free_hops_and_sites(struct pen_sched *s)
{
	for (uint32_t i = 0; i <= s->nexthops.mask; i++) {
		while (s->nexthops.bucket[i] != NULL)
			nexthop_free(s, LINK_OF(s->nexthops.bucket[i], struct nexthop, node));
	}
	while (!link_empty(&s->all_sites))
		site_free(s, LINK_OF(s->all_sites.next, struct site, all));
}

void pen_sched_free(struct pen_sched *s)
{
	if (s == NULL)
		return;
	PEN_ASSERT(s->nleases == 0 && s->in_flight == 0);
	while (!link_empty(&s->all_entries)) {
		struct entry *e = LINK_OF(s->all_entries.next, struct entry, all);
		struct pen_message *m = e->m;
		entry_free(s, e);
		s->ops.forget(s->ctx, m);
	}
	flow_reap(s);
	free_hops_and_sites(s);
	while (!link_empty(&s->graves))
		lease_timer(s, LINK_OF(s->graves.next, struct lease, in_site));
	while (s->spare != NULL) {
		struct pen_delivery *d = s->spare;
		s->spare = d->next;
		free(d);
	}
	lease_free_spare(s);
	free_tables(s);
}

void pen_sched_clock(struct pen_sched *s, pen_time_us now, pen_wall_us wall)
{
	if (now > s->now)
		s->now = now;
	s->wall = wall;
}

bool pen_sched_accepting(const struct pen_sched *s)
{
	const struct pen_sched_stats *t = &s->total;
	uint64_t queued = t->accepted - t->delivered - t->bounced - t->expired - t->deleted;

	return !s->stopping && s->entries.n < s->cfg.message_limit &&
	       queued < s->cfg.recipient_total_limit;
}

void pen_sched_on_event(struct pen_sched *s, struct pen_ring_msg ev)
{
	switch (ev.type) {
	case PEN_EVENT_LEASE_READY:
		lease_on_ready(s, LINK_OF(ev.p, struct lease, pub));
		return;
	case PEN_EVENT_DELIVERY_DONE:
		delivery_on_done(s, ev.p);
		return;
	case PEN_EVENT_LEASE_ENDED:
		lease_on_ended(s, LINK_OF(ev.p, struct lease, pub));
		return;
	}
	PEN_ASSERT(!"a known worker event");
}

static void fire_entry(void *ctx, struct pen_wheel_node *node, pen_time_us now)
{
	(void)now;
	entry_timer(ctx, LINK_OF(node, struct entry, timer));
}

static void fire_other(void *ctx, struct pen_wheel_node *node, pen_time_us now)
{
	struct timer *t = LINK_OF(node, struct timer, node);

	(void)now;
	switch (t->kind) {
	case TIMER_NEXTHOP:
		nexthop_timer(ctx, LINK_OF(t, struct nexthop, timer));
		return;
	case TIMER_SITE:
		site_timer(ctx, LINK_OF(t, struct site, timer));
		return;
	case TIMER_LEASE:
		lease_timer(ctx, LINK_OF(t, struct lease, timer));
		return;
	}
}

// Each one at most once: a ring that is still full blocks it again.
static void retry_blocked(struct pen_sched *s)
{
	struct link batch;

	link_init(&batch);
	while (!link_empty(&s->blocked)) {
		struct link *l = link_pop(&s->blocked);
		link_push_back(&batch, l);
	}
	while (!link_empty(&batch))
		lease_unblock(s, LINK_OF(batch.next, struct lease, blocked));
}

// Shaping has room, or may have.
static void wake(void *ctx, struct pen_shape_waiter *waiter)
{
	struct waiter *w = LINK_OF(waiter, struct waiter, shape);
	struct pen_sched *s = ctx;

	switch (w->kind) {
	case WAITER_OPEN:
		site_kick(s, LINK_OF(w, struct site, opener));
		return;
	case WAITER_SEND:
		site_kick(s, LINK_OF(w, struct site, sender));
		return;
	case WAITER_FLOW: {
		struct flow *f = LINK_OF(w, struct flow_wait, waiter)->flow;
		flow_unblock(s, f);
		site_kick(s, f->site);
		return;
	}
	case WAITER_LEASE:
		lease_fill(s, LINK_OF(w, struct lease, waiter));
		return;
	case WAITER_NEXTHOP:
		nexthop_wake(s, LINK_OF(w, struct nexthop, waiter));
		return;
	}
}

static bool has_questions(const struct pen_sched *s)
{
	return backlog_ready(s) || (!link_empty(&s->unasked) && nexthop_may_ask(s));
}

uint32_t pen_sched_poll(struct pen_sched *s, uint32_t budget)
{
	uint32_t n = pen_wheel_advance(&s->wheel, s->now, budget, fire_other, s);

	n += calendar_advance(&s->calendar, s->now, budget, fire_entry, s);
	if (s->cfg.shape != NULL)
		n += pen_shape_poll(s->cfg.shape, s->now, s->wall, budget, wake, s);
	retry_blocked(s);
	turn_serve(s);
	while (n < budget && has_questions(s)) // by turns: neither waits for all of the other
		n += backlog_work(s, 1) + nexthop_ask(s, 1);
	while (n < budget && !link_empty(&s->settling))
		n += nexthop_settle(
			s, LINK_OF(s->settling.next, struct nexthop, settling), budget - n);
	while (n < budget && !link_empty(&s->draining))
		n += site_drain(s, LINK_OF(s->draining.next, struct site, drain), budget - n);
	n += flow_reap(s);
	while (!link_empty(&s->reap)) {
		struct site *site = LINK_OF(link_pop(&s->reap), struct site, reap);
		if (site_unused(site)) {
			site_free(s, site);
			n++;
		}
	}
	return n;
}

pen_time_us pen_sched_next(const struct pen_sched *s)
{
	if (!link_empty(&s->settling) || !link_empty(&s->draining) || !link_empty(&s->reap) ||
		!link_empty(&s->idle_flows) || has_questions(s))
		return s->now;
	pen_time_us t = pen_time_min(pen_wheel_next(&s->wheel), calendar_next(&s->calendar));
	if (s->cfg.shape != NULL)
		t = pen_time_min(t, pen_shape_next(s->cfg.shape));
	bool may_open = s->nhungry + s->nwanting > 0 && s->nleases < s->cfg.lease_limit;
	if (!link_empty(&s->blocked) || may_open)
		t = pen_time_min(t, s->now + BLOCKED_RETRY);
	return t;
}

static void end_leases(struct pen_sched *s, void (*end)(struct pen_sched *s, struct lease *l))
{
	for (struct link *i = s->all_sites.next; i != &s->all_sites; i = i->next) {
		struct site *site = LINK_OF(i, struct site, all);
		struct link *next;
		for (struct link *k = site->leases.next; k != &site->leases; k = next) {
			next = k->next;
			end(s, LINK_OF(k, struct lease, in_site));
		}
	}
}

void pen_sched_stop(struct pen_sched *s)
{
	s->stopping = true;
	end_leases(s, lease_close);
}

void pen_sched_abort(struct pen_sched *s)
{
	s->stopping = true;
	end_leases(s, lease_abort);
}

bool pen_sched_stopping(const struct pen_sched *s)
{
	return s->stopping;
}

bool pen_sched_idle(const struct pen_sched *s)
{
	return s->nleases == 0 && s->in_flight == 0 && s->submitting == 0;
}
