// SPDX-License-Identifier: BSD-3-Clause

// The table of connections and TIME_WAIT records: open addressing, linear
// probing, half full at most. A slot holds the full hash, so that deletion can
// shift its followers back without looking at the objects.

#include "tcp_internal.h"

uint32_t tcp_hash(const struct pen_tcp *t, const struct tcp_tuple *id)
{
	return (uint32_t)pen_siphash(&t->cfg.secret, id, tuple_size(id));
}

const struct tcp_tuple *tcp_ref_tuple(const struct pen_tcp *t, uint32_t ref)
{
	uint32_t index = (ref & ~TCP_REF_TW) - 1;

	if ((ref & TCP_REF_TW) != 0)
		return &((struct tcp_timewait *)pool_at(&t->tws, index))->id;
	return &((struct pen_tcp_conn *)pool_at(&t->conns, index))->id;
}

uint32_t tcp_table_find(const struct pen_tcp *t, const struct tcp_tuple *id, uint32_t hash)
{
	for (uint32_t i = hash & t->table_mask; t->table[i].ref != 0; i = (i + 1) & t->table_mask) {
		if (t->table[i].hash == hash && tuple_eq(tcp_ref_tuple(t, t->table[i].ref), id))
			return t->table[i].ref;
	}
	return 0;
}

void tcp_table_add(struct pen_tcp *t, uint32_t hash, uint32_t ref)
{
	uint32_t i = hash & t->table_mask;

	while (t->table[i].ref != 0)
		i = (i + 1) & t->table_mask;
	t->table[i] = (struct tcp_slot){hash, ref};
	t->table_used++;
	PEN_ASSERT(t->table_used <= t->table_mask);
}

void tcp_table_del(struct pen_tcp *t, uint32_t hash, uint32_t ref)
{
	uint32_t mask = t->table_mask;
	uint32_t hole = hash & mask;

	while (t->table[hole].ref != ref) {
		PEN_ASSERT(t->table[hole].ref != 0);
		hole = (hole + 1) & mask;
	}
	for (uint32_t i = (hole + 1) & mask; t->table[i].ref != 0; i = (i + 1) & mask) {
		// Move back what may not stand behind the hole.
		uint32_t home = t->table[i].hash & mask;
		if (((i - home) & mask) >= ((i - hole) & mask)) {
			t->table[hole] = t->table[i];
			hole = i;
		}
	}
	t->table[hole] = (struct tcp_slot){0, 0};
	t->table_used--;
}
