// SPDX-License-Identifier: BSD-3-Clause

// One seed: what the world is like, its crashes, and the loop.

#include "sim.h"

#include "pen_err.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HOUR (3600 * PEN_US_PER_S)

static bool drop(void *ctx, int from, const uint8_t *frame, uint32_t len, pen_time_us now)
{
	struct sim *s = ctx;
	// The site's address is the destination, or the source on the way back.
	uint32_t at = PEN_ETH_LEN + (from == 0 ? 16u : 12u) + 3u;

	(void)now;
	if (from == 0 && s->dead)
		return true;
	if (len < PEN_ETH_LEN + PEN_IP4_LEN || frame[12] != 8 || frame[13] != 0)
		return false;
	uint32_t site = frame[at] - 2u;
	bool lost = site < SIM_SITES && s->site[site].dark;
	s->faults.frames_lost += lost;
	return lost;
}

static void draw_network(struct sim *s)
{
	struct tcp_sim_link link = {.delay = 100 + sim_below(s, 80000),
		.jitter = sim_below(s, 20000),
		.peers = SIM_SITES,
		.drop = drop,
		.drop_ctx = s};

	if (sim_below(s, 3) == 0) {
		link.loss = sim_below(s, 500);
		link.reorder = sim_below(s, 300);
		link.duplicate = sim_below(s, 100);
		link.corrupt = sim_below(s, 100);
	}
	if (sim_below(s, 8) == 0)
		link.bits_per_s = 1000000 + pen_rand_below(&s->rand, 100000000);
	pen_tcp_config_init(&s->tcp);
	s->tcp.max_conns = SIM_SESSIONS;
	s->tcp.buffer_chunks = 1024;
	s->tcp.send_refs = 1024;
	s->tcp.rx_window = 65536;
	s->tcp.tx_limit = 65536;
	s->tcp.workers = 1;
	extern const struct pen_tcp_callbacks session_tcp_callbacks;
	s->tcp_callbacks[0] = session_tcp_callbacks;
	s->tcp_callbacks[1] = sim_peer_callbacks;
	s->net = tcp_sim_new(&s->tcp, s->tcp_callbacks, &link, pen_rand_u64(&s->rand));
	s->net->check = s->seed % 50 == 0;
}

static void draw_disk(struct sim *s)
{
	s->disk = pen_disk_sim_new(pen_rand_u64(&s->rand));
	if (sim_below(s, 3) != 0)
		return;
	s->disk_fails = true;
	struct pen_disk_sim_faults *f = pen_disk_sim_faults(s->disk);
	f->sync_eio_ppm = sim_below(s, 20000);
	f->write_eio_ppm = sim_below(s, 5000);
	f->short_write_ppm = sim_below(s, 20000);
}

static void draw_queue(struct sim *s)
{
	struct pen_sched_config *c = &s->sched_cfg;

	pen_sched_config_init(c);
	snprintf(c->myhostname, sizeof(c->myhostname), "gw.sim.test");
	c->retry = (struct pen_retry_policy){
		.minimal_backoff_time = PEN_US_PER_S * (20 + sim_below(s, 300)),
		.maximal_backoff_time = PEN_US_PER_S * (400 + sim_below(s, 2000)),
		.maximal_queue_lifetime = HOUR * (1 + sim_below(s, 12)),
	};
	c->retry.bounce_queue_lifetime = c->retry.maximal_queue_lifetime;
	c->concurrency_limit = 1 + sim_below(s, 8);
	c->initial_concurrency = 1 + sim_below(s, 5);
	c->recipient_limit = 1 + sim_below(s, SIM_RCPTS);
	c->connection_message_limit = sim_below(s, 10);
	c->pipeline_depth = 1 + sim_below(s, 4);
	c->lease_limit = 2 + sim_below(s, 30);
	c->hold_dots = sim_below(s, 2) == 0;
	c->content_memory_limit = sim_below(s, 2) == 0 ? 1 << 20 : sim_below(s, 5000);
	c->soft_bounce = sim_below(s, 20) == 0;
	c->in_doubt_policy = (enum pen_in_doubt_policy)sim_below(s, 3);
	c->in_doubt_delay = PEN_US_PER_S * (60 + sim_below(s, 3000));
	c->ready_limit = 1 + sim_below(s, 50);
	c->workers = 1;
	s->source = (struct pen_sched_source){.addr = s->net->host[0].addr};
	c->source = &s->source;
	c->nsources = 1;
	c->seed = pen_rand_u64(&s->rand);
}

static struct sim *sim_new(uint64_t seed, enum sim_plant plant)
{
	struct sim *s = calloc(1, sizeof(*s));

	PEN_ASSERT(s != NULL);
	s->seed = seed;
	s->plant = plant;
	pen_rand_seed(&s->rand, seed);
	draw_network(s);
	s->started = sim_now(s);
	s->wall0 = 1795000000 * PEN_US_PER_S;
	draw_disk(s);
	draw_queue(s);
	s->want_mails = 10 + sim_below(s, 100);
	s->next_mail = sim_now(s);
	s->next_act = sim_now(s) + PEN_US_PER_S * sim_below(s, 600);
	s->calm_at = sim_now(s) + PEN_US_PER_S * (60 + sim_below(s, 7200));
	bool safe = sim_below(s, 3) == 0;
	s->next_crash = safe ? PEN_TIME_NEVER : sim_now(s) + PEN_US_PER_S * sim_below(s, 1800);
	sim_shape_draw(s);
	sim_peer_listen(s);
	sim_shape_new(s);
	sim_queue_new(s);
	sim_worker_new(s);
	sim_store_open(s);
	return s;
}

static void sim_free(struct sim *s)
{
	s->dead = true;
	pen_sched_stop(s->sched);
	pen_sched_abort(s->sched);
	sim_worker_kill(s);
	sim_store_drop(s);
	sim_queue_free(s);
	sim_worker_free(s);
	sim_shape_fini(s);
	sim_store_close(s, true);
	sim_peer_free(s);
	tcp_sim_free(s->net);
	pen_disk_free(s->disk);
	free(s);
}

// The machine stops in the middle of whatever it does, and starts again after a while.
static void crash(struct sim *s)
{
	sim_ledger_crash(s);
	s->dead = true;
	s->faults.crashes++;
	pen_sched_stop(s->sched);
	pen_sched_abort(s->sched);
	sim_worker_kill(s);
	sim_store_drop(s);
	sim_queue_free(s);
	sim_worker_free(s);
	sim_shape_free(s);
	sim_store_close(s, false);
	pen_disk_sim_restart(s->disk);
	tcp_sim_restart(s->net, 0, &s->tcp, &s->tcp_callbacks[0]);
	s->epoch++;
	for (uint32_t i = 0; i < SIM_SITES; i++)
		s->site[i].open = 0;
	s->dead = false;
	sim_shape_new(s);
	sim_queue_new(s);
	sim_worker_new(s);
	sim_store_open(s);
	s->next_crash = sim_now(s) + PEN_US_PER_S * (1 + sim_below(s, 3000));
}

static void maybe_crash(struct sim *s)
{
	if (sim_now(s) < s->next_crash)
		return;
	if (sim_now(s) >= s->calm_at) {
		s->next_crash = PEN_TIME_NEVER;
		return;
	}
	// Now, or inside one of the next operations of the disk.
	if (sim_below(s, 2) == 0) {
		pen_disk_sim_crash_after(s->disk, 1);
		crash(s);
	} else {
		pen_disk_sim_crash_after(s->disk, 1 + sim_below(s, 12));
		s->next_crash = sim_now(s) + PEN_US_PER_S * 600;
	}
}

static void calm_disk(struct sim *s)
{
	if (sim_now(s) >= s->calm_at)
		*pen_disk_sim_faults(s->disk) = (struct pen_disk_sim_faults){0};
}

// Everything that is due, and when to come again.
static pen_time_us turn(struct sim *s)
{
	maybe_crash(s);
	calm_disk(s);
	pen_time_us next = sim_load_step(s);
	sim_store_step(s);
	if (pen_disk_sim_crashed(s->disk))
		crash(s);
	next = pen_time_min(next, sim_peer_step(s));
	pen_time_us queue = pen_time_min(sim_queue_step(s), sim_shape_step(s));
	pen_time_us worker = sim_worker_step(s);
	next = pen_time_min(next, pen_time_min(queue, worker));
	next = pen_time_min(next, s->commit_at);
	return pen_time_min(next, s->next_crash);
}

static bool over(const struct sim *s)
{
	return sim_now(s) >= s->calm_at && s->nmails == s->want_mails && s->first == NULL &&
	       !sim_ledger_open(s);
}

void sim_run(uint64_t seed, enum sim_plant plant, struct sim_faults *faults, bool verbose)
{
	struct sim *s = sim_new(seed, plant);
	pen_time_us late = s->calm_at + s->sched_cfg.retry.maximal_queue_lifetime + 24 * HOUR;

	while (!over(s)) {
		pen_time_us next = turn(s);
		s->steps++;
		if (sim_now(s) >= late)
			sim_ledger_stuck(s);
		// At least a microsecond: two parts may each wait for the other's turn.
		tcp_sim_step(s->net, next > sim_now(s) ? next : sim_now(s) + 1);
	}
	sim_ledger_check(s);
	if (verbose)
		printf("seed %" PRIu64 ": %u messages, %" PRIu64
		       " steps, %.0f s of virtual time, %u crashes\n",
			seed, s->nmails, s->steps, (double)(sim_now(s) - s->started) / PEN_US_PER_S,
			s->epoch);
#define ADD(name) faults->name += s->faults.name;
	SIM_FAULTS(ADD)
#undef ADD
	faults->frames_lost += s->net->lost;
	const struct pen_disk_sim_counts *disk = pen_disk_sim_counts(s->disk);
	faults->writes_failed += disk->writes_failed;
	faults->writes_short += disk->writes_short;
	faults->syncs_failed += disk->syncs_failed;
	faults->sectors_lost += disk->sectors_lost;
	sim_free(s);
}
