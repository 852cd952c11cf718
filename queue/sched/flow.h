// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Flows: what waits at a site, by priority, tenant and campaign. A flow belongs to its site.

#include "pen_sched.h"
#include "share.h"
#include "table.h"
#include "wake.h"
#include "ware.h"

struct entry;
struct job;
struct owner;
struct site;
struct tenant;

// The mail of one campaign and priority that waits at a site: messages that have
// been made ready (jobs), in their order, then those that wait for it.
//
// With many tenants nearly every message has a flow of its own: 160 bytes.
struct flow {
	struct link queue, returned; // wares; `returned` goes first
	struct entry *waiting;       // the first without a job
	uint32_t n, nwaiting;        // transactions; of these, without a job
	// In site->refill while nwaiting > 0, else in site->flows while n > 0, else in
	// pen_sched.idle_flows.
	struct link all;
	struct site *site;
	struct owner *owner;
	struct flow_wait *wait; // NULL: never blocked
	struct share share;     // of its tenant's; lone: of its band
	struct table_node node; // in pen_sched.flows; lone: .stalls; not of a site's plain flow
	bool blocked;
	bool lone;        // its tenant has no other at this site, in this band: no stall
	uint8_t priority; // enum pen_priority
};

// What a flow waits with while shaping holds it.
struct flow_wait {
	struct waiter waiter;
	struct flow *flow;
};

// A tenant at a site, in one band: what its campaigns' flows share. Made when
// there is a second one.
struct stall {
	struct share_node share;
	struct table_node node;
	struct site *site;
	struct tenant *tenant;
	uint32_t refs; // flows
	uint8_t priority;
};

// A site that has mail of tenants or priorities.
struct bands {
	struct share_node root, band[PEN_PRIORITIES];
	struct stall nobody; // mail without a tenant, of normal priority
};

void flow_init(struct flow *f, struct site *site, struct owner *o);
// Made when there is none; the plain one when there is no memory.
struct flow *flow_find(struct pen_sched *s, struct site *site, const struct pen_mail_class *k);
void flow_add_job(struct pen_sched *s, struct flow *f, struct job *j);
void flow_add_entry(struct pen_sched *s, struct flow *f, struct entry *e);
void flow_take(struct pen_sched *s, struct flow *f, struct ware *w);
// The job takes the message's place in the queue.
void flow_replace(struct pen_sched *s, struct entry *e, struct job *j);
// The one whose turn it is; NULL: nothing may be sent.
struct flow *flow_next(const struct site *site);
// Its memory is on its way to the cache while something else is done; the second
// one: what stands at its head, when the flow itself has come.
void flow_prefetch(const struct site *site);
void flow_prefetch_head(const struct site *site);
void flow_charge(struct pen_sched *s, struct flow *f, uint32_t nrcpt);
// Any flow that has mail; NULL: there is none.
struct flow *flow_any(const struct site *site);
// How many have mail: walks over them.
uint32_t flow_count(const struct site *site);
// What is at the head of one that has mail.
struct ware *flow_head(const struct flow *f);
// Without memory for that the whole site waits.
void flow_block(struct pen_sched *s, struct flow *f, const struct pen_shape_block *b);
void flow_unblock(struct pen_sched *s, struct flow *f);
uint32_t flow_reap(struct pen_sched *s);
void flow_free_all(struct pen_sched *s, struct site *site);
