// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The running gateway: every part of it, and the threads they run on.
//
// main.c fills this in, part by part, in the order in which they depend on each
// other; the files of this folder connect two parts each and hold no policy.
//
// Threads: pointers are set before the threads that use them start, and stay.
//          Fields with a thread's name belong to it alone.
//
// A reload (reload.c) replaces what pen_live holds, as a whole, on the queue thread. That thread
// reads g->config, g->routing and g->relayhost as they are; every other thread takes a pen_live
// for as long as it looks. What was made at the start from what needs a restart (ports, sources,
// listeners, DNS, TLS) goes on with g->boot.

#include "pen_config.h"
#include "pen_control.h"
#include "pen_dataplane.h"
#include "pen_dns.h"
#include "pen_events.h"
#include "pen_hop.h"
#include "pen_inbox.h"
#include "pen_maillog.h"
#include "pen_match.h"
#include "pen_route.h"
#include "pen_sched.h"
#include "pen_spool.h"
#include "pen_submission.h"
#include "pen_suppression.h"
#include "pen_tlsrpt.h"
#include "pen_wire_tls_profiles.h"
#include "tls_hosts.h"
#include "zones.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct pen_header_hook;
struct pen_accept_log;
struct pen_suppression_desk;

// One configuration in use, read-only, counted.
struct pen_live {
	uint32_t refs;
	struct pen_live *older; // of `retired`
	pen_time_us retired_at;
	struct pen_config *config;
	struct pen_header_hook *headers; // NULL without header_checks
	struct pen_routing routing;      // over config's tables
	char relayhost[PEN_NEXTHOP_MAX]; // canonical, "" without one
};

struct pen_gateway {
	const struct pen_config *config; // queue thread; as it is now
	const struct pen_config *boot;   // as it was at the start
	struct pen_maillog *maillog;
	struct pen_events *events;      // NULL without event_log_file
	struct pen_accept_log *accepts; // what the next commit makes durable; spool's writer
	struct pen_spool *spool;
	struct recovered *recovered; // while the spool is opened (main.c)
	struct pen_dns *dns;
	struct pen_wire_tls_profiles *tls_profiles;
	struct pen_tls_settings *tls_settings;
	struct pen_sts_service *sts; // NULL: mta_sts_enable is no
	struct pen_hop_service hop;
	struct pen_tlsrpt *tlsrpt; // NULL: tlsrpt_enable is no
	struct pen_smtp_rules smtp_rules;
	char relayhost[PEN_NEXTHOP_MAX]; // queue thread; canonical, "" without one
	struct pen_dataplane *dataplane;
	struct pen_submission *submission;
	struct pen_pools *pools; // constant once submission runs
	struct pen_suppression *suppression;
	struct pen_suppression_desk *suppression_desk; // its verbs' thread
	struct pen_control *control;
	struct pen_routing routing; // queue thread; read-only tables
	pen_time_us started_at;

	pthread_mutex_t lock;       // of the next three
	struct pen_live *live;      // what config and routing are of
	struct pen_live *retired;   // those before, kept for a minute
	struct pen_reload *reloads; // asked for, and not begun
	pthread_t main_thread;      // which reloads

	struct pen_inbox inbox; // of the queue thread
	pthread_t queue_thread;
	bool queue_runs;
	uint32_t accepting; // queue thread: wo; submission: ro (relaxed)
	uint64_t accepted;  // messages taken by submission (relaxed)

	// Queue thread only.
	struct pen_sched *sched;
	struct pen_shape *shape;
	struct pen_shape_state *shape_state;
	bool stopping;
	struct pen_call *barriers_late; // a worker's ring was full: tried again
	bool disk_full;                 // less free than queue_minfree
	pen_time_us disk_asked_at;
	uint64_t expired_id;    // the last message that was logged as expired
	struct pen_route route; // of the last recipient
	struct tls_hosts *tls_hosts;
	struct pen_zones *zones;
	uint32_t probes;         // under way
	struct pen_match *match; // its counts: any thread
};

// queue_thread.c: 0 or -errno. The scheduler must be there, with all that was
// recovered added.
int pen_queue_thread_start(struct pen_gateway *g);
// Ends open connections in order, at most `grace`, then aborts; returns when the
// thread is gone.
void pen_queue_thread_stop(struct pen_gateway *g, pen_time_us grace);

// How many loops submission has: each has a scratch of its own for header_checks.
#define PEN_SUBMISSION_LOOPS 1

// live.c: a configuration taken over, with one reference and what is made of it. NULL with one
// sentence in err; then it is the caller's.
struct pen_live *pen_live_new(struct pen_config *config, char *err, size_t cap);
// The one in use, for a thread that is not the queue thread.
struct pen_live *pen_live_get(struct pen_gateway *g);
void pen_live_put(struct pen_gateway *g, struct pen_live *live); // the last frees it
// At the start, and on the queue thread: takes over the reference.
void pen_live_set(struct pen_gateway *g, struct pen_live *live);
void pen_live_fini(struct pen_gateway *g);

// reload.c: reads the configuration and checks all that can be checked without using it. NULL
// after reported errors.
struct pen_config *pen_gateway_load(const char *directory, struct pen_report *r);
// The signal that the main thread answers with pen_reload_serve.
#define PEN_RELOAD_SIGNAL SIGUSR1
void pen_reload_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req);
// Main thread, while the queue thread runs: does what was asked for. `reload`: also without
// anybody having asked (SIGHUP); faults then go to the log.
void pen_reload_serve(struct pen_gateway *g, bool reload);
void pen_reload_fini(struct pen_gateway *g); // refuses what is left

// sched_config.c: whether a list, as a parameter has it, has the word: "bounce, 2bounce".
bool pen_param_has_word(const char *list, const char *word);
// sched_config.c: all that main.cf says; workers, sources, shape, rules, lease_limit and seed are
// left to the caller. `transport` has to live as long as *c is used.
void pen_gateway_sched_config(const struct pen_config *config,
	struct pen_sched_transport transport[2], struct pen_sched_config *c);

// shape_state.c: what shaping knows after a restart. open, start, stop and free: main thread, in
// this order; open before the scheduler, start before the queue thread, stop (which writes a last
// time) behind it. 0 or -errno.
int pen_shape_state_open(struct pen_gateway *g, const char *directory);
int pen_shape_state_start(struct pen_gateway *g);
void pen_shape_state_tick(struct pen_gateway *g, pen_time_us now); // queue thread
void pen_shape_state_stop(struct pen_gateway *g);
void pen_shape_state_free(struct pen_gateway *g);

// resolve.c: the scheduler's resolve op.
void pen_resolve_op(void *ctx, struct pen_span transport, struct pen_span nexthop,
	enum pen_tls_demand demand, uint64_t token);

// session_log.c: what sessions teach.
void pen_session_op(void *ctx, const struct pen_lease *l, bool ended);
void pen_prepare_op(void *ctx, struct pen_lease *l);

// explain.c and tls_verbs.c
void pen_explain_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req);
int pen_tls_verbs_register(struct pen_gateway *g);

// counters.c
void pen_counters_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req);

// tlsrpt_mail.c: a pen_tlsrpt_mail_fn.
int pen_tlsrpt_mail(
	void *ctx, const char *sender, const char *rcpt, uint8_t *content, uint32_t len);

// queue_ops.c
extern const struct pen_sched_ops pen_queue_ops;

// pools.c: NULL without memory; freed with free(). A name that a pool has, for any thread.
struct pen_pools *pen_pools_new(const struct pen_shape_config *cfg);
bool pen_pool_known(void *ctx, struct pen_span name);

// intake.c: what submission calls.
extern const struct pen_submission_ops pen_intake_ops;

// suppression_hook.c: pen_submission_ops
bool pen_suppressed(void *ctx, struct pen_span tenant, struct pen_span rcpt, char *why, size_t cap);
int pen_sender_class(void *ctx, struct pen_span sender, struct pen_submission_class *out);
// The user, then its "@domain", in smtpd_sasl_tenant_maps; without tables the user.
int pen_user_class(void *ctx, struct pen_span user, struct pen_submission_class *out);
bool pen_zone_known(void *ctx, const char *zone);
void pen_suppression_dropped(
	void *ctx, const struct pen_submission_mail *mail, struct pen_span rcpt, const char *why);
// The recipients of an accepted message that were deleted: for the logs.
void pen_suppression_log(struct pen_gateway *g, const struct pen_message *m);

// suppression_verbs.c: registers its verbs; 0 or -errno. The thread is started when
// privileges are dropped and the list is open, and stopped while the control server
// is still there to be answered; what comes in between is dropped at the end.
int pen_suppression_verbs_register(struct pen_gateway *g);
int pen_suppression_desk_start(struct pen_gateway *g);
void pen_suppression_desk_stop(struct pen_gateway *g);
void pen_suppression_desk_free(struct pen_gateway *g);

// verbs.c: registers the control verbs. 0 or -errno.
int pen_verbs_register(struct pen_gateway *g);

// queue_ops.c: the scheduler's match op, and a reload's rules (queue thread): takes over
// `set`, returns the one before for another thread to free.
void pen_match_op(void *ctx, const struct pen_dsn *d, const char *provider, struct pen_span site,
	struct pen_sched_match *out);
struct pen_match_set *pen_wire_match_replace(struct pen_gateway *g, struct pen_match_set *set);

// event_log.c: records for programs. All of them do nothing without event_log_file.
// An attempt for a recipient. `klass`: of the failure, NULL without one.
void pen_event_log(struct pen_gateway *g, const struct pen_sched_log *line, const char *klass);
// A message that is about to be given to the spool; its id is set. `protocol`: how it came,
// "ESMTP" or "internal"; `user` authenticated and may be empty. Any thread.
void pen_event_received(struct pen_gateway *g, const struct pen_message *m, const char *protocol,
	struct pen_span user);
// A fate without a delivery; see struct pen_sched_ops.
void pen_event_ended(struct pen_gateway *g, const struct pen_message *m, uint32_t rcpt,
	enum pen_fate fate, const char *by);
// A recipient that the suppression list dropped; index -1: all its message was, which is not
// stored.
void pen_event_suppressed(struct pen_gateway *g, const char *queue_id, struct pen_span sender,
	struct pen_span rcpt, int64_t index, const struct pen_mail_class *klass, const char *why);
// "Start" (behind the recovery of `messages`) and "Stop" (all is durable).
void pen_event_daemon(struct pen_gateway *g, const char *type, uint64_t messages);

// accept_log.c: the commit of received messages, in the event log and then to the clients.
int pen_accept_log_new(struct pen_gateway *g); // 0 or -ENOMEM
void pen_accept_log_free(struct pen_gateway *g);
// In the completion of a put, on the spool's writer thread: with `answer` the client of the
// token hears of it after the record is written.
void pen_accept_log_add(struct pen_gateway *g, uint64_t id, int err, bool answer, uint64_t token);
// Hooks of the spool (pen_spool_config).
void pen_accept_log_before(void *ctx);
void pen_accept_log_after(void *ctx);

// delivery_log.c
void pen_delivery_log(struct pen_gateway *g, const struct pen_sched_log *line);

// header_hook.c: header_checks. NULL with one sentence in err.
struct pen_header_hook *pen_header_hook_new(
	const char *spec, uint32_t loops, char *err, size_t err_cap);
void pen_header_hook_free(struct pen_header_hook *h);
void pen_header_hook_run(struct pen_gateway *g, uint32_t loop,
	const struct pen_submission_mail *mail, struct pen_span headers,
	struct pen_submission_verdict *v);
