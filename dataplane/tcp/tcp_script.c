// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_script.h"

#include <arpa/inet.h>
#include <stdlib.h>

bool script_ip6;

static const struct pen_addr peer6 = {.family = PEN_FAMILY_IP6, .ip = {0xfd, [15] = 2}};

static void *on_accept(void *ctx, struct pen_tcp_conn *c)
{
	struct script *s = ctx;

	s->accepted = true;
	s->c = c;
	return s->refuse ? NULL : s;
}

static void on_connected(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	(void)c, (void)now;
	((struct script *)ctx)->connected = true;
}

static uint32_t on_data(
	void *ctx, struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	struct script *s = ctx;
	uint32_t used = min_u32(n, s->consume_at_most);

	(void)c, (void)now;
	PEN_ASSERT(s->ngot + used <= sizeof(s->got));
	memcpy(s->got + s->ngot, p, used);
	s->ngot += used;
	return used;
}

static void on_peer_fin(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	(void)c, (void)now;
	((struct script *)ctx)->peer_fin = true;
}

static void on_writable(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now)
{
	(void)c, (void)now;
	((struct script *)ctx)->acked = acked;
}

static void on_closed(void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	struct script *s = ctx;

	(void)now;
	PEN_ASSERT(!s->closed && c == s->c);
	s->closed = true;
	s->why = why;
	s->c = NULL;
}

static bool tx_get(void *ctx, struct pen_frame *f)
{
	// Exactly as large as promised, so that the sanitizer sees an overrun.
	uint32_t cap = PEN_ETH_LEN + pen_inet_mtu(((struct script *)ctx)->inet);
	*f = (struct pen_frame){.data = malloc(cap), .cap = cap};
	return f->data != NULL;
}

static void tx_drop(void *ctx, struct pen_frame *f)
{
	(void)ctx;
	free(f->data);
}

static void capture(struct script *s, const uint8_t *frame, uint32_t len)
{
	bool ip4 = frame[12] == 8 && frame[13] == 0 && frame[PEN_ETH_LEN + 9] == 6;
	bool ip6 = frame[12] == 0x86 && frame[13] == 0xdd && frame[PEN_ETH_LEN + 6] == 6;
	if (!ip4 && !ip6)
		return; // what belongs to the network layer is not what scripts look at
	uint32_t head = PEN_INET_HEADROOM(ip6 ? PEN_FAMILY_IP6 : PEN_FAMILY_IP4);
	PEN_ASSERT(s->tail - s->head < SCRIPT_SENT_MAX && len >= head + TCP_HDR);
	struct script_sent *o = &s->sent[s->tail++ % SCRIPT_SENT_MAX];
	memcpy(o->frame, frame, len);
	const uint8_t *p = o->tcp = o->frame + head;
	uint32_t hdr = (uint32_t)(p[12] >> 4) * 4;
	uint16_t word[4];
	uint32_t num[2];
	memcpy(word, p, 4);
	memcpy(num, p + 4, 8);
	o->at = s->now;
	o->seg = (struct tcp_seg){
		.id.lport = ntohs(word[0]),
		.id.rport = ntohs(word[1]),
		.seq = ntohl(num[0]),
		.ack = ntohl(num[1]),
		.flags = p[13],
		.wnd = (uint32_t)(p[14] << 8 | p[15]),
		.data = p + hdr,
		.len = len - head - hdr,
	};
	PEN_ASSERT(tcp_options_parse(&o->seg, p + TCP_HDR, hdr - TCP_HDR) == 0);
	if (o->seg.has_ts)
		s->tsecr = o->seg.tsval;
}

static void tx_put(void *ctx, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	PEN_ASSERT(!l4_csum);
	capture(ctx, f->data, len);
	free(f->data);
}

void script_config(struct pen_tcp_config *cfg)
{
	pen_tcp_config_init(cfg);
	cfg->max_conns = 16;
	cfg->buffer_chunks = 256;
	cfg->send_refs = 64;
	cfg->secret = (struct pen_siphash_key){1, 2};
}

void script_start(struct script *s, const struct pen_tcp_config *cfg)
{
	static const struct pen_port_ops ops = {tx_get, tx_put, tx_drop};
	static const struct pen_tcp_callbacks cb = {
		on_accept, on_connected, on_data, on_peer_fin, on_writable, on_closed};

	memset(s, 0, sizeof(*s));
	s->now = s->start = 1000 * PEN_US_PER_S;
	const struct pen_addr ours[2] = {
		pen_addr_ip4(0x0a000001), {.family = PEN_FAMILY_IP6, .ip = {0xfd, [15] = 1}}};
	const struct pen_addr peer4 = pen_addr_ip4(0x0a000002);
	s->us = ours[script_ip6];
	s->peer = script_ip6 ? peer6 : peer4;
	s->consume_at_most = UINT32_MAX;
	s->wnd = 65535;
	s->seq = SCRIPT_PEER_ISS;
	s->tsval = SCRIPT_PEER_TS;
	struct pen_inet_config inet = {.mac = {2, 0, 0, 0, 0, 1},
		.mtu = script_ip6 ? 1520 : 1500,
		.prefix_bits = 24,
		.prefix6_bits = 64,
		.sources = ours,
		.nsources = 2};
	s->inet = pen_inet_new(&inet, &ops, s, &s->inet_ctr, s->now);
	PEN_ASSERT(s->inet != NULL);
	pen_inet_neigh_learn(s->inet, &peer4, (uint8_t[6]){2, 0, 0, 0, 0, 2}, true, s->now);
	pen_inet_neigh_learn(s->inet, &peer6, (uint8_t[6]){2, 0, 0, 0, 0, 2}, true, s->now);
	s->tcp = pen_tcp_new(cfg, s->inet, &cb, &s->ctr, s->now);
	PEN_ASSERT(s->tcp != NULL);
}

void script_end(struct script *s)
{
	pen_tcp_free(s->tcp);
	pen_inet_free(s->inet);
}

void script_go(struct script *s, pen_time_us us)
{
	pen_time_us end = s->now + us;

	for (;;) {
		pen_time_us next = pen_tcp_poll(s->tcp, 16, s->now);
		pen_tcp_check(s->tcp);
		if (next > end)
			break;
		s->now = next > s->now ? next : s->now + 1;
	}
	s->now = end;
	pen_tcp_poll(s->tcp, 16, s->now);
}

const struct script_sent *script_next(struct script *s)
{
	return s->head != s->tail ? &s->sent[s->head++ % SCRIPT_SENT_MAX] : NULL;
}

void script_forget(struct script *s)
{
	s->head = s->tail;
}

void script_raw(struct script *s, uint8_t flags, uint32_t seq, uint32_t ack, const void *options,
	uint32_t noptions, const void *data, uint32_t len)
{
	struct tcp_tuple id = {.lport = s->peer_port, .rport = s->our_port};
	uint32_t hdr = TCP_HDR + noptions;
	uint8_t *p = malloc(hdr + len); // exact, for the sanitizer

	PEN_ASSERT(p != NULL && noptions % 4 == 0 && noptions <= 40);
	tcp_header_write(p, &id, seq, ack, flags, hdr, s->wnd);
	if (noptions > 0)
		memcpy(p + TCP_HDR, options, noptions);
	memset(p + hdr, 0, len);
	if (data != NULL)
		memcpy(p + hdr, data, len);
	// Addresses of either family sum up as 16 bytes: the rest is zero.
	uint64_t sum = pen_csum_add(pen_csum_add(0, s->us.ip, 16), s->peer.ip, 16) + htons(6) +
		       htons((uint16_t)(hdr + len));
	uint16_t field = pen_csum_fold(pen_csum_add(sum, p, hdr + len));
	memcpy(p + 16, &field, 2);
	pen_tcp_input(s->tcp, &s->peer, &s->us, p, hdr + len, false, s->now);
	pen_tcp_check(s->tcp);
	free(p);
}

void script_peer(struct script *s, uint8_t flags, const void *data, uint32_t len)
{
	uint8_t options[TCP_TS_OPT];
	uint32_t n = s->ts ? tcp_options_write_ts(options, s->tsval, s->tsecr) : 0;

	script_raw(s, flags, s->seq, s->ack, options, n, data, len);
	s->seq += len + ((flags & SYN) != 0) + ((flags & FIN) != 0);
	pen_tcp_poll(s->tcp, 16, s->now);
	pen_tcp_check(s->tcp);
}

void script_connect(struct script *s)
{
	s->peer_port = 25;
	PEN_ASSERT(pen_tcp_connect(s->tcp, &s->us, &s->peer, 25, s, &s->c, s->now) == 0);
	const struct script_sent *syn = script_next(s);
	PEN_ASSERT(syn != NULL && syn->seg.flags == SYN);
	s->our_port = syn->seg.id.lport;
	s->ack = syn->seg.seq + 1;
}

void script_handshake(struct script *s)
{
	uint8_t options[40];

	script_connect(s);
	uint32_t n = tcp_options_write_syn(options, 1460, -1, s->ts, s->tsval, s->tsecr);
	script_raw(s, SYN | ACK, s->seq++, s->ack, options, n, NULL, 0);
	pen_tcp_poll(s->tcp, 16, s->now);
	PEN_ASSERT(s->connected);
	script_forget(s);
}

void script_accept(struct script *s)
{
	uint8_t options[40];

	s->our_port = 25;
	s->peer_port = 40000;
	PEN_ASSERT(pen_tcp_listen(s->tcp, 25, s) == 0);
	uint32_t n = tcp_options_write_syn(options, 1460, -1, s->ts, s->tsval, 0);
	script_raw(s, SYN, s->seq++, 0, options, n, NULL, 0);
	const struct script_sent *reply = script_next(s);
	PEN_ASSERT(reply != NULL && reply->seg.flags == (SYN | ACK));
	s->ack = reply->seg.seq + 1;
	script_peer(s, ACK, NULL, 0);
	script_forget(s);
}
