// SPDX-License-Identifier: BSD-3-Clause
#include "pen_ring.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int pen_ring_init(struct pen_ring *r, uint32_t depth)
{
	memset(r, 0, sizeof(*r));
	if (depth == 0 || (depth & (depth - 1)) != 0)
		return -EINVAL;
	r->slot = calloc(depth, sizeof(*r->slot));
	if (r->slot == NULL)
		return -ENOMEM;
	r->mask = depth - 1;
	return 0;
}

void pen_ring_fini(struct pen_ring *r)
{
	free(r->slot);
	r->slot = NULL;
}
