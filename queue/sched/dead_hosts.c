// SPDX-License-Identifier: BSD-3-Clause
#include "dead_hosts.h"

#include <stdlib.h>

#define WAYS 8

PEN_COUNTERS_DEFINE(pen_dead_hosts, PEN_DEAD_HOSTS_COUNTERS);

struct dead_hosts {
	struct pen_siphash_key key;
	struct pen_dead_hosts_counters ctr;
	uint32_t n, mask; // buckets - 1
	uint32_t sweep;   // the bucket to look through next
	struct dead_host at[];
};

struct dead_hosts *dead_hosts_new(uint32_t limit, const struct pen_siphash_key *key)
{
	uint32_t buckets = 1;

	while (buckets * WAYS < limit)
		buckets *= 2;
	struct dead_hosts *t = calloc(1, sizeof(*t) + buckets * WAYS * sizeof(t->at[0]));
	if (t == NULL)
		return NULL;
	t->key = *key;
	t->mask = buckets - 1;
	return t;
}

static void drop(struct dead_hosts *t, struct dead_host *d)
{
	if (d->hash == 0)
		return;
	pen_note_put(d->why);
	*d = (struct dead_host){0};
	t->n--;
}

void dead_hosts_clear(struct dead_hosts *t)
{
	for (uint32_t i = 0; i < (t->mask + 1) * WAYS && t->n > 0; i++)
		drop(t, &t->at[i]);
}

void dead_hosts_free(struct dead_hosts *t)
{
	if (t == NULL)
		return;
	dead_hosts_clear(t);
	free(t);
}

uint32_t dead_hosts_count(const struct dead_hosts *t)
{
	return t->n;
}

struct pen_dead_hosts_counters *dead_hosts_counters(struct dead_hosts *t)
{
	return &t->ctr;
}

static bool key_eq(const struct dead_host_key *a, const struct dead_host_key *b)
{
	return a->port == b->port && pen_addr_eq(&a->host, &b->host) &&
	       pen_addr_eq(&a->source, &b->source);
}

static uint64_t hash_of(const struct dead_hosts *t, const struct dead_host_key *key)
{
	uint8_t bytes[2 * sizeof(struct pen_addr) + sizeof(key->port)];

	_Static_assert(sizeof(struct pen_addr) == 17, "no padding");
	memcpy(bytes, &key->source, sizeof(key->source));
	memcpy(bytes + sizeof(key->source), &key->host, sizeof(key->host));
	memcpy(bytes + 2 * sizeof(struct pen_addr), &key->port, sizeof(key->port));
	uint64_t h = pen_siphash(&t->key, bytes, sizeof(bytes));
	return h != 0 ? h : 1;
}

static struct dead_host *bucket_of(const struct dead_hosts *t, uint64_t hash)
{
	return (struct dead_host *)&t->at[((uint32_t)hash & t->mask) * WAYS];
}

static struct dead_host *lookup(
	const struct dead_hosts *t, const struct dead_host_key *key, uint64_t hash)
{
	struct dead_host *bucket = bucket_of(t, hash);

	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i].hash == hash && key_eq(&bucket[i].key, key))
			return &bucket[i];
	}
	return NULL;
}

// Nobody has asked it for so long that its failures say nothing any more.
static bool is_stale(const struct dead_host *d, const struct dead_host_rules *r, pen_time_us now)
{
	return d->probe == 0 && now - d->until >= r->maximal;
}

const struct dead_host *dead_hosts_find(const struct dead_hosts *t, const struct dead_host_rules *r,
	const struct dead_host_key *key, pen_time_us now)
{
	if (t->n == 0 || r->maximal == 0)
		return NULL;
	const struct dead_host *d = lookup(t, key, hash_of(t, key));
	return d != NULL && !is_stale(d, r, now) ? d : NULL;
}

enum dead_host_state dead_host_state(const struct dead_host *d, pen_time_us now)
{
	if (d == NULL)
		return HOST_ALIVE;
	if (now < d->until)
		return HOST_DEAD;
	return d->probe != 0 ? HOST_PROBED : HOST_DUE;
}

// A bucket at a time, so that what is stale does not stay for ever.
static void sweep(struct dead_hosts *t, const struct dead_host_rules *r, pen_time_us now)
{
	struct dead_host *bucket = &t->at[(t->sweep++ & t->mask) * WAYS];

	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i].hash != 0 && is_stale(&bucket[i], r, now))
			drop(t, &bucket[i]);
	}
}

static struct dead_host *insert(
	struct dead_hosts *t, const struct dead_host_key *key, uint64_t hash)
{
	struct dead_host *bucket = bucket_of(t, hash), *to = bucket;

	for (unsigned i = 0; i < WAYS && to->hash != 0; i++) {
		if (bucket[i].hash == 0 || bucket[i].until < to->until)
			to = &bucket[i];
	}
	if (to->hash != 0)
		PEN_COUNT(t->ctr.evicted);
	drop(t, to);
	*to = (struct dead_host){.hash = hash, .key = *key};
	t->n++;
	PEN_COUNT(t->ctr.noted);
	return to;
}

static pen_time_us wait_after(const struct dead_host_rules *r, uint8_t failures)
{
	pen_time_us wait = r->minimal;

	for (uint8_t i = 1; i < failures && wait < r->maximal; i++)
		wait *= 2;
	return pen_time_min(wait, r->maximal);
}

void dead_hosts_failed(struct dead_hosts *t, const struct dead_host_rules *r,
	const struct dead_host_key *key, pen_time_us began, pen_time_us now,
	const struct pen_note *why)
{
	if (r->maximal == 0) {
		pen_note_put(why);
		return;
	}
	sweep(t, r, now);
	uint64_t hash = hash_of(t, key);
	struct dead_host *d = lookup(t, key, hash);
	if (d != NULL && is_stale(d, r, now)) {
		drop(t, d);
		d = NULL;
	}
	// Begun beside the one that failed before: that is one failure, not two.
	if (d != NULL && began <= d->failed) {
		pen_note_put(why);
		return;
	}
	if (d == NULL)
		d = insert(t, key, hash);
	else
		PEN_COUNT(t->ctr.again);
	d->failures += d->failures < UINT8_MAX;
	d->probe = 0;
	d->failed = now;
	d->until = now + wait_after(r, d->failures);
	pen_note_put(d->why);
	d->why = why;
}

void dead_hosts_answered(struct dead_hosts *t, const struct dead_host_key *key)
{
	struct dead_host *d = t->n > 0 ? lookup(t, key, hash_of(t, key)) : NULL;

	if (d == NULL)
		return;
	PEN_COUNT(t->ctr.forgotten);
	drop(t, d);
}

void dead_hosts_probe(struct dead_hosts *t, const struct dead_host_key *key, uint64_t lease)
{
	struct dead_host *d = lookup(t, key, hash_of(t, key));

	if (d == NULL)
		return;
	PEN_COUNT(t->ctr.probes);
	d->probe = lease;
}

void dead_hosts_unprobe(struct dead_hosts *t, const struct dead_host_key *key, uint64_t lease)
{
	struct dead_host *d = lookup(t, key, hash_of(t, key));

	if (d != NULL && d->probe == lease)
		d->probe = 0;
}

void dead_hosts_each(
	const struct dead_hosts *t, bool (*fn)(void *ctx, const struct dead_host *d), void *ctx)
{
	uint32_t left = t->n;

	for (uint32_t i = 0; i < (t->mask + 1) * WAYS && left > 0; i++) {
		if (t->at[i].hash == 0)
			continue;
		left--;
		if (!fn(ctx, &t->at[i]))
			return;
	}
}
