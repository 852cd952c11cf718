// SPDX-License-Identifier: BSD-3-Clause

// The configuration in use, for threads that read it while a reload replaces it.

#include "pen_gateway.h"

#include <stdio.h>
#include <stdlib.h>

// References are what keeps a configuration; this is for who looked at g->config for a moment.
#define KEEP (60 * PEN_US_PER_S)

struct pen_live *pen_live_new(struct pen_config *config, char *err, size_t cap)
{
	struct pen_live *live = calloc(1, sizeof(*live));
	const struct pen_params *p = &config->params;
	struct pen_nexthop relay;

	if (live == NULL) {
		snprintf(err, cap, "out of memory");
		return NULL;
	}
	*live = (struct pen_live){.refs = 1, .config = config};
	live->routing = (struct pen_routing){
		.transport_maps = &config->transport_maps,
		.relayhost = p->relayhost,
		.myorigin = p->myorigin,
	};
	if (p->header_checks[0] != '\0') {
		live->headers =
			pen_header_hook_new(p->header_checks, PEN_SUBMISSION_LOOPS, err, cap);
		if (live->headers == NULL) {
			free(live);
			return NULL;
		}
	}
	if (p->relayhost[0] != '\0' &&
		pen_nexthop_parse(&relay, pen_span_cstr(p->relayhost)) == NULL)
		pen_nexthop_str(&relay, live->relayhost);
	return live;
}

struct pen_live *pen_live_get(struct pen_gateway *g)
{
	pthread_mutex_lock(&g->lock);
	struct pen_live *live = g->live;
	live->refs++;
	pthread_mutex_unlock(&g->lock);
	return live;
}

void pen_live_put(struct pen_gateway *g, struct pen_live *live)
{
	if (live == NULL)
		return;
	pthread_mutex_lock(&g->lock);
	bool last = --live->refs == 0;
	pthread_mutex_unlock(&g->lock);
	if (!last)
		return;
	pen_header_hook_free(live->headers);
	pen_config_free(live->config);
	free(live);
}

// Takes off those that were retired before `at`. Under the lock.
static struct pen_live *take_retired(struct pen_gateway *g, pen_time_us at)
{
	struct pen_live **from = &g->retired, *old;

	while (*from != NULL && (*from)->retired_at >= at)
		from = &(*from)->older; // newest first
	old = *from;
	*from = NULL;
	return old;
}

static void put_all(struct pen_gateway *g, struct pen_live *list)
{
	for (struct pen_live *older; list != NULL; list = older) {
		older = list->older;
		pen_live_put(g, list);
	}
}

void pen_live_set(struct pen_gateway *g, struct pen_live *live)
{
	pen_time_us now = pen_clock_mono();

	pthread_mutex_lock(&g->lock);
	struct pen_live *was = g->live, *old = take_retired(g, now - KEEP);
	if (was != NULL) {
		was->retired_at = now;
		was->older = g->retired;
		g->retired = was;
	}
	g->live = live;
	pthread_mutex_unlock(&g->lock);
	g->config = live->config;
	g->routing = live->routing;
	memcpy(g->relayhost, live->relayhost, sizeof(g->relayhost));
	put_all(g, old);
}

void pen_live_fini(struct pen_gateway *g)
{
	put_all(g, take_retired(g, PEN_TIME_NEVER));
	pen_live_put(g, g->live);
	g->live = NULL;
}
