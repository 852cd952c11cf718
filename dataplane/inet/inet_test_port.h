// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the tests of the network layer share: one pen_inet on a port that keeps
// the frames it is given, and a transport that notes what it hears.

#include "inet_internal.h"

#include "pen_test.h"

#define SENT_MAX 64

static const uint8_t our_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 2};
static const uint8_t evil_mac[6] = {2, 6, 6, 6, 6, 6};
static const uint8_t all_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct {
	uint8_t data[SENT_MAX][1514];
	uint32_t len[SENT_MAX];
	uint32_t n;
	int lent;
} port;
static struct pen_inet *inet;
static struct pen_inet_counters ctr;
static pen_time_us now;
static struct {
	uint32_t tcp, learned, errors;
	bool csum_ok;
	uint8_t type, code;
	uint16_t port, mtu;
	uint32_t seq;
} seen;

static inline bool tx_get(void *ctx, struct pen_frame *f)
{
	(void)ctx;
	*f = (struct pen_frame){.data = malloc(1514), .cap = 1514};
	port.lent++;
	return true;
}

static inline void tx_drop(void *ctx, struct pen_frame *f)
{
	(void)ctx;
	free(f->data);
	port.lent--;
}

static inline void tx_put(void *ctx, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	(void)l4_csum;
	assert_true(port.n < SENT_MAX);
	memcpy(port.data[port.n], f->data, len);
	port.len[port.n++] = len;
	tx_drop(ctx, f);
}

static inline void on_tcp(void *ctx, const struct pen_addr *src, const struct pen_addr *dst,
	const uint8_t *seg, uint32_t len, bool csum_ok, pen_time_us t)
{
	(void)ctx, (void)src, (void)dst, (void)seg, (void)len, (void)t;
	seen.tcp++;
	seen.csum_ok = csum_ok;
}

static inline void on_error(void *ctx, const struct pen_addr *local, const struct pen_addr *remote,
	uint16_t local_port, uint16_t remote_port, uint32_t seq, uint8_t type, uint8_t code,
	uint16_t next_mtu, pen_time_us t)
{
	(void)ctx, (void)local, (void)remote, (void)remote_port, (void)t;
	seen.errors++;
	seen.type = type;
	seen.port = local_port;
	seen.code = code;
	seen.mtu = next_mtu;
	seen.seq = seq;
}

static inline void on_learned(void *ctx, const struct pen_addr *addr, const uint8_t mac[6])
{
	(void)ctx, (void)addr, (void)mac;
	seen.learned++;
}

static inline void port_start(const struct pen_inet_config *cfg)
{
	static const struct pen_port_ops ops = {tx_get, tx_put, tx_drop};

	memset(&ctr, 0, sizeof(ctr));
	memset(&port, 0, sizeof(port));
	memset(&seen, 0, sizeof(seen));
	now = 5 * PEN_US_PER_S;
	inet = pen_inet_new(cfg, &ops, NULL, &ctr, now);
	assert_non_null(inet);
	struct pen_inet_handler h = {on_tcp, on_error, on_learned, NULL};
	pen_inet_set_handler(inet, &h);
}

static inline void stop(void)
{
	pen_inet_free(inet);
	assert_int_equal(port.lent, 0);
}

static inline void input(const uint8_t *frame, uint32_t len)
{
	uint8_t *exact = malloc(len);

	memcpy(exact, frame, len);
	pen_inet_input(inet, exact, len, false, now);
	free(exact);
}

static inline void go(pen_time_us us)
{
	for (pen_time_us end = now + us; now < end; now += 100 * PEN_US_PER_MS)
		pen_inet_poll(inet, now);
}
