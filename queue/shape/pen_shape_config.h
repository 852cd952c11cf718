// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What egress.conf says about shaping: an immutable value with one owner.
//
// Built by control/config; read by the scheduler's thread. A reload builds a new
// one and gives it to pen_shape_apply; nothing points into the old one then.
// Memory: pen_shape_config_free frees all of it: the struct and `arena`, one malloc'ed
//         block each. Strings are NUL-terminated.

#include "pen_addr.h"
#include "pen_rate.h"

enum { // pen_limits.given: which of them a section names
	PEN_LIMIT_CONNECTIONS = 1 << 0,
	PEN_LIMIT_CONNECTION_RATE = 1 << 1,
	PEN_LIMIT_MESSAGE_RATE = 1 << 2,
	PEN_LIMIT_BYTE_RATE = 1 << 3,
	PEN_LIMIT_CONNECTION_MESSAGES = 1 << 4,
	PEN_LIMIT_RECIPIENTS = 1 << 5,
	PEN_LIMIT_CONNECTION_TIME = 1 << 6,
};

struct pen_limits {
	uint32_t given;       // PEN_LIMIT_ bits; the others are not limited here
	uint32_t connections; // at a time; of a tenant or campaign: deliveries at a time
	struct pen_rate connection_rate, message_rate, byte_rate;
	uint32_t connection_messages; // per connection
	uint32_t recipients;          // per transaction
	pen_time_us connection_time;  // no new message on an older connection
};

// Retry times of a site; 0 steps: minimal_backoff_time and maximal_backoff_time.
#define PEN_RETRY_STEPS_MAX 32
struct pen_retry_schedule {
	uint8_t nsteps;
	pen_time_us step[PEN_RETRY_STEPS_MAX]; // after the 1st, 2nd... attempt; the last repeats
	uint8_t jitter;                        // percent, both ways
	pen_time_us lifetime;                  // 0: maximal_queue_lifetime, and at most that
	uint32_t lifetime_line;
	pen_time_us greylisted; // the retry after a greylisting reply; 0: as any other
};

// A set of hosts or domains: "mx.example.com", "*.example.com" (also the name
// itself), "*".
struct pen_shape_match {
	uint32_t nmx, ndomains;
	const char **mx, **domains; // lower-case
};

// One section: `default`, `site NAME`, `provider NAME`.
struct pen_shape_section {
	const char *name;
	uint32_t line;
	bool shipped; // `line` is of Penstock's own file of rules (provider-rules.conf)
	struct pen_shape_match match;
	struct pen_limits limits; // a site: of each site that matches. A provider: of all together
	struct pen_limits site_limits; // a provider: of each of its sites
	struct pen_limits
		source_limits; // of each source at each site; a provider: at all its sites together
	// Instead of `limits` (only what it gives) while in back-off. Where nothing is given at
	// all: one connection, 60 messages a minute.
	struct pen_limits backoff;
	struct pen_retry_schedule retry;
	bool has_retry;
};

struct pen_shape_source {
	const char *name;
	struct pen_addr addr;
	const char *helo; // "" : myhostname
	struct pen_limits limits;
};

struct pen_shape_pool {
	const char *name;
	uint32_t line;
	uint32_t nmembers;
	struct {
		uint32_t source, weight;
	} * member; // weight at least 1
	struct pen_limits limits;
};

// `tenant NAME` and `campaign NAME`; "*" gives the values of those without a
// section of their own.
struct pen_shape_owner {
	const char *name;
	uint32_t line;
	const char *tenant; // of a campaign: only in this tenant; "" any
	uint32_t weight;    // share against others, 1 to 1000; default 10
	const char *pool;   // "" none: for mail that names none
	struct pen_limits limits;
};

enum pen_shape_action {
	PEN_ACT_SUSPEND,        // the site
	PEN_ACT_SUSPEND_TENANT, // the tenant of the mail, at this site
	PEN_ACT_SUSPEND_CAMPAIGN,
	PEN_ACT_DISABLE_SOURCE, // the source, at this provider or site
	PEN_ACT_BACKOFF,        // the back-off limits of the provider or site
	PEN_ACT_LIMIT,          // the limits of the rule, besides the others
	PEN_ACT_BOUNCE_QUEUE,   // what waits for the site bounces with the reply
	PEN_ACT_COUNT,
};

enum pen_shape_signal { // what TCP tells before a reply does
	PEN_SIGNAL_NONE,
	PEN_SIGNAL_CONNECT_TIMEOUT, // SYN unanswered
	PEN_SIGNAL_REFUSED,         // RST to SYN
	PEN_SIGNAL_RESET,           // RST in a session
	PEN_SIGNAL_ZERO_WINDOW,     // the receiver stopped reading
	PEN_SIGNAL_RETRANSMITS,     // percent of segments of a session
	PEN_SIGNAL_LATENCY,         // milliseconds from the final dot to its reply
	PEN_SIGNAL_COUNT,
};

// `rule { ... }` at the top level (any site), in a provider or in a site section.
struct pen_shape_rule {
	uint32_t line;
	bool shipped;                // as above
	const char *provider, *site; // the section it stands in, "" none
	const char *pattern;         // of a reply, as written: "/text/flags"; "" with a signal
	uint8_t signal;              // enum pen_shape_signal
	uint32_t threshold;          // RETRANSMITS, LATENCY: at least this
	uint8_t action;              // enum pen_shape_action
	struct pen_rate trigger;     // "5/10min": so many hits; no limit: at once
	pen_time_us duration;
	struct pen_limits limits; // ACT_LIMIT
};

// `warmup NAME { sources; provider; schedule }`: messages per day from a source
// to a provider, by the day since `start`. Overflow takes other sources of the pool. Days are
// those of UTC, day 0 the one of `start`; before it the source sends nothing there.
struct pen_shape_warmup {
	const char *name;
	uint32_t line;
	uint32_t source;
	const char *provider; // "" each provider, and each site without one, by itself
	pen_wall_us start;
	uint32_t ndays;
	uint32_t *cap; // of day 0, 1...; after the last: no cap
};

struct pen_shape_config {
	struct pen_shape_section defaults;
	uint32_t nsites, nproviders, nsources, npools, ntenants, ncampaigns, nrules, nwarmups;
	struct pen_shape_section *site, *provider;
	struct pen_shape_source *source; // the index is that of the dataplane's source
	struct pen_shape_pool *pool; // [0] is "default": what egress.conf names so, or all sources
	struct pen_shape_owner *tenant, *campaign;
	struct pen_shape_rule *rule;
	struct pen_shape_warmup *warmup;
	uint64_t hash_seed; // of tables whose names strangers choose: secret but in tests
	void *arena;        // what all pointers point into
};

void pen_shape_config_free(struct pen_shape_config *c);
// One pool of all sources, no limits: for tests and tools. NULL: no memory.
struct pen_shape_config *pen_shape_config_plain(const struct pen_addr *source, uint32_t n);
