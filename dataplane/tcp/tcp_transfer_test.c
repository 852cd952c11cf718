// SPDX-License-Identifier: BSD-3-Clause

// Whole transfers over a bad link: every byte intact, every connection closed,
// every pool back to where it began.

#include "tcp_internal.h"
#include "tcp_sim.h"

#include "pen_test.h"

#define STREAM_MAX (1 << 20)

struct end {
	struct end *peer;
	struct pen_tcp_conn *c;
	const uint8_t *out;
	uint32_t out_len, written, got;
	bool open, peer_fin, closed, sloppy;
	enum pen_tcp_close why;
	uint64_t last_acked;
};

struct world {
	struct tcp_sim *sim;
	struct pen_rand rand; // what the applications do
	struct end end[2];
	uint8_t *stream[2];
};

static struct world *the;

static void pump(struct end *e, pen_time_us now)
{
	while (e->c != NULL && e->written < e->out_len) {
		uint32_t n = 1 + (uint32_t)pen_rand_below(&the->rand, 6000);
		if (n > e->out_len - e->written)
			n = e->out_len - e->written;
		bool by_ref = pen_rand_below(&the->rand, 2) != 0;
		const uint8_t *p = e->out + e->written;
		uint32_t took =
			by_ref ? pen_tcp_write_ref(e->c, p, n) : pen_tcp_write_copy(e->c, p, n);
		assert_true(took <= n);
		e->written += took;
		if (took < n)
			break;
	}
	pen_tcp_flush(e->c, now);
	if (e->written == e->out_len)
		pen_tcp_close(e->c, now);
}

static void *on_accept(void *listen_ctx, struct pen_tcp_conn *c)
{
	struct end *e = listen_ctx;

	assert_false(e->open);
	e->c = c;
	e->open = true;
	return e;
}

static void on_connected(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	struct end *e = ctx;

	assert_ptr_equal(e->c, c);
	e->open = true;
	pump(e, now);
}

static uint32_t on_data(
	void *ctx, struct pen_tcp_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	struct end *e = ctx;
	uint32_t used = n;

	(void)c;
	assert_true(e->open && !e->closed && !e->peer_fin);
	if (e->sloppy && pen_rand_below(&the->rand, 4) == 0)
		used = (uint32_t)pen_rand_below(&the->rand, n + 1);
	assert_true(e->got + used <= e->peer->out_len);
	assert_memory_equal(p, e->peer->out + e->got, used);
	e->got += used;
	if (e->written < e->out_len)
		pump(e, now);
	return used;
}

static void on_peer_fin(void *ctx, struct pen_tcp_conn *c, pen_time_us now)
{
	struct end *e = ctx;

	(void)c;
	assert_false(e->peer_fin);
	assert_int_equal(e->got, e->peer->out_len);
	e->peer_fin = true;
	pump(e, now);
}

static void on_writable(void *ctx, struct pen_tcp_conn *c, uint64_t acked, pen_time_us now)
{
	struct end *e = ctx;

	assert_true(acked >= e->last_acked && acked <= pen_tcp_queued(c));
	e->last_acked = acked;
	pump(e, now);
}

static void on_closed(void *ctx, struct pen_tcp_conn *c, enum pen_tcp_close why, pen_time_us now)
{
	struct end *e = ctx;

	(void)c, (void)now;
	assert_false(e->closed);
	e->closed = true;
	e->why = why;
	e->c = NULL;
}

static const struct pen_tcp_callbacks callbacks = {
	on_accept, on_connected, on_data, on_peer_fin, on_writable, on_closed};

static void pools_are_empty(const struct pen_tcp *t)
{
	assert_int_equal(t->nconns, 0);
	assert_int_equal(t->conns.used, 0);
	assert_int_equal(t->txds.used, 0);
	assert_int_equal(t->chunks.used, 0);
	assert_int_equal(t->tws.used, 0);
	assert_int_equal(t->table_used, 0);
	assert_int_equal(t->wheel.armed, 0);
	assert_int_equal(t->half_open, 0);
}

static void world_start(struct world *w, const struct pen_tcp_config *cfg,
	const struct tcp_sim_link *link, uint32_t bytes, uint64_t seed)
{
	const struct pen_tcp_callbacks both[2] = {callbacks, callbacks};

	the = w;
	memset(w, 0, sizeof(*w));
	pen_rand_seed(&w->rand, seed ^ 0xabcdef);
	for (int i = 0; i < 2; i++) {
		w->stream[i] = malloc(bytes);
		for (uint32_t k = 0; k < bytes; k++)
			w->stream[i][k] = (uint8_t)(k * 31 + k / 251 + (uint32_t)i + seed);
		w->end[i] =
			(struct end){.peer = &w->end[!i], .out = w->stream[i], .out_len = bytes};
		w->end[i].sloppy = seed % 3 == 0;
	}
	w->sim = tcp_sim_new(cfg, both, link, seed);
	struct tcp_sim_host *h = w->sim->host;
	assert_int_equal(pen_tcp_listen(h[1].tcp, 25, &w->end[1]), 0);
	assert_int_equal(pen_tcp_connect(h[0].tcp, &h[0].addr, &h[1].addr, 25, &w->end[0],
				 &w->end[0].c, w->sim->now),
		0);
}

static void world_run(struct world *w, pen_time_us at_most)
{
	pen_time_us end = w->sim->now + at_most;

	while (!(w->end[0].closed && w->end[1].closed) && w->sim->now < end) {
		tcp_sim_step(w->sim, w->sim->now + 20 * PEN_US_PER_MS);
		for (int i = 0; i < 2; i++) {
			struct end *e = &w->end[i];
			if (e->c != NULL && e->open && pen_rand_below(&w->rand, 4) == 0)
				pen_tcp_resume(e->c, w->sim->now);
			if (e->c != NULL && e->open && pen_rand_below(&w->rand, 64) == 0)
				pump(e, w->sim->now);
		}
	}
}

static void world_end(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		const struct end *e = &w->end[i];
		if (!e->closed || e->why != PEN_TCP_CLOSED_OK || e->got != e->peer->out_len)
			fprintf(stderr, "end %d: closed %d why %d got %u of %u written %u\n", i,
				e->closed, e->why, e->got, e->peer->out_len, e->written);
	}
	for (int i = 0; i < 2; i++) {
		const struct end *e = &w->end[i];
		assert_true(e->closed);
		assert_int_equal(e->got, e->peer->out_len);
		assert_int_equal(e->why, PEN_TCP_CLOSED_OK);
	}
	tcp_sim_run(w->sim, w->sim->now + 200 * PEN_US_PER_S); // past TIME_WAIT
	for (int i = 0; i < 2; i++)
		pools_are_empty(w->sim->host[i].tcp);
	tcp_sim_free(w->sim);
	free(w->stream[0]);
	free(w->stream[1]);
}

static struct pen_tcp_config small_config(void)
{
	struct pen_tcp_config cfg;

	pen_tcp_config_init(&cfg);
	cfg.max_conns = 8;
	cfg.buffer_chunks = 1024;
	cfg.send_refs = 512;
	return cfg;
}

static void many_seeds(uint32_t corrupt, uint32_t seeds, uint32_t bytes)
{
	uint64_t base = pen_test_seed();
	struct pen_tcp_config cfg = small_config();
	uint64_t frames = 0;

	for (uint64_t i = 0; i < seeds; i++) {
		struct tcp_sim_link link = {
			.delay = 200 + (pen_time_us)(i % 7) * 3000,
			.jitter = (pen_time_us)(i % 3) * 500,
			.loss = 500,
			.reorder = 500,
			.duplicate = 200,
			.corrupt = corrupt,
			.ip6 = i % 2 != 0,
		};
		struct world w;
		world_start(&w, &cfg, &link, bytes, base + i);
		world_run(&w, 3000 * PEN_US_PER_S);
		if (!w.end[0].closed || !w.end[1].closed)
			fprintf(stderr, "stuck with PENSTOCK_SEED=%llu\n",
				(unsigned long long)(base + i));
		frames += w.sim->frames;
		world_end(&w);
	}
	fprintf(stderr, "%u transfers, %llu frames\n", seeds, (unsigned long long)frames);
}

static void bytes_survive_loss_reordering_and_duplication(void **state)
{
	(void)state;
	many_seeds(0, 200, 200 * 1024);
}

static void bytes_survive_corruption_too(void **state)
{
	(void)state;
	many_seeds(100, 100, 100 * 1024);
}

static void tiny_pools_slow_down_but_lose_nothing(void **state)
{
	(void)state;
	uint64_t base = pen_test_seed();
	struct pen_tcp_config cfg = small_config();

	cfg.buffer_chunks = 12;
	cfg.send_refs = 6;
	cfg.tx_limit = 8192;
	cfg.rx_window = 16384;
	for (uint64_t i = 0; i < 60; i++) {
		struct tcp_sim_link link = {.delay = 1000,
			.loss = 300,
			.reorder = 300,
			.duplicate = 200,
			.ip6 = i % 2 != 0};
		struct world w;
		world_start(&w, &cfg, &link, 60 * 1024, base + i);
		world_run(&w, 3000 * PEN_US_PER_S);
		world_end(&w);
	}
}

static void a_port_that_runs_out_of_buffers_only_delays(void **state)
{
	(void)state;
	struct pen_tcp_config cfg = small_config();
	struct tcp_sim_link link = {.delay = 1000};
	struct world w;
	uint64_t seed = pen_test_seed();

	world_start(&w, &cfg, &link, 300 * 1024, seed);
	for (int i = 0; i < 60; i++) {
		w.sim->host[i % 2].no_buffers = i % 3 == 0;
		world_run(&w, 5 * PEN_US_PER_MS);
	}
	w.sim->host[0].no_buffers = w.sim->host[1].no_buffers = false;
	world_run(&w, 600 * PEN_US_PER_S);
	world_end(&w);
}

static void a_clean_link_carries_a_megabyte_without_a_retransmission(void **state)
{
	(void)state;
	struct pen_tcp_config cfg = small_config();
	for (int six = 0; six < 2; six++) {
		struct tcp_sim_link link = {.delay = 20000, .ip6 = six};
		struct world w;
		world_start(&w, &cfg, &link, STREAM_MAX, 1);
		world_run(&w, 600 * PEN_US_PER_S);
		for (int i = 0; i < 2; i++) {
			const struct tcp_sim_host *h = &w.sim->host[i];
			assert_int_equal(h->tcp_ctr.retransmit_segments, 0);
			assert_true((six ? h->inet_ctr.rx_ip6 : h->inet_ctr.rx_ip4) > 700);
		}
		world_end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(a_clean_link_carries_a_megabyte_without_a_retransmission),
		cmocka_unit_test(a_port_that_runs_out_of_buffers_only_delays),
		cmocka_unit_test(bytes_survive_loss_reordering_and_duplication),
		cmocka_unit_test(bytes_survive_corruption_too),
		cmocka_unit_test(tiny_pools_slow_down_but_lose_nothing),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
