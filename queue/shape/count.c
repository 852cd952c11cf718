// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

// What begins and ends at a node, beyond the counters in shape_core.h.

static void spend(struct pen_shape *sh, struct meter *l, uint64_t amount)
{
	if (likely(l->simple)) {
		l->m.open += amount;
		return;
	}
	pen_meter_begin(&l->m, &l->rate, sh->now, amount);
	if (l->longish)
		shape_reserve_take(sh, &l->res, shape_cut(l, amount), l->rate.count);
}

static void spent(struct pen_shape *sh, struct meter *l, uint64_t amount, bool happened)
{
	uint32_t *slot = &l->m.slot[l->m.at];

	if (likely(l->simple && happened && sh->now < l->m.newest + l->width &&
		    amount <= l->m.open && *slot + amount <= UINT32_MAX)) {
		l->m.open -= amount;
		l->m.used += amount;
		*slot += (uint32_t)amount;
		return;
	}
	pen_meter_end(&l->m, &l->rate, sh->now, amount, happened);
}

static void use_credit(struct pen_shape *sh, struct pen_shape_node *n, unsigned q)
{
	if (n->credit_of == sh->polls && n->credit[q] > 0)
		n->credit[q]--;
}

void shape_node_dial_more(struct pen_shape *sh, struct pen_shape_node *n)
{
	n->flags &= (uint16_t)~N_FRESH;
	if (n->flags & N_CRATE)
		spend(sh, n->lim[M_CRATE], 1);
	if (n->flags & N_WAIT0) {
		use_credit(sh, n, Q_OPEN);
		shape_event(sh, n);
	}
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		shape_node_dial(sh, &e->node);
}

void shape_node_dialed_more(struct pen_shape *sh, struct pen_shape_node *n, bool happened)
{
	if (n->flags & N_CRATE)
		spent(sh, n->lim[M_CRATE], 1, happened);
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		shape_node_dialed(sh, &e->node, happened);
	if (n->flags & N_WAIT0)
		shape_event(sh, n);
}

void shape_node_hangup_more(struct pen_shape *sh, struct pen_shape_node *n)
{
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		shape_node_hangup(sh, &e->node);
	if (n->flags & N_WAIT0)
		shape_event(sh, n);
}

void shape_node_send_more(struct pen_shape *sh, struct pen_shape_node *n, uint64_t bytes)
{
	n->flags &= (uint16_t)~N_FRESH;
	if (n->flags & N_MRATE)
		spend(sh, n->lim[M_MRATE], 1);
	if (n->flags & N_BRATE)
		spend(sh, n->lim[M_BRATE], bytes);
	if (unlikely(n->flags & N_WARM))
		shape_warm_begin(sh, container(n, struct at_node, node));
	if (unlikely(n->flags & N_WAIT1)) {
		use_credit(sh, n, Q_SEND);
		shape_event(sh, n);
	}
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		shape_node_send(sh, &e->node, bytes);
}

void shape_node_sent_more(
	struct pen_shape *sh, struct pen_shape_node *n, uint64_t bytes, bool happened)
{
	if (n->flags & N_MRATE)
		spent(sh, n->lim[M_MRATE], 1, happened);
	if (n->flags & N_BRATE)
		spent(sh, n->lim[M_BRATE], bytes, happened);
	if (unlikely(n->flags & N_WARM))
		shape_warm_sent(sh, container(n, struct at_node, node), happened);
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		shape_node_sent(sh, &e->node, bytes, happened);
	if (unlikely(n->flags & N_WAIT1))
		shape_event(sh, n);
}

void shape_node_move(struct pen_shape_node *n, const struct pen_shape_link *l, bool add)
{
	uint64_t by[METERS] = {l->dialing, l->msgs, l->bytes};

	n->conns += add ? 1 : -1u;
	n->dials += add ? l->dialing : -(uint32_t)l->dialing;
	n->msgs += add ? l->msgs : -l->msgs;
	n->bytes += add ? l->bytes : -l->bytes;
	for (unsigned m = 0; m < METERS; m++) {
		if (n->lim[m] != NULL)
			n->lim[m]->m.open += add ? by[m] : -by[m];
	}
	for (struct effect *e = n->extra; e != NULL; e = e->next)
		shape_node_move(&e->node, l, add);
}
