// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// Limits that a rule set on a site or provider for some time, besides its own: a node that
// is asked and counted with it.

static bool same(const struct effect *e, uint32_t line, bool shipped)
{
	return e->line == line && e->shipped == shipped;
}

struct effect *shape_effect_set(struct pen_shape *sh, struct pen_shape_node *on,
	const struct pen_limits *l, uint32_t line, bool shipped, pen_time_us ends)
{
	struct effect *e = on->extra;

	while (e != NULL && !same(e, line, shipped))
		e = e->next;
	if (e != NULL) { // hit again: longer
		if (ends > e->ends)
			e->ends = ends;
		shape_event(sh, &e->node);
		return e;
	}
	e = calloc(1, sizeof(*e));
	if (e == NULL || !shape_node_init(sh, &e->node, NODE_EFFECT)) {
		free(e);
		return NULL;
	}
	e->on = on;
	e->line = line;
	e->shipped = shipped;
	e->ends = ends;
	shape_limits_over(&e->limits, l, line, shipped);
	e->node.conns = on->conns;
	e->node.dials = on->dials;
	e->node.msgs = on->msgs;
	e->node.bytes = on->bytes;
	e->node.flags = on->flags & N_FRESH;
	shape_node_refresh(sh, &e->node, false);
	e->next = on->extra;
	on->extra = e;
	on->flags |= N_EXTRA;
	sh->dirty = true;
	return e;
}

void shape_effect_end(struct pen_shape *sh, struct effect *e)
{
	struct effect **at = &e->on->extra;

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	if (e->on->extra == NULL)
		e->on->flags &= (uint16_t)~N_EXTRA;
	shape_recall(sh, &e->node);
	shape_node_fini(sh, &e->node);
	if (e->on->q[Q_OPEN] != NULL || e->on->q[Q_SEND] != NULL)
		shape_event(sh, e->on);
	free(e);
	sh->dirty = true;
}
