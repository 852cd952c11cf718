// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The logic from a next hop to hosts, without a resolver: it says which
// questions to ask, is told the answers in any order, and makes the result.
//
//   mx_new -> mx_next until false -> mx_answer for each -> ... -> mx_done -> mx_take
//
// Threads: one owner. Memory: bounded by MX_HOSTS_MAX hosts of a next hop with
// MX_ADDRS_MAX addresses each. At most MX_ASKED_MAX questions are open.

#include "mx_pick.h"
#include "pen_dns_query.h"
#include "pen_nexthop.h"

#define MX_HOSTS_MAX 64
#define MX_ADDRS_MAX 64
#define MX_ASKED_MAX 16

enum mx_lookup { MX_LOOKUP_DNS, MX_LOOKUP_NATIVE, MX_LOOKUP_DNS_NATIVE, MX_LOOKUP_NATIVE_DNS };

struct mx_options {
	struct mx_pick_options pick;
	bool no_dns;                 // no MX, and addresses only from the system
	bool validated;              // answers may be secure: aliases are worth a question
	enum mx_lookup host_lookup;  // where addresses of hosts come from
	bool ip4, ip6;               // families that are used
	bool null_mx_postfix;        // Postfix's 5.1.0 for a null MX, even beside real ones
	bool ignore_mx_lookup_error; // use the domain's address instead
	bool defer_if_no_address;    // smtp_defer_if_no_mx_address_found
	bool relayhost;              // the operator's own choice: never bounce for it
	const struct mx_own *own;    // addresses that are us; may be NULL
};

// A question about a host's addresses to the system (getaddrinfo) in place of
// the DNS; its answer has addresses of any family.
#define MX_TYPE_NATIVE 0

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
void mx_answer(struct mx *m, uint32_t id, const struct pen_dns_answer *answer);
// mx_give_up ends with 4.4.3 and this text, whatever is outstanding.
void mx_give_up(struct mx *m, const char *text);
bool mx_done(const struct mx *m);
// mx_take returns the result, for pen_dns_hosts_free; NULL when out of memory.
struct pen_dns_hosts *mx_take(struct mx *m);
void mx_free(struct mx *m);
