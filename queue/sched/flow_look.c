// SPDX-License-Identifier: BSD-3-Clause

// What waits in a site's flows, looked at without changing anything.
#include "core.h"

struct flow *flow_next(const struct site *site)
{
	if (site->bands != NULL) {
		struct share *leaf = share_pick(&site->bands->root);
		return leaf != NULL ? LINK_OF(leaf, struct flow, share) : NULL;
	}
	const struct flow *f = &site->plain;
	return f->n > 0 && !f->blocked ? (struct flow *)f : NULL;
}

void flow_prefetch(const struct site *site)
{
	const struct flow *f = flow_next(site);

	if (f == NULL)
		return;
	__builtin_prefetch(f);
	__builtin_prefetch(&f->site);
	__builtin_prefetch(&f->node);
}

void flow_prefetch_head(const struct site *site)
{
	const struct flow *f = flow_next(site);

	if (f == NULL)
		return;
	const struct ware *w = flow_head(f);
	__builtin_prefetch(w, 1);
	__builtin_prefetch((const char *)w + 64, 1);
}

struct flow *flow_any(const struct site *site)
{
	const struct link *list = link_empty(&site->flows) ? &site->refill : &site->flows;

	return link_empty(list) ? NULL : LINK_OF(list->next, struct flow, all);
}

uint32_t flow_count(const struct site *site)
{
	uint32_t n = 0;

	for (const struct link *i = site->flows.next; i != &site->flows; i = i->next)
		n++;
	for (const struct link *i = site->refill.next; i != &site->refill; i = i->next)
		n++;
	return n;
}

struct ware *flow_head(const struct flow *f)
{
	const struct link *list = link_empty(&f->returned) ? &f->queue : &f->returned;

	return LINK_OF(list->next, struct ware, link);
}
