// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The inside of mx.c: a next hop's hosts and what is known of them.
//
//   mx.c         questions and answers of the next hop
//   mx_host.c    one host: which sources are asked, one after the other
//   mx_result.c  from addresses to the result

#include "mx.h"
#include "pen_idn.h"

// The questions about a host.
enum { SLOT_A, SLOT_AAAA, SLOT_NATIVE, SLOT_CNAME, SLOTS_N };

#define MX_QUERY_MX 0
#define MX_QUERY_HOST(index, slot) (((index) + 1) * SLOTS_N + (uint32_t)(slot))
#define MX_QUERY_INDEX(id) ((id) / SLOTS_N - 1)
#define MX_QUERY_SLOT(id) ((int)((id) % SLOTS_N))

struct mx_host_addr {
	struct pen_addr addr;
	uint8_t source; // slot
};

struct mx_host {
	char name[PEN_IDN_NAME_MAX];
	uint16_t preference;
	uint8_t stage;                 // index into the sources of host_lookup
	uint8_t want, asked, answered; // bits by slot
	bool done, soft, bogus;
	bool alias_secure;          // what SLOT_CNAME said
	uint8_t said;               // the slot that `status` is from
	enum pen_dns_status status; // when there is no address: why
	bool secure[SLOTS_N];
	char canonical[2][PEN_IDN_NAME_MAX]; // by SLOT_A and SLOT_AAAA; "" is no alias
	uint32_t naddrs;
	struct mx_host_addr addr[MX_ADDRS_MAX];
};

enum mx_state { STATE_MX, STATE_MX_ASKED, STATE_HOSTS, STATE_DONE };

struct mx {
	enum mx_state state;
	struct pen_nexthop nexthop;
	struct mx_options options;
	struct pen_rand rand;
	struct pen_dsn dsn; // class 0 until the end
	char warning[sizeof(((struct pen_dns_hosts *)0)->warning)];
	char domain_canonical[PEN_IDN_NAME_MAX];
	uint32_t ttl_s;
	bool from_mx, mx_secure;
	bool self_removed, loops;
	uint32_t open;    // questions about hosts without an answer
	uint32_t pending; // hosts that are not done
	uint32_t nhosts;
	struct mx_host *host;
	uint32_t npicks;
	struct mx_pick *pick; // what is left at the end
};

void mx_warn(struct mx *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
// mx_fail ends with X.4.detail.
void mx_fail(struct mx *m, unsigned klass, unsigned detail, const char *name, const char *type,
	enum pen_dns_status status);
void mx_lower_ttl(struct mx *m, uint32_t ttl_s);

// mx_host_known gives a host the address that its name is.
void mx_host_known(struct mx_host *h, const struct pen_addr *addr);
void mx_host_begin(struct mx *m, struct mx_host *h);
// mx_host_next returns a slot to ask now, or -1.
int mx_host_next(struct mx_host *h);
uint16_t mx_slot_type(int slot);
void mx_host_answer(struct mx *m, struct mx_host *h, int slot, const struct pen_dns_answer *answer);

// mx_finish decides when every host is done.
void mx_finish(struct mx *m);
