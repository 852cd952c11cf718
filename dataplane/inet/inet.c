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
	bool six = false;

	if (cfg->nsources == 0 || cfg->nsources > PEN_INET_SOURCES_MAX || cfg->prefix_bits > 32 ||
		cfg->prefix6_bits > 128)
		return false;
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		const struct pen_addr *a = &cfg->sources[i];
		bool good4 = a->family == PEN_FAMILY_IP4 && raw32(a->ip) != 0;
		bool good6 = a->family == PEN_FAMILY_IP6 && !inet6_not_unicast(a->ip);
		if (!good4 && !good6)
			return false;
		six |= good6;
	}
	if (cfg->mtu < (six ? PEN_IP6_MTU_MIN : 576) || (cfg->mac[0] & 1) != 0)
		return false;
	if (cfg->gateway.family != PEN_FAMILY_NONE && cfg->gateway.family != PEN_FAMILY_IP4)
		return false;
	if (cfg->gateway6.family == PEN_FAMILY_IP6)
		return !inet6_not_unicast(cfg->gateway6.ip);
	return cfg->gateway6.family == PEN_FAMILY_NONE;
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

static int ip4_init(struct pen_inet *n, const struct pen_inet_config *cfg)
{
	uint32_t slots = 16, first = 0;

	while (slots < 2 * cfg->nsources)
		slots *= 2;
	n->source = calloc(slots, sizeof(*n->source));
	if (n->source == NULL)
		return -ENOMEM;
	n->source_mask = slots - 1;
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		if (cfg->sources[i].family != PEN_FAMILY_IP4)
			continue;
		source_add(n, raw32(cfg->sources[i].ip));
		if (first == 0)
			first = raw32(cfg->sources[i].ip);
	}
	if (cfg->gateway.family == PEN_FAMILY_IP4)
		n->gateway = raw32(cfg->gateway.ip);
	n->mask = cfg->prefix_bits == 0 ? 0 : htonl(~0u << (32 - cfg->prefix_bits));
	if (cfg->prefix_bits < 31 && first != 0)
		n->link_broadcast = first | ~n->mask;
	return 0;
}

struct pen_inet *pen_inet_new(const struct pen_inet_config *cfg, const struct pen_port_ops *ops,
	void *port_ctx, struct pen_inet_counters *ctr, pen_time_us now)
{
	if (!config_ok(cfg)) {
		errno = EINVAL;
		return NULL;
	}
	struct pen_inet *n = calloc(1, sizeof(*n));
	if (n == NULL)
		return NULL;
	n->ops = ops;
	n->port = port_ctx;
	n->ctr = ctr;
	memcpy(n->mac, cfg->mac, 6);
	n->mtu = cfg->mtu;
	n->port_flags = cfg->port_flags;
	neigh_init(n);
	if (ip4_init(n, cfg) != 0 || inet6_init(n, cfg, now) != 0) {
		pen_inet_free(n);
		errno = ENOMEM;
		return NULL;
	}
	return n;
}

void pen_inet_free(struct pen_inet *n)
{
	if (n == NULL)
		return;
	neigh_fini(n);
	inet6_fini(n);
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
	if (type == ETH_TYPE_IP4 && unicast) {
		inet_ip4_input(n, frame + PEN_ETH_LEN, len - PEN_ETH_LEN, csum_ok, now);
		return;
	}
	// Only ARP may come by broadcast and IPv6 by its own multicasts: RFC 1122
	// 3.3.6 wants unicast packets in link-layer broadcasts dropped.
	bool arp = type == ETH_TYPE_ARP && memcmp(frame, broadcast_mac, 6) == 0;
	bool group = type == ETH_TYPE_IP6 && frame[0] == 0x33 && frame[1] == 0x33;
	if (!unicast && !arp && !group)
		PEN_COUNT(n->ctr->drop_eth_dst);
	else if (type == ETH_TYPE_ARP)
		arp_input(n, frame + PEN_ETH_LEN, len - PEN_ETH_LEN, unicast, now);
	else if (type == ETH_TYPE_IP6 && n->six.on)
		inet_ip6_input(n, frame + PEN_ETH_LEN, len - PEN_ETH_LEN, unicast, csum_ok, now);
	else
		PEN_COUNT(n->ctr->drop_eth_type);
}

bool pen_inet_is_local(const struct pen_inet *n, const struct pen_addr *a)
{
	if (a->family == PEN_FAMILY_IP4)
		return inet_source_has(n, raw32(a->ip));
	return a->family == PEN_FAMILY_IP6 && inet6_source_has(n, a->ip);
}

bool pen_inet_has_route(
	const struct pen_inet *n, const struct pen_addr *src, const struct pen_addr *dst)
{
	if (src->family != dst->family)
		return false;
	if (src->family == PEN_FAMILY_IP4)
		return inet_next_hop(n, raw32(src->ip), raw32(dst->ip)) != 0;
	return src->family == PEN_FAMILY_IP6 && inet6_next_hop(n, src->ip, dst->ip) != NULL;
}

uint8_t *pen_inet_tx_begin(struct pen_inet *n, struct pen_frame *f, uint8_t family)
{
	if (!n->ops->tx_get(n->port, f)) {
		PEN_COUNT(n->ctr->drop_tx_no_buffer);
		return NULL;
	}
	return f->data + PEN_INET_HEADROOM(family);
}

void pen_inet_tx_end(struct pen_inet *n, struct pen_frame *f, const struct pen_addr *src,
	const struct pen_addr *dst, uint32_t seg_len, bool l4_csum, pen_time_us now)
{
	if (src->family == PEN_FAMILY_IP4)
		inet_ip4_send(
			n, f, raw32(src->ip), raw32(dst->ip), IP_PROTO_TCP, seg_len, l4_csum, now);
	else
		inet_ip6_send(n, f, src->ip, dst->ip, IP_PROTO_TCP, seg_len, l4_csum, now);
}

uint16_t pen_inet_mtu(const struct pen_inet *n)
{
	return n->mtu;
}

uint32_t pen_inet_port_flags(const struct pen_inet *n)
{
	return n->port_flags;
}
