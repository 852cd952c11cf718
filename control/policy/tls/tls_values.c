// SPDX-License-Identifier: BSD-3-Clause

// The values of all policy tables, parsed once while loading: a decision then
// costs a lookup, and broken values are known before mail needs them.

#include "tls_private.h"

#include "pen_rand.h"

#include <stdlib.h>

static const struct pen_siphash_key hash_key = {0x70656e73746f636bULL, 0x746c7376616c7565ULL};

// Equal texts share one parsed value: a table of 100,000 "encrypt" has one.
struct interned {
	struct pen_span text;
	struct pen_tls_attributes *value;
};

struct interner {
	struct interned *slot;
	size_t mask, n;
};

static size_t slot_for(const struct interner *in, struct pen_span text)
{
	size_t i = (size_t)pen_siphash(&hash_key, text.p, text.n) & in->mask;

	while (in->slot[i].value != NULL && !pen_span_eq(in->slot[i].text, text))
		i = (i + 1) & in->mask;
	return i;
}

static bool grow(struct interner *in)
{
	struct interner next = {.mask = in->slot == NULL ? 63 : in->mask * 2 + 1, .n = in->n};

	next.slot = calloc(next.mask + 1, sizeof(*next.slot));
	if (next.slot == NULL)
		return false;
	for (size_t i = 0; in->slot != NULL && i <= in->mask; i++) {
		if (in->slot[i].value != NULL)
			next.slot[slot_for(&next, in->slot[i].text)] = in->slot[i];
	}
	free(in->slot);
	*in = next;
	return true;
}

static bool keep(struct pen_tls_settings *s, struct pen_tls_attributes *a)
{
	if (s->nvalues == s->value_cap) {
		size_t cap = s->value_cap == 0 ? 64 : s->value_cap * 2;
		void *grown = realloc(s->value, cap * sizeof(struct pen_tls_attributes *));
		if (grown == NULL)
			return false;
		s->value = grown;
		s->value_cap = cap;
	}
	s->value[s->nvalues++] = a;
	return true;
}

static struct pen_tls_attributes *intern(
	struct pen_tls_settings *s, struct interner *in, struct pen_span text)
{
	if (in->slot == NULL || in->n * 2 > in->mask) {
		if (!grow(in))
			return NULL;
	}
	struct interned *slot = &in->slot[slot_for(in, text)];
	if (slot->value != NULL)
		return slot->value;
	struct pen_tls_attributes *a = tls_attributes_parse(text, s->digest);
	if (a == NULL || !keep(s, a)) {
		tls_attributes_free(a);
		return NULL;
	}
	*slot = (struct interned){text, a};
	in->n++;
	return a->level == PEN_TLS_INVALID || tls_profiles_prepare(s, a, a->level) ? a : NULL;
}

static void warn(struct pen_report *r, const char *main_cf, const struct pen_map_hit *hit,
	const struct pen_tls_attributes *a)
{
	const struct tls_profile *p =
		a->level > PEN_TLS_NONE ? a->profile[tls_class_of(a->level)] : NULL;
	const char *what = a->level == PEN_TLS_INVALID ? a->why
			   : p != NULL && !p->usable   ? p->why
						       : a->note;

	if (what[0] == '\0')
		return;
	pen_report_warning(r, hit->file != NULL ? hit->file : main_cf, hit->line,
		"smtp_tls_policy_maps %.200s: %.*s = \"%.*s\": %s", pen_map_name(hit->map),
		(int)(hit->key.n < 80 ? hit->key.n : 80), (const char *)hit->key.p,
		(int)(hit->value.n < 120 ? hit->value.n : 120), (const char *)hit->value.p, what);
}

static bool load_table(struct pen_tls_settings *s, struct interner *in, size_t t,
	const char *main_cf, struct pen_report *r)
{
	const struct pen_map *m = s->policy_maps.map[t];
	size_t n = pen_map_count(m);
	struct pen_map_hit hit;

	s->entry[t] = calloc(n + 1, sizeof(struct pen_tls_attributes *));
	if (s->entry[t] == NULL)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (!pen_map_entry(m, i, &hit) || !hit.lasts)
			continue; // what a pattern makes is parsed when it is made
		s->entry[t][i] = intern(s, in, hit.value);
		if (s->entry[t][i] == NULL)
			return false;
		warn(r, main_cf, &hit, s->entry[t][i]);
	}
	return true;
}

bool tls_values_load(struct pen_tls_settings *s, const char *main_cf, struct pen_report *r)
{
	struct interner in = {0};
	bool ok;

	s->entry = calloc(s->policy_maps.n + 1, sizeof(struct pen_tls_attributes **));
	ok = s->entry != NULL;
	for (size_t t = 0; ok && t < s->policy_maps.n; t++)
		ok = load_table(s, &in, t, main_cf, r);
	free(in.slot);
	return ok;
}

void tls_values_free(struct pen_tls_settings *s)
{
	for (size_t t = 0; s->entry != NULL && t < s->policy_maps.n; t++)
		free(s->entry[t]);
	free(s->entry);
	for (size_t i = 0; i < s->nvalues; i++)
		tls_attributes_free(s->value[i]);
	free(s->value);
}
