// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The running gateway: every part of it, and the threads they run on.
//
// main.c fills this in, part by part, in the order in which they depend on each
// other; the files of this folder connect two parts each and hold no policy.
//
// Threads: pointers are set before the threads that use them start, and stay.
//          Fields with a thread's name belong to it alone.

#include "pen_config.h"
#include "pen_control.h"
#include "pen_dataplane.h"
#include "pen_dns.h"
#include "pen_hop.h"
#include "pen_inbox.h"
#include "pen_maillog.h"
#include "pen_route.h"
#include "pen_sched.h"
#include "pen_spool.h"
#include "pen_submission.h"
#include "pen_suppression.h"
#include "pen_tlsrpt.h"
#include "pen_wire_tls_profiles.h"
#include "tls_hosts.h"
#include "zones.h"

#include "pen_reply_class.h"

#include <pthread.h>

struct pen_header_hook;
struct pen_suppression_desk;

#define PEN_REPLY_CLASSES_MAX 64

// What kinds of failures receivers reported, since the start.
struct pen_reply_counts {
	struct pen_reply_classes *classes;
	struct pen_pattern_scratch *scratch;
	struct {
		const char *name;
		uint64_t count;
	} seen[PEN_REPLY_CLASSES_MAX];
	uint32_t n;
};

struct pen_gateway {
	const struct pen_config *config;
	struct pen_maillog *maillog;
	struct pen_maillog *events; // NULL without event_log_file
	struct pen_spool *spool;
	struct pen_dns *dns;
	struct pen_wire_tls_profiles *tls_profiles;
	struct pen_tls_settings *tls_settings;
	struct pen_sts_service *sts; // NULL: mta_sts_enable is no
	struct pen_hop_service hop;
	struct pen_tlsrpt *tlsrpt; // NULL: tlsrpt_enable is no
	struct pen_smtp_rules smtp_rules;
	char relayhost[PEN_NEXTHOP_MAX]; // canonical, "" without one
	struct pen_dataplane *dataplane;
	struct pen_submission *submission;
	struct pen_suppression *suppression;
	struct pen_suppression_desk *suppression_desk; // its verbs' thread
	struct pen_control *control;
	struct pen_header_hook *headers; // NULL without header_checks
	struct pen_routing routing;      // read-only tables
	pen_time_us started_at;

	struct pen_inbox inbox; // of the queue thread
	pthread_t queue_thread;
	bool queue_runs;
	uint32_t accepting; // queue thread: wo; submission: ro (relaxed)
	uint64_t accepted;  // messages taken by submission (relaxed)

	// Queue thread only.
	struct pen_sched *sched;
	bool stopping;
	struct pen_call *barriers_late; // a worker's ring was full: tried again
	bool disk_full;                 // less free than queue_minfree
	pen_time_us disk_asked_at;
	uint64_t expired_id;    // the last message that was logged as expired
	struct pen_route route; // of the last recipient
	struct tls_hosts *tls_hosts;
	struct pen_zones *zones;
	uint32_t probes; // under way
	struct pen_reply_counts replies;
};

// queue_thread.c: 0 or -errno. The scheduler must be there, with all that was
// recovered added.
int pen_queue_thread_start(struct pen_gateway *g);
// Ends open connections in order, at most `grace`, then aborts; returns when the
// thread is gone.
void pen_queue_thread_stop(struct pen_gateway *g, pen_time_us grace);

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

// intake.c: what submission calls.
extern const struct pen_submission_ops pen_intake_ops;

// suppression_hook.c: pen_submission_ops
bool pen_suppressed(void *ctx, struct pen_span tenant, struct pen_span rcpt, char *why, size_t cap);
int pen_sender_class(void *ctx, struct pen_span sender, struct pen_submission_class *out);
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

// event_log.c: a record of the attempt, for programs.
void pen_event_log(struct pen_gateway *g, const struct pen_sched_log *line);

// delivery_log.c
void pen_delivery_log(struct pen_gateway *g, const struct pen_sched_log *line);

// header_hook.c: header_checks. NULL with one sentence in err.
struct pen_header_hook *pen_header_hook_new(
	const char *spec, uint32_t loops, char *err, size_t err_cap);
void pen_header_hook_free(struct pen_header_hook *h);
void pen_header_hook_run(struct pen_gateway *g, uint32_t loop,
	const struct pen_submission_mail *mail, struct pen_span headers,
	struct pen_submission_verdict *v);
