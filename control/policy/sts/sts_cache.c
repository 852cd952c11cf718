// SPDX-License-Identifier: BSD-3-Clause

// A hash table of entries, and two lists of them by last use: those that protect
// mail (mode enforce) go only when nothing else is left to drop.

#include "sts_cache.h"

#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>

#define FIRST_BUCKETS 1024

int sts_cache_init(struct sts_cache *c, size_t max)
{
	*c = (struct sts_cache){.max = max, .nbuckets = FIRST_BUCKETS};
	pen_rand_secret(&c->key, sizeof(c->key));
	c->bucket = calloc(c->nbuckets, sizeof(struct sts_entry *));
	return c->bucket != NULL ? 0 : -ENOMEM;
}

static void entry_free(struct sts_entry *e)
{
	if (e->policy != NULL)
		pen_sts_policy_fini(e->policy);
	free(e->policy);
	free(e);
}

void sts_cache_fini(struct sts_cache *c)
{
	for (size_t i = 0; c->bucket != NULL && i < c->nbuckets; i++) {
		for (struct sts_entry *e = c->bucket[i], *next; e != NULL; e = next) {
			next = e->chain;
			entry_free(e);
		}
	}
	free(c->bucket);
	*c = (struct sts_cache){0};
}

static struct sts_entry **bucket_of(const struct sts_cache *c, const char *domain)
{
	return &c->bucket[pen_siphash(&c->key, domain, strlen(domain)) & (c->nbuckets - 1)];
}

struct sts_entry *sts_cache_find(const struct sts_cache *c, const char *domain)
{
	struct sts_entry *e = *bucket_of(c, domain);

	while (e != NULL && strcmp(e->domain, domain) != 0)
		e = e->chain;
	return e;
}

// grow doubles the table; without memory the chains get longer instead.
static void grow(struct sts_cache *c)
{
	size_t old_n = c->nbuckets;
	struct sts_entry **old = c->bucket, **more = calloc(old_n * 2, sizeof(struct sts_entry *));

	if (more == NULL)
		return;
	c->bucket = more;
	c->nbuckets = old_n * 2;
	for (size_t i = 0; i < old_n; i++) {
		for (struct sts_entry *e = old[i], *next; e != NULL; e = next) {
			next = e->chain;
			struct sts_entry **b = bucket_of(c, e->domain);
			e->chain = *b;
			*b = e;
		}
	}
	free(old);
}

static void list_add(struct sts_cache *c, struct sts_entry *e, enum sts_list list)
{
	e->list = (uint8_t)list;
	e->newer = NULL;
	e->older = c->newest[list];
	if (e->older != NULL)
		e->older->newer = e;
	else
		c->oldest[list] = e;
	c->newest[list] = e;
}

static void list_remove(struct sts_cache *c, struct sts_entry *e)
{
	if (e->newer != NULL)
		e->newer->older = e->older;
	else
		c->newest[e->list] = e->older;
	if (e->older != NULL)
		e->older->newer = e->newer;
	else
		c->oldest[e->list] = e->newer;
}

struct sts_entry *sts_cache_get(struct sts_cache *c, const char *domain)
{
	struct sts_entry *e = sts_cache_find(c, domain);
	size_t n = strlen(domain) + 1;

	if (e != NULL)
		return e;
	e = calloc(1, sizeof(*e) + n);
	if (e == NULL)
		return NULL;
	memcpy(e->domain, domain, n);
	e->bytes = sizeof(*e) + n;
	if (c->n >= c->nbuckets)
		grow(c);
	struct sts_entry **b = bucket_of(c, domain);
	e->chain = *b;
	*b = e;
	c->n++;
	c->bytes += e->bytes;
	list_add(c, e, STS_LIST_SOFT);
	return e;
}

void sts_cache_touch(struct sts_cache *c, struct sts_entry *e, pen_wall_us now)
{
	e->used = now;
	list_remove(c, e);
	list_add(c, e, e->list);
}

static size_t policy_bytes(const struct pen_sts_policy *p)
{
	size_t n = sizeof(*p);

	for (uint32_t i = 0; i < p->nmx; i++)
		n += strlen(p->mx[i]) + 1;
	for (char **l = p->line; l != NULL && *l != NULL; l++)
		n += strlen(*l) + 1 + sizeof(*l);
	return n;
}

int sts_cache_set(
	struct sts_cache *c, struct sts_entry *e, struct pen_sts_policy *p, pen_wall_us fetched)
{
	size_t bytes = sizeof(*e) + strlen(e->domain) + 1 + policy_bytes(p);

	if (e->policy == NULL && (e->policy = calloc(1, sizeof(*p))) == NULL)
		return -ENOMEM;
	pen_sts_policy_fini(e->policy);
	*e->policy = *p;
	*p = (struct pen_sts_policy){0};
	e->fetched = fetched;
	e->expires = fetched + (pen_wall_us)e->policy->max_age_s * PEN_US_PER_S;
	e->failed_id[0] = e->why[0] = '\0';
	e->failed_until = 0;
	e->failure = PEN_TLSRPT_NONE;
	c->bytes += bytes - e->bytes;
	e->bytes = bytes;
	list_remove(c, e);
	list_add(c, e, e->policy->mode == PEN_STS_ENFORCE ? STS_LIST_ENFORCE : STS_LIST_SOFT);
	return 0;
}

void sts_cache_remove(struct sts_cache *c, struct sts_entry *e)
{
	struct sts_entry **at = bucket_of(c, e->domain);

	PEN_ASSERT(e->job == NULL);
	while (*at != e)
		at = &(*at)->chain;
	*at = e->chain;
	list_remove(c, e);
	c->n--;
	c->bytes -= e->bytes;
	entry_free(e);
}

struct sts_entry *sts_cache_victim(const struct sts_cache *c, size_t slack)
{
	if (c->n <= c->max + slack && c->bytes / STS_CACHE_BYTES_EACH <= c->max + slack)
		return NULL;
	for (int list = 0; list < STS_LISTS; list++) {
		for (struct sts_entry *e = c->oldest[list]; e != NULL; e = e->newer) {
			if (e->job == NULL)
				return e;
		}
	}
	return NULL;
}
