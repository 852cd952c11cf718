// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The whole gateway in one thread and virtual time: scheduler, shaping, spool, SMTP client and TCP
// are the real ones; network, disk, clock, receivers, clients and operators are drawn from a seed.
//
//   sim_load ----> sim_store (spool) ----> sim_queue (scheduler) ----> sim_worker (sessions, TCP)
//     clients         disk_sim                 ^ DNS                        tcp_sim
//                                              +--- events ----             sim_peer (receivers)
//
// sim_ledger knows what clients were told and what receivers got, and nothing of the parts between:
// it is who says in the end whether mail was lost, repeated or sent faster than allowed.
//
// Threads: one. Memory: the heap, freed by sim_free; leaks are a failure (ASan).
// Seeds:   everything follows from one number; the same number runs the same way.

#include "pen_dataplane.h"
#include "pen_disk_sim.h"
#include "pen_rand.h"
#include "pen_sched.h"
#include "pen_sched_admin.h"
#include "pen_shape.h"
#include "pen_spool_core.h"
#include "tcp_sim.h"

#include <stdbool.h>

#define SIM_SITES 6
#define SIM_MAILS 400
#define SIM_RCPTS 8
#define SIM_SESSIONS 64

// What was drawn, for the table at the end of many seeds.
#define SIM_FAULTS(X)                                                                              \
	X(frames_lost)                                                                             \
	X(crashes)                                                                                 \
	X(writes_failed)                                                                           \
	X(writes_short)                                                                            \
	X(syncs_failed)                                                                            \
	X(sectors_lost)                                                                            \
	X(commits_failed)                                                                          \
	X(commits_slow)                                                                            \
	X(mail_refused)                                                                            \
	X(dns_soft)                                                                                \
	X(dns_hard)                                                                                \
	X(connections_dropped)                                                                     \
	X(blackouts)                                                                               \
	X(replies_4xx)                                                                             \
	X(replies_5xx)                                                                             \
	X(replies_421)                                                                             \
	X(replies_withheld)                                                                        \
	X(replies_slow)                                                                            \
	X(windows_closed)                                                                          \
	X(operator_acts)                                                                           \
	X(reloads)                                                                                 \
	/* what the scheduler made of hosts that do not answer */                                  \
	X(hosts_dead)                                                                              \
	X(hosts_left_out)                                                                          \
	X(hosts_asked_again)                                                                       \
	/* what receivers got again, and why they may */                                           \
	X(repeated_doubt)                                                                          \
	X(repeated_unacked)                                                                        \
	X(repeated_crash)

#define SIM_FIELD(name) uint64_t name;
struct sim_faults {
	SIM_FAULTS(SIM_FIELD)
};
#undef SIM_FIELD

enum sim_plant { // bugs put in on purpose; each has to be found
	SIM_PLANT_NONE,
	SIM_PLANT_EARLY_250, // the client is answered before the commit
	SIM_PLANT_FORGET,    // a delivered recipient is not recorded
	SIM_PLANT_DOUBT,     // what was acknowledged and not answered counts as not sent
	SIM_PLANT_NO_NOTICE, // a notification is confirmed before it is stored
	SIM_PLANT_UNSAVED,   // a state of shaping counts as on disk before it is
	SIM_PLANTS,
};

struct sim_rcpt {
	uint8_t site;
	uint8_t fate;      // enum pen_fate, as the disk has it
	uint8_t maybe;     // the fate that was on its way to the disk at the last crash
	bool pending;      // delivered for the scheduler, not on disk yet
	bool told;         // a stored notification names it
	uint16_t received; // by its site
	// Why a receiver may have it more often than once.
	uint16_t doubts;                     // acknowledged, and never answered
	pen_time_us doubt_at;                // the last time
	bool touched;                        // an operator wanted it sent since
	uint8_t doubts_stored, doubts_known; // on disk; since the last crash, and those
	uint16_t unacked;                    // sent, and neither
	uint16_t last_crash;                 // the number of the last of these
	uint16_t crashes;                    // in flight, or recorded and not on disk, at a crash
};

struct sim_mail {
	struct sim_rcpt rcpt[SIM_RCPTS];
	uint64_t id;
	uint32_t nrcpt, body; // bytes of filling
	bool null_sender;
	bool accepted;   // the client has its 250
	bool unanswered; // a crash came before any answer
	bool refused;
	bool gone;              // recorded as removed
	bool maybe_gone;        // that was on its way to the disk at the last crash
	bool found;             // by the last recovery
	pen_wall_us not_before; // 0: at once
};

// MAIL commands that a site had, but for those of connections from before a crash, which come when
// they come.
struct sim_meter {
	pen_time_us at[65536];
	uint32_t n;
};

struct sim_limits {
	uint32_t connections; // 0: no limit
	struct pen_rate messages;
};

struct sim_peer;
struct sim_request;
struct sim_worker;

struct sim {
	uint64_t seed;
	enum sim_plant plant;
	struct pen_rand rand;
	pen_time_us started, calm_at, ends_at;
	pen_wall_us wall0;
	bool dead; // the crash: nothing that the gateway still does counts
	struct sim_faults faults;
	uint64_t steps;

	struct tcp_sim *net;
	struct pen_tcp_config tcp;
	struct pen_tcp_callbacks tcp_callbacks[2];

	struct pen_disk *disk;
	bool disk_fails; // now and then
	struct pen_spool_core *spool;
	struct pen_spool_config spool_cfg;
	struct pen_message *found, **found_last; // by recovery, linked by `sched`
	struct sim_request *first, **last;       // waiting for a commit
	pen_time_us commit_at;                   // NEVER: nothing waits

	struct pen_sched *sched;
	struct pen_sched_config sched_cfg;
	struct pen_sched_source source;
	struct sim_question *questions; // to DNS
	struct pen_shape *shape;        // NULL: nothing is shaped
	bool shaped;
	struct sim_limits limits;
	uint32_t slack; // messages on their way when the limits changed
	pen_time_us slack_until, next_reload;
	pen_time_us known_from;       // what a longer period than before cannot know is not counted
	struct pen_buf state, saving; // of shaping: on disk, on its way there
	uint64_t saving_generation;
	pen_time_us saved_at; // when `saving` will be on disk; NEVER: nothing is
	bool exact;           // the network keeps order and loses nothing
	struct sim_worker *worker;

	struct sim_peer *peers; // connections of receivers
	struct sim_site {
		uint32_t mood; // enum sim_mood
		pen_time_us mood_until;
		bool dark;     // its frames are lost
		uint32_t open; // connections of this life of the gateway
		bool was_dark; // a RST may have been lost: connections are not counted
		struct sim_meter *mails;
	} site[SIM_SITES];

	struct sim_mail mail[SIM_MAILS];
	uint32_t nmails, want_mails;
	pen_time_us next_mail, next_act, next_crash;
	uint32_t epoch; // crashes so far
	uint32_t sessions_at_crash[64], repeated_by_crash[64];
	uint32_t ended_unstored; // sessions that ended while results waited for the disk
};

// Prints the seed and what is wrong, and aborts.
void sim_fail(const struct sim *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3), noreturn));
#define SIM_CHECK(s, what, ...) ((what) ? (void)0 : sim_fail(s, __VA_ARGS__))

static inline pen_time_us sim_now(const struct sim *s)
{
	return s->net->now;
}
static inline pen_wall_us sim_wall(const struct sim *s)
{
	return s->wall0 + (s->net->now - s->started);
}
static inline uint32_t sim_below(struct sim *s, uint32_t n)
{
	return (uint32_t)pen_rand_below(&s->rand, n);
}
// One in n; never once the calm has begun.
static inline bool sim_trouble(struct sim *s, uint32_t n)
{
	return s->net->now < s->calm_at && sim_below(s, n) == 0;
}

// sim.c: one seed, from its first mail to an empty queue. True: all went well (it aborts
// otherwise).
void sim_run(uint64_t seed, enum sim_plant plant, struct sim_faults *faults, bool verbose);

// sim_store.c
void sim_store_open(struct sim *s); // recovers into the scheduler
void sim_store_close(struct sim *s, bool clean);
typedef void sim_done_fn(struct sim *s, void *arg, struct pen_message *m, int err);
void sim_store_put(struct sim *s, struct pen_message *m, sim_done_fn *done, void *arg);
void sim_store_update(struct sim *s, const struct pen_message_update *u);
void sim_store_sync(struct sim *s, sim_done_fn *done, void *arg);
void sim_store_step(struct sim *s); // what is due
void sim_store_drop(struct sim *s); // the crash: what waits is lost

// sim_queue.c
void sim_queue_new(struct sim *s);
void sim_queue_free(struct sim *s);
pen_time_us sim_queue_step(struct sim *s); // events, DNS, timers; when to come again

// sim_shape.c
void sim_shape_draw(struct sim *s);
void sim_shape_new(struct sim *s); // with the state that is on disk
void sim_shape_free(struct sim *s);
void sim_shape_fini(struct sim *s); // the state, too
pen_time_us sim_shape_step(struct sim *s);
// A receiver counts a connection, and a MAIL command.
void sim_shape_opened(struct sim *s, uint32_t site);
void sim_shape_mail(struct sim *s, uint32_t site);

// sim_worker.c
void sim_worker_new(struct sim *s);
void sim_worker_free(struct sim *s); // ends its sessions without a word to anybody
bool sim_worker_command(struct sim *s, struct pen_ring_msg m);
bool sim_worker_event(struct sim *s, struct pen_ring_msg *m);
pen_time_us sim_worker_step(struct sim *s);
// The crash: every session ends, its lease and deliveries go back to a scheduler that is dead, too.
void sim_worker_kill(struct sim *s);
uint32_t sim_worker_sessions(const struct sim *s);
uint32_t sim_worker_flying(const struct sim *s);
void sim_worker_each_flying(struct sim *s, void (*fn)(struct sim *s, const struct pen_delivery *d));

// sim_peer.c
extern const struct pen_tcp_callbacks sim_peer_callbacks;
void sim_peer_listen(struct sim *s);
pen_time_us sim_peer_step(struct sim *s);
void sim_peer_free(struct sim *s);

// sim_load.c
pen_time_us sim_load_step(struct sim *s);

// sim_ledger.c
struct sim_rcpt *sim_ledger_find(struct sim *s, struct pen_span addr);
void sim_ledger_received(
	struct sim *s, struct pen_span rcpt, struct pen_span content, uint32_t site);
void sim_ledger_begun(struct sim *s, const struct pen_delivery *d);
void sim_ledger_done(struct sim *s, const struct pen_delivery *d);
void sim_ledger_recorded(struct sim *s, const struct pen_message_update *u);
void sim_ledger_notice(struct sim *s, const struct pen_message *m);
void sim_ledger_crash(struct sim *s);
void sim_ledger_dropped(
	struct sim *s, const struct pen_message_update *u); // on its way at the crash
void sim_ledger_recovered(struct sim *s, const struct pen_message *m);
void sim_ledger_recovery_over(struct sim *s);
// The end: nothing is queued.
void sim_ledger_check(struct sim *s);
void sim_ledger_stuck(struct sim *s) __attribute__((noreturn)); // says what waits, and fails
bool sim_ledger_open(const struct sim *s);                      // some accepted mail has no end yet
size_t sim_mail_content(const struct sim *s, uint32_t mail, uint8_t **out);
