// SPDX-License-Identifier: BSD-3-Clause

// Whose turn it is to open a connection when there are not enough for all.
//
// Sites without any connection (hungry) go before those that want another one,
// both in the order they asked, one connection at a time. When all leases are
// out, idle ones are closed first; then a site with more than its equal share,
// or a connection that has served its quantum, gives way to a hungry site.
#include "turn.h"
#include "core.h"

#define QUANTUM 100 // messages after which a connection may be taken from its site

bool turn_wants(const struct pen_sched *s, const struct site *site)
{
	return !s->stopping && !site->dead && !site_ending(site) && s->now >= site->rest_until &&
	       site_ready(site) > site->nopening && site->nleases < site_window(s, site) &&
	       !pen_shape_waiting(&site->opener.shape);
}

void turn_leave(struct pen_sched *s, struct site *site)
{
	if (!link_in(&site->turn))
		return;
	link_remove(&site->turn);
	if (site->hungry)
		s->nhungry--;
	else
		s->nwanting--;
}

static void turn_enter(struct pen_sched *s, struct site *site)
{
	if (link_in(&site->turn)) {
		if (site->hungry || site->nleases > 0)
			return;
		turn_leave(s, site); // it has lost its last connection meanwhile
	}
	site->hungry = site->nleases == 0;
	link_push_back(site->hungry ? &s->hungry : &s->wanting, &site->turn);
	if (site->hungry)
		s->nhungry++;
	else
		s->nwanting++;
}

// An idle connection of a site without work makes room soonest.
static void reclaim_idle(struct pen_sched *s)
{
	if (link_empty(&s->idle) || s->nyielding >= s->nhungry + s->nwanting)
		return;
	struct lease *l = LINK_OF(s->idle.next, struct lease, idle);
	l->yielding = true;
	s->nyielding++;
	lease_close(s, l);
}

bool turn_should_yield(const struct pen_sched *s, const struct lease *l)
{
	const struct site *site = l->pub.site;

	if (s->nhungry <= s->nyielding || s->nleases < s->cfg.lease_limit)
		return false;
	uint32_t share = s->cfg.lease_limit / (s->nbusy_sites + s->nhungry);
	return site->nleases > (share > 0 ? share : 1) || l->given >= QUANTUM;
}

void turn_request(struct pen_sched *s, struct site *site)
{
	while (turn_wants(s, site)) {
		bool others = s->nhungry + s->nwanting > 0;
		if (!others && s->nleases < s->cfg.lease_limit) {
			enum lease_open_result r = lease_open(s, site);
			if (r == LEASE_OPENED)
				continue;
			if (r == LEASE_NOTHING)
				return;
		}
		turn_enter(s, site);
		if (s->nleases >= s->cfg.lease_limit)
			reclaim_idle(s);
		return;
	}
}

void turn_serve(struct pen_sched *s)
{
	while (s->nleases < s->cfg.lease_limit && s->nhungry + s->nwanting > 0) {
		struct link *head = s->nhungry > 0 ? &s->hungry : &s->wanting;
		struct site *site = LINK_OF(head->next, struct site, turn);
		turn_leave(s, site);
		if (!turn_wants(s, site))
			continue;
		enum lease_open_result r = lease_open(s, site);
		if (r != LEASE_NOTHING && turn_wants(s, site))
			turn_enter(s, site);
		if (r == LEASE_BUSY)
			return;
	}
}
