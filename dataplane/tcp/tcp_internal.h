// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the files of the TCP core share. Not for other folders.
//
// Names are those of RFC 9293: snd_una, snd_nxt, rcv_nxt... Sequence numbers
// are in host order. Addresses are kept as the raw bits of the wire.

#include "pen_err.h"
#include "pen_tcp.h"
#include "pen_wheel.h"

#include <arpa/inet.h>
#include <string.h>

#define TCP_HDR 20
#define TCP_TS_OPT 12 // timestamps with two NOPs
#define TCP_WSCALE_MAX 14
#define TCP_DEFAULT_MSS 536
#define TCP_DEFAULT_MSS6 1220
#define TCP_MIN_MSS 64
#define TCP_LISTENERS 32
#define TCP_CHUNK_SIZE 2048
#define TCP_PORT_COUNTERS 1024

#define TCP_DELACK_US (40 * PEN_US_PER_MS)
#define TCP_INITIAL_RTO_US PEN_US_PER_S
#define TCP_SYN_LOST_RTO_US (3 * PEN_US_PER_S)
#define TCP_CHALLENGE_CONN_US (100 * PEN_US_PER_MS)
#define TCP_CHALLENGE_PER_S 1000
#define TCP_PAWS_IDLE_US (24LL * 86400 * PEN_US_PER_S)

enum {
	FIN = 1,
	SYN = 2,
	RST = 4,
	PSH = 8,
	ACK = 16,
};

enum tcp_state {
	TCP_CLOSED, // 0: a free object
	TCP_SYN_SENT,
	TCP_SYN_RCVD,
	TCP_ESTABLISHED,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_CLOSE_WAIT,
	TCP_CLOSING,
	TCP_LAST_ACK,
};

// Local and remote end. No padding: hashed and compared as bytes. Of an IPv6
// address laddr and raddr are the last 32 bits and lhigh and rhigh the rest, so
// that IPv4 needs the first 16 bytes only.
struct tcp_tuple {
	uint32_t laddr, raddr;
	uint16_t lport, rport;
	uint32_t kind; // TUPLE_IP4 or TUPLE_IP6
	uint32_t lhigh[3], rhigh[3];
};
#define TUPLE_IP4 0
#define TUPLE_IP6 1
_Static_assert(offsetof(struct tcp_tuple, lhigh) == 16, "IPv4 is hashed as two words");
_Static_assert(sizeof(struct tcp_tuple) == 40, "IPv6 is hashed as five words");

// A chunk of the 2 KiB pool: copied bytes to send, or received bytes that are
// out of order or not consumed yet.
struct chunk {
	struct chunk *next;
	uint32_t seq; // received: of data[off]
	uint16_t off, len;
	uint8_t data[TCP_CHUNK_SIZE - 16];
};
#define TCP_CHUNK_CAP ((uint32_t)sizeof(((struct chunk *)0)->data))
_Static_assert(sizeof(struct chunk) == TCP_CHUNK_SIZE, "a chunk is 2 KiB");

// One piece of the transmit queue: the caller's bytes, or a chunk's.
struct txd {
	struct txd *next;
	const uint8_t *p;
	struct chunk *chunk; // NULL: by reference
	uint32_t len;
};

// A place in the transmit queue: `off` bytes into d; d == NULL is the end.
struct txpos {
	struct txd *d;
	uint32_t off;
};

struct tcp_link {
	struct tcp_link *next, *prev; // NULL: not on a list
};

struct pool {
	uint8_t *base;
	void *free; // first word of a free item is the next one
	size_t item;
	uint32_t total, mark, used; // items above `mark` were never touched
};

enum rtx_mode {
	RTX_OFF,
	RTX_DATA,
	RTX_PERSIST,
};

struct pen_tcp_conn {
	struct pen_tcp *t; // first: overlaid by the free list
	struct tcp_tuple id;
	uint32_t hash;
	uint8_t state;
	uint8_t rtx_mode;
	uint8_t snd_shift, rcv_shift;
	uint8_t dupacks;
	uint8_t retries; // expiries in a row: the exponent of the back-off
	uint8_t probes;  // window probes in a row that nobody answered
	bool shut;       // this closing of the peer's window is counted
	bool ts_on : 1, ws_on : 1;
	bool passive : 1;      // from a listener
	bool told : 1;         // the application knows it: on_closed is due
	bool fin_queued : 1;   // pen_tcp_close was called
	bool fin_rcvd : 1;     // the peer's FIN is acknowledged
	bool fin_told : 1;     // and the application knows
	bool fin_pending : 1;  // the peer's FIN is known at fin_seq
	bool ack_now : 1;      // do not wait for the delayed-ACK timer
	bool ack_pending : 1;  // something to acknowledge
	bool recovering : 1;   // NewReno fast recovery
	bool timing : 1;       // rtt_seq is being timed
	bool cwnd_limited : 1; // the last output was held back by cwnd
	bool delivering : 1;   // inside on_data
	bool capped : 1;       // pen_tcp_set_rx_window was called
	uint32_t snd_una, snd_nxt, snd_max, snd_wnd, snd_wl1, snd_wl2;
	uint32_t rcv_nxt, rcv_adv; // rcv_adv: highest right edge ever advertised
	uint32_t rcv_acked;        // last ACK number sent
	uint32_t ts_recent, ts_offset;
	uint32_t cwnd, ssthresh;
	uint16_t mss;     // payload of a full segment that we send
	uint16_t rcv_mss; // largest segment seen, for delayed ACKs
	struct txd *tx_head, *tx_tail;
	uint32_t tx_head_off; // bytes of tx_head that are acknowledged
	uint32_t rtt_seq;
	struct txpos tx_pos;    // where snd_nxt is
	uint64_t queued, acked; // stream offsets
	pen_time_us rtx_at, delack_at, idle_at;
	struct pen_wheel_node timer;
	struct tcp_link pend;
	uint32_t srtt, rttvar, rto; // us
	uint32_t rx_limit;
	pen_time_us rtt_start, last_send, ts_recent_at;
	void *ctx;
	// Receive side, when not everything is consumed in order.
	struct chunk *kept_head, *kept_tail, *ooo_head, *ooo_tail;
	uint32_t kept_bytes, ooo_chunks;
	uint32_t fin_seq;
	// Colder.
	uint32_t iss, irs;
	uint32_t recover;
	uint32_t max_wnd;               // largest window the peer ever offered
	uint32_t snd_right;             // highest right edge the peer ever offered
	uint32_t retransmits;           // of any kind
	uint32_t data_segs, data_again; // segments with data: all, and sent again
	uint16_t syn_retries, zero_windows;
	uint32_t cc_wmax, cc_west, cc_k_ms, cc_prior; // CUBIC (RFC 9438)
	pen_time_us cc_epoch, challenged_at;
	struct tcp_link starve;
	void *listen_ctx;
};
_Static_assert(sizeof(struct pen_tcp_conn) <= 640, "connections are counted in millions");

struct tcp_timewait {
	uint32_t next, prev; // indices + 1; the pool's link overlays them
	struct tcp_tuple id;
	uint32_t snd_nxt, rcv_nxt;
	uint32_t ts_recent, ts_offset;
	pen_time_us deadline;
};
_Static_assert(sizeof(struct tcp_timewait) == 72, "TIME_WAIT is compact");

struct tcp_slot {
	uint32_t hash;
	uint32_t ref; // 0: empty; else index + 1, with TCP_REF_TW for a tcp_timewait
};
#define TCP_REF_TW 0x80000000u

struct tcp_listener {
	uint16_t port;
	void *ctx;
};

struct pen_tcp {
	struct pen_tcp_config cfg;
	struct pen_inet *inet;
	struct pen_tcp_callbacks cb;
	struct pen_tcp_counters *ctr;
	bool tx_offload;
	uint16_t our_mss[2]; // by tuple kind: from the MTU and the configuration, without options
	uint8_t rcv_shift;
	uint32_t depth; // inside calls that walk connections: free objects late
	struct tcp_slot *table;
	uint32_t table_mask, table_used;
	struct pool conns, txds, chunks, tws;
	uint32_t chunks_reserved; // promised to received bytes
	uint32_t nconns, half_open;
	struct tcp_link pend;       // connections with output or ACKs due
	struct tcp_link starve;     // connections whose write met an empty pool
	struct tcp_link zombie;     // closed inside a call, freed when it ends
	uint32_t tw_first, tw_last; // index + 1, oldest first
	struct pen_wheel wheel;
	struct pen_rand rand;
	uint32_t nlisteners;
	struct tcp_listener listener[TCP_LISTENERS];
	uint32_t port_count, port_base; // ports of our residue class
	uint32_t port_counter[TCP_PORT_COUNTERS];
	pen_time_us challenge_second;
	uint32_t challenge_budget;
	pen_time_us now; // of the last call, for pen_tcp_free
};

// A parsed segment.
struct tcp_seg {
	struct tcp_tuple id;
	uint32_t seq, ack;
	uint32_t wnd; // not scaled yet
	uint32_t len;
	const uint8_t *data;
	uint8_t flags;
	bool has_ts;
	uint8_t wscale; // 0xff: no option
	uint16_t mss;   // 0: no option
	uint32_t tsval, tsecr;
};

static inline bool seq_lt(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}
static inline bool seq_leq(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) <= 0;
}
static inline uint32_t seq_max(uint32_t a, uint32_t b)
{
	return seq_lt(a, b) ? b : a;
}
static inline uint32_t min_u32(uint32_t a, uint32_t b)
{
	return a < b ? a : b;
}
static inline uint32_t max_u32(uint32_t a, uint32_t b)
{
	return a > b ? a : b;
}

// The sequence number after the last queued byte; the FIN's own number.
static inline uint32_t conn_data_end(const struct pen_tcp_conn *c)
{
	return c->iss + 1 + (uint32_t)c->queued;
}
static inline bool conn_fin_acked(const struct pen_tcp_conn *c)
{
	return c->fin_queued && c->snd_una == conn_data_end(c) + 1;
}
static inline bool conn_synced(const struct pen_tcp_conn *c)
{
	return c->state >= TCP_ESTABLISHED;
}

static inline bool tuple_ip6(const struct tcp_tuple *id)
{
	return id->kind == TUPLE_IP6;
}
static inline uint8_t tuple_family(const struct tcp_tuple *id)
{
	return tuple_ip6(id) ? PEN_FAMILY_IP6 : PEN_FAMILY_IP4;
}
// The bytes that count.
static inline size_t tuple_size(const struct tcp_tuple *id)
{
	return tuple_ip6(id) ? sizeof(*id) : offsetof(struct tcp_tuple, lhigh);
}
// Without a call for IPv4: this is asked for every segment.
static inline bool tuple_eq(const struct tcp_tuple *a, const struct tcp_tuple *b)
{
	uint64_t x[2], y[2];

	memcpy(x, a, 16);
	memcpy(y, b, 16);
	if (((x[0] ^ y[0]) | (x[1] ^ y[1])) != 0)
		return false;
	return !tuple_ip6(a) || memcmp(a->lhigh, b->lhigh, 24) == 0;
}
// Both addresses are of one family.
static inline void tuple_set_addrs(
	struct tcp_tuple *id, const struct pen_addr *local, const struct pen_addr *remote)
{
	if (local->family != PEN_FAMILY_IP6) {
		id->kind = TUPLE_IP4;
		memcpy(&id->laddr, local->ip, 4);
		memcpy(&id->raddr, remote->ip, 4);
		return;
	}
	id->kind = TUPLE_IP6;
	memcpy(id->lhigh, local->ip, 12);
	memcpy(&id->laddr, local->ip + 12, 4);
	memcpy(id->rhigh, remote->ip, 12);
	memcpy(&id->raddr, remote->ip + 12, 4);
}
static inline struct pen_addr tuple_addr(
	const struct tcp_tuple *id, uint32_t low, const uint32_t high[3])
{
	struct pen_addr a = {.family = tuple_family(id)};
	if (tuple_ip6(id)) {
		memcpy(a.ip, high, 12);
		memcpy(a.ip + 12, &low, 4);
	} else {
		memcpy(a.ip, &low, 4);
	}
	return a;
}
static inline struct pen_addr tuple_local(const struct tcp_tuple *id)
{
	return tuple_addr(id, id->laddr, id->lhigh);
}
static inline struct pen_addr tuple_remote(const struct tcp_tuple *id)
{
	return tuple_addr(id, id->raddr, id->rhigh);
}
// The sum of the pseudo header of a segment of len bytes (RFC 9293 3.1): the
// fields differ between the families, the sum of what they hold does not.
static inline uint64_t tuple_pseudo_sum(const struct tcp_tuple *id, uint32_t len)
{
	uint64_t sum = (uint64_t)id->laddr + id->raddr + htons(6) + htons((uint16_t)len);

	for (int i = 0; tuple_ip6(id) && i < 3; i++)
		sum += (uint64_t)id->lhigh[i] + id->rhigh[i];
	return sum;
}

// --- tcp_pool.c ---
bool pool_init(struct pool *p, size_t item, uint32_t total);
void pool_fini(struct pool *p);
void *pool_get(struct pool *p); // NULL when empty; not cleared
void pool_put(struct pool *p, void *item);
void *tcp_map(size_t bytes); // zero pages that cost nothing until touched
void tcp_unmap(void *p, size_t bytes);
static inline void *pool_at(const struct pool *p, uint32_t i)
{
	return p->base + (size_t)i * p->item;
}
static inline uint32_t pool_index(const struct pool *p, const void *item)
{
	return (uint32_t)((size_t)((const uint8_t *)item - p->base) / p->item);
}
static inline uint32_t pool_left(const struct pool *p)
{
	return p->total - p->used;
}
struct chunk *chunk_get(struct pen_tcp *t); // ignores what is reserved
void chunk_put(struct pen_tcp *t, struct chunk *k);
static inline uint32_t chunks_left(const struct pen_tcp *t)
{
	uint32_t left = pool_left(&t->chunks);
	return left > t->chunks_reserved ? left - t->chunks_reserved : 0;
}

void link_add(struct tcp_link *head, struct tcp_link *l); // at the end
void link_del(struct tcp_link *l);                        // harmless when not on a list
static inline void link_init(struct tcp_link *head)
{
	head->next = head->prev = head;
}
#define CONN_OF(link, member)                                                                      \
	((struct pen_tcp_conn *)((uint8_t *)(link)-offsetof(struct pen_tcp_conn, member)))

// --- tcp_table.c ---
uint32_t tcp_hash(const struct pen_tcp *t, const struct tcp_tuple *id);
uint32_t tcp_table_find(const struct pen_tcp *t, const struct tcp_tuple *id, uint32_t hash);
void tcp_table_add(struct pen_tcp *t, uint32_t hash, uint32_t ref);
void tcp_table_del(struct pen_tcp *t, uint32_t hash, uint32_t ref);
const struct tcp_tuple *tcp_ref_tuple(const struct pen_tcp *t, uint32_t ref);

// --- tcp_port.c ---
void tcp_port_init(struct pen_tcp *t);
// Fills id->lport and returns true, or false when every port is taken.
bool tcp_port_pick(struct pen_tcp *t, struct tcp_tuple *id);
uint32_t tcp_isn(const struct pen_tcp *t, const struct tcp_tuple *id, pen_time_us now);
uint32_t tcp_ts_offset(const struct pen_tcp *t, const struct tcp_tuple *id);

// --- tcp_conn.c ---
struct pen_tcp_conn *conn_new(
	struct pen_tcp *t, const struct tcp_tuple *id, uint8_t state, pen_time_us now);
// Ends the connection: frees what it holds, tells the application, and gives
// the object back (late, inside calls).
void conn_release(struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now);
void conn_set_mss(struct pen_tcp_conn *c, uint32_t peer_mss);
// Takes the handshake options of a SYN or SYN-ACK.
void conn_take_syn(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now);
// Ends a connection whose both sides have finished. False: it has ended.
bool conn_finish(struct pen_tcp_conn *c, pen_time_us now);
void conn_established(struct pen_tcp_conn *c, pen_time_us now);
static inline void conn_pend(struct pen_tcp_conn *c)
{
	if (c->pend.next == NULL)
		link_add(&c->t->pend, &c->pend);
}
void tcp_enter(struct pen_tcp *t, pen_time_us now);
void tcp_leave(struct pen_tcp *t);

// --- tcp_txq.c ---
void txq_ack(struct pen_tcp_conn *c, uint32_t n);
void txq_free(struct pen_tcp_conn *c);
void txq_rewind(struct pen_tcp_conn *c); // tx_pos to snd_una
// Copies n bytes from pos into dst, moves pos on, returns the checksum.
uint64_t txq_copy(struct txpos *pos, uint8_t *dst, uint32_t n, bool want_sum);

// --- tcp_reass.c ---
void rx_segment(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now);
void rx_resume(struct pen_tcp_conn *c, pen_time_us now);
void rx_free(struct pen_tcp_conn *c);

// --- tcp_option.c ---
// 0, or -EBADMSG for a list that does not parse.
int tcp_options_parse(struct tcp_seg *s, const uint8_t *p, uint32_t n);
uint32_t tcp_options_write_syn(
	uint8_t *p, uint16_t mss, int wscale, bool ts, uint32_t tsval, uint32_t tsecr);
uint32_t tcp_options_write_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr);

// --- tcp_output.c ---
void tcp_output(struct pen_tcp_conn *c, pen_time_us now); // data, FIN and ACK that are due
bool tcp_send_syn(struct pen_tcp_conn *c, pen_time_us now);
bool tcp_send_ack(struct pen_tcp_conn *c, pen_time_us now);
void tcp_send_rst(struct pen_tcp_conn *c, pen_time_us now);
void tcp_retransmit_one(struct pen_tcp_conn *c, pen_time_us now);
void tcp_send_probe(struct pen_tcp_conn *c, pen_time_us now);
uint32_t tcp_rcv_right(const struct pen_tcp_conn *c); // right edge we could offer
static inline uint32_t tcp_ts_now(uint32_t offset, pen_time_us now)
{
	return (uint32_t)(now / PEN_US_PER_MS) + offset;
}

// --- tcp_reply.c ---
// Answers without a connection object.
void tcp_reply_rst(struct pen_tcp *t, const struct tcp_seg *s, pen_time_us now);
void tcp_reply_ack(struct pen_tcp *t, const struct tcp_timewait *tw, pen_time_us now);
// Fills ports, numbers, flags and window; the checksum is done by tcp_finish.
void tcp_header_write(uint8_t *p, const struct tcp_tuple *id, uint32_t seq, uint32_t ack,
	uint8_t flags, uint32_t hdr_len, uint16_t wnd);
void tcp_finish(struct pen_tcp *t, struct pen_frame *f, uint8_t *tcp, const struct tcp_tuple *id,
	uint32_t hdr_len, uint32_t len, uint64_t payload_sum, pen_time_us now);
bool tcp_challenge_allowed(struct pen_tcp *t, pen_time_us now);

// --- tcp_ack.c ---
// Takes ACK number and window. False: the connection has ended.
bool tcp_ack_input(struct pen_tcp_conn *c, const struct tcp_seg *s, pen_time_us now);
void tcp_challenge_ack(struct pen_tcp_conn *c, pen_time_us now);

// --- tcp_timer.c ---
void tcp_timer_update(struct pen_tcp_conn *c);
void tcp_timer_fire(void *tcp, struct pen_wheel_node *node, pen_time_us now);
static inline void tcp_rtx_set(struct pen_tcp_conn *c, enum rtx_mode mode, pen_time_us at)
{
	c->rtx_mode = (uint8_t)mode;
	c->rtx_at = at;
	tcp_timer_update(c);
}
pen_time_us tcp_rto_backed_off(const struct pen_tcp_conn *c);
// FIN_WAIT2 does not last for ever once the application has closed.
void tcp_idle_restart(struct pen_tcp_conn *c, pen_time_us now);

// --- tcp_rtt.c ---
void tcp_rtt_sample(struct pen_tcp_conn *c, pen_time_us rtt);

// --- tcp_cc.c ---
void tcp_cc_init(struct pen_tcp_conn *c);
uint32_t tcp_cc_initial_window(uint32_t mss);
void tcp_cc_ack(struct pen_tcp_conn *c, uint32_t acked, pen_time_us now);
void tcp_cc_loss(struct pen_tcp_conn *c); // sets ssthresh
void tcp_cc_timeout(struct pen_tcp_conn *c);

// --- tcp_listen.c ---
struct tcp_listener *tcp_listener_find(struct pen_tcp *t, uint16_t port);
// A SYN for a listening port. iss_floor: 0, or the number to start beyond.
void tcp_listen_input(struct pen_tcp *t, struct tcp_listener *l, const struct tcp_seg *s,
	uint32_t iss_floor, pen_time_us now);

// --- tcp_timewait.c ---
void tcp_timewait_enter(struct pen_tcp_conn *c, pen_time_us now); // ends c
void tcp_timewait_input(struct pen_tcp *t, uint32_t ref, const struct tcp_seg *s, pen_time_us now);
void tcp_timewait_expire(struct pen_tcp *t, uint32_t most, pen_time_us now);
pen_time_us tcp_timewait_next(const struct pen_tcp *t);
