// SPDX-License-Identifier: BSD-3-Clause
#include "pen_qshape.h"

#include <stdlib.h>

struct domain {
	struct domain *next; // of the same hash
	uint32_t nsub;       // domains below it
	uint32_t count[PEN_QSHAPE_BUCKETS_MAX + 1];
	uint16_t len;
	char name[];
};

struct pen_qshape {
	struct pen_qshape_config cfg;
	struct domain **slot;
	size_t nslots, n;
	struct domain *total, *other;
	struct pen_qshape_row *row;
};

#define NAME_MAX_LEN 255

static struct domain *domain_new(const char *name, size_t len)
{
	struct domain *d = calloc(1, sizeof(*d) + len + 1);

	if (d != NULL) {
		memcpy(d->name, name, len);
		d->len = (uint16_t)len;
	}
	return d;
}

struct pen_qshape *pen_qshape_new(const struct pen_qshape_config *cfg)
{
	struct pen_qshape *q = calloc(1, sizeof(*q));

	if (q == NULL)
		return NULL;
	q->cfg = *cfg;
	q->nslots = 1024;
	q->slot = calloc(q->nslots, sizeof(struct domain *));
	q->total = domain_new("TOTAL", 5);
	q->other = domain_new("(other)", 7);
	if (q->slot == NULL || q->total == NULL || q->other == NULL) {
		pen_qshape_free(q);
		return NULL;
	}
	return q;
}

void pen_qshape_free(struct pen_qshape *q)
{
	if (q == NULL)
		return;
	for (size_t i = 0; q->slot != NULL && i < q->nslots; i++) {
		while (q->slot[i] != NULL) {
			struct domain *d = q->slot[i];
			q->slot[i] = d->next;
			free(d);
		}
	}
	free(q->slot);
	free(q->total);
	free(q->other);
	free(q->row);
	free(q);
}

static uint64_t hash(const char *p, size_t n)
{
	uint64_t h = 1469598103934665603u;

	for (size_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 1099511628211u;
	return h ^ h >> 29;
}

static void grow(struct pen_qshape *q)
{
	size_t more = q->nslots * 4;
	struct domain **slot = calloc(more, sizeof(struct domain *));

	if (slot == NULL)
		return; // slower, and right
	for (size_t i = 0; i < q->nslots; i++) {
		while (q->slot[i] != NULL) {
			struct domain *d = q->slot[i];
			q->slot[i] = d->next;
			struct domain **to = &slot[hash(d->name, d->len) % more];
			d->next = *to;
			*to = d;
		}
	}
	free(q->slot);
	q->slot = slot;
	q->nslots = more;
}

// Finds or makes it.
static struct domain *find(struct pen_qshape *q, const char *name, size_t len)
{
	struct domain **slot = &q->slot[hash(name, len) % q->nslots];

	for (struct domain *d = *slot; d != NULL; d = d->next) {
		if (d->len == len && memcmp(d->name, name, len) == 0)
			return d;
	}
	struct domain *d = q->n < PEN_QSHAPE_DOMAINS_MAX ? domain_new(name, len) : NULL;
	if (d == NULL)
		return q->other;
	d->next = *slot;
	*slot = d;
	if (++q->n > q->nslots * 2)
		grow(q);
	return d;
}

static uint32_t bucket_of(const struct pen_qshape_config *c, int64_t age)
{
	int64_t width = (int64_t)c->minutes * 60, n = age / width;
	uint32_t b = 1;

	if (c->linear)
		return n < c->buckets ? (uint32_t)n + 1 : c->buckets;
	for (; n > 0 && b < c->buckets; n >>= 1)
		b++;
	return b;
}

// The domain as it is counted: what follows the last '@', in lower case, without
// empty labels.
static size_t domain_of(struct pen_span addr, char out[NAME_MAX_LEN + 1])
{
	size_t from = addr.n, n = 0;

	while (from > 0 && addr.p[from - 1] != '@')
		from--;
	for (size_t i = from; i < addr.n && n < NAME_MAX_LEN; i++) {
		char c = (char)addr.p[i];
		if (c == '.' && (n == 0 || out[n - 1] == '.'))
			continue;
		out[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
	}
	if (n > 1 && out[n - 1] == '.')
		n--;
	if (n == 0) {
		memcpy(out, "MAILER-DAEMON", 13);
		n = 13;
	}
	return n;
}

static void count(struct domain *d, uint32_t bucket)
{
	d->count[0]++;
	d->count[bucket]++;
}

// ".example.com" above "a.example.com" or ".a.example.com"; not above the last two labels.
static bool to_parent(char *name, size_t *len)
{
	size_t skip = name[0] == '.' ? 1 : 0;
	const char *dot = memchr(name + skip, '.', *len - skip);

	if (dot == NULL || memchr(dot + 1, '.', *len - (size_t)(dot + 1 - name)) == NULL)
		return false;
	*len -= (size_t)(dot - name);
	memmove(name, dot, *len);
	return true;
}

void pen_qshape_add(struct pen_qshape *q, struct pen_span addr, int64_t age)
{
	uint32_t bucket = bucket_of(&q->cfg, age > 0 ? age : 0);
	char name[NAME_MAX_LEN + 1];
	size_t len = domain_of(addr, name);
	bool is_new = false;

	count(q->total, bucket);
	do {
		struct domain *d = find(q, name, len);
		count(d, bucket);
		d->nsub += is_new;
		is_new = d->count[0] == 1;
	} while (q->cfg.parents && to_parent(name, &len));
}

static int larger(const void *a, const void *b)
{
	const struct pen_qshape_row *x = a, *y = b;

	if (x->count[0] != y->count[0])
		return x->count[0] < y->count[0] ? 1 : -1;
	if (x->name.n != y->name.n)
		return x->name.n > y->name.n ? 1 : -1;
	return memcmp(x->name.p, y->name.p, x->name.n);
}

static struct pen_qshape_row row_of(const struct domain *d)
{
	return (struct pen_qshape_row){pen_span(d->name, d->len), d->count};
}

size_t pen_qshape_rows(
	struct pen_qshape *q, size_t most, const struct pen_qshape_row **out, size_t *left)
{
	size_t n = 0;

	*left = 0;
	free(q->row);
	q->row = malloc((q->n + 2) * sizeof(*q->row));
	*out = q->row;
	if (q->row == NULL)
		return 0;
	q->row[n++] = row_of(q->total);
	for (size_t i = 0; i < q->nslots; i++) {
		for (const struct domain *d = q->slot[i]; d != NULL; d = d->next) {
			if (d->name[0] != '.' || d->nsub >= q->cfg.min_subdomains)
				q->row[n++] = row_of(d);
		}
	}
	if (q->other->count[0] > 0)
		q->row[n++] = row_of(q->other);
	qsort(q->row + 1, n - 1, sizeof(*q->row), larger);
	*left = n > most ? n - most : 0;
	return n - *left;
}
