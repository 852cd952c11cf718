// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the network layer share. Not for other folders.
//
// IPv4 addresses are kept as the 32 bits that are on the wire (network order),
// so that comparing and storing need no conversion.

#include "pen_inet.h"

#include <string.h>

#define ETH_TYPE_IP4 0x0800
#define ETH_TYPE_ARP 0x0806
#define IP_PROTO_ICMP 1
#define IP_PROTO_TCP 6

#define ARP_LEN 28
#define ARP_REQUEST 1
#define ARP_REPLY 2

// Frames waiting for one neighbour, and for all: the port's buffers are few.
#define NEIGH_PARKED_MAX 8
#define NEIGH_PARKED_TOTAL 512
#define NEIGH_BUCKETS 1024
#define NEIGH_NONE 0xffff

#define NEIGH_RETRY_US PEN_US_PER_S
#define NEIGH_TRIES 3
#define NEIGH_REFRESH_US (45 * PEN_US_PER_S)
#define NEIGH_EXPIRE_US (60 * PEN_US_PER_S)
#define NEIGH_NEGATIVE_US (5 * PEN_US_PER_S)

enum neigh_state {
	NEIGH_FREE,
	NEIGH_PROBING,   // no MAC yet, frames are parked
	NEIGH_REACHABLE, // MAC known; `tries` > 0 while it is being refreshed
	NEIGH_NEGATIVE,  // did not answer; frames are dropped until the deadline
};

struct neigh_parked {
	struct pen_frame frame;
	uint32_t len;
	bool l4_csum;
};

struct neigh {
	uint32_t ip;
	uint32_t from; // the local address that asks
	uint8_t mac[6];
	uint8_t state;
	uint8_t tries;
	uint8_t nparked;
	bool pinned;
	bool used; // since it was confirmed: worth refreshing
	uint16_t next;
	pen_time_us deadline; // of the next retry, refresh or expiry
	pen_time_us expires;  // a reachable MAC is not used past this
	struct neigh_parked parked[NEIGH_PARKED_MAX];
};

struct pen_inet {
	const struct pen_port_ops *ops;
	void *port;
	struct pen_inet_counters *ctr;
	struct pen_inet_handler handler;
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t port_flags;
	uint32_t gateway;        // 0: none
	uint32_t mask;           // of the on-link prefix
	uint32_t link_broadcast; // of the first source's link; 0: none
	uint32_t source_mask;
	uint32_t *source; // open addressing; 0 is an empty slot
	uint32_t nparked;
	uint32_t nneigh; // slots of neigh[] ever used
	uint16_t neigh_free;
	pen_time_us neigh_due; // no entry is due before
	uint16_t bucket[NEIGH_BUCKETS];
	struct neigh neigh[PEN_INET_NEIGH_MAX];
};

static inline uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

// Raw 32 bits, in whatever order they are stored.
static inline uint32_t raw32(const void *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return v;
}

static inline struct pen_addr addr_of_raw(uint32_t raw)
{
	struct pen_addr a = {.family = PEN_FAMILY_IP4};
	memcpy(a.ip, &raw, 4);
	return a;
}

static inline uint32_t hash_raw(uint32_t raw)
{
	raw *= 0x9e3779b1u;
	return raw ^ raw >> 15;
}

bool inet_source_has(const struct pen_inet *n, uint32_t raw);
// Multicast, reserved, loopback, "this network" or broadcast on our link.
bool inet_not_unicast(const struct pen_inet *n, uint32_t raw);
// The address to resolve for src -> dst, or 0 when there is no route.
uint32_t inet_next_hop(const struct pen_inet *n, uint32_t src, uint32_t dst);

void inet_eth_write(uint8_t *eth, const uint8_t dst[6], const uint8_t src[6], uint16_t type);
// Writes Ethernet (without destination) and IPv4 headers, then sends or parks.
void inet_ip4_send(struct pen_inet *n, struct pen_frame *f, uint32_t src, uint32_t dst,
	uint8_t proto, uint32_t payload, bool l4_csum, pen_time_us now);
void inet_ip4_input(
	struct pen_inet *n, const uint8_t *ip, uint32_t len, bool csum_ok, pen_time_us now);
// ip: the whole packet with its header of ihl bytes; len bytes in all.
void inet_icmp_input(
	struct pen_inet *n, const uint8_t *ip, uint32_t ihl, uint32_t len, pen_time_us now);

void neigh_init(struct pen_inet *n);
void neigh_fini(struct pen_inet *n);
void neigh_arp_input(
	struct pen_inet *n, const uint8_t *arp, uint32_t len, bool unicast, pen_time_us now);
// Fills the destination MAC and sends the frame, or parks or drops it.
void neigh_send(struct pen_inet *n, struct pen_frame *f, uint32_t frame_len, uint32_t src,
	uint32_t hop, bool l4_csum, pen_time_us now);
