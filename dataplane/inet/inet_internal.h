// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the network layer share. Not for other folders.
//
// IPv4 addresses are kept as the 32 bits that are on the wire (network order),
// so that comparing and storing need no conversion; IPv6 addresses are passed
// as pointers to their 16 bytes, which need not be aligned.

#include "pen_inet.h"

#include <string.h>

#define ETH_TYPE_IP4 0x0800
#define ETH_TYPE_ARP 0x0806
#define ETH_TYPE_IP6 0x86dd
#define IP_PROTO_ICMP 1
#define IP_PROTO_TCP 6
#define IP_PROTO_ICMP6 58

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

// What a neighbour is found by: for IPv4 the two words, for IPv6 the address
// too, with `ip` its hash.
struct neigh_key {
	uint32_t ip;
	uint32_t family;
	uint8_t ip6[16];
};

struct neigh {
	struct neigh_key key;
	uint8_t from[16]; // the local address that asks; 4 bytes of it for IPv4
	uint8_t mac[6];
	uint8_t state;
	uint8_t tries;
	uint8_t nparked;
	bool pinned;
	bool used;  // since it was confirmed: worth refreshing
	bool asked; // `from` is set
	bool doubt; // somebody else claims the address: ask everybody
	uint16_t next;
	pen_time_us deadline; // of the next retry, refresh or expiry
	pen_time_us expires;  // a reachable MAC is not used past this
	struct neigh_parked parked[NEIGH_PARKED_MAX];
};

// Multicast listener reports (mld.c).
struct mld {
	pen_time_us due;  // PEN_TIME_NEVER: nothing to report
	uint32_t next;    // the first group not reported yet
	uint8_t repeats;  // rounds to come after this one
	bool old_querier; // asked in version 1: answer in it
};

// The IPv6 half of a pen_inet; all zero on a port without IPv6 sources.
struct inet6 {
	bool on;
	uint8_t link_local[16]; // made from the MAC
	uint64_t mask[2];       // of the on-link prefix, in the order of the wire
	bool has_gateway;
	uint8_t gateway[16];
	uint32_t source_mask;
	uint8_t (*source)[16]; // open addressing; :: is an empty slot
	uint32_t group_mask;
	uint32_t *group; // the same; the last 24 bits of solicited-node groups | GROUP_SET
	uint32_t ngroups;
	struct mld mld;
};
#define GROUP_SET 0x01000000u

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
	struct inet6 six;
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

// Raw 64 bits, the same.
static inline uint64_t raw64(const void *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return v;
}

static inline struct pen_addr addr_of_ip6(const uint8_t *ip)
{
	struct pen_addr a = {.family = PEN_FAMILY_IP6};
	memcpy(a.ip, ip, 16);
	return a;
}

static inline uint32_t hash_ip6(const uint8_t *ip)
{
	uint64_t a = raw64(ip) * 0x9e3779b97f4a7c15u, b = raw64(ip + 8) * 0xc2b2ae3d27d4eb4fu;

	a ^= b;
	a = (a ^ a >> 32) * 0x9e3779b97f4a7c15u; // the last bytes differ most, and are on top
	return (uint32_t)(a >> 32);
}

static inline bool ip6_eq(const uint8_t *a, const uint8_t *b)
{
	return raw64(a) == raw64(b) && raw64(a + 8) == raw64(b + 8);
}

static inline bool ip6_unspecified(const uint8_t *a)
{
	return (raw64(a) | raw64(a + 8)) == 0;
}

static inline bool ip6_link_local(const uint8_t *a)
{
	return a[0] == 0xfe && (a[1] & 0xc0) == 0x80;
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

// --- inet6.c: what the IPv6 half knows ---
// 0 or -ENOMEM.
int inet6_init(struct pen_inet *n, const struct pen_inet_config *cfg, pen_time_us now);
void inet6_fini(struct pen_inet *n);
bool inet6_source_has(const struct pen_inet *n, const uint8_t *ip);
// Whether we listen to the solicited-node group of the last 24 bits of ip.
bool inet6_group_has(const struct pen_inet *n, const uint8_t *ip);
bool inet6_on_link(const struct pen_inet *n, const uint8_t *src, const uint8_t *dst);
// Multicast, loopback, unspecified, or an IPv4 address in disguise.
bool inet6_not_unicast(const uint8_t *ip);
// The address to resolve for src -> dst, or NULL when there is no route.
const uint8_t *inet6_next_hop(const struct pen_inet *n, const uint8_t *src, const uint8_t *dst);

// --- ip6.c ---
// `unicast`: the frame came to our MAC address.
void inet_ip6_input(struct pen_inet *n, const uint8_t *ip, uint32_t len, bool unicast, bool csum_ok,
	pen_time_us now);
// What the walk over the extension headers of a packet ended at.
enum ip6_walk {
	IP6_WALK_OK,
	IP6_WALK_SHORT,
	IP6_WALK_FRAGMENT,
	IP6_WALK_ROUTING,
	IP6_WALK_OPTION, // one that demands not to be ignored, or too many
};
// len bytes of a packet; *proto and *at are its payload's protocol and offset.
// Touches no more than len bytes, and a bounded number of headers.
enum ip6_walk ip6_walk(const uint8_t *ip, uint32_t len, uint8_t *proto, uint32_t *at);
void ip6_write(uint8_t *ip, const uint8_t *src, const uint8_t *dst, uint8_t proto, uint8_t hops,
	uint32_t payload);
// The sum of an IPv6 pseudo header (RFC 8200 8.1).
uint64_t ip6_pseudo_sum(const uint8_t *src, const uint8_t *dst, uint8_t proto, uint32_t len);
void inet_ip6_send(struct pen_inet *n, struct pen_frame *f, const uint8_t *src, const uint8_t *dst,
	uint8_t proto, uint32_t payload, bool l4_csum, pen_time_us now);

// --- icmp6.c ---
// ip: the header; icmp: the message of icmp_len bytes.
void inet_icmp6_input(struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t icmp_len,
	pen_time_us now);
// Fills the checksum of a message that stands behind its IPv6 header.
void icmp6_finish(const uint8_t *ip, uint8_t *icmp, uint32_t len);

// --- nd.c ---
void nd_solicit(struct pen_inet *n, const struct neigh *e, bool everybody);
void nd_solicitation_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now);
void nd_advertisement_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now);

// --- mld.c ---
void mld_init(struct pen_inet *n, bool quiet, pen_time_us now);
void mld_query_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now);
// Sends what is due; returns the next deadline.
pen_time_us mld_poll(struct pen_inet *n, pen_time_us now);

// --- arp.c ---
void arp_ask(struct pen_inet *n, const struct neigh *e);
void arp_input(struct pen_inet *n, const uint8_t *arp, uint32_t len, bool unicast, pen_time_us now);

// --- neigh.c ---
static inline struct neigh_key neigh_key4(uint32_t raw)
{
	return (struct neigh_key){.ip = raw, .family = PEN_FAMILY_IP4};
}
static inline struct neigh_key neigh_key6(const uint8_t *ip)
{
	struct neigh_key k = {.ip = hash_ip6(ip), .family = PEN_FAMILY_IP6};
	memcpy(k.ip6, ip, 16);
	return k;
}
void neigh_init(struct pen_inet *n);
void neigh_fini(struct pen_inet *n);
struct neigh *neigh_find(struct pen_inet *n, const struct neigh_key *key);
// Somebody who asks for `ours` (of 4 or 16 bytes) says that key is at mac: e is
// the entry or NULL.
void neigh_asks(struct pen_inet *n, struct neigh *e, const struct neigh_key *key,
	const uint8_t mac[6], const uint8_t *ours, pen_time_us now);
// A claim about a neighbour that we did not ask for; e may be NULL.
void neigh_hint(struct pen_inet *n, struct neigh *e, uint32_t family, const uint8_t mac[6],
	pen_time_us now);
// An answer that we asked for.
void neigh_answer(struct pen_inet *n, struct neigh *e, const uint8_t mac[6], pen_time_us now);
static inline bool neigh_expects(const struct neigh *e)
{
	return !e->pinned && (e->state == NEIGH_PROBING || e->tries > 0);
}
// Fills the destination MAC and sends the frame, or parks or drops it. src: the
// local address, of 4 or 16 bytes.
void neigh_send(struct pen_inet *n, struct pen_frame *f, uint32_t frame_len, const void *src,
	const struct neigh_key *hop, bool l4_csum, pen_time_us now);
