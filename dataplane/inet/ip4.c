// SPDX-License-Identifier: BSD-3-Clause
#include "inet_internal.h"

#include <arpa/inet.h>

#define IP_FLAG_DF 0x4000
#define TTL_DEFAULT 64
#define IP_OPT_LSRR 131
#define IP_OPT_SSRR 137

bool inet_not_unicast(const struct pen_inet *n, uint32_t raw)
{
	uint32_t host = ntohl(raw);
	uint8_t top = (uint8_t)(host >> 24);

	if (top == 0 || top == 127 || top >= 224)
		return true;
	return raw == n->link_broadcast;
}

uint32_t inet_next_hop(const struct pen_inet *n, uint32_t src, uint32_t dst)
{
	if (inet_not_unicast(n, dst) || inet_source_has(n, dst))
		return 0;
	if (((src ^ dst) & n->mask) == 0)
		return dst;
	return n->gateway;
}

// RFC 7126 wants source routing refused; other options are skipped.
static bool options_ok(const uint8_t *p, uint32_t n)
{
	for (uint32_t i = 0; i < n && p[i] != 0;) {
		if (p[i] == 1) {
			i++;
			continue;
		}
		if (p[i] == IP_OPT_LSRR || p[i] == IP_OPT_SSRR)
			return false;
		if (i + 1 >= n || p[i + 1] < 2 || p[i + 1] > n - i)
			return false;
		i += p[i + 1];
	}
	return true;
}

// The checks that need no table: returns the length of the packet, or 0.
static uint32_t header_ok(struct pen_inet *n, const uint8_t *ip, uint32_t len, bool csum_ok)
{
	if (len < PEN_IP4_LEN) {
		PEN_COUNT(n->ctr->drop_ip_short);
		return 0;
	}
	uint32_t ihl = (ip[0] & 15u) * 4;
	uint32_t total = get16(ip + 2);
	if (ip[0] >> 4 != 4 || ihl < PEN_IP4_LEN) {
		PEN_COUNT(n->ctr->drop_ip_version);
		return 0;
	}
	if (total < ihl || total > len) {
		PEN_COUNT(n->ctr->drop_ip_short);
		return 0;
	}
	if (!csum_ok && pen_csum_fold(pen_csum_add(0, ip, ihl)) != 0) {
		PEN_COUNT(n->ctr->drop_ip_checksum);
		return 0;
	}
	if ((get16(ip + 6) & 0x3fff) != 0) {
		PEN_COUNT(n->ctr->drop_ip_fragment);
		return 0;
	}
	if (ihl > PEN_IP4_LEN && !options_ok(ip + PEN_IP4_LEN, ihl - PEN_IP4_LEN)) {
		PEN_COUNT(n->ctr->drop_ip_options);
		return 0;
	}
	return total;
}

void inet_ip4_input(
	struct pen_inet *n, const uint8_t *ip, uint32_t len, bool csum_ok, pen_time_us now)
{
	uint32_t total = header_ok(n, ip, len, csum_ok);

	if (total == 0)
		return;
	uint32_t ihl = (ip[0] & 15u) * 4;
	uint32_t src_raw = raw32(ip + 12), dst_raw = raw32(ip + 16);
	if (!inet_source_has(n, dst_raw)) {
		PEN_COUNT(n->ctr->drop_ip_dst);
		return;
	}
	if (inet_not_unicast(n, src_raw) || inet_source_has(n, src_raw)) {
		PEN_COUNT(n->ctr->drop_ip_src);
		return;
	}
	PEN_COUNT(n->ctr->rx_ip4);
	if (ip[9] == IP_PROTO_TCP && n->handler.tcp != NULL) {
		struct pen_addr src = addr_of_raw(src_raw), dst = addr_of_raw(dst_raw);
		n->handler.tcp(n->handler.ctx, &src, &dst, ip + ihl, total - ihl, csum_ok, now);
	} else if (ip[9] == IP_PROTO_ICMP) {
		inet_icmp_input(n, ip, ihl, total, now);
	} else {
		PEN_COUNT(n->ctr->drop_ip_protocol);
	}
}

static void ip4_write(uint8_t *ip, uint32_t src, uint32_t dst, uint8_t proto, uint32_t payload)
{
	ip[0] = 0x45;
	ip[1] = 0;
	put16(ip + 2, (uint16_t)(PEN_IP4_LEN + payload));
	// RFC 6864: the ID means nothing in a packet that is never fragmented.
	put16(ip + 4, 0);
	put16(ip + 6, IP_FLAG_DF);
	ip[8] = TTL_DEFAULT;
	ip[9] = proto;
	put16(ip + 10, 0);
	memcpy(ip + 12, &src, 4);
	memcpy(ip + 16, &dst, 4);
}

void inet_ip4_send(struct pen_inet *n, struct pen_frame *f, uint32_t src, uint32_t dst,
	uint8_t proto, uint32_t payload, bool l4_csum, pen_time_us now)
{
	uint32_t hop = inet_next_hop(n, src, dst);

	if (hop == 0) {
		PEN_COUNT(n->ctr->drop_tx_no_route);
		n->ops->tx_drop(n->port, f);
		return;
	}
	uint8_t *ip = f->data + PEN_ETH_LEN;
	ip4_write(ip, src, dst, proto, payload);
	if (!l4_csum) {
		uint16_t sum = pen_csum_fold(pen_csum_add(0, ip, PEN_IP4_LEN));
		memcpy(ip + 10, &sum, 2);
	}
	struct neigh_key key = neigh_key4(hop);
	neigh_send(n, f, PEN_ETH_LEN + PEN_IP4_LEN + payload, &src, &key, l4_csum, now);
}
