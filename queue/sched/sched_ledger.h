// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For tests: what receivers count, against the limits that were said. Sites by
// the name of their hosts, tenants by the sender (tN@x); limits are the
// same for all sites, and rates have one period, so that any interval of it can
// be checked whenever they change.

#include "sched_world.h"

#define LEDGER_SITES 16
#define LEDGER_TENANTS 4
#define LEDGER_PERIOD (10 * PEN_US_PER_S)

struct ledger_meter {
	pen_time_us at[65536];
	uint32_t n, first; // those before `first` are older than a period
};

struct ledger_site {
	char name[64];
	uint32_t open, from[2];   // connections, by source
	uint32_t flying, carried; // messages; of these, those of before a reload
	struct ledger_meter *opened, *begun, *done;
	bool suspended;
};

struct ledger_limits { // 0: none
	uint32_t connections, source_connections, connection_rate, message_rate, byte_rate;
	uint32_t connection_messages, recipients, tenant_rate, tenant_connections;
	pen_time_us connection_time;
	uint32_t weight[LEDGER_TENANTS];
};

struct ledger {
	struct ledger_limits limits;
	struct ledger_site site[LEDGER_SITES];
	struct { // t0 to t3
		struct ledger_meter *begun;
		uint32_t flying;
		bool suspended;
	} tenant[LEDGER_TENANTS];
	struct {
		const void *l;
		uint32_t given;
		pen_time_us since;
	} lease[WORLD_MAX];
	char domain[64]; // suspended; empty: none
};

struct ledger_limits ledger_random_limits(struct pen_rand *r);
struct pen_shape_config *ledger_config(const struct ledger_limits *l);
struct ledger *ledger_new(const struct ledger_limits *l);
void ledger_watch(struct world *w, struct ledger *g);
void ledger_reload(struct world *w, const struct ledger_limits *l);
void ledger_free(struct ledger *g);
