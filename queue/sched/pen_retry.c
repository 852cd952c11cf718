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

pen_time_us pen_retry_step(
	const struct pen_retry_schedule *own, uint32_t attempts, struct pen_rand *rand)
{
	if (own->nsteps == 0)
		return 0;
	uint32_t i = attempts > 0 ? attempts - 1 : 0;
	pen_time_us step = own->step[i < own->nsteps ? i : own->nsteps - 1u];
	pen_time_us most = step / 100 * own->jitter;
	if (most > 0)
		step += (pen_time_us)pen_rand_below(rand, (uint64_t)most * 2 + 1) - most;
	return step > 0 ? step : 1;
}

pen_wall_us pen_retry_expiry(
	const struct pen_retry_policy *p, pen_wall_us arrival, bool null_sender)
{
	pen_time_us life = p->maximal_queue_lifetime;

	if (null_sender && p->bounce_queue_lifetime < life)
		life = p->bounce_queue_lifetime;
	return arrival + life;
}
