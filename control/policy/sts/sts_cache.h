// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is known of each policy domain, in memory.
//
// Threads: one. Reads no clock: `now` is passed in.
// Memory:  at most `max` entries and max * STS_CACHE_BYTES_EACH bytes, whichever
//          comes first; an entry whose job is running stays beyond that.

#include "pen_rand.h"
#include "pen_sts.h"

// What a policy may take on the average; a hostile one takes up to 50 KiB.
#define STS_CACHE_BYTES_EACH 4096

struct sts_job;

struct sts_entry {
	struct sts_entry *chain;         // of its bucket
	struct sts_entry *newer, *older; // of its list: by use
	uint8_t list;                    // enum sts_list
	size_t bytes;

	struct pen_sts_policy *policy; // NULL: none that was ever good
	pen_wall_us fetched, expires;  // of the policy
	pen_wall_us used;              // last lookup; 0: not since the start
	pen_wall_us check_at;          // the record need not be asked for before

	// A fetch that failed is not repeated for this id until then.
	char failed_id[PEN_STS_ID_MAX + 1];
	pen_wall_us failed_until;
	enum pen_tlsrpt_result failure;
	char why[96]; // the last failure as text

	struct sts_job *job; // running for this domain, or NULL
	char domain[];
};

enum sts_list { STS_LIST_SOFT, STS_LIST_ENFORCE, STS_LISTS };

struct sts_cache {
	struct pen_siphash_key key;
	struct sts_entry **bucket;
	size_t nbuckets; // a power of two
	size_t n, max, bytes;
	struct sts_entry *newest[STS_LISTS], *oldest[STS_LISTS];
};

int sts_cache_init(struct sts_cache *c, size_t max); // 0 or -ENOMEM
void sts_cache_fini(struct sts_cache *c);

struct sts_entry *sts_cache_find(const struct sts_cache *c, const char *domain);
// The entry of a domain, new and empty if need be; NULL: out of memory.
struct sts_entry *sts_cache_get(struct sts_cache *c, const char *domain);
void sts_cache_touch(struct sts_cache *c, struct sts_entry *e, pen_wall_us now);
// Takes over what *p owns. 0, or -ENOMEM with *p left alone.
int sts_cache_set(
	struct sts_cache *c, struct sts_entry *e, struct pen_sts_policy *p, pen_wall_us fetched);
void sts_cache_remove(struct sts_cache *c, struct sts_entry *e);
// The next one to drop because the cache is more than `slack` over a limit; NULL:
// it is not, or all are busy.
struct sts_entry *sts_cache_victim(const struct sts_cache *c, size_t slack);

static inline bool sts_entry_valid(const struct sts_entry *e, pen_wall_us now)
{
	return e->policy != NULL && now < e->expires;
}
// Nothing in it that is worth keeping.
static inline bool sts_entry_idle(const struct sts_entry *e, pen_wall_us now)
{
	return e->job == NULL && !sts_entry_valid(e, now) && now >= e->failed_until;
}
