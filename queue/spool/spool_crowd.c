// SPDX-License-Identifier: BSD-3-Clause
#include "spool_crowd.h"

bool spool_crowd_enough(uint32_t fresh, uint64_t fresh_bytes)
{
	return fresh >= SPOOL_CROWD || fresh_bytes >= SPOOL_CROWD_BYTES;
}

pen_time_us spool_crowd_wait(const struct spool_crowd *c, uint32_t had, pen_time_us now)
{
	pen_time_us end = c->flushed + SPOOL_CROWD_US;
	pen_time_us look = now + SPOOL_CROWD_LOOK_US;

	if (c->fresh == 0 || c->last < SPOOL_CROWD_MIN || c->fresh == had || now >= end ||
		spool_crowd_enough(c->fresh, c->fresh_bytes))
		return 0;
	return look < end ? look : end;
}
