// SPDX-License-Identifier: BSD-3-Clause
#include "tcp_sim.h"

#include "pen_err.h"

#include <stdlib.h>
#include <string.h>

#define SIM_MTU 1500
#define SIM_CAP (SIM_MTU + PEN_ETH_LEN)
#define SIM_PEERS_MAX 64

struct tcp_sim_frame {
	pen_time_us at;
	uint64_t serial; // keeps the order of equal times
	int to;
	uint32_t len;
	uint8_t data[];
};

static bool before(const struct tcp_sim_frame *a, const struct tcp_sim_frame *b)
{
	return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

static void heap_push(struct tcp_sim *s, struct tcp_sim_frame *f)
{
	if (s->nflight == s->cap) {
		s->cap = s->cap != 0 ? 2 * s->cap : 64;
		s->flight = realloc(s->flight, s->cap * sizeof(*s->flight));
		PEN_ASSERT(s->flight != NULL);
	}
	uint32_t i = s->nflight++;
	for (; i > 0 && before(f, s->flight[(i - 1) / 2]); i = (i - 1) / 2)
		s->flight[i] = s->flight[(i - 1) / 2];
	s->flight[i] = f;
}

static struct tcp_sim_frame *heap_pop(struct tcp_sim *s)
{
	struct tcp_sim_frame *top = s->flight[0], *last = s->flight[--s->nflight];
	uint32_t i = 0;

	for (uint32_t kid; (kid = 2 * i + 1) < s->nflight; i = kid) {
		if (kid + 1 < s->nflight && before(s->flight[kid + 1], s->flight[kid]))
			kid++;
		if (!before(s->flight[kid], last))
			break;
		s->flight[i] = s->flight[kid];
	}
	s->flight[i] = last;
	return top;
}

static bool chance(struct tcp_sim *s, uint32_t of_10000)
{
	return of_10000 != 0 && pen_rand_below(&s->rand, 10000) < of_10000;
}

static void travel(struct tcp_sim *s, int to, const uint8_t *data, uint32_t len, pen_time_us at)
{
	struct tcp_sim_frame *f = malloc(sizeof(*f) + len);

	PEN_ASSERT(f != NULL);
	*f = (struct tcp_sim_frame){.at = at, .serial = s->serial++, .to = to, .len = len};
	memcpy(f->data, data, len);
	if (chance(s, s->link.corrupt))
		f->data[pen_rand_below(&s->rand, len)] ^=
			(uint8_t)(1u << pen_rand_below(&s->rand, 8));
	heap_push(s, f);
}

static void send(struct tcp_sim_host *h, const uint8_t *data, uint32_t len)
{
	struct tcp_sim *s = h->sim;
	const struct tcp_sim_link *l = &s->link;

	s->frames++;
	if ((l->drop != NULL && l->drop(l->drop_ctx, h->index, data, len, s->now)) ||
		chance(s, l->loss)) {
		s->lost++;
		return;
	}
	pen_time_us at = s->now;
	if (l->bits_per_s != 0) {
		at = h->busy_until > at ? h->busy_until : at;
		at += (pen_time_us)((uint64_t)len * 8 * 1000000 / l->bits_per_s);
		h->busy_until = at;
	}
	at += l->delay + (pen_time_us)pen_rand_below(&s->rand, (uint64_t)l->jitter + 1);
	if (chance(s, l->reorder)) {
		at += 1 + (pen_time_us)pen_rand_below(&s->rand, 4 * (uint64_t)l->delay + 1);
	} else {
		at = at > h->last_arrival ? at : h->last_arrival;
		h->last_arrival = at;
	}
	travel(s, !h->index, data, len, at);
	if (chance(s, l->duplicate))
		travel(s, !h->index, data, len, at + 1);
}

static bool port_tx_get(void *ctx, struct pen_frame *f)
{
	struct tcp_sim_host *h = ctx;

	if (h->no_buffers)
		return false;
	// Exactly as large as promised, so that the sanitizer sees an overrun.
	*f = (struct pen_frame){.data = malloc(SIM_CAP), .cap = SIM_CAP};
	PEN_ASSERT(f->data != NULL);
	h->frames_out++;
	return true;
}

static void port_tx_drop(void *ctx, struct pen_frame *f)
{
	struct tcp_sim_host *h = ctx;

	free(f->data);
	h->frames_out--;
}

static void port_tx_put(void *ctx, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	PEN_ASSERT(len <= SIM_CAP && !l4_csum);
	send(ctx, f->data, len);
	port_tx_drop(ctx, f);
}

static void host_start(struct tcp_sim *s, int i, const struct pen_tcp_config *cfg,
	const struct pen_tcp_callbacks *cb)
{
	static const struct pen_port_ops ops = {port_tx_get, port_tx_put, port_tx_drop};
	struct tcp_sim_host *h = &s->host[i];
	struct pen_tcp_config own = *cfg;

	h->sim = s;
	h->index = i;
	h->addr = pen_addr_ip4(0x0a000001u + (uint32_t)i);
	if (s->link.ip6)
		h->addr = (struct pen_addr){
			.family = PEN_FAMILY_IP6, .ip = {0xfd, [15] = (uint8_t)(i + 1)}};
	memcpy(h->mac, (uint8_t[6]){2, 0, 0, 0, 0, (uint8_t)(i + 1)}, 6);
	struct pen_addr more[SIM_PEERS_MAX];
	uint32_t n = i == 1 && s->link.peers > 1 ? s->link.peers : 1;
	PEN_ASSERT(n <= SIM_PEERS_MAX);
	more[0] = h->addr;
	for (uint32_t k = 1; k < n; k++)
		more[k] = pen_addr_ip4(0x0a000001u + (uint32_t)i + k);
	struct pen_inet_config inet = {.mtu = SIM_MTU,
		.prefix_bits = 24,
		.prefix6_bits = 64,
		.sources = more,
		.nsources = n};
	memcpy(inet.mac, h->mac, 6);
	h->inet = pen_inet_new(&inet, &ops, h, &h->inet_ctr, s->now);
	own.secret.k0 ^= pen_rand_u64(&s->rand);
	own.secret.k1 ^= pen_rand_u64(&s->rand);
	own.seed = pen_rand_u64(&s->rand);
	h->tcp = pen_tcp_new(&own, h->inet, cb, &h->tcp_ctr, s->now);
	PEN_ASSERT(h->inet != NULL && h->tcp != NULL);
	struct pen_inet_handler handler = {
		.tcp = pen_tcp_input, .tcp_unreachable = pen_tcp_unreachable, .ctx = h->tcp};
	pen_inet_set_handler(h->inet, &handler);
}

// The host knows the other one's addresses.
static void learn(struct tcp_sim *s, int i)
{
	const struct tcp_sim_host *other = &s->host[!i];
	uint32_t n = i == 0 && s->link.peers > 1 ? s->link.peers : 1;

	pen_inet_neigh_learn(s->host[i].inet, &other->addr, other->mac, true, s->now);
	for (uint32_t k = 1; k < n; k++) {
		struct pen_addr a = pen_addr_ip4(0x0a000002u + k);
		pen_inet_neigh_learn(s->host[i].inet, &a, other->mac, true, s->now);
	}
}

struct tcp_sim *tcp_sim_new(const struct pen_tcp_config *cfg, const struct pen_tcp_callbacks cb[2],
	const struct tcp_sim_link *link, uint64_t seed)
{
	struct tcp_sim *s = calloc(1, sizeof(*s));

	PEN_ASSERT(s != NULL);
	pen_rand_seed(&s->rand, seed);
	s->link = *link;
	s->check = true;
	// Not at zero, and near a wrap of the timestamp clock for some seeds.
	s->now = 1000000 + (pen_time_us)pen_rand_below(&s->rand, 1ULL << 42);
	for (int i = 0; i < 2; i++)
		host_start(s, i, cfg, &cb[i]);
	learn(s, 0);
	learn(s, 1);
	return s;
}

void tcp_sim_restart(struct tcp_sim *s, int host, const struct pen_tcp_config *cfg,
	const struct pen_tcp_callbacks *cb)
{
	pen_tcp_free(s->host[host].tcp);
	pen_inet_free(s->host[host].inet);
	host_start(s, host, cfg, cb);
	learn(s, host);
}

void tcp_sim_free(struct tcp_sim *s)
{
	for (int i = 0; i < 2; i++) {
		pen_tcp_free(s->host[i].tcp);
		pen_inet_free(s->host[i].inet);
		PEN_ASSERT(s->host[i].frames_out == 0);
	}
	for (uint32_t i = 0; i < s->nflight; i++)
		free(s->flight[i]);
	free(s->flight);
	free(s);
}

void tcp_sim_inject(struct tcp_sim *s, int to, const uint8_t *frame, uint32_t len)
{
	travel(s, to, frame, len, s->now);
}

static pen_time_us poll_hosts(struct tcp_sim *s)
{
	pen_time_us next = PEN_TIME_NEVER;

	for (int i = 0; i < 2; i++) {
		next = pen_time_min(next, pen_tcp_poll(s->host[i].tcp, 64, s->now));
		next = pen_time_min(next, pen_inet_poll(s->host[i].inet, s->now));
		if (s->check)
			pen_tcp_check(s->host[i].tcp);
	}
	if (s->nflight > 0)
		next = pen_time_min(next, s->flight[0]->at);
	return next;
}

// Handles what is due now; the bursts are what arrives at one instant.
static void arrivals(struct tcp_sim *s)
{
	while (s->nflight > 0 && s->flight[0]->at <= s->now) {
		struct tcp_sim_frame *f = heap_pop(s);
		uint8_t *exact = malloc(f->len);
		memcpy(exact, f->data, f->len);
		pen_inet_input(s->host[f->to].inet, exact, f->len, false, s->now);
		free(exact);
		free(f);
	}
}

bool tcp_sim_step(struct tcp_sim *s, pen_time_us until)
{
	pen_time_us next = poll_hosts(s);

	if (next <= s->now && (s->nflight == 0 || s->flight[0]->at > s->now))
		next = s->now + 1; // something could not be sent: let time pass
	if (next > until) {
		s->now = until > s->now ? until : s->now;
		return false;
	}
	s->now = next > s->now ? next : s->now;
	arrivals(s);
	return true;
}

void tcp_sim_run(struct tcp_sim *s, pen_time_us until)
{
	while (tcp_sim_step(s, until))
		;
	poll_hosts(s);
}
