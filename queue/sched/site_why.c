// SPDX-License-Identifier: BSD-3-Clause

// What holds a message that is being worked on.
#include "core.h"

static void why_site(struct pen_why *out, const struct site *site)
{
	out->site = pen_span(site->key, site->key_len);
}

void site_why(struct pen_sched *s, const struct entry *e, struct pen_why *out)
{
	const struct job *j = e->jobs;

	if (j == NULL || j->state == JOB_FLYING || j->state == JOB_NEW) {
		why_say(out, PEN_WHY_MOVING, "moving", "it is being sent now");
		return;
	}
	out->rcpt = j->rcpt[0];
	if (j->state == JOB_RESOLVING) {
		const struct nexthop *nh = j->nexthop;
		why_say(out, PEN_WHY_RESOLVING, "resolving", "waits for the DNS answer for %.*s",
			(int)(nh->len - nh->transport_len), nh->name + nh->transport_len);
		return;
	}
	const struct site *site = j->site;
	why_site(out, site);
	if (site->dead) {
		out->until = s->wall + (site->dead_until - s->now);
		why_say(out, PEN_WHY_DEAD_SITE, "dead-site", "no host could be reached: %s",
			site->why != NULL ? site->why->text : "no reason kept");
	} else if (site->nleases == 0 && s->nleases >= s->cfg.lease_limit) {
		why_say(out, PEN_WHY_LEASES, "leases",
			"all %u connections of the gateway are in use", s->cfg.lease_limit);
	} else {
		why_say(out, PEN_WHY_TURN, "turn",
			"waits for its turn: %u transactions wait for the site, which has %u of %u "
			"connections",
			site->queued, site->nleases, site_window(s, site));
	}
}
