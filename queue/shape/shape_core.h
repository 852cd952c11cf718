// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Private to this folder: what shaping is made of.
//
//   node     what has limits of its own. Every connection hangs on the nodes it
//            counts at (struct pen_shape_link), so that a reload or a new limit
//            finds what is open.
//   meter    one rate of a node, with its reservation on disk
//   profile  the merged limits of all sites that the same sections name
//   effect   what a rule set on a site or provider: a node of its own
//   lane     where connections wait that found no source of their pool

#include "pen_err.h"
#include "pen_rand.h"
#include "pen_shape.h"

#include <stdlib.h>

#define SHAPE_SHORT (10 * PEN_US_PER_S)
#define SHAPE_IDLE (3600 * PEN_US_PER_S) // unused for so long: freed
#define SHAPE_SWEEP (60 * PEN_US_PER_S)  // how often that is looked for
#define SHAPE_DAY (86400 * PEN_US_PER_S) // of warm-up
#define AGE_MAX (400 * SHAPE_DAY)        // nothing older is remembered
#define SHAPE_RETRY (PEN_US_PER_S)       // after there was no memory
#define SHAPE_RESERVE 32                 // a reservation: this part of a limit

#define container(p, type, field) ((type *)(void *)((char *)(p)-offsetof(type, field)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

// ---- a hash table; nodes carry their hash

struct hent {
	struct hent *next;
	uint64_t hash;
};
struct htab {
	struct hent **bucket;
	uint32_t mask, n;
};
bool shape_htab_init(struct htab *t, uint32_t buckets); // a power of two
void shape_htab_fini(struct htab *t);
void shape_htab_put(struct htab *t, struct hent *e);
void shape_htab_remove(struct htab *t, struct hent *e);
static inline struct hent *shape_htab_chain(const struct htab *t, uint64_t hash)
{
	return t->bucket[hash & t->mask];
}
// Of several strings, without regard to case.
uint64_t shape_hash(uint64_t seed, struct pen_span s);
static inline uint64_t shape_hash_mix(uint64_t h)
{
	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93u;
	return h ^ (h >> 32);
}

// ---- things of one size, side by side: a question meets few cache lines

struct slab {
	void *free, *blocks;
	size_t size; // a multiple of 64
};
void *shape_slab_get(struct slab *s); // not cleared; NULL: no memory
void shape_slab_put(struct slab *s, void *p);
void shape_slab_fini(struct slab *s);

// ---- limits

struct limit_set { // limits, and which line gave each
	struct pen_limits l;
	uint32_t line[7]; // by bit of `given`
	uint8_t shipped;  // by bit: the line is of Penstock's own file
};
enum {
	LIMIT_CONNECTIONS,
	LIMIT_CRATE,
	LIMIT_MRATE,
	LIMIT_BRATE,
	LIMIT_MESSAGES,
	LIMIT_RCPTS,
	LIMIT_TIME
};
extern const char *const shape_limit_word[7];
// Takes over what `l` gives.
void shape_limits_over(
	struct limit_set *to, const struct pen_limits *l, uint32_t line, bool shipped);
void shape_limits_over_set(struct limit_set *to, const struct limit_set *from);

enum { M_CRATE, M_MRATE, M_BRATE, METERS };

struct reserve { // uses that may begin before the next save is on disk
	uint64_t left;
	uint64_t next; // once the save under way is
	uint64_t want; // the largest use that waits
};

struct meter {
	struct pen_rate rate;
	struct reserve res;
	uint32_t line;
	uint8_t shipped;
	uint8_t which;     // M_
	bool longish;      // a period above SHAPE_SHORT: it is reserved
	bool simple;       // neither reserved, spaced nor in large units: see shape_meter_room
	pen_time_us width; // of a slot
	struct pen_shape_node *node;
	struct meter *next, **at; // of the long ones
	struct pen_meter m;
};

enum { // node.flags: what is to be asked
	N_CONNS = 1 << 0,
	N_CRATE = 1 << 1,
	N_MRATE = 1 << 2,
	N_BRATE = 1 << 3,
	N_SUSP = 1 << 4,   // suspensions by this name
	N_WAIT0 = 1 << 5,  // Q_OPEN is not empty
	N_WAIT1 = 1 << 6,  // Q_SEND
	N_EXTRA = 1 << 7,  // effects of rules
	N_CALM = 1 << 8,   // in back-off until calm_at
	N_WARM = 1 << 9,   // a warm-up's count
	N_RETRY = 1 << 10, // there was no memory for a meter
	N_FRESH = 1 << 11, // nothing began here yet
};
#define N_OPEN_MASK (N_CONNS | N_CRATE | N_SUSP | N_WAIT0 | N_EXTRA | N_CALM | N_WARM | N_RETRY)
#define N_SEND_MASK (N_MRATE | N_BRATE | N_SUSP | N_WAIT1 | N_EXTRA | N_CALM | N_WARM | N_RETRY)

enum { Q_OPEN, Q_SEND, QUEUES };

enum node_kind { // the first are those of enum pen_shape_holder
	NODE_SUSPENSION = 32,
	NODE_EFFECT,
	NODE_LANE,
	NODE_RECALL,
};

struct effect;

struct pen_shape_node {
	uint16_t flags; // N_
	uint8_t kind;   // enum pen_shape_holder or node_kind
	uint8_t conns_shipped;
	uint32_t conns, conns_max;
	uint32_t dials; // connections that are not up yet
	uint32_t msgs;
	uint32_t conns_line;
	uint64_t bytes; // of these messages
	struct meter *lim[METERS];
	uint32_t credit[QUEUES]; // woken in poll `credit_of`, and did not ask then
	uint32_t credit_of;
	bool lent;
	struct pen_shape_node *lent_next;
	struct pen_shape_waiter *q[QUEUES]; // the head; its prev is the last
	struct effect *extra;
	pen_time_us calm_at;
	uint32_t calm_line; // of the rule
	bool calm_shipped;
};

// ---- who has nodes

struct owner { // a tenant or a campaign
	struct pen_shape_node node;
	struct hent hent;
	const struct pen_shape_owner *cfg; // NULL: no section
	char *name, *tenant;
};

struct pen_shape_class {
	struct hent hent;
	struct owner *tenant, *campaign; // NULL: none
	uint32_t pool;
	struct pen_span key[3]; // tenant, campaign and pool
};

struct source {
	struct pen_shape_node node;
	char *name;
	uint32_t stamp; // the last question it was tested in
	uint32_t *pool; // those it is in
	uint32_t npools;
	bool warm; // has warm-ups
};

struct lane { // connections of a pool that wait for any source
	struct pen_shape_node node;
	struct pen_shape_waiter *cursor; // the next to be looked at
	bool running, again;
	pen_time_us soonest; // among those looked at
};

struct pool {
	struct pen_shape_node node;
	struct lane lane;
	char *name;
	uint32_t *seq[2], nseq[2]; // sources in turn, by family
};

struct provider {
	struct pen_shape_node node;
	struct hent hent;
	uint32_t cfg, cfg_next; // index or NO_SECTION, now and in the configuration that comes
	struct limit_set limits, backoff, source;
	struct at_node *ats;
	char name[];
};
#define NO_SECTION UINT32_MAX

struct at_node { // a source at a site or provider; a warm-up's count
	struct pen_shape_node node;
	struct hent hent;
	uint32_t source;
	void *where;          // struct pen_shape_site or struct provider
	bool at_provider;     // which
	struct at_node *next; // of `where`
	// warm-up
	const struct pen_shape_warmup *warm;
	bool known;  // the state was asked
	int64_t day; // of `used`
	uint64_t used;
	struct reserve res;
	struct at_node *next_warm, **at_warm;
};

struct profile {
	struct hent hent;
	struct provider *provider; // NULL: none
	const struct pen_retry_schedule *retry;
	struct limit_set limits, backoff, source;
	uint32_t nsections;
	uint32_t section[]; // sites of the configuration, ascending
};

struct keys { // hashes of names that lead to a site: open addressing, 0 is free
	uint64_t *k;
	uint32_t n, cap;
};

struct pen_shape_site {
	struct pen_shape_node node; // first: what counts is one cache line
	struct {
		struct profile *profile;
		struct pen_shape_link *links; // open connections
		uint32_t refs;
		uint32_t turn; // in the pool's sequence
	} __attribute__((aligned(64)));
	struct hent hent;
	struct profile *next_profile;
	struct at_node *ats;
	struct keys keys;
	bool has_domain;
	uint16_t len;
	pen_time_us idle_since;
	struct pen_shape_site *idle_next, **idle_at;
	char name[];
};

#define LINK_NODES 11
// What one connection counts at. The first line is what a message needs.
struct pen_shape_link {
	uint64_t bytes; // of its messages
	uint32_t msgs;
	uint8_t common, mid, end; // of n: shared, then IPv4's, then IPv6's
	bool dialing;
	struct pen_shape_node *n[LINK_NODES];
	struct pen_shape_link *next, **at; // of the site's
	uint32_t pool;
	int32_t source[2];
} __attribute__((aligned(64)));

struct suspension {
	struct pen_shape_node node; // what waits for its end
	struct hent hent;           // scope and name
	struct suspension *next, **at;
	uint64_t id;
	enum pen_suspend_scope scope;
	char *name, *where, *reason, *by;
	pen_wall_us until;
	pen_time_us ends;
	bool rule;
};

struct effect {
	struct pen_shape_node node;
	struct effect *next; // of the same target
	struct pen_shape_node *on;
	struct limit_set limits;
	pen_time_us ends;
	uint32_t line;
	bool shipped;
};

struct trigger { // hits of one rule at one place
	struct hent hent;
	uint32_t rule, n, at, cap, group, grouped;
	pen_time_us hit[];
};

struct restored { // of a meter that a state named, until its node exists
	struct hent hent;
	char *key;
	pen_time_us period;
	uint32_t n;
	struct {
		pen_time_us ended;
		uint64_t n;
	} e[];
};

struct pending_effect { // of a site or provider that a state named
	struct hent hent;
	uint8_t kind; // PEN_HELD_SITE or _PROVIDER
	bool backoff;
	char *name;
	pen_time_us ends;
	uint32_t line;
	bool shipped;
	struct pen_limits limits;
};

struct compiled; // indexes of a configuration (index.c)

struct heap_entry {
	struct pen_shape_waiter *head;
	pen_time_us when;
	uint64_t order;
};

struct pen_shape {
	struct pen_shape_config *cfg;
	struct compiled *index;
	struct source *source;
	struct pool *pool;
	struct htab sites, providers, owners, classes, ats, suspended, triggers, restored,
		due_effects, profiles;
	struct suspension *suspensions;
	struct meter *longs;
	struct at_node *warms;
	struct slab links, meters, ats_slab;
	struct pen_shape_site *idle, **idle_end;

	struct heap_entry *heap; // [1] is the next
	uint32_t nheap, heap_cap, nodes;
	uint64_t order;
	uint32_t stamp, phase, domain_suspensions, ntriggers;
	uint64_t seed, next_id;

	pen_time_us now;    // the latest that was passed
	pen_wall_us offset; // wall - now
	pen_time_us sweep_at;
	pen_time_us loaded_at;           // PEN_TIME_NEVER: no state was loaded
	pen_time_us lost_at;             // NEVER, or: what was used before is not known
	struct pen_shape_waiter *waking; // whose turn it is
	struct pen_shape_node *woken_at;
	unsigned woken_q;
	struct pen_shape_node *lent;  // nodes with credit
	struct pen_shape_node recall; // who waits here is called whatever holds it
	bool in_wake, rebuilding;
	uint32_t polls, grants, lanes_waiting;

	// reservations
	bool confirmed, pending, low, dirty, starved;
	uint64_t generation;
	pen_time_us saved_at;

	struct pen_limits scratch;
};

static inline void shape_clock(struct pen_shape *sh, pen_time_us now)
{
	if (now > sh->now)
		sh->now = now;
}

void shape_sweep(struct pen_shape *sh); // what nobody needs any more

// ---- index.c: which sections a name belongs to

struct compiled *shape_compile(const struct pen_shape_config *cfg, uint64_t seed);
void shape_compiled_free(struct compiled *c);
enum name_kind { NAME_MX, NAME_DOMAIN };
// The keys of a host or domain: its own and that of each parent.
#define NAME_KEYS_MAX 130
uint32_t shape_name_keys(
	uint64_t seed, enum name_kind kind, struct pen_span name, uint64_t out[NAME_KEYS_MAX]);
struct found {             // sections of a site
	uint32_t provider; // NO_SECTION: none
	uint32_t n, cap;
	uint32_t *site; // malloc
	bool failed;
};
void shape_find(const struct compiled *c, uint64_t key, struct found *f);
void shape_find_any(const struct compiled *c, bool domain, struct found *f);
// The section of a tenant or campaign, "*" included; NULL: none.
const struct pen_shape_owner *shape_find_owner(
	const struct compiled *c, bool of_tenants, const char *name, const char *tenant);
const struct pen_shape_warmup *shape_find_warmup(const struct compiled *c,
	const struct pen_shape_config *cfg, uint32_t source, const char *provider);
const uint32_t *shape_signal_rules(const struct compiled *c, unsigned signal, uint32_t *n);
int shape_keys_add(struct keys *k, uint64_t key); // 1 new, 0 known, -ENOMEM
bool shape_keys_has(const struct keys *k, uint64_t key);

// ---- profile.c

struct profile *shape_profile(struct pen_shape *sh, struct htab *t,
	const struct pen_shape_config *cfg, struct found *f); // NULL: no memory
void shape_profiles_free(struct htab *t);

// ---- node.c

bool shape_node_init(struct pen_shape *sh, struct pen_shape_node *n, unsigned kind);
void shape_node_fini(struct pen_shape *sh, struct pen_shape_node *n); // nothing waits
// Its limits as they are to be now. `fresh`: it was not used before.
void shape_node_refresh(struct pen_shape *sh, struct pen_shape_node *n, bool fresh);
void shape_node_calm(struct pen_shape *sh, struct pen_shape_node *n, pen_time_us until,
	uint32_t line, bool shipped);
bool shape_node_busy(struct pen_shape *sh, struct pen_shape_node *n); // not to be freed
struct pen_span shape_node_name(const struct pen_shape *sh, const struct pen_shape_node *n);
// May it begin here? `q`: a connection or a message. Lets a back-off end.
bool shape_node_may(struct pen_shape *sh, struct pen_shape_node *n, unsigned q, uint64_t bytes,
	struct pen_shape_site *site, struct pen_shape_block *why);
// When, as far as this node goes. NEVER: something must end before.
// `times` of them.
pen_time_us shape_node_when(
	struct pen_shape *sh, struct pen_shape_node *n, unsigned q, uint64_t bytes, uint64_t times);

// ---- count.c

// Counting. Most nodes have no limit: only what has to be done besides is a call.
void shape_node_dial_more(struct pen_shape *sh, struct pen_shape_node *n);
void shape_node_dialed_more(struct pen_shape *sh, struct pen_shape_node *n, bool happened);
void shape_node_hangup_more(struct pen_shape *sh, struct pen_shape_node *n);
void shape_node_send_more(struct pen_shape *sh, struct pen_shape_node *n, uint64_t bytes);
void shape_node_sent_more(
	struct pen_shape *sh, struct pen_shape_node *n, uint64_t bytes, bool happened);

static inline void shape_node_dial(struct pen_shape *sh, struct pen_shape_node *n)
{
	n->conns++;
	n->dials++;
	if (n->flags & (N_CRATE | N_FRESH | N_WAIT0 | N_EXTRA))
		shape_node_dial_more(sh, n);
}

static inline void shape_node_dialed(struct pen_shape *sh, struct pen_shape_node *n, bool happened)
{
	n->dials--;
	if (n->flags & (N_CRATE | N_WAIT0 | N_EXTRA))
		shape_node_dialed_more(sh, n, happened);
}

static inline void shape_node_hangup(struct pen_shape *sh, struct pen_shape_node *n)
{
	n->conns--;
	if (n->flags & (N_WAIT0 | N_EXTRA))
		shape_node_hangup_more(sh, n);
}

static inline void shape_node_send(struct pen_shape *sh, struct pen_shape_node *n, uint64_t bytes)
{
	n->msgs++;
	n->bytes += bytes;
	if (n->flags & (N_MRATE | N_BRATE | N_WARM | N_FRESH | N_WAIT1 | N_EXTRA))
		shape_node_send_more(sh, n, bytes);
}

static inline void shape_node_sent(
	struct pen_shape *sh, struct pen_shape_node *n, uint64_t bytes, bool happened)
{
	n->msgs--;
	n->bytes -= bytes;
	if (n->flags & (N_MRATE | N_BRATE | N_WARM | N_WAIT1 | N_EXTRA))
		shape_node_sent_more(sh, n, bytes, happened);
}

// Adds or takes what a connection has open, when it moves between nodes.
void shape_node_move(struct pen_shape_node *n, const struct pen_shape_link *l, bool add);
bool shape_reserved(const struct pen_shape *sh, const struct reserve *r, uint64_t n);
void shape_reserve_take(struct pen_shape *sh, struct reserve *r, uint64_t n, uint64_t limit);
void shape_block(struct pen_shape *sh, struct pen_shape_node *n, unsigned reason,
	struct pen_shape_block *why);
// The back-off limits where none are given.
extern const struct limit_set shape_calm_default;
void shape_block_by(struct pen_shape *sh, struct pen_shape_node *n, uint32_t line, bool shipped,
	struct pen_shape_block *why);
void shape_by_line(char *out, size_t cap, uint32_t line, bool shipped);

// ---- warmup.c

struct at_node *shape_warm_node(
	struct pen_shape *sh, uint32_t source, struct pen_shape_site *site, bool make, bool *none);
bool shape_warm_may(struct pen_shape *sh, struct at_node *a, struct pen_shape_block *why);
pen_time_us shape_warm_when(struct pen_shape *sh, struct at_node *a);
void shape_warm_begin(struct pen_shape *sh, struct at_node *a);
void shape_warm_sent(struct pen_shape *sh, struct at_node *a, bool happened);
uint64_t shape_warm_used(struct pen_shape *sh, struct at_node *a);
bool shape_warm_cap(struct pen_shape *sh, const struct at_node *a, uint64_t *cap);

// ---- site.c

struct at_node *shape_at_get(struct pen_shape *sh, unsigned kind, uint32_t source,
	struct pen_shape_site *site, struct provider *pr, bool make);
void shape_at_free(struct pen_shape *sh, struct at_node *a);
void shape_sites_sweep(struct pen_shape *sh);
void shape_site_free(struct pen_shape *sh, struct pen_shape_site *s);
struct pen_shape_site *shape_site_find(struct pen_shape *sh, struct pen_span name);
struct provider *shape_provider_get(struct pen_shape *sh, struct pen_span name, bool make);
bool shape_site_find_sections(
	const struct compiled *c, const struct pen_shape_site *s, struct found *f);

// ---- conn.c

// What is open at a site moves: counted off the old nodes, then on those that hold now.
void shape_links_take(struct pen_shape *sh, struct pen_shape_site *s);
void shape_links_put(struct pen_shape *sh, struct pen_shape_site *s);
bool shape_ask_open(struct pen_shape *sh, struct pen_shape_site *s, uint32_t pool,
	unsigned families, struct pen_shape_block *why);
// Some source of the pool has room of its own; otherwise *when it will.
bool shape_pool_has_source(struct pen_shape *sh, struct pool *p, pen_time_us *when);

// ---- wait.c

bool shape_heap_reserve(struct pen_shape *sh, uint32_t nodes);
void shape_event(struct pen_shape *sh, struct pen_shape_node *n); // it may have room now
void shape_lane_event(struct pen_shape *sh, uint32_t source);
void shape_recall(struct pen_shape *sh, struct pen_shape_node *n); // all that wait are called
void shape_wake_all(struct pen_shape *sh);                         // a new configuration

// ---- suspend.c

bool shape_suspended(struct pen_shape *sh, enum pen_suspend_scope scope, struct pen_span name,
	struct pen_shape_site *site, struct pen_shape_block *why);
bool shape_suspension_named(
	const struct pen_shape *sh, enum pen_suspend_scope scope, struct pen_span name);
struct suspension *shape_suspend(struct pen_shape *sh, const struct pen_suspension *s, bool rule);
// The one that `s` would replace.
struct suspension *shape_suspension_find(
	struct pen_shape *sh, const struct pen_suspension *s, bool rule);
void shape_suspension_end(struct pen_shape *sh, struct suspension *s);
void shape_suspensions_sweep(struct pen_shape *sh);
void shape_wall_moved(struct pen_shape *sh);

// ---- effect.c

struct effect *shape_effect_set(struct pen_shape *sh, struct pen_shape_node *on,
	const struct pen_limits *l, uint32_t line, bool shipped, pen_time_us ends);
void shape_effect_end(struct pen_shape *sh, struct effect *e);

// ---- rules.c

void shape_triggers_sweep(struct pen_shape *sh);
void shape_triggers_free(struct pen_shape *sh); // all of them

// ---- class.c

void shape_owner_configure(struct pen_shape *sh, struct owner *o);
void shape_classes_configure(struct pen_shape *sh);
void shape_classes_free(struct pen_shape *sh);

// ---- state.c

extern const char *const shape_state_kinds[PEN_HELD_WARMUP + 1];
extern const char *const shape_state_scopes[PEN_SUSPEND_SCOPES];
const char *shape_state_limit(const struct meter *l);
// Appends a blank and the word.
void shape_state_word(struct pen_buf *b, struct pen_span s);
// The words of KIND LIMIT NAME WHERE, the key of a meter.
void shape_state_key(
	struct pen_shape *sh, struct pen_buf *b, const struct pen_shape_node *n, const char *limit);

// ---- restore.c

// What a state says of a new meter; or, after a start, that some of it is taken.
void shape_meter_restore(struct pen_shape *sh, struct meter *l, bool fresh);
void shape_warm_restore(struct pen_shape *sh, struct at_node *a);
void shape_effects_restore(struct pen_shape *sh, struct pen_shape_node *n);
void shape_restored_free(struct pen_shape *sh);
void shape_restored_sweep(struct pen_shape *sh);

// A use larger than a rate counts as all of it.
static inline uint64_t shape_cut(const struct meter *l, uint64_t n)
{
	return n < l->rate.count ? n : l->rate.count;
}

static inline uint64_t shape_chunk(uint64_t limit)
{
	return limit >= SHAPE_RESERVE ? limit / SHAPE_RESERVE : 1;
}
