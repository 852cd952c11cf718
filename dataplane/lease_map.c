// SPDX-License-Identifier: BSD-3-Clause
#include "lease_map.h"

#include <errno.h>
#include <stdlib.h>

static uint32_t home(const struct lease_map *m, const void *lease)
{
	uint64_t h = (uint64_t)(uintptr_t)lease * 0x9e3779b97f4a7c15u;

	return (uint32_t)(h >> 32) & m->mask;
}

int lease_map_init(struct lease_map *m, uint32_t most)
{
	uint32_t n = 16;

	while (n < most * 2)
		n *= 2;
	m->slot = calloc(n, sizeof(*m->slot));
	m->mask = n - 1;
	return m->slot != NULL ? 0 : -ENOMEM;
}

void lease_map_fini(struct lease_map *m)
{
	free(m->slot);
	m->slot = NULL;
}

void lease_map_put(struct lease_map *m, const void *lease, struct session *s)
{
	uint32_t i = home(m, lease);

	while (m->slot[i].lease != NULL)
		i = (i + 1) & m->mask;
	m->slot[i] = (struct lease_map_slot){lease, s};
}

static int64_t position(const struct lease_map *m, const void *lease)
{
	for (uint32_t i = home(m, lease); m->slot[i].lease != NULL; i = (i + 1) & m->mask) {
		if (m->slot[i].lease == lease)
			return i;
	}
	return -1;
}

struct session *lease_map_find(const struct lease_map *m, const void *lease)
{
	int64_t i = position(m, lease);

	return i >= 0 ? m->slot[i].session : NULL;
}

// Closes the gap, so that no tombstones are needed: an entry moves back when
// the gap lies between its home and its place.
void lease_map_remove(struct lease_map *m, const void *lease)
{
	int64_t found = position(m, lease);

	if (found < 0)
		return;
	uint32_t gap = (uint32_t)found;
	for (uint32_t i = (gap + 1) & m->mask; m->slot[i].lease != NULL; i = (i + 1) & m->mask) {
		uint32_t from_home = (i - home(m, m->slot[i].lease)) & m->mask;
		if (from_home >= ((i - gap) & m->mask)) {
			m->slot[gap] = m->slot[i];
			gap = i;
		}
	}
	m->slot[gap] = (struct lease_map_slot){0};
}
