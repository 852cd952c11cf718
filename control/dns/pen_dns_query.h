// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One question to the resolver and its answer, with the security status that
// validation gave it.
//
// Threads: only on the resolver's own thread: inside a callback of pen_dns.h or
//          of this header, or in a function given to pen_dns_post. Callbacks run
//          there, never inside the call that asks.
// Memory:  an answer is borrowed for the callback.
// Limits:  dns_concurrency in flight over all users; what is beyond waits, up to
//          PEN_DNS_LOOKUPS_MAX. No answer within dns_timeout is PEN_DNS_FAILED.
// RFCs:    1035, 4035 (secure, insecure, bogus), 6698 (TLSA).

#include "pen_addr.h"
#include "pen_dns.h"

enum pen_dns_type {
	PEN_DNS_A = 1,
	PEN_DNS_CNAME = 5,
	PEN_DNS_MX = 15,
	PEN_DNS_TXT = 16,
	PEN_DNS_AAAA = 28,
	PEN_DNS_TLSA = 52,
};

enum pen_dns_status {
	PEN_DNS_OK,
	PEN_DNS_NODATA,
	PEN_DNS_NXDOMAIN,
	PEN_DNS_FAILED, // no answer, SERVFAIL, refused, time-out: try again later
	PEN_DNS_BOGUS,  // DNSSEC validation failed: never use, try again later
	PEN_DNS_MALFORMED,
};
const char *pen_dns_status_name(enum pen_dns_status s);

struct pen_dns_record {
	uint16_t preference;            // MX
	const char *name;               // MX, CNAME: lower case, no final dot; "" is the root
	bool bad_name;                  // MX, CNAME: no host name
	struct pen_addr addr;           // A, AAAA
	struct pen_span data;           // TXT: the strings of the record joined; TLSA: the data
	uint8_t usage, selector, mtype; // TLSA
};

struct pen_dns_answer {
	enum pen_dns_status status;
	// Validated by DNSSEC: the records, or that there are none. Every CNAME on
	// the way is covered.
	bool secure;
	uint32_t ttl_s;
	const char *name;      // asked for
	const char *canonical; // where CNAMEs led; == name without any
	// There were more records than are looked at, or one was cut: of TXT 4096
	// bytes are kept, of TLSA 16384 (which then matches no certificate).
	bool cut;
	uint32_t n;
	const struct pen_dns_record *record;
};

typedef void pen_dns_query_fn(void *ctx, const struct pen_dns_answer *answer);

// pen_dns_query: 0, and the callback will come once, also for bad text; -EAGAIN
// or -ENOMEM: not.
int pen_dns_query(struct pen_dns *dns, const char *name, enum pen_dns_type type,
	pen_dns_query_fn *fn, void *ctx);

// pen_dns_post runs fn on the resolver thread soon; from any thread. 0, -ENOMEM,
// or -ESHUTDOWN when it is stopping (fn then does not run).
int pen_dns_post(struct pen_dns *dns, void (*fn)(void *ctx), void *ctx);
// The thread's event loop, for timers and sockets of those who live on it.
struct event_base *pen_dns_event_base(struct pen_dns *dns);
