// SPDX-License-Identifier: BSD-3-Clause
#include "tls_hosts.h"

#include <stdlib.h>
#include <string.h>

#define WAYS 8

struct seen {
	uint64_t hash; // 0: free
	pen_time_us at;
};

struct tls_hosts {
	struct pen_siphash_key key;
	pen_time_us memory;
	uint32_t mask; // buckets - 1
	struct seen seen[];
};

struct tls_hosts *tls_hosts_new(uint32_t hosts, pen_time_us memory, uint64_t seed)
{
	uint32_t buckets = 1;
	struct pen_rand rand;

	while (buckets * WAYS < hosts)
		buckets *= 2;
	struct tls_hosts *t = calloc(1, sizeof(*t) + buckets * WAYS * sizeof(t->seen[0]));
	if (t == NULL)
		return NULL;
	pen_rand_seed(&rand, seed);
	t->key.k0 = pen_rand_u64(&rand);
	t->key.k1 = pen_rand_u64(&rand);
	t->memory = memory;
	t->mask = buckets - 1;
	return t;
}

void tls_hosts_free(struct tls_hosts *t)
{
	free(t);
}

static uint64_t hash_of(const struct tls_hosts *t, const char *name)
{
	uint64_t h = pen_siphash(&t->key, name, strlen(name));

	return h != 0 ? h : 1;
}

void tls_hosts_note(struct tls_hosts *t, const char *name, pen_time_us now)
{
	uint64_t h = hash_of(t, name);
	struct seen *bucket = &t->seen[((uint32_t)h & t->mask) * WAYS], *to = bucket;

	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i].hash == h) {
			to = &bucket[i];
			break;
		}
		if (bucket[i].hash == 0 || (to->hash != 0 && bucket[i].at < to->at))
			to = &bucket[i];
	}
	*to = (struct seen){h, now};
}

bool tls_hosts_seen(const struct tls_hosts *t, const char *name, pen_time_us now)
{
	uint64_t h = hash_of(t, name);
	const struct seen *bucket = &t->seen[((uint32_t)h & t->mask) * WAYS];

	for (unsigned i = 0; i < WAYS; i++) {
		if (bucket[i].hash == h)
			return now - bucket[i].at < t->memory;
	}
	return false;
}
