// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_internal.h"

// RFC 6298 in microseconds; the clock granularity G is the wheel's tick.
void tcp_rtt_sample(struct pen_tcp_conn *c, pen_time_us rtt)
{
	if (rtt < 0)
		return;
	uint32_t r = rtt > 120 * PEN_US_PER_S ? 120000000u : (uint32_t)rtt;
	if (r == 0)
		r = 1;
	if (c->srtt == 0) {
		c->srtt = r;
		c->rttvar = r / 2;
	} else {
		uint32_t err = r > c->srtt ? r - c->srtt : c->srtt - r;
		c->rttvar = (uint32_t)((3ULL * c->rttvar + err) / 4);
		c->srtt = (uint32_t)((7ULL * c->srtt + r) / 8);
		if (c->srtt == 0)
			c->srtt = 1;
	}
	pen_time_us rto = (pen_time_us)c->srtt + (pen_time_us)max_u32(1000, 4 * c->rttvar);
	if (rto < c->t->cfg.min_rto)
		rto = c->t->cfg.min_rto;
	c->rto = (uint32_t)pen_time_min(rto, c->t->cfg.max_rto);
}
