// SPDX-License-Identifier: BSD-3-Clause

// Congestion control: slow start with a window of ten segments (RFC 5681,
// 6928) and CUBIC congestion avoidance (RFC 9438: C = 0.4, beta = 0.7).

#include "tcp_internal.h"

uint32_t tcp_cc_initial_window(uint32_t mss)
{
	return min_u32(10 * mss, max_u32(2 * mss, 14600));
}

void tcp_cc_init(struct pen_tcp_conn *c)
{
	c->cwnd = tcp_cc_initial_window(c->mss);
	c->ssthresh = UINT32_MAX / 2;
	c->cc_epoch = 0;
	c->cc_wmax = 0;
	c->cc_prior = 0;
}

// The integer cube root, bit by bit: only at the start of an epoch.
static uint32_t cube_root(uint64_t x)
{
	uint64_t root = 0;

	for (int bit = 20; bit >= 0; bit--) {
		uint64_t next = root | 1ULL << bit;
		if (next * next * next <= x)
			root = next;
	}
	return (uint32_t)root;
}

static void epoch_start(struct pen_tcp_conn *c, pen_time_us now)
{
	c->cc_epoch = now;
	c->cc_west = c->cwnd;
	c->cc_k_ms = 0;
	if (c->cwnd < c->cc_wmax) {
		// K = cbrt((W_max - cwnd) / C) seconds, here in milliseconds.
		uint64_t segs_milli = (uint64_t)(c->cc_wmax - c->cwnd) * 1000 / c->mss;
		c->cc_k_ms = cube_root(segs_milli * 2500000ULL);
	} else {
		c->cc_wmax = c->cwnd;
	}
}

static double w_cubic(const struct pen_tcp_conn *c, pen_time_us t)
{
	double d = ((double)t / 1000.0 - (double)c->cc_k_ms) / 1000.0;

	return 0.4 * d * d * d * c->mss + c->cc_wmax;
}

static void avoidance(struct pen_tcp_conn *c, uint32_t acked, pen_time_us now)
{
	if (c->cc_epoch == 0)
		epoch_start(c, now);
	pen_time_us t = now - c->cc_epoch;
	// The Reno-friendly estimate grows by alpha segments per window.
	double alpha = c->cc_west >= c->cc_prior ? 1.0 : 0.5294;
	c->cc_west += (uint32_t)(alpha * acked * c->mss / c->cwnd + 0.5);
	if (w_cubic(c, t) < c->cc_west) {
		c->cwnd = max_u32(c->cwnd, c->cc_west);
		return;
	}
	double target = w_cubic(c, t + c->srtt);
	if (target > 1.5 * c->cwnd)
		target = 1.5 * c->cwnd;
	if (target > c->cwnd)
		c->cwnd += (uint32_t)((target - c->cwnd) * acked / c->cwnd);
}

void tcp_cc_ack(struct pen_tcp_conn *c, uint32_t acked, pen_time_us now)
{
	// RFC 9293 and 7661: a window that was not used is not known to be good.
	if (!c->cwnd_limited)
		return;
	if (c->cwnd < c->ssthresh) {
		c->cwnd += min_u32(acked, c->ssthresh - c->cwnd);
		return;
	}
	avoidance(c, min_u32(acked, c->cwnd), now);
	c->cwnd = min_u32(c->cwnd, 1u << 30);
}

void tcp_cc_loss(struct pen_tcp_conn *c)
{
	uint32_t flight = c->snd_max - c->snd_una;
	uint32_t cwnd = min_u32(c->cwnd, max_u32(flight, c->mss));

	c->cc_prior = cwnd;
	// Fast convergence: give way to newcomers.
	c->cc_wmax = cwnd < c->cc_wmax ? (uint32_t)(cwnd * 0.85) : cwnd;
	c->ssthresh = max_u32((uint32_t)(cwnd * 0.7), 2 * (uint32_t)c->mss);
	c->cc_epoch = 0;
}

void tcp_cc_timeout(struct pen_tcp_conn *c)
{
	// Only the first expiry tells something new about the path.
	if (c->retries <= 1)
		tcp_cc_loss(c);
	c->cwnd = c->mss;
}
