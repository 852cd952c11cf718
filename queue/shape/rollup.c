// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rand.h"
#include "pen_shape.h"

// Names of one set are written so that the set can be read from the name:
//
//   x.example. and alt1., alt2.x.example.   (alt1|alt2)?.x.example.
//   mx1.example., mx2.example.              (mx1|mx2).example.
//   mx1.example., a.test.                   a.test.,mx1.example.
//
// A name that is the parent of another is its group's base; the others are grouped by
// their parent. Bytes that host names don't have are written as %XX.

#define NAMES_MAX 256

struct set {
	struct pen_span name[NAMES_MAX]; // sorted, no two equal, no dot at the end
	uint32_t n;
};

static struct pen_span bare(struct pen_span s)
{
	while (s.n > 0 && s.p[s.n - 1] == '.')
		s.n--;
	return s;
}

static int compare(struct pen_span a, struct pen_span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n > 0 ? strncasecmp((const char *)a.p, (const char *)b.p, n) : 0;

	return d != 0 ? d : a.n < b.n ? -1 : a.n > b.n;
}

// False: there are more than fit.
static bool collect(struct set *s, const struct pen_span *mx, uint32_t n)
{
	s->n = 0;
	for (uint32_t i = 0; i < n; i++) {
		struct pen_span name = bare(mx[i]);
		uint32_t at = s->n;
		while (at > 0 && compare(s->name[at - 1], name) > 0)
			at--;
		if (at > 0 && compare(s->name[at - 1], name) == 0)
			continue;
		if (s->n == NAMES_MAX)
			return false;
		memmove(s->name + at + 1, s->name + at, (s->n - at) * sizeof(s->name[0]));
		s->name[at] = name;
		s->n++;
	}
	return true;
}

static struct pen_span parent(struct pen_span name)
{
	ptrdiff_t dot = pen_span_find(name, '.');

	return dot < 0 ? PEN_SPAN_LIT("") : pen_span_from(name, (size_t)dot + 1);
}

static bool has(const struct set *s, struct pen_span name)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (pen_span_ieq(s->name[i], name))
			return true;
	}
	return false;
}

static bool is_base(const struct set *s, struct pen_span name)
{
	for (uint32_t i = 0; i < s->n; i++) {
		if (s->name[i].n > name.n && pen_span_ieq(parent(s->name[i]), name))
			return true;
	}
	return false;
}

// ---- writing, with the hash of all of it

struct writer {
	char *out;
	size_t n;
	uint64_t hash;
};

static void put(struct writer *w, char c)
{
	static const struct pen_siphash_key key = {0x7369746520726f6cu, 0x6c75702070656e73u};
	uint8_t block[9];

	if (w->n < PEN_SITE_NAME_MAX)
		w->out[w->n] = c;
	w->n++;
	memcpy(block, &w->hash, 8);
	block[8] = (uint8_t)c;
	w->hash = pen_siphash(&key, block, sizeof(block));
}

static void put_text(struct writer *w, const char *s)
{
	while (*s != '\0')
		put(w, *s++);
}

static void put_name(struct writer *w, struct pen_span s)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i] >= 'A' && s.p[i] <= 'Z' ? s.p[i] | 32 : s.p[i];
		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
			c == '.' || c == ':' || c == '[' || c == ']') {
			put(w, (char)c);
			continue;
		}
		put(w, '%');
		put(w, hex[c >> 4]);
		put(w, hex[c & 15]);
	}
}

static struct pen_span label(struct pen_span name)
{
	ptrdiff_t dot = pen_span_find(name, '.');

	return dot < 0 ? name : pen_span(name.p, (size_t)dot);
}

// The children of `p` that are no base themselves; returns how many.
static uint32_t put_children(struct writer *w, const struct set *s, struct pen_span p)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		struct pen_span name = s->name[i];
		if (name.n <= p.n || pen_span_find(name, '.') < 0 ||
			!pen_span_ieq(parent(name), p) || is_base(s, name))
			continue;
		if (w != NULL && n > 0)
			put(w, '|');
		if (w != NULL)
			put_name(w, label(name));
		n++;
	}
	return n;
}

static bool first_child(const struct set *s, uint32_t at)
{
	struct pen_span p = parent(s->name[at]);

	for (uint32_t i = 0; i < at; i++) {
		if (pen_span_find(s->name[i], '.') >= 0 && pen_span_ieq(parent(s->name[i]), p) &&
			!is_base(s, s->name[i]))
			return false;
	}
	return true;
}

static void put_group(struct writer *w, const struct set *s, struct pen_span p, bool base)
{
	uint32_t n = put_children(NULL, s, p);

	if (n == 0) {
		put_name(w, p);
		put(w, '.');
		return;
	}
	if (n > 1 || base)
		put(w, '(');
	put_children(w, s, p);
	if (n > 1 || base)
		put_text(w, base ? ")?" : ")");
	put(w, '.');
	put_name(w, p);
	put(w, '.');
}

static void put_set(struct writer *w, const struct set *s)
{
	for (uint32_t i = 0; i < s->n; i++) {
		struct pen_span name = s->name[i];
		bool base = is_base(s, name);
		bool dotted = pen_span_find(name, '.') >= 0;
		// Written with its base, or with the first of its group.
		if (!base && dotted && (has(s, parent(name)) || !first_child(s, i)))
			continue;
		if (w->n > 0)
			put(w, ',');
		if (base || !dotted)
			put_group(w, s, name, base);
		else
			put_group(w, s, parent(name), false);
	}
}

// More names than anybody has: what they add up to, in any order.
static void put_sum(struct writer *w, const struct pen_span *mx, uint32_t n)
{
	uint64_t sum = 0;
	uint32_t least = 0;

	for (uint32_t i = 0; i < n; i++) {
		char text[PEN_SITE_NAME_MAX + 1];
		struct writer one = {.out = text};
		bool again = false;
		for (uint32_t k = 0; k < i && !again; k++)
			again = pen_span_ieq(bare(mx[k]), bare(mx[i]));
		if (again)
			continue;
		put_name(&one, bare(mx[i]));
		sum += one.hash;
		if (compare(bare(mx[i]), bare(mx[least])) < 0)
			least = i;
	}
	put_name(w, bare(mx[least]));
	put(w, '.');
	w->hash = sum;
	w->n += PEN_SITE_NAME_MAX; // so that it is cut
}

size_t pen_site_rollup(const struct pen_span *mx, uint32_t n, char out[PEN_SITE_NAME_MAX + 1])
{
	static const char hex[] = "0123456789abcdef";
	struct writer w = {.out = out};
	struct set s;
	size_t keep = PEN_SITE_NAME_MAX - 17;

	if (collect(&s, mx, n)) {
		put_set(&w, &s);
	} else {
		put_sum(&w, mx, n);
		if (w.n - PEN_SITE_NAME_MAX < keep)
			keep = w.n - PEN_SITE_NAME_MAX;
	}
	if (w.n <= PEN_SITE_NAME_MAX) {
		out[w.n] = '\0';
		return w.n;
	}
	out[keep] = '~';
	for (unsigned i = 0; i < 16; i++)
		out[keep + 1 + i] = hex[w.hash >> (60 - 4 * i) & 15];
	out[keep + 17] = '\0';
	return keep + 17;
}
