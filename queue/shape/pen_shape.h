// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shaping: which connection and which message may begin now, and if not, what
// holds it and until when.
//
// The scheduler asks before it opens a connection (pen_shape_open) and before it
// gives one a message (pen_shape_send), and says when each is over. Everything
// that limits is here: limits of egress.conf, back-off, warm-up caps, suspensions
// by operators and by rules. What waits hangs on what holds it (pen_shape_wait) and
// is woken when that lets go: nobody scans.
//
//   site      one set of receiving hosts, rolled up; all connections to it count,
//             whatever their TLS policy, pool or demand is
//   provider  a group of sites
//   source, source at a site, source at a provider, pool, tenant, campaign
//
// Exact: see pen_rate.h. Over a restart, too: rates of up to SHAPE_SHORT (10 s) begin
// full; for longer ones only as much may be used as was reserved on disk before
// (pen_shape_save), so a crash loses at most the rest of a reservation: 1/32 of the
// limit, or the largest mail that waited for it. Until the first save of a run is on
// disk, longer rates let nothing pass: save before the first question.
//
// Threads: one, the scheduler's.
// Memory:  a site about 350 bytes and its name, each rate that is set at it 380 more,
//          each open connection 192. Freed when unused for an hour.
// Cost:    O(1) per question, as long as most sources of a pool have room; without
//          limits a few branches.

#include "pen_buf.h"
#include "pen_mail_class.h"
#include "pen_shape_config.h"

struct pen_shape;
struct pen_shape_site;  // counted references
struct pen_shape_class; // tenant and campaign of a class; lives as long as the shape
struct pen_shape_node;  // what has limits of its own: a site, a source...

// Takes over the configuration. NULL: no memory.
struct pen_shape *pen_shape_new(struct pen_shape_config *cfg, pen_time_us now, pen_wall_us wall);
void pen_shape_free(struct pen_shape *sh); // no reference, no waiter is out
// A new configuration, taken over. What was used under the old one still counts. Pools and
// sources keep their indexes: they must be the same (config checks it). Everything that waits is
// woken. 0 or -ENOMEM: then the old one holds.
int pen_shape_apply(struct pen_shape *sh, struct pen_shape_config *cfg, pen_time_us now);
const struct pen_shape_config *pen_shape_config_of(const struct pen_shape *sh);

// ---- handles

// The site of a set of hosts: `name` as pen_site_rollup made it. Takes a reference.
struct pen_shape_site *pen_shape_site_get(struct pen_shape *sh, struct pen_span name,
	const struct pen_span *mx, uint32_t nmx, pen_time_us now);
struct pen_shape_site *pen_shape_site_ref(struct pen_shape_site *site);
void pen_shape_site_put(struct pen_shape *sh, struct pen_shape_site *site);
// A next hop that leads there: sections that name this domain hold for the site from now on.
void pen_shape_site_domain(
	struct pen_shape *sh, struct pen_shape_site *site, struct pen_span domain);
struct pen_span pen_shape_site_name(const struct pen_shape_site *site);
const char *pen_shape_site_provider(const struct pen_shape_site *site); // "" none
// The site's merged limits as they are now (back-off and rules included): for messages per
// connection, recipients per transaction, time per connection. Valid until the next call of any
// function that is not const.
const struct pen_limits *pen_shape_site_limits(
	struct pen_shape *sh, struct pen_shape_site *site, pen_time_us now);
const struct pen_retry_schedule *pen_shape_site_retry(
	const struct pen_shape *sh, const struct pen_shape_site *site); // NULL: the general one

// NULL: no memory. The same class gives the same handle.
struct pen_shape_class *pen_shape_class_get(struct pen_shape *sh, const struct pen_mail_class *k);
uint32_t pen_shape_class_pool(const struct pen_shape *sh, const struct pen_shape_class *k);
// Shares against other tenants, and against other campaigns of the tenant.
uint32_t pen_shape_tenant_weight(const struct pen_shape *sh, const struct pen_shape_class *k);
uint32_t pen_shape_campaign_weight(const struct pen_shape *sh, const struct pen_shape_class *k);

// ---- what holds

enum pen_shape_holder {
	PEN_HELD_SITE,
	PEN_HELD_PROVIDER,
	PEN_HELD_SOURCE,
	PEN_HELD_SOURCE_AT_SITE,
	PEN_HELD_SOURCE_AT_PROVIDER,
	PEN_HELD_POOL,
	PEN_HELD_TENANT,
	PEN_HELD_CAMPAIGN,
	PEN_HELD_DOMAIN,
	PEN_HELD_WARMUP,
};
enum pen_shape_reason {
	PEN_WHY_CONNECTIONS,
	PEN_WHY_CONNECTION_RATE,
	PEN_WHY_MESSAGE_RATE,
	PEN_WHY_BYTE_RATE,
	PEN_WHY_SUSPENDED,
	PEN_WHY_NO_SOURCE, // no source of the pool fits the families of the hosts
	PEN_WHY_SAVING,    // a reservation is on its way to the disk
};
#define PEN_SHAPE_TEXT_MAX 256

struct pen_shape_block {
	enum pen_shape_holder holder;
	enum pen_shape_reason reason;
	struct pen_shape_node *node; // what to wait for
	pen_time_us until;           // PEN_TIME_NEVER: until something else ends
	uint64_t limit, used;
	pen_time_us period;            // of a rate of `limit`; 0: it is none
	char name[PEN_SHAPE_TEXT_MAX]; // of the holder: "(alt1|alt2)?.mx.example."
	char by[PEN_SHAPE_TEXT_MAX];   // "egress.conf line 12", "the operator: blocked at ...",
				       // "rule at egress.conf line 30 until 14:05:00"
	// private: what pen_shape_wait needs
	struct pen_shape_site *site;
	uint64_t need;
	uint32_t pool;
	uint8_t queue, families;
};
// One sentence: "site mx.example. has its 20 connections (egress.conf line 12)".
size_t pen_shape_block_text(
	const struct pen_shape_block *b, pen_time_us now, pen_wall_us wall, char *out, size_t cap);

struct pen_shape_waiter {
	struct pen_shape_node *node; // NULL: it does not wait
	pen_time_us until;
	// private
	struct pen_shape_waiter *next, *prev; // a ring; the head's prev is the last
	struct pen_shape_site *site;
	uint64_t need;
	uint32_t heap, pool;
	uint8_t queue, families, reason;
};
void pen_shape_waiter_init(struct pen_shape_waiter *w);
// Waits behind the others. Already waiting: moves.
void pen_shape_wait(
	struct pen_shape *sh, struct pen_shape_waiter *w, const struct pen_shape_block *b);
void pen_shape_cancel(struct pen_shape *sh, struct pen_shape_waiter *w);
static inline bool pen_shape_waiting(const struct pen_shape_waiter *w)
{
	return w->node != NULL;
}
// Takes waiters off, first come first, as many as may have got room, and calls fn for each (which
// may ask, and wait again). Returns how many.
typedef void pen_shape_wake_fn(void *ctx, struct pen_shape_waiter *w);
uint32_t pen_shape_poll(struct pen_shape *sh, pen_time_us now, pen_wall_us wall, uint32_t budget,
	pen_shape_wake_fn *fn, void *ctx);
// When to poll: when somebody may go on; PEN_TIME_NEVER. After something ended at a source
// that may be now although that source does not suit anybody who waits.
pen_time_us pen_shape_next(const struct pen_shape *sh);

// ---- connections and messages

struct pen_shape_conn {              // in the lease
	struct pen_shape_site *site; // a reference
	uint32_t pool;
	int32_t source[2]; // indexes, [0] IPv4, [1] IPv6; -1 none
	int8_t family;     // 0, 1; -1: not known yet, both sources are counted
	pen_time_us opened_at;
	struct pen_shape_link *link; // private; the struct may be copied
};

enum { PEN_SHAPE_IP4 = 1 << 0, PEN_SHAPE_IP6 = 1 << 1 };

// May a connection to the site begin, from this pool? `families`: PEN_SHAPE_ bits of the hosts'
// addresses. Chooses sources by weight among those with room. False: *why.
bool pen_shape_open(struct pen_shape *sh, struct pen_shape_site *site, uint32_t pool,
	unsigned families, pen_time_us now, struct pen_shape_conn *out,
	struct pen_shape_block *why);
// The same, from a source that `may` does not rule out. `refused` tells whether it ruled one out
// that fits: a false answer then says nothing about when to ask again, and is not to be waited on.
struct pen_shape_filter {
	bool (*may)(void *ctx, uint32_t source); // an index
	void *ctx;
	bool refused; // out
};
bool pen_shape_open_from(struct pen_shape *sh, struct pen_shape_site *site, uint32_t pool,
	unsigned families, struct pen_shape_filter *filter, pen_time_us now,
	struct pen_shape_conn *out, struct pen_shape_block *why);
// The same question without taking anything: for `why` and `site show`.
bool pen_shape_may_open(struct pen_shape *sh, struct pen_shape_site *site, uint32_t pool,
	unsigned families, pen_time_us now, struct pen_shape_block *why);
// It is up, over this family: the other source is given back.
void pen_shape_ready(
	struct pen_shape *sh, struct pen_shape_conn *c, unsigned family, pen_time_us now);
// It is over. `tried` false: no packet of it was sent.
void pen_shape_close(struct pen_shape *sh, struct pen_shape_conn *c, pen_time_us now, bool tried);

// May a message of this class and size begin on this connection? True: it is counted until
// pen_shape_done. On false with a holder of PEN_HELD_TENANT or _CAMPAIGN another class may still
// pass; with PEN_HELD_WARMUP or a source, another connection.
bool pen_shape_send(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	uint64_t bytes, pen_time_us now, struct pen_shape_block *why);
bool pen_shape_may_send(struct pen_shape *sh, struct pen_shape_site *site,
	struct pen_shape_class *k, uint64_t bytes, pen_time_us now, struct pen_shape_block *why);
// `attempted` false: MAIL was never sent.
void pen_shape_done(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	uint64_t bytes, pen_time_us now, bool attempted);
// Mail for this domain may be worked on. False: suspended.
bool pen_shape_domain_open(
	struct pen_shape *sh, struct pen_span domain, pen_time_us now, struct pen_shape_block *why);

// ---- rules

// What the scheduler has to do, besides asking again.
struct pen_shape_effect {
	bool bounce_queue; // what waits for the site ends with this reply
	uint32_t rules;    // that took effect now, for the log
	uint32_t line;     // of the last of them
};
// A reply matched these rules (indexes of the configuration's).
void pen_shape_reply(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	const uint32_t *rule, uint32_t n, pen_time_us now, struct pen_shape_effect *out);
void pen_shape_signal(struct pen_shape *sh, struct pen_shape_conn *c, enum pen_shape_signal signal,
	uint32_t value, pen_time_us now, struct pen_shape_effect *out);

// ---- operators

enum pen_suspend_scope {
	PEN_SUSPEND_SITE,
	PEN_SUSPEND_DOMAIN,
	PEN_SUSPEND_TENANT,
	PEN_SUSPEND_CAMPAIGN,
	PEN_SUSPEND_SOURCE,
	PEN_SUSPEND_SCOPES,
};
struct pen_suspension {
	uint64_t id; // given by pen_shape_suspend
	enum pen_suspend_scope scope;
	struct pen_span name;   // of the site (its rolled-up name), domain, tenant...; copied
	struct pen_span at;     // only at this site or provider; empty: everywhere
	struct pen_span reason; // for people
	struct pen_span by;     // "operator", "rule at egress.conf line 30"
	pen_wall_us until;      // 0: until resumed
};
// The same scope, name and `at` again replaces. 0: no memory.
uint64_t pen_shape_suspend(struct pen_shape *sh, const struct pen_suspension *s, pen_time_us now);
int pen_shape_resume(struct pen_shape *sh, uint64_t id, pen_time_us now); // 0 or -ENOENT
typedef bool pen_suspension_fn(void *ctx, const struct pen_suspension *s);
void pen_shape_suspensions(const struct pen_shape *sh, pen_suspension_fn *fn, void *ctx);
// Rules' effects on a site end: back-off, limits, suspensions by rules.
void pen_shape_clear(struct pen_shape *sh, struct pen_shape_site *site, pen_time_us now);

// Every limit that holds for a site, for `site show`.
struct pen_limit_view {
	enum pen_shape_holder holder;
	const char *name;  // of the holder
	const char *limit; // "connections", "message_rate"...
	const char *value; // "20", "100/s"
	uint64_t used;
	pen_time_us release; // when the next may begin; <= now: at once; NEVER: when something ends
	const char *by;      // "egress.conf line 12"
};
typedef bool pen_limit_view_fn(void *ctx, const struct pen_limit_view *v);
void pen_shape_site_view(struct pen_shape *sh, struct pen_shape_site *site, pen_time_us now,
	pen_limit_view_fn *fn, void *ctx);

// ---- what survives a restart

// True when the state should be written soon: a reservation runs out, a suspension is new.
bool pen_shape_save_wanted(const struct pen_shape *sh, pen_time_us now);
// Appends the state as text (one line each; versioned). Reservations in it count from
// pen_shape_saved(generation) on: call that when the text is on disk. 0 or -ENOMEM.
int pen_shape_save(struct pen_shape *sh, pen_time_us now, pen_wall_us wall, struct pen_buf *out,
	uint64_t *generation);
void pen_shape_saved(struct pen_shape *sh, uint64_t generation, pen_time_us now);
// Right after pen_shape_new. Bad lines are skipped and counted in *bad. Without a state (first
// start) don't call it. An empty text, or one of another version: a state that could not be read;
// all rates and warm-up caps then begin as if they were used up.
int pen_shape_load(struct pen_shape *sh, struct pen_span text, pen_time_us now, pen_wall_us wall,
	uint32_t *bad);

// ---- names

// pen_site_rollup writes the name of a host set: names that differ in their first label only are
// put together, "(alt1|alt2)?.mx.example." as KumoMTA does; others are joined by ",". Names come in
// any order and case. Returns the length, cut to fit with a hash at the end.
#define PEN_SITE_NAME_MAX 255
size_t pen_site_rollup(const struct pen_span *mx, uint32_t n, char out[PEN_SITE_NAME_MAX + 1]);
