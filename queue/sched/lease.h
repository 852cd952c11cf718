// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Leases: one connection each, from OPEN to ENDED. The worker sees `pub`; a lease outlives
// its ENDED while a command may still be in the worker's ring.

#include "link.h"
#include "pen_delivery.h"
#include "pen_sched.h"
#include "wake.h"

struct site;

struct lease {
	struct pen_lease pub; // first: what the worker sees
	struct link in_site, idle, blocked;
	struct timer timer;
	struct waiter waiter;            // its source may not send now
	struct pen_shape_conn conn;      // site NULL: not counted
	struct pen_transport_signs told; // what the rules know of it
	pen_time_us planned_at;          // when its hosts were chosen
	uint32_t probes;                 // bit i: asks host i, which was dead
	uint32_t in_flight, given, handled, untried;
	bool spent;                      // a delivery came back untried: ENDED will follow
	bool ready;                      // READY came
	bool ended;                      // ENDED came; waits for late deliveries, or in its grave
	bool commanded;                  // a CLOSE or ABORT may still be in the worker's ring
	bool closing;                    // CLOSE or ABORT was decided
	bool close_wanted, abort_wanted; // the worker's ring was full
	bool yielding;                   // closed for the sake of another site
	bool blamed;                     // a host does not answer its source
};

// lease.c
enum lease_open_result {
	LEASE_OPENED,
	LEASE_NOTHING, // nothing to open it for, or it may not be opened now
	LEASE_BUSY,    // try again at the next poll
};
enum lease_open_result lease_open(struct pen_sched *s, struct site *site);
void lease_fill(struct pen_sched *s, struct lease *l);
void lease_close(struct pen_sched *s, struct lease *l);
void lease_abort(struct pen_sched *s, struct lease *l);
void lease_unblock(struct pen_sched *s, struct lease *l);
void lease_timer(struct pen_sched *s, struct lease *l);
void lease_touch(struct pen_sched *s, struct lease *l);
void lease_on_ready(struct pen_sched *s, struct lease *l);
void lease_free(struct pen_sched *s, struct lease *l);
void lease_free_spare(struct pen_sched *s);
bool lease_is_idle(const struct lease *l);

// lease_end.c
void lease_on_ended(struct pen_sched *s, struct lease *l);
// Frees an ended lease once nothing can refer to it any more.
void lease_bury(struct pen_sched *s, struct lease *l);
// Shaping no longer counts the connection; `tried` as pen_shape_close takes it.
void lease_uncount(struct pen_sched *s, struct lease *l, bool tried);

// plan.c
// Fills sources, HELO and hosts; false when no source fits, or no host may be asked.
bool plan_lease(struct pen_sched *s, struct site *site, struct lease *l);
