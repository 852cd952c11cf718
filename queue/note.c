// SPDX-License-Identifier: BSD-3-Clause
#include "pen_note.h"

#include "pen_err.h"
#include "pen_rand.h"

#include <pthread.h>
#include <stdlib.h>

#define FIRST_BUCKETS 1024u

struct interned {
	struct interned *next;
	uint64_t hash;
	uint32_t refs; // under the lock
	struct pen_note pub;
};

// The texts are a peer's, who must not be able to make long chains: the hash
// has a key.
static struct pen_siphash_key key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct interned **bucket;
static size_t nbuckets, count;

static struct interned *of(const struct pen_note *n)
{
	return (struct interned *)(void *)((char *)n - offsetof(struct interned, pub));
}

static void make_key(void)
{
	pen_rand_secret(&key, sizeof(key));
}

static uint64_t hash_of(const struct pen_dsn *d, const char *relay)
{
	uint64_t numbers = ((uint64_t)d->klass << 48) ^ ((uint64_t)d->subject << 32) ^
			   ((uint64_t)d->detail << 16) ^ d->reply ^ ((uint64_t)d->stage << 56);

	return (pen_siphash(&key, d->text, d->text_len) + numbers) * 0x9e3779b97f4a7c15ull ^
	       pen_siphash(&key, relay, strlen(relay));
}

// Without memory it goes on with longer chains; false: with none at all.
static bool grow(void)
{
	size_t n = nbuckets != 0 ? nbuckets * 2 : FIRST_BUCKETS;
	struct interned **bigger = calloc(n, sizeof(struct interned *));

	if (bigger == NULL)
		return bucket != NULL;
	for (size_t i = 0; i < nbuckets; i++) {
		struct interned *next;
		for (struct interned *k = bucket[i]; k != NULL; k = next) {
			next = k->next;
			k->next = bigger[k->hash & (n - 1)];
			bigger[k->hash & (n - 1)] = k;
		}
	}
	free(bucket);
	bucket = bigger;
	nbuckets = n;
	return true;
}

static struct interned *make(
	const struct pen_dsn *d, const char *relay, size_t mta_len, uint64_t hash)
{
	size_t relay_len = strlen(relay);
	struct interned *k;

	if (count >= nbuckets && !grow())
		return NULL;
	k = malloc(sizeof(*k) + d->text_len + relay_len + 2);
	if (k == NULL)
		return NULL;
	k->hash = hash;
	k->refs = 0;
	k->pub = (struct pen_note){
		.klass = d->klass,
		.scope = d->scope,
		.origin = d->origin,
		.stage = d->stage,
		.subject = d->subject,
		.detail = d->detail,
		.reply = d->reply,
		.text_len = d->text_len,
		.relay_len = (uint16_t)relay_len,
		.mta_len = (uint16_t)mta_len,
	};
	memcpy(k->pub.text, d->text, d->text_len);
	k->pub.text[d->text_len] = '\0';
	memcpy(k->pub.text + d->text_len + 1, relay, relay_len + 1);
	k->next = bucket[hash & (nbuckets - 1)];
	bucket[hash & (nbuckets - 1)] = k;
	count++;
	return k;
}

bool pen_note_is(const struct pen_note *n, const struct pen_dsn *d, const char *relay)
{
	return n->klass == d->klass && n->subject == d->subject && n->detail == d->detail &&
	       n->reply == d->reply && n->stage == d->stage && n->scope == d->scope &&
	       n->origin == d->origin && n->text_len == d->text_len &&
	       memcmp(n->text, d->text, d->text_len) == 0 && strcmp(pen_note_relay(n), relay) == 0;
}

const struct pen_note *pen_note_get(const struct pen_dsn *d, const char *relay, size_t mta_len)
{
	pthread_once(&once, make_key);
	uint64_t hash = hash_of(d, relay);
	pthread_mutex_lock(&lock);
	struct interned *k = nbuckets != 0 ? bucket[hash & (nbuckets - 1)] : NULL;
	while (k != NULL && !(k->hash == hash && pen_note_is(&k->pub, d, relay)))
		k = k->next;
	if (k == NULL)
		k = make(d, relay, mta_len, hash);
	if (k != NULL)
		k->refs++;
	pthread_mutex_unlock(&lock);
	return k != NULL ? &k->pub : NULL;
}

const struct pen_note *pen_note_ref(const struct pen_note *n)
{
	if (n != NULL) {
		pthread_mutex_lock(&lock);
		of(n)->refs++;
		pthread_mutex_unlock(&lock);
	}
	return n;
}

void pen_note_put(const struct pen_note *n)
{
	if (n == NULL)
		return;
	struct interned *k = of(n);
	pthread_mutex_lock(&lock);
	PEN_ASSERT(k->refs > 0);
	if (--k->refs == 0) {
		struct interned **at = &bucket[k->hash & (nbuckets - 1)];
		while (*at != k)
			at = &(*at)->next;
		*at = k->next;
		count--;
	} else {
		k = NULL;
	}
	pthread_mutex_unlock(&lock);
	free(k);
}

void pen_note_to_dsn(const struct pen_note *n, struct pen_dsn *out)
{
	out->klass = n->klass;
	out->scope = n->scope;
	out->origin = n->origin;
	out->stage = n->stage;
	out->subject = n->subject;
	out->detail = n->detail;
	out->reply = n->reply;
	out->text_len = n->text_len;
	memcpy(out->text, n->text, n->text_len);
	out->text[n->text_len] = '\0';
}

size_t pen_note_count(void)
{
	pthread_mutex_lock(&lock);
	size_t n = count;
	pthread_mutex_unlock(&lock);
	return n;
}
