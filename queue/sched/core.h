// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The scheduler itself, and the structures that hang on it. Private to this folder.
//
// Re-entrance: ops may answer at once (pen_sched_on_resolved inside `resolve`,
// pen_sched_add and pen_sched_on_submitted inside `submit`). Two rules keep
// that safe. An entry ends only through entry_check or later calls of entry.c,
// so a caller must not touch it behind them unless it holds entry->guard. Sites
// and next hops are freed only by pen_sched_poll.

#include "calendar.h"
#include "dead_hosts.h"
#include "entry.h"
#include "flow.h"
#include "job.h"
#include "lease.h"
#include "link.h"
#include "nexthop.h"
#include "owner.h"
#include "pen_err.h"
#include "pen_feedback.h"
#include "pen_rand.h"
#include "pen_sched.h"
#include "pen_sched_admin.h"
#include "pen_wheel.h"
#include "pile.h"
#include "result.h"
#include "share.h"
#include "site.h"
#include "table.h"

// Where a listing or an order that is done in pieces goes on.
struct scan {
	uint64_t after;        // what the caller comes back with; 0: free
	struct link *at, *end; // from the end on messages came later and do not belong to it
};
#define SCANS 8

struct pen_sched {
	struct pen_sched_config cfg;
	struct pen_sched_ops ops;
	void *ctx;
	pen_time_us now;
	pen_wall_us wall;
	struct pen_feedback_rules feedback;
	struct pen_rand rand;
	struct pen_siphash_key key;
	struct calendar calendar; // entries
	struct pen_wheel wheel;   // all else
	struct id_table entries;
	struct table nexthops, sites, resolving, flows, stalls, owners, tenants;
	struct owner *nobody;      // of mail without a tenant or campaign
	struct share_node backlog; // tenants with mail that waits for the resolver
	uint32_t nbacklog;
	struct link all_entries, all_sites;
	struct scan scan[SCANS];
	uint32_t scan_turn;
	uint64_t doubtful;           // recipients queued and in doubt
	struct link hungry, wanting; // sites that wait for a lease: without one, and others
	struct link idle, blocked;   // leases
	struct link graves;          // ended leases, through in_site
	struct link draining, reap;  // sites
	struct link settling;        // next hops
	struct link unasked;         // next hops that wait for the resolver to have room
	struct link idle_flows;      // without mail
	struct dead_hosts *dead;
	struct lease *spare_leases;
	uint32_t nspare_leases;
	uint32_t nresolving;        // messages without a job at next hops
	struct pen_delivery *spare; // free ones, for one recipient
	uint32_t nspare;
	uint32_t nhungry, nwanting, nyielding, nleases, nready, nbusy_sites, ndead;
	uint32_t submitting;
	uint32_t nstate[ENTRY_STATES];
	uint32_t worker_leases[64], worker_turn;
	uint32_t *source[2], nsource[2], source_turn[2]; // [0] IPv4, [1] IPv6: indexes
	uint64_t token, lease_id, delivery_id;
	uint32_t epoch;
	bool stopping;
	uint64_t jobs_ready, jobs_resolving, in_flight, content_bytes;
	struct pen_rcpt_change *change; // scratch: the record being put together
	struct nexthop **hop;           // scratch of entry_activate
	uint8_t *failed;                // scratch of entry_settle: a bit per recipient
	uint8_t *chosen;                // scratch of pen_sched_apply: the same
	uint32_t scratch_cap;           // of all four: the largest nrcpt
	uint32_t nchanges;
	char postmaster_text[PEN_HOST_NAME_MAX + 260], delay_notice_text[PEN_HOST_NAME_MAX + 260];
	struct pen_span postmaster;   // empty: not told of mail without a sender
	struct pen_span delay_notice; // empty: not told of late mail
	struct pen_sched_stats total; // the "since the start" part
};

// admin.c
struct pen_sched_view entry_view(const struct pen_sched *s, const struct entry *e);
// All sites are tried again, and names that did not resolve are asked for.
void sites_lift(struct pen_sched *s);
