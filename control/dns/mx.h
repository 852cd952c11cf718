// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The logic from a next hop to hosts, without a resolver: it says which
// questions to ask, is told the answers in any order, and makes the result.
//
//   mx_new -> mx_next until false -> mx_answer for each -> ... -> mx_done -> mx_take
//
// Threads: one owner. Memory: bounded by MX_HOSTS_MAX hosts of a next hop.

#include "dns_wire.h"
#include "pen_dns.h"
#include "pen_nexthop.h"
#include "pen_rand.h"

#define MX_HOSTS_MAX 64

struct mx_options {
	uint32_t address_limit;      // smtp_mx_address_limit
	bool randomize;              // smtp_randomize_addresses
	bool ignore_mx_lookup_error; // use the domain's address instead
	bool defer_if_no_address;    // smtp_defer_if_no_mx_address_found
};

struct mx_query {
	uint32_t id; // hand it back with the answer
	uint16_t type;
	const char *name; // valid until mx_take or mx_free
};

struct mx;

// mx_new: NULL when out of memory.
struct mx *mx_new(
	const struct pen_nexthop *nexthop, const struct mx_options *options, uint64_t seed);
// mx_next gives the next question to ask now, each once. False: none at the moment.
bool mx_next(struct mx *m, struct mx_query *query);
void mx_answer(struct mx *m, uint32_t id, const struct dns_answer *answer);
// mx_give_up ends with 4.4.3 and this text, whatever is outstanding.
void mx_give_up(struct mx *m, const char *text);
bool mx_done(const struct mx *m);
// mx_take returns the result, for pen_dns_hosts_free; NULL when out of memory.
struct pen_dns_hosts *mx_take(struct mx *m);
void mx_free(struct mx *m);
