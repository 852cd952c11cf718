// SPDX-License-Identifier: BSD-3-Clause

// The pools that mail may name, for threads that must not look into shaping's
// configuration: a reload replaces that, but never its pools.

#include "pen_gateway.h"

#include <stdlib.h>

struct pen_pools {
	uint32_t n;
	char name[][PEN_CLASS_NAME_MAX + 1];
};

struct pen_pools *pen_pools_new(const struct pen_shape_config *cfg)
{
	struct pen_pools *p = malloc(sizeof(*p) + cfg->npools * sizeof(p->name[0]));

	if (p == NULL)
		return NULL;
	p->n = cfg->npools;
	for (uint32_t i = 0; i < p->n; i++)
		snprintf(p->name[i], sizeof(p->name[i]), "%s", cfg->pool[i].name);
	return p;
}

bool pen_pool_known(void *ctx, struct pen_span name)
{
	const struct pen_gateway *g = ctx;

	for (uint32_t i = 0; g->pools != NULL && i < g->pools->n; i++) {
		if (pen_span_eq(name, pen_span_cstr(g->pools->name[i])))
			return true;
	}
	return false;
}
