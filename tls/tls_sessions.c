// SPDX-License-Identifier: BSD-3-Clause

#include "tls_sessions.h"

#include <stdlib.h>

#define NONE UINT32_MAX
#define FIRST_SLOTS 64

struct tls_sessions {
	uint32_t cap, slots, used, count;
	int64_t lifetime;
	uint32_t hand;
	uint64_t dropped;
	uint32_t mask; // buckets - 1
	uint32_t *bucket;
	uint32_t free_list;
	struct tls_session *slot;
};

static uint32_t bucket_of(const struct tls_sessions *s, const struct tls_session_key *k)
{
	// The caller's parts are a hash already.
	uint64_t h = k->part[1] ^ (k->part[0] * 0x9e3779b97f4a7c15u) ^ (k->part[2] << 1);

	return (uint32_t)(h ^ h >> 32) & s->mask;
}

static bool same(const struct tls_session_key *a, const struct tls_session_key *b)
{
	return memcmp(a->part, b->part, sizeof(a->part)) == 0;
}

struct tls_sessions *tls_sessions_new(uint32_t cap, int64_t lifetime)
{
	struct tls_sessions *s = calloc(1, sizeof(*s));

	if (s != NULL)
		*s = (struct tls_sessions){.cap = cap, .lifetime = lifetime, .free_list = NONE};
	return s;
}

// What is stored is a secret.
static void forget(struct tls_session *e)
{
	if (e->bytes != NULL)
		explicit_bzero(e->bytes, e->n);
	free(e->bytes);
}

void tls_sessions_free(struct tls_sessions *s)
{
	if (s == NULL)
		return;
	for (uint32_t i = 0; i < s->used; i++)
		forget(&s->slot[i]);
	free(s->slot);
	free(s->bucket);
	free(s);
}

static void link_in(struct tls_sessions *s, uint32_t at)
{
	uint32_t *head = &s->bucket[bucket_of(s, &s->slot[at].key)];

	s->slot[at].next = *head;
	*head = at;
}

static bool grow(struct tls_sessions *s)
{
	uint32_t slots = s->slots == 0 ? FIRST_SLOTS : s->slots * 2;

	if (slots > s->cap)
		slots = s->cap;
	uint32_t buckets = 1;
	while (buckets < slots)
		buckets *= 2;
	uint32_t *bucket = malloc(buckets * sizeof(*bucket));
	struct tls_session *slot = reallocarray(s->slot, slots, sizeof(*slot));
	if (slot != NULL)
		s->slot = slot;
	if (bucket == NULL || slot == NULL) {
		free(bucket);
		return false;
	}
	memset(bucket, 0xff, buckets * sizeof(*bucket));
	free(s->bucket);
	s->bucket = bucket;
	s->mask = buckets - 1;
	s->slots = slots;
	for (uint32_t i = 0; i < s->used; i++) {
		if (s->slot[i].bytes != NULL)
			link_in(s, i);
	}
	return true;
}

static uint32_t lookup(const struct tls_sessions *s, const struct tls_session_key *key)
{
	uint32_t at = s->slots > 0 ? s->bucket[bucket_of(s, key)] : NONE;

	while (at != NONE && !same(&s->slot[at].key, key))
		at = s->slot[at].next;
	return at;
}

static void discard(struct tls_sessions *s, uint32_t at)
{
	struct tls_session *e = &s->slot[at];
	uint32_t *link = &s->bucket[bucket_of(s, &e->key)];

	while (*link != at)
		link = &s->slot[*link].next;
	*link = e->next;
	forget(e);
	*e = (struct tls_session){.next = s->free_list};
	s->free_list = at;
	s->count--;
}

static bool too_old(const struct tls_sessions *s, const struct tls_session *e, int64_t now)
{
	return now < e->born || now - e->born >= s->lifetime;
}

// An empty slot. When all are taken, the hand goes round: what was asked for
// since it last passed stays once more.
static uint32_t take_slot(struct tls_sessions *s)
{
	if (s->free_list == NONE && s->used == s->slots && s->slots < s->cap && !grow(s))
		return NONE;
	if (s->free_list == NONE && s->used < s->slots)
		return s->used++;
	while (s->free_list == NONE) {
		struct tls_session *e = &s->slot[s->hand];

		if (e->asked) {
			e->asked = false;
		} else {
			discard(s, s->hand);
			s->dropped++;
		}
		s->hand = (s->hand + 1) % s->slots;
	}
	uint32_t at = s->free_list;
	s->free_list = s->slot[at].next;
	return at;
}

const struct tls_session *tls_sessions_find(
	struct tls_sessions *s, const struct tls_session_key *key, int64_t now)
{
	uint32_t at = lookup(s, key);

	if (at == NONE)
		return NULL;
	if (too_old(s, &s->slot[at], now)) {
		discard(s, at);
		s->dropped++;
		return NULL;
	}
	s->slot[at].asked = true;
	return &s->slot[at];
}

bool tls_sessions_put(struct tls_sessions *s, const struct tls_session_key *key, int64_t now,
	struct pen_span bytes, const struct pen_tls_peer *peer)
{
	if (s->cap == 0 || bytes.n == 0 || bytes.n > TLS_SESSION_MAX)
		return false;
	uint8_t *copy = malloc(bytes.n);
	if (copy == NULL)
		return false;
	memcpy(copy, bytes.p, bytes.n);
	uint32_t at = lookup(s, key);
	bool asked = at != NONE;
	if (at != NONE)
		discard(s, at);
	at = take_slot(s);
	if (at == NONE) {
		free(copy);
		return false;
	}
	s->slot[at] = (struct tls_session){.key = *key,
		.born = now,
		.bytes = copy,
		.n = (uint32_t)bytes.n,
		.certificate = peer->certificate,
		.trusted = peer->trusted,
		.matched = peer->matched,
		.asked = asked};
	link_in(s, at);
	s->count++;
	return true;
}

bool tls_sessions_drop(struct tls_sessions *s, const struct tls_session_key *key)
{
	uint32_t at = lookup(s, key);

	if (at != NONE)
		discard(s, at);
	return at != NONE;
}

uint32_t tls_sessions_count(const struct tls_sessions *s)
{
	return s->count;
}

uint64_t tls_sessions_dropped(const struct tls_sessions *s)
{
	return s->dropped;
}
