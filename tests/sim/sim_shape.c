// SPDX-License-Identifier: BSD-3-Clause

// Limits that are drawn, changed and kept over crashes, and what receivers count against them.

#include "sim.h"

#include "pen_err.h"

#include <stdlib.h>
#include <string.h>

struct arena {
	struct pen_shape_source source;
	struct {
		uint32_t source, weight;
	} member;
	struct pen_shape_pool pool;
	struct pen_shape_owner tenant[2];
};

static struct pen_shape_config *config(const struct sim *s)
{
	struct pen_shape_config *c = calloc(1, sizeof(*c));
	struct arena *a = calloc(1, sizeof(*a));
	const struct sim_limits *l = &s->limits;

	PEN_ASSERT(c != NULL && a != NULL);
	a->source = (struct pen_shape_source){.name = "s0", .addr = s->source.addr, .helo = ""};
	a->member.weight = 1;
	a->pool = (struct pen_shape_pool){
		.name = "default", .nmembers = 1, .member = (void *)&a->member};
	for (uint32_t i = 0; i < 2; i++)
		a->tenant[i] = (struct pen_shape_owner){.name = i == 0 ? "t0" : "t1",
			.tenant = "",
			.weight = 1 + 9 * i,
			.pool = ""};
	*c = (struct pen_shape_config){.defaults = {.name = "default", .line = 1},
		.nsources = 1,
		.source = &a->source,
		.npools = 1,
		.pool = &a->pool,
		.ntenants = 2,
		.tenant = a->tenant,
		.arena = a};
	c->defaults.limits.connections = l->connections;
	c->defaults.limits.message_rate = l->messages;
	c->defaults.limits.given = (l->connections != 0 ? PEN_LIMIT_CONNECTIONS : 0) |
				   (l->messages.period != 0 ? PEN_LIMIT_MESSAGE_RATE : 0);
	return c;
}

static void draw_limits(struct sim *s)
{
	static const uint32_t periods[] = {1, 5, 10, 60, 600};
	struct pen_rate rate = {0};

	if (sim_below(s, 3) != 0) {
		rate.period = PEN_US_PER_S * periods[sim_below(s, 5)];
		rate.count = 2 + sim_below(s, 20);
		rate.burst = 1 + sim_below(s, 10);
	}
	s->limits = (struct sim_limits){sim_below(s, 2) == 0 ? 1 + sim_below(s, 6) : 0, rate};
}

void sim_shape_draw(struct sim *s)
{
	s->next_reload = PEN_TIME_NEVER;
	s->saved_at = PEN_TIME_NEVER;
	if (sim_below(s, 3) == 0)
		return;
	s->shaped = true;
	for (uint32_t i = 0; i < SIM_SITES; i++) {
		s->site[i].mails = calloc(1, sizeof(struct sim_meter));
		PEN_ASSERT(s->site[i].mails != NULL);
	}
	s->exact = s->net->link.loss == 0 && s->net->link.reorder == 0 && s->net->link.corrupt == 0;
	draw_limits(s);
	s->next_reload = sim_now(s) + PEN_US_PER_S * sim_below(s, 3000);
}

void sim_shape_new(struct sim *s)
{
	uint32_t bad = 0;

	if (!s->shaped)
		return;
	s->shape = pen_shape_new(config(s), sim_now(s), sim_wall(s));
	PEN_ASSERT(s->shape != NULL);
	if (s->epoch > 0)
		PEN_ASSERT(pen_shape_load(s->shape, pen_buf_span(&s->state), sim_now(s),
				   sim_wall(s), &bad) == 0);
	SIM_CHECK(s, bad == 0, "%u bad lines in the state of shaping", bad);
	s->sched_cfg.shape = s->shape;
	s->slack = 0;
}

void sim_shape_free(struct sim *s)
{
	if (s->shape != NULL)
		pen_shape_free(s->shape);
	s->shape = NULL;
	pen_buf_reset(&s->saving);
	s->saved_at = PEN_TIME_NEVER;
}

void sim_shape_fini(struct sim *s)
{
	sim_shape_free(s);
	pen_buf_fini(&s->state);
	pen_buf_fini(&s->saving);
	for (uint32_t i = 0; i < SIM_SITES; i++)
		free(s->site[i].mails);
}

static void reload(struct sim *s)
{
	pen_time_us before = s->limits.messages.period;

	s->faults.reloads++;
	draw_limits(s);
	if (s->limits.messages.period > before)
		s->known_from = sim_now(s);
	PEN_ASSERT(pen_shape_apply(s->shape, config(s), sim_now(s)) == 0);
	// What has its permission under the old limits is still on its way.
	s->slack = sim_worker_flying(s);
	s->slack_until = sim_now(s) + 1200 * PEN_US_PER_S;
	s->next_reload = s->slack_until + PEN_US_PER_S * sim_below(s, 3000);
}

static void save(struct sim *s)
{
	if (sim_now(s) >= s->saved_at) {
		struct pen_buf old = s->state;
		s->state = s->saving;
		s->saving = old;
		pen_buf_reset(&s->saving);
		s->saved_at = PEN_TIME_NEVER;
		pen_shape_saved(s->shape, s->saving_generation, sim_now(s));
	}
	if (s->saved_at != PEN_TIME_NEVER || !pen_shape_save_wanted(s->shape, sim_now(s)))
		return;
	PEN_ASSERT(pen_shape_save(s->shape, sim_now(s), sim_wall(s), &s->saving,
			   &s->saving_generation) == 0);
	s->saved_at = sim_now(s) + 1000 + sim_below(s, 100000);
	if (s->plant == SIM_PLANT_UNSAVED && s->state.n > 0) {
		s->saved_at = PEN_TIME_NEVER;
		pen_buf_reset(&s->saving);
		pen_shape_saved(s->shape, s->saving_generation, sim_now(s));
	}
}

pen_time_us sim_shape_step(struct sim *s)
{
	if (s->shape == NULL)
		return PEN_TIME_NEVER;
	save(s);
	if (sim_now(s) >= s->next_reload && sim_now(s) < s->calm_at)
		reload(s);
	return s->saved_at;
}

void sim_shape_opened(struct sim *s, uint32_t site)
{
	uint32_t limit = s->limits.connections;

	if (s->shape == NULL || limit == 0 || !s->exact || s->site[site].was_dark ||
		sim_now(s) < s->slack_until)
		return;
	SIM_CHECK(s, s->site[site].open <= limit, "site %u has %u connections, %u are allowed",
		site, s->site[site].open, limit);
}

void sim_shape_mail(struct sim *s, uint32_t site)
{
	struct sim_meter *m = s->site[site].mails;
	const struct pen_rate *rate = &s->limits.messages;

	if (s->shape == NULL)
		return;
	PEN_ASSERT(m->n < sizeof(m->at) / sizeof(m->at[0]));
	m->at[m->n++] = sim_now(s);
	if (!pen_rate_limited(rate))
		return;
	uint32_t from = m->n - 1;
	while (from > 0 && m->at[from - 1] > sim_now(s) - rate->period &&
		m->at[from - 1] >= s->known_from)
		from--;
	uint32_t slack = sim_now(s) < s->slack_until ? s->slack : 0;
	SIM_CHECK(s, m->n - from <= rate->count + slack,
		"site %u had %u messages in %lld s, %llu are allowed", site, m->n - from,
		(long long)(rate->period / PEN_US_PER_S), (unsigned long long)rate->count);
}
