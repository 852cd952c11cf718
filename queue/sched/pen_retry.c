// SPDX-License-Identifier: BSD-3-Clause
#include "pen_retry.h"

pen_wall_us pen_retry_next(const struct pen_retry_policy *p, pen_wall_us arrival, pen_wall_us wall)
{
	// A clock that was set back makes the age negative; the minimum covers it.
	pen_time_us delay = wall - arrival;

	if (delay < p->minimal_backoff_time)
		delay = p->minimal_backoff_time;
	if (delay > p->maximal_backoff_time)
		delay = p->maximal_backoff_time;
	return wall + delay;
}

pen_wall_us pen_retry_expiry(
	const struct pen_retry_policy *p, pen_wall_us arrival, bool null_sender)
{
	pen_time_us life = p->maximal_queue_lifetime;

	if (null_sender && p->bounce_queue_lifetime < life)
		life = p->bounce_queue_lifetime;
	return arrival + life;
}
