// SPDX-License-Identifier: BSD-3-Clause
#include "pen_mail_class.h"

#include "pen_err.h"
#include "pen_rand.h"

#include <pthread.h>
#include <stdlib.h>

// One chain per bucket. Classes are few (tenants times campaigns), and a lookup
// per message accepted is the whole load.
#define BUCKETS 4096u

struct interned {
	struct pen_mail_class pub; // first: the callers' pointer
	struct interned *next;
	uint32_t hash;
	uint32_t refs; // under the lock
	char text[];
};

static struct pen_siphash_key key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct interned *bucket[BUCKETS];
static size_t count;

const struct pen_mail_class pen_mail_class_none = {
	{(const uint8_t *)"", 0}, {(const uint8_t *)"", 0}, {(const uint8_t *)"", 0}, 0, 0};

bool pen_class_name_valid(struct pen_span name)
{
	if (name.n == 0 || name.n > PEN_CLASS_NAME_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		bool good = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
			    (c != '\0' && strchr("._-@+", c) != NULL);
		if (!good)
			return false;
	}
	return true;
}

static uint32_t mix(uint32_t h, struct pen_span s) // FNV-1a, with the end of each name
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 16777619u;
	return (h ^ 0xff) * 16777619u;
}

static char *put_text(char *at, struct pen_span *to, struct pen_span from)
{
	if (from.n > 0)
		memcpy(at, from.p, from.n);
	at[from.n] = '\0';
	*to = pen_span(at, from.n);
	return at + from.n + 1;
}

static struct interned *find(uint32_t hash, struct pen_span tenant, struct pen_span campaign,
	struct pen_span pool, unsigned priority)
{
	for (struct interned *k = bucket[hash % BUCKETS]; k != NULL; k = k->next) {
		if (k->hash == hash && k->pub.priority == priority &&
			pen_span_eq(k->pub.tenant, tenant) &&
			pen_span_eq(k->pub.campaign, campaign) && pen_span_eq(k->pub.pool, pool))
			return k;
	}
	return NULL;
}

static void make_key(void)
{
	pen_rand_secret(&key, sizeof(key));
}

static struct interned *make(uint32_t hash, struct pen_span tenant, struct pen_span campaign,
	struct pen_span pool, unsigned priority)
{
	struct interned *k = malloc(sizeof(*k) + tenant.n + campaign.n + pool.n + 3);

	if (k == NULL)
		return NULL;
	char *at = put_text(k->text, &k->pub.tenant, tenant);
	at = put_text(at, &k->pub.campaign, campaign);
	put_text(at, &k->pub.pool, pool);
	k->pub.priority = (uint8_t)priority;
	// Both names with their ends: a campaign is its tenant's own.
	k->pub.owner_hash = pen_siphash(&key, k->text, tenant.n + campaign.n + 2);
	k->hash = hash;
	k->refs = 0;
	k->next = bucket[hash % BUCKETS];
	bucket[hash % BUCKETS] = k;
	count++;
	return k;
}

const struct pen_mail_class *pen_mail_class_get(struct pen_span tenant, struct pen_span campaign,
	struct pen_span pool, enum pen_priority priority)
{
	if (tenant.n + campaign.n + pool.n == 0 && priority == PEN_PRIORITY_NORMAL)
		return &pen_mail_class_none;
	if ((tenant.n > 0 && !pen_class_name_valid(tenant)) ||
		(campaign.n > 0 && !pen_class_name_valid(campaign)) ||
		(pool.n > 0 && !pen_class_name_valid(pool)) || priority >= PEN_PRIORITIES)
		return NULL;
	pthread_once(&once, make_key);
	uint32_t hash = mix(mix(mix(2166136261u + priority, tenant), campaign), pool);
	pthread_mutex_lock(&lock);
	struct interned *k = find(hash, tenant, campaign, pool, priority);
	if (k == NULL)
		k = make(hash, tenant, campaign, pool, priority);
	if (k != NULL)
		k->refs++;
	pthread_mutex_unlock(&lock);
	return k != NULL ? &k->pub : NULL;
}

const struct pen_mail_class *pen_mail_class_ref(const struct pen_mail_class *k)
{
	if (k != &pen_mail_class_none) {
		pthread_mutex_lock(&lock);
		((struct interned *)k)->refs++;
		pthread_mutex_unlock(&lock);
	}
	return k;
}

void pen_mail_class_put(const struct pen_mail_class *pub)
{
	struct interned *k = (struct interned *)pub;

	if (pub == NULL || pub == &pen_mail_class_none)
		return;
	pthread_mutex_lock(&lock);
	PEN_ASSERT(k->refs > 0);
	if (--k->refs == 0) {
		struct interned **at = &bucket[k->hash % BUCKETS];
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

size_t pen_mail_class_count(void)
{
	pthread_mutex_lock(&lock);
	size_t n = count;
	pthread_mutex_unlock(&lock);
	return n;
}
