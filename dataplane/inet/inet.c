// SPDX-License-Identifier: BSD-3-Clause
#include "inet_internal.h"

#include "pen_err.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

PEN_COUNTERS_DEFINE(pen_inet, PEN_INET_COUNTERS);

static const uint8_t broadcast_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static bool config_ok(const struct pen_inet_config *cfg)
{
	if (cfg->nsources == 0 || cfg->nsources > PEN_INET_SOURCES_MAX || cfg->prefix_bits > 32)
		return false;
	if (cfg->mtu < 576 || (cfg->mac[0] & 1) != 0)
		return false;
	if (cfg->gateway.family != PEN_FAMILY_NONE && cfg->gateway.family != PEN_FAMILY_IP4)
		return false;
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		if (cfg->sources[i].family != PEN_FAMILY_IP4 || raw32(cfg->sources[i].ip) == 0)
			return false;
	}
	return true;
}

static void source_add(struct pen_inet *n, uint32_t raw)
{
	uint32_t i = hash_raw(raw) & n->source_mask;

	while (n->source[i] != 0 && n->source[i] != raw)
		i = (i + 1) & n->source_mask;
	n->source[i] = raw;
}

bool inet_source_has(const struct pen_inet *n, uint32_t raw)
{
	for (uint32_t i = hash_raw(raw) & n->source_mask; n->source[i] != 0;
		i = (i + 1) & n->source_mask) {
		if (n->source[i] == raw)
			return raw != 0;
	}
	return false;
}

struct pen_inet *pen_inet_new(const struct pen_inet_config *cfg, const struct pen_port_ops *ops,
	void *port_ctx, struct pen_inet_counters *ctr, pen_time_us now)
{
	(void)now;
	if (!config_ok(cfg)) {
		errno = EINVAL;
		return NULL;
	}
	struct pen_inet *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	uint32_t slots = 16;
	while (slots < 2 * cfg->nsources)
		slots *= 2;
	n->source = calloc(slots, sizeof(*n->source));
	if (n->source == NULL) {
		free(n);
		errno = ENOMEM;
		return NULL;
	}
	n->source_mask = slots - 1;
	for (uint32_t i = 0; i < cfg->nsources; i++)
		source_add(n, raw32(cfg->sources[i].ip));
	n->ops = ops;
	n->port = port_ctx;
	n->ctr = ctr;
	memcpy(n->mac, cfg->mac, 6);
	n->mtu = cfg->mtu;
	n->port_flags = cfg->port_flags;
	if (cfg->gateway.family == PEN_FAMILY_IP4)
		n->gateway = raw32(cfg->gateway.ip);
	n->mask = cfg->prefix_bits == 0 ? 0 : htonl(~0u << (32 - cfg->prefix_bits));
	if (cfg->prefix_bits < 31)
		n->link_broadcast = raw32(cfg->sources[0].ip) | ~n->mask;
	neigh_init(n);
	return n;
}

void pen_inet_free(struct pen_inet *n)
{
	if (n == NULL)
		return;
	neigh_fini(n);
	free(n->source);
	free(n);
}

void pen_inet_set_handler(struct pen_inet *n, const struct pen_inet_handler *h)
{
	n->handler = *h;
}

void inet_eth_write(uint8_t *eth, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(eth, dst, 6);
	memcpy(eth + 6, src, 6);
	put16(eth + 12, type);
}

void pen_inet_input(
	struct pen_inet *n, const uint8_t *frame, uint32_t len, bool csum_ok, pen_time_us now)
{
	PEN_COUNT(n->ctr->rx_frames);
	if (len < PEN_ETH_LEN) {
		PEN_COUNT(n->ctr->drop_eth_short);
		return;
	}
	uint16_t type = get16(frame + 12);
	bool unicast = memcmp(frame, n->mac, 6) == 0;
	// Only ARP may come by broadcast: RFC 1122 3.3.6 wants unicast packets in
	// link-layer broadcasts dropped.
	if (!unicast && !(type == ETH_TYPE_ARP && memcmp(frame, broadcast_mac, 6) == 0)) {
		PEN_COUNT(n->ctr->drop_eth_dst);
		return;
	}
	if (type == ETH_TYPE_IP4)
		inet_ip4_input(n, frame + PEN_ETH_LEN, len - PEN_ETH_LEN, csum_ok, now);
	else if (type == ETH_TYPE_ARP)
		neigh_arp_input(n, frame + PEN_ETH_LEN, len - PEN_ETH_LEN, unicast, now);
	else
		PEN_COUNT(n->ctr->drop_eth_type);
}

static uint16_t steer_icmp(const uint8_t *icmp, uint32_t len)
{
	if (len < 8 + PEN_IP4_LEN + 4 || (icmp[0] != 3 && icmp[0] != 11 && icmp[0] != 12))
		return 0;
	const uint8_t *inner = icmp + 8;
	uint32_t ihl = (inner[0] & 15u) * 4;
	if (inner[0] >> 4 != 4 || ihl < PEN_IP4_LEN || len < 8 + ihl + 4 ||
		inner[9] != IP_PROTO_TCP)
		return 0;
	return get16(inner + ihl);
}

uint16_t pen_inet_steer(const uint8_t *frame, uint32_t len)
{
	if (len < PEN_ETH_LEN + PEN_IP4_LEN || get16(frame + 12) != ETH_TYPE_IP4)
		return 0;
	const uint8_t *ip = frame + PEN_ETH_LEN;
	uint32_t ihl = (ip[0] & 15u) * 4;
	len -= PEN_ETH_LEN;
	if (ip[0] >> 4 != 4 || ihl < PEN_IP4_LEN || len < ihl + 4 || (get16(ip + 6) & 0x1fff) != 0)
		return 0;
	if (ip[9] == IP_PROTO_TCP)
		return get16(ip + ihl + 2);
	return ip[9] == IP_PROTO_ICMP ? steer_icmp(ip + ihl, len - ihl) : 0;
}

bool pen_inet_is_local(const struct pen_inet *n, const struct pen_addr *a)
{
	return a->family == PEN_FAMILY_IP4 && inet_source_has(n, raw32(a->ip));
}

uint16_t pen_inet_mtu(const struct pen_inet *n)
{
	return n->mtu;
}

uint32_t pen_inet_port_flags(const struct pen_inet *n)
{
	return n->port_flags;
}
