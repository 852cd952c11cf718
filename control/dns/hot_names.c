// SPDX-License-Identifier: BSD-3-Clause
#include "hot_names.h"

#include <stdio.h>
#include <stdlib.h>

// Answers that live longer than this are rare enough to be waited for.
#define TTL_MAX_S 86400
// A pass over the places begins this often.
#define PASS_US (PEN_US_PER_S / 4)

#define FRESH_WAYS 4
#define FRESH_SETS (HOT_FRESH_MAX / FRESH_WAYS)

struct place {
	pen_time_us expires; // 0: empty
	uint32_t uses;
	uint16_t type;
};

struct fresh {
	uint64_t hash;
	pen_time_us until;
};

struct hot_names {
	struct fresh fresh[FRESH_SETS][FRESH_WAYS];
	struct place place[HOT_NAMES_MAX];
	char name[HOT_NAMES_MAX][PEN_IDN_NAME_MAX];
	uint32_t at;      // of the pass
	pen_time_us next; // when the next pass begins
};

struct hot_names *hot_names_new(void)
{
	return calloc(1, sizeof(struct hot_names));
}

void hot_names_free(struct hot_names *h)
{
	free(h);
}

static uint64_t hash_of(const char *name, uint16_t type)
{
	uint64_t h = 14695981039346656037u ^ type;

	for (; *name != '\0'; name++)
		h = (h ^ (uint8_t)*name) * 1099511628211u;
	return h ^ h >> 32;
}

bool hot_names_fresh(const struct hot_names *h, const char *name, uint16_t type, pen_time_us now)
{
	uint64_t hash = hash_of(name, type);
	const struct fresh *set = h->fresh[hash % FRESH_SETS];

	for (size_t i = 0; i < FRESH_WAYS; i++) {
		if (set[i].hash == hash)
			return set[i].until > now;
	}
	return false;
}

// note_fresh replaces what is the same, or else what expires first.
static void note_fresh(struct hot_names *h, uint64_t hash, pen_time_us until)
{
	struct fresh *set = h->fresh[hash % FRESH_SETS], *to = set;

	for (size_t i = 0; i < FRESH_WAYS; i++) {
		if (set[i].hash == hash) {
			to = &set[i];
			break;
		}
		if (set[i].until < to->until)
			to = &set[i];
	}
	*to = (struct fresh){hash, until};
}

void hot_names_seen(struct hot_names *h, const char *name, uint16_t type, uint32_t ttl_s, bool used,
	pen_time_us now)
{
	uint64_t hash = hash_of(name, type);
	uint32_t i = hash % HOT_NAMES_MAX;
	struct place *p = &h->place[i];

	note_fresh(h, hash, now + ttl_s * PEN_US_PER_S);
	if (ttl_s > TTL_MAX_S)
		return;
	if (p->expires == 0 || p->type != type || strcmp(h->name[i], name) != 0) {
		if (!used)
			return;
		if (p->expires > now && p->uses > 1) {
			p->uses--; // of two in one place the one in more use stays
			return;
		}
		snprintf(h->name[i], sizeof(h->name[i]), "%s", name);
		*p = (struct place){.type = type};
	}
	p->uses += used;
	// The cache counts whole seconds: it is certain a second later.
	p->expires = now + (ttl_s + 1) * PEN_US_PER_S;
}

bool hot_names_due(
	struct hot_names *h, pen_time_us now, char name[PEN_IDN_NAME_MAX], uint16_t *type)
{
	if (h->at == 0 && now < h->next)
		return false;
	if (h->at == 0)
		h->next = now + PASS_US;
	while (h->at < HOT_NAMES_MAX) {
		struct place *p = &h->place[h->at++];
		if (p->expires == 0 || p->expires > now)
			continue;
		bool hot = p->uses >= HOT_USES_MIN;
		p->uses = 0;
		if (!hot) {
			p->expires = 0;
			continue;
		}
		// Until the answer comes the place stays with this name.
		p->expires = now + 60 * PEN_US_PER_S;
		memcpy(name, h->name[h->at - 1], PEN_IDN_NAME_MAX);
		*type = p->type;
		return true;
	}
	h->at = 0;
	return false;
}
