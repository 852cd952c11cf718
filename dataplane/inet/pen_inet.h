// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The network layer of one worker: Ethernet, IPv4 with ARP and ICMP, IPv6 with
// neighbour discovery, ICMPv6 and multicast listener reports.
//
// Frames go in, frames come out, `now` is passed in: no DPDK, no clock, no
// allocation after init. A pen_inet serves one port of one worker. Several
// local addresses (sources) live on the port, each answered by ARP or neighbour
// discovery. Destinations are on-link by prefix, or reached through the gateway
// of their family; both are configured, and router advertisements are not
// followed. Addresses are not checked for duplicates: they are the operator's.
//
// Threads: owned by one worker. Neighbour answers that another worker needs
//          are handed over by the worker (pen_inet_neigh_learn).
// Follows: RFC 791, 792, 826, 1122; 8200, 4291, 4861, 4443, 3810, 5095, 6980.

#include "pen_addr.h"
#include "pen_counter.h"
#include "pen_time.h"

#define PEN_ETH_LEN 14
#define PEN_IP4_LEN 20
#define PEN_IP6_LEN 40
// RFC 8200 5: every link carries as much.
#define PEN_IP6_MTU_MIN 1280
// What lies in front of a transport's segment, by address family.
#define PEN_INET_HEADROOM(family)                                                                  \
	(PEN_ETH_LEN + ((family) == PEN_FAMILY_IP6 ? PEN_IP6_LEN : PEN_IP4_LEN))

#define PEN_INET_COUNTERS(X)                                                                       \
	X(rx_frames, "frames given to the network layer")                                          \
	X(rx_arp, "ARP packets received")                                                          \
	X(rx_ip4, "IPv4 packets addressed to us")                                                  \
	X(rx_icmp, "ICMP messages received")                                                       \
	X(rx_icmp_unreachable, "ICMP destination unreachable messages received")                   \
	X(drop_eth_short, "frames shorter than an Ethernet header")                                \
	X(drop_eth_type, "frames of a protocol we do not speak")                                   \
	X(drop_eth_dst, "frames for another MAC address")                                          \
	X(drop_arp_malformed, "ARP packets with bad lengths or types")                             \
	X(drop_arp_not_ours, "ARP packets that concern none of our addresses")                     \
	X(drop_arp_unsolicited, "ARP claims that we did not ask for, or that contradict us")       \
	X(drop_arp_full, "neighbours not learned: the table was full of busy ones")                \
	X(drop_ip_short, "IPv4 packets shorter than their header says")                            \
	X(drop_ip_version, "IPv4 packets with a bad version or header length")                     \
	X(drop_ip_checksum, "IPv4 packets with a bad header checksum")                             \
	X(drop_ip_fragment, "IPv4 fragments: not reassembled, TCP asks for DF")                    \
	X(drop_ip_options, "IPv4 packets with source-routing options")                             \
	X(drop_ip_dst, "IPv4 packets for an address that is not ours")                             \
	X(drop_ip_src, "IPv4 packets from a broadcast, multicast or our own address")              \
	X(drop_ip_protocol, "IPv4 packets of a protocol we do not speak")                          \
	X(rx_ip6, "IPv6 packets addressed to us")                                                  \
	X(rx_icmp6, "ICMPv6 messages received")                                                    \
	X(rx_icmp6_unreachable, "ICMPv6 destination unreachable messages received")                \
	X(rx_icmp6_too_big, "ICMPv6 packet too big messages received")                             \
	X(rx_nd, "neighbour solicitations and advertisements received")                            \
	X(rx_mld_queries, "multicast listener queries received")                                   \
	X(drop_ip6_short, "IPv6 packets shorter than their headers say")                           \
	X(drop_ip6_version, "IPv6 packets with a bad version")                                     \
	X(drop_ip6_fragment, "IPv6 fragments: not reassembled")                                    \
	X(drop_ip6_routing, "IPv6 packets with a routing header")                                  \
	X(drop_ip6_options, "IPv6 packets with options or extension headers that we refuse")       \
	X(drop_ip6_dst, "IPv6 packets for an address that is not ours")                            \
	X(drop_ip6_group, "IPv6 packets for a multicast group that we are not in")                 \
	X(drop_ip6_src, "IPv6 packets from a multicast, loopback or our own address")              \
	X(drop_ip6_protocol, "IPv6 packets of a protocol we do not speak")                         \
	X(drop_icmp6_malformed, "ICMPv6 messages that are short or have a bad checksum")           \
	X(drop_icmp6_type, "ICMPv6 messages of a type we do not act upon")                         \
	X(drop_nd_malformed, "neighbour discovery messages that RFC 4861 tells to discard")        \
	X(drop_nd_not_ours, "solicitations for none of our addresses, claims of ours")             \
	X(drop_nd_unsolicited, "IPv6 neighbour claims that we did not ask for")                    \
	X(drop_nd_router, "router advertisements and redirects: the gateway is configured")        \
	X(drop_mld_malformed, "multicast listener queries that RFC 3810 tells to discard")         \
	X(drop_icmp_malformed, "ICMP messages that are short or have a bad checksum")              \
	X(tx_frames, "frames handed to the port")                                                  \
	X(tx_arp_requests, "ARP requests sent")                                                    \
	X(tx_arp_replies, "ARP replies sent")                                                      \
	X(tx_icmp_replies, "ICMP echo replies sent")                                               \
	X(tx_nd_solicitations, "neighbour solicitations sent")                                     \
	X(tx_nd_advertisements, "neighbour advertisements sent")                                   \
	X(tx_icmp6_replies, "ICMPv6 echo replies sent")                                            \
	X(tx_mld_reports, "multicast listener reports sent")                                       \
	X(drop_tx_no_buffer, "frames not sent: the port had no buffer")                            \
	X(drop_tx_no_route, "packets without a route")                                             \
	X(drop_tx_unresolved, "packets dropped while a neighbour did not answer")
PEN_COUNTERS_DECLARE(pen_inet, PEN_INET_COUNTERS);

// One transmit buffer of the port.
struct pen_frame {
	uint8_t *data; // where the Ethernet header goes
	uint32_t cap;  // bytes available from data
	void *port;    // the port's own handle (an mbuf)
};

// What the port gives to the stack. Both calls return at once.
struct pen_port_ops {
	// A buffer with cap >= mtu + PEN_ETH_LEN, or false when there is none.
	bool (*tx_get)(void *ctx, struct pen_frame *f);
	// Sends `len` bytes of a buffer got by tx_get; takes it back in any case.
	// With l4_csum the port has to fill the TCP checksum, whose field holds
	// the pseudo-header sum, and for IPv4 the header checksum, whose field
	// is zero; only used when PEN_PORT_TX_CSUM was given. The Ethernet type
	// tells the family; there are no options or extension headers then.
	void (*tx_put)(void *ctx, struct pen_frame *f, uint32_t len, bool l4_csum);
	// Gives a buffer back unsent.
	void (*tx_drop)(void *ctx, struct pen_frame *f);
};

enum {
	PEN_PORT_TX_CSUM = 1 << 0,    // the port fills IPv4 and TCP checksums
	PEN_PORT_RX_CSUM_OK = 1 << 1, // the port has verified checksums already
};

#define PEN_INET_SOURCES_MAX 4096
#define PEN_INET_NEIGH_MAX 1024

struct pen_inet_config {
	uint8_t mac[6];
	uint16_t mtu;
	uint32_t port_flags;
	struct pen_addr gateway;        // of IPv4; family NONE: on-link only
	struct pen_addr gateway6;       // of IPv6; the same
	uint8_t prefix_bits;            // on-link prefix of all IPv4 sources
	uint8_t prefix6_bits;           // and of the IPv6 ones
	bool quiet;                     // another worker of the port reports our groups
	const struct pen_addr *sources; // copied; of both families, in any order
	uint32_t nsources;              // 1..PEN_INET_SOURCES_MAX
};

struct pen_inet;

// A received TCP segment: src/dst, bytes from the TCP header on. csum_ok: the
// port verified it. Also called for nothing else.
struct pen_inet_handler {
	void (*tcp)(void *ctx, const struct pen_addr *src, const struct pen_addr *dst,
		const uint8_t *seg, uint32_t len, bool csum_ok, pen_time_us now);
	// An ICMP or ICMPv6 error, by the family of `local`, that quotes one of
	// our TCP segments. type/code as on the wire; next_mtu is 0 when the
	// message has none.
	void (*tcp_unreachable)(void *ctx, const struct pen_addr *local,
		const struct pen_addr *remote, uint16_t local_port, uint16_t remote_port,
		uint32_t seq, uint8_t type, uint8_t code, uint16_t next_mtu, pen_time_us now);
	// A neighbour became known, so other workers can be told. May be NULL.
	void (*neigh_learned)(void *ctx, const struct pen_addr *addr, const uint8_t mac[6]);
	void *ctx;
};

// pen_inet_new allocates all it will ever need. NULL and errno on failure. IPv6
// sources want an mtu of at least PEN_IP6_MTU_MIN.
struct pen_inet *pen_inet_new(const struct pen_inet_config *cfg, const struct pen_port_ops *ops,
	void *port_ctx, struct pen_inet_counters *ctr, pen_time_us now);
void pen_inet_free(struct pen_inet *n);
void pen_inet_set_handler(struct pen_inet *n, const struct pen_inet_handler *h);

// pen_inet_input processes one received frame. The bytes are borrowed for the
// call. csum_ok: the port verified IP and TCP checksums.
void pen_inet_input(
	struct pen_inet *n, const uint8_t *frame, uint32_t len, bool csum_ok, pen_time_us now);

// pen_inet_steer reads just enough of a frame to tell the local TCP port, so
// that the worker can find its owner: returns the port, or 0 when the frame is
// not a TCP segment (ICMP errors yield the quoted segment's local port).
uint16_t pen_inet_steer(const uint8_t *frame, uint32_t len);

// Transport output. pen_inet_tx_begin gets a frame for a segment of a family and
// returns where the TCP header goes (data + PEN_INET_HEADROOM), or NULL when
// there is no buffer. pen_inet_tx_end adds IP and Ethernet headers for src -> dst and sends, or
// parks the frame while the neighbour is being resolved (a few per neighbour).
uint8_t *pen_inet_tx_begin(struct pen_inet *n, struct pen_frame *f, uint8_t family);
void pen_inet_tx_end(struct pen_inet *n, struct pen_frame *f, const struct pen_addr *src,
	const struct pen_addr *dst, uint32_t seg_len, bool l4_csum, pen_time_us now);

// Whether dst can be sent to from src: on-link, or through the gateway.
bool pen_inet_has_route(
	const struct pen_inet *n, const struct pen_addr *src, const struct pen_addr *dst);
bool pen_inet_is_local(const struct pen_inet *n, const struct pen_addr *a);
uint16_t pen_inet_mtu(const struct pen_inet *n);
uint32_t pen_inet_port_flags(const struct pen_inet *n);

// Static or foreign knowledge of a neighbour; never expires when `pinned`.
void pen_inet_neigh_learn(struct pen_inet *n, const struct pen_addr *addr, const uint8_t mac[6],
	bool pinned, pen_time_us now);

// pen_inet_poll runs retries and refreshes of neighbours and sends listener
// reports; returns its next deadline.
pen_time_us pen_inet_poll(struct pen_inet *n, pen_time_us now);

// The internet checksum (RFC 1071) over n bytes, added to a partial sum;
// pen_csum_fold gives the 16 bits in the order in which they are stored.
uint64_t pen_csum_add(uint64_t sum, const void *p, size_t n);
// Copies while summing. dst and src must not overlap.
uint64_t pen_csum_copy(uint64_t sum, void *dst, const void *src, size_t n);
uint16_t pen_csum_fold(uint64_t sum);
