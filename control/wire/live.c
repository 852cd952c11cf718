// SPDX-License-Identifier: BSD-3-Clause

// The configuration in use, for threads that read it while a reload replaces it.

#include "pen_gateway.h"

#include <stdlib.h>

struct pen_live *pen_live_new(struct pen_config *config)
{
	struct pen_live *live = calloc(1, sizeof(*live));
	const struct pen_params *p = &config->params;
	struct pen_nexthop relay;

	if (live == NULL)
		return NULL;
	*live = (struct pen_live){.refs = 1, .config = config};
	live->routing = (struct pen_routing){
		.transport_maps = &config->transport_maps,
		.relayhost = p->relayhost,
		.myorigin = p->myorigin,
	};
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
	pen_config_free(live->config);
	free(live);
}

void pen_live_set(struct pen_gateway *g, struct pen_live *live)
{
	pthread_mutex_lock(&g->lock);
	struct pen_live *old = g->before;
	g->before = g->live;
	g->live = live;
	pthread_mutex_unlock(&g->lock);
	g->config = live->config;
	g->routing = live->routing;
	memcpy(g->relayhost, live->relayhost, sizeof(g->relayhost));
	pen_live_put(g, old);
}

void pen_live_fini(struct pen_gateway *g)
{
	pen_live_put(g, g->before);
	pen_live_put(g, g->live);
	g->before = g->live = NULL;
}
