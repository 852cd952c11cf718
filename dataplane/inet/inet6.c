// SPDX-License-Identifier: BSD-3-Clause

// The IPv6 half of a pen_inet: its addresses, its multicast groups, its routes.

#include "inet_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

static uint32_t hash_group(uint32_t group)
{
	return hash_raw(group);
}

static uint32_t group_of(const uint8_t *ip)
{
	return GROUP_SET | (uint32_t)ip[13] << 16 | (uint32_t)ip[14] << 8 | ip[15];
}

static void group_add(struct inet6 *six, const uint8_t *ip)
{
	uint32_t g = group_of(ip), i = hash_group(g) & six->group_mask;

	while (six->group[i] != 0 && six->group[i] != g)
		i = (i + 1) & six->group_mask;
	if (six->group[i] == 0)
		six->ngroups++;
	six->group[i] = g;
}

bool inet6_group_has(const struct pen_inet *n, const uint8_t *ip)
{
	const struct inet6 *six = &n->six;
	uint32_t g = group_of(ip);

	for (uint32_t i = hash_group(g) & six->group_mask; six->group[i] != 0;
		i = (i + 1) & six->group_mask) {
		if (six->group[i] == g)
			return true;
	}
	return false;
}

static void source_add(struct inet6 *six, const uint8_t *ip)
{
	uint32_t i = hash_ip6(ip) & six->source_mask;

	while (!ip6_unspecified(six->source[i]) && !ip6_eq(six->source[i], ip))
		i = (i + 1) & six->source_mask;
	memcpy(six->source[i], ip, 16);
	group_add(six, ip);
}

bool inet6_source_has(const struct pen_inet *n, const uint8_t *ip)
{
	const struct inet6 *six = &n->six;

	if (!six->on || ip6_unspecified(ip))
		return false;
	for (uint32_t i = hash_ip6(ip) & six->source_mask; !ip6_unspecified(six->source[i]);
		i = (i + 1) & six->source_mask) {
		if (ip6_eq(six->source[i], ip))
			return true;
	}
	return false;
}

// RFC 4291 appendix A: the MAC with ff:fe in its middle and the universal bit
// turned over.
static void make_link_local(uint8_t *ip, const uint8_t mac[6])
{
	memcpy(ip, (uint8_t[]){0xfe, 0x80, 0, 0, 0, 0, 0, 0}, 8);
	memcpy(ip + 8, (uint8_t[]){mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5]},
		8);
}

static void make_mask(uint8_t mask[16], unsigned bits)
{
	for (unsigned i = 0; i < 16; i++) {
		unsigned here = bits > 8 * i ? bits - 8 * i : 0;
		mask[i] = here >= 8 ? 0xff : (uint8_t)(0xff00u >> here);
	}
}

int inet6_init(struct pen_inet *n, const struct pen_inet_config *cfg, pen_time_us now)
{
	struct inet6 *six = &n->six;
	uint32_t count = 1, slots = 16; // the link-local address

	for (uint32_t i = 0; i < cfg->nsources; i++)
		count += cfg->sources[i].family == PEN_FAMILY_IP6;
	if (count == 1)
		return 0;
	while (slots < 2 * count)
		slots *= 2;
	six->source = calloc(slots, sizeof(*six->source));
	six->group = calloc(slots, sizeof(*six->group));
	if (six->source == NULL || six->group == NULL)
		return -ENOMEM;
	six->on = true;
	six->source_mask = six->group_mask = slots - 1;
	make_link_local(six->link_local, n->mac);
	source_add(six, six->link_local);
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		if (cfg->sources[i].family == PEN_FAMILY_IP6)
			source_add(six, cfg->sources[i].ip);
	}
	make_mask((uint8_t *)six->mask, cfg->prefix6_bits);
	six->has_gateway = cfg->gateway6.family == PEN_FAMILY_IP6;
	memcpy(six->gateway, cfg->gateway6.ip, 16);
	mld_init(n, cfg->quiet, now);
	return 0;
}

void inet6_fini(struct pen_inet *n)
{
	free(n->six.source);
	free(n->six.group);
}

bool inet6_not_unicast(const uint8_t *ip)
{
	static const uint8_t zeros[16];

	if (ip[0] == 0xff)
		return true;
	// ::, ::1 and the old IPv4-compatible addresses; then ::ffff:0:0/96, which
	// never travels.
	if (memcmp(ip, zeros, 12) == 0)
		return true;
	return memcmp(ip, zeros, 10) == 0 && ip[10] == 0xff && ip[11] == 0xff;
}

bool inet6_on_link(const struct pen_inet *n, const uint8_t *src, const uint8_t *dst)
{
	const struct inet6 *six = &n->six;

	if (ip6_link_local(dst))
		return true;
	return ((raw64(src) ^ raw64(dst)) & six->mask[0]) == 0 &&
	       ((raw64(src + 8) ^ raw64(dst + 8)) & six->mask[1]) == 0;
}

const uint8_t *inet6_next_hop(const struct pen_inet *n, const uint8_t *src, const uint8_t *dst)
{
	if (!n->six.on || inet6_not_unicast(dst) || inet6_source_has(n, dst))
		return NULL;
	if (inet6_on_link(n, src, dst))
		return dst;
	return n->six.has_gateway ? n->six.gateway : NULL;
}
