// SPDX-License-Identifier: BSD-3-Clause

#include "tls_alabel.h"

#define LABEL_MAX 63

// ---- Punycode's constants (RFC 3492 5)
#define BASE 36u
#define T_MIN 1u
#define T_MAX 26u
#define SKEW 38u
#define DAMP 700u
#define FIRST_BIAS 72u
#define FIRST_N 128u

// One code point of 2 to 4 bytes; 0 when the bytes are no UTF-8.
static uint32_t utf8_next(struct pen_span *s)
{
	static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
	uint8_t lead = s->p[0];
	unsigned more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
	uint32_t c = lead & (0x3fu >> more);

	if (lead < 0xc2 || lead > 0xf4 || s->n <= more)
		return 0;
	for (unsigned i = 1; i <= more; i++) {
		if ((s->p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s->p[i] & 0x3fu);
	}
	if (c < least[more] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		return 0;
	*s = pen_span_from(*s, more + 1);
	return c;
}

struct label {
	uint32_t point[LABEL_MAX]; // each becomes at least one byte
	uint32_t n;
	bool ascii;
};

static uint32_t adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / DAMP : delta / 2;
	delta += delta / points;
	for (; delta > (BASE - T_MIN) * T_MAX / 2; k += BASE)
		delta /= BASE - T_MIN;
	return k + (BASE - T_MIN + 1) * delta / (delta + SKEW);
}

static char digit(uint32_t d)
{
	return (char)(d < 26 ? 'a' + d : '0' + (d - 26));
}

struct out {
	char *p;
	size_t n, cap;
	bool full;
};

static void put(struct out *o, char c)
{
	if (o->n < o->cap)
		o->p[o->n++] = c;
	else
		o->full = true;
}

static void put_delta(struct out *o, uint32_t delta, uint32_t bias)
{
	uint32_t q = delta;

	for (uint32_t k = BASE;; k += BASE) {
		uint32_t t = k <= bias + T_MIN ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;

		if (q < t)
			break;
		put(o, digit(t + (q - t) % (BASE - t)));
		q = (q - t) / (BASE - t);
	}
	put(o, digit(q));
}

static uint32_t least_from(const struct label *l, uint32_t n)
{
	uint32_t best = UINT32_MAX;

	for (uint32_t i = 0; i < l->n; i++) {
		if (l->point[i] >= n && l->point[i] < best)
			best = l->point[i];
	}
	return best;
}

// At most 63 points below 0x110000: no sum here can pass 32 bits.
static void put_punycode(struct out *o, const struct label *l)
{
	uint32_t n = FIRST_N, delta = 0, bias = FIRST_BIAS, basic = 0;

	for (uint32_t i = 0; i < l->n; i++) {
		if (l->point[i] < 128) {
			put(o, (char)l->point[i]);
			basic++;
		}
	}
	if (basic > 0)
		put(o, '-');
	for (uint32_t done = basic; done < l->n; n++, delta++) {
		uint32_t next = least_from(l, n);

		delta += (next - n) * (done + 1);
		n = next;
		for (uint32_t i = 0; i < l->n; i++) {
			delta += l->point[i] < n;
			if (l->point[i] != n)
				continue;
			put_delta(o, delta, bias);
			bias = adapt(delta, done + 1, done == basic);
			delta = 0;
			done++;
		}
	}
}

static bool put_label(struct out *o, const struct label *l)
{
	size_t start = o->n;

	if (l->ascii) {
		for (uint32_t i = 0; i < l->n; i++)
			put(o, (char)l->point[i]);
		return !o->full;
	}
	for (const char *p = "xn--"; *p != '\0'; p++)
		put(o, *p);
	put_punycode(o, l);
	return !o->full && o->n - start <= LABEL_MAX;
}

static bool add_point(struct label *l, uint32_t c)
{
	if (c >= 'A' && c <= 'Z')
		c += 'a' - 'A';
	if (c <= ' ' || (c >= 0x7f && c < 0xa0) || l->n == LABEL_MAX)
		return false;
	l->ascii &= c < 128;
	l->point[l->n++] = c;
	return true;
}

bool tls_alabel(struct pen_span raw, char out[TLS_NAME_MAX + 1])
{
	struct out o = {.p = out, .cap = TLS_NAME_MAX};
	struct label l = {.ascii = true};

	if (raw.n == 0)
		return false;
	while (raw.n > 0) {
		uint32_t c = raw.p[0];

		if (c < 128)
			raw = pen_span_from(raw, 1);
		else if ((c = utf8_next(&raw)) == 0)
			return false;
		if (c != '.') {
			if (!add_point(&l, c))
				return false;
			continue;
		}
		if (!put_label(&o, &l))
			return false;
		put(&o, '.');
		l = (struct label){.ascii = true};
	}
	if (!put_label(&o, &l))
		return false;
	out[o.n] = '\0';
	return true;
}
