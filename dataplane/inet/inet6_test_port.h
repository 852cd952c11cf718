// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// inet_test_port.h for IPv6: addresses, packets and messages.

#include "inet_test_port.h"

#define HEAD (PEN_ETH_LEN + PEN_IP6_LEN)
#define SOLICITATION 135
#define ADVERTISEMENT 136

// fd00:77::/64: we are ...:1000 and on, the peer is ...:2, a router ...:fe.
static const uint8_t peer[16] = {0xfd, 0, 0, 0x77, [15] = 2};
static const uint8_t router[16] = {0xfd, 0, 0, 0x77, [15] = 0xfe};
static const uint8_t router_ll[16] = {0xfe, 0x80, [15] = 0xfe};
static const uint8_t far[16] = {0x20, 1, 0xd, 0xb8, [15] = 25};
static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
static const uint8_t nobody[16];

static inline struct pen_addr source(uint32_t i)
{
	struct pen_addr a = {.family = PEN_FAMILY_IP6, .ip = {0xfd, 0, 0, 0x77}};

	a.ip[12] = (uint8_t)(i % 3); // some share their solicited-node group
	put16(a.ip + 14, (uint16_t)(0x1000 + i / 3));
	return a;
}

static inline void start_quiet(uint32_t nsources, const uint8_t *gateway, bool quiet)
{
	struct pen_addr *sources = calloc(nsources + 1, sizeof(*sources));

	for (uint32_t i = 0; i < nsources; i++)
		sources[i] = source(i);
	struct pen_inet_config cfg = {.mtu = 1500,
		.prefix_bits = 24,
		.prefix6_bits = 64,
		.quiet = quiet,
		.sources = sources,
		.nsources = nsources};
	memcpy(cfg.mac, our_mac, 6);
	if (gateway != NULL)
		cfg.gateway6 = addr_of_ip6(gateway);
	port_start(&cfg);
	free(sources);
}

static inline void start(uint32_t nsources, const uint8_t *gateway)
{
	start_quiet(nsources, gateway, true);
}

static inline void group_mac(uint8_t mac[6], const uint8_t *group)
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group + 12, 4);
}

static inline void group_of(uint8_t group[16], const uint8_t *ip)
{
	memcpy(group, (uint8_t[16]){0xff, 2, [11] = 1, 0xff}, 16);
	memcpy(group + 13, ip + 13, 3);
}

// A packet as it comes from the wire; returns its length.
static inline uint32_t make(uint8_t *f, const uint8_t *src, const uint8_t *dst, uint8_t proto,
	uint8_t hops, const void *payload, uint32_t len)
{
	uint8_t mac[6];

	memcpy(mac, our_mac, 6);
	if (dst[0] == 0xff)
		group_mac(mac, dst);
	inet_eth_write(f, mac, peer_mac, ETH_TYPE_IP6);
	ip6_write(f + PEN_ETH_LEN, src, dst, proto, hops, len);
	if (len > 0)
		memcpy(f + HEAD, payload, len);
	return HEAD + len;
}

static inline void ip_in(const uint8_t *src, const uint8_t *dst, uint8_t proto, uint8_t hops,
	const void *payload, uint32_t len)
{
	uint8_t f[1600];

	input(f, make(f, src, dst, proto, hops, payload, len));
}

static inline void icmp_in(
	const uint8_t *src, const uint8_t *dst, uint8_t hops, uint8_t *icmp, uint32_t len)
{
	uint8_t f[1600];
	uint32_t n = make(f, src, dst, IP_PROTO_ICMP6, hops, icmp, len);

	icmp6_finish(f + PEN_ETH_LEN, f + HEAD, len);
	input(f, n);
}

// A solicitation or advertisement; mac NULL: without the option.
static inline void nd_in(uint8_t type, uint8_t flags, const uint8_t *src, const uint8_t *dst,
	const uint8_t *target, const uint8_t *mac)
{
	uint8_t icmp[32] = {type, 0, 0, 0, flags};

	memcpy(icmp + 8, target, 16);
	icmp[24] = type == SOLICITATION ? 1 : 2;
	icmp[25] = 1;
	if (mac != NULL)
		memcpy(icmp + 26, mac, 6);
	icmp_in(src, dst, 255, icmp, mac != NULL ? 32 : 24);
}

static inline void solicit(const uint8_t *src, const uint8_t *target, const uint8_t *mac)
{
	uint8_t group[16];

	group_of(group, target);
	nd_in(SOLICITATION, 0, src, group, target, mac);
}

static inline void advertise(const uint8_t *target, const uint8_t *mac)
{
	struct pen_addr us = source(0);

	nd_in(ADVERTISEMENT, 0x60, target, us.ip, target, mac);
}

static inline void send_to(const uint8_t *dst)
{
	struct pen_frame f;
	struct pen_addr s = source(0), d = addr_of_ip6(dst);
	uint8_t *p = pen_inet_tx_begin(inet, &f, PEN_FAMILY_IP6);

	memset(p, 0x55, 40);
	pen_inet_tx_end(inet, &f, &s, &d, 40, false, now);
}

// Frame i as an ICMPv6 message of `type` with a good checksum: the message.
static inline const uint8_t *sent_icmp(uint32_t i, uint8_t type, uint8_t hops)
{
	const uint8_t *ip = port.data[i] + PEN_ETH_LEN;
	uint32_t len = port.len[i] - HEAD;

	assert_true(i < port.n);
	assert_int_equal(get16(port.data[i] + 12), ETH_TYPE_IP6);
	assert_int_equal(ip[6], IP_PROTO_ICMP6);
	assert_int_equal(ip[7], hops);
	assert_int_equal(get16(ip + 4), len);
	uint64_t sum = ip6_pseudo_sum(ip + 8, ip + 24, IP_PROTO_ICMP6, len);
	assert_int_equal(pen_csum_fold(pen_csum_add(sum, ip + 40, len)), 0);
	assert_int_equal(ip[40], type);
	return ip + 40;
}
