// SPDX-License-Identifier: BSD-3-Clause
#include "pen_addr.h"

#include <arpa/inet.h>
#include <errno.h>

struct pen_addr pen_addr_ip4(uint32_t host_order)
{
	struct pen_addr a = {.family = PEN_FAMILY_IP4};
	uint32_t be = htonl(host_order);

	memcpy(a.ip, &be, 4);
	return a;
}

int pen_addr_parse(struct pen_addr *out, struct pen_span text)
{
	char s[PEN_ADDR_STR_MAX];

	memset(out, 0, sizeof(*out));
	if (text.n == 0 || text.n >= sizeof(s) || memchr(text.p, '\0', text.n) != NULL)
		return -EINVAL;
	memcpy(s, text.p, text.n);
	s[text.n] = '\0';
	if (inet_pton(AF_INET, s, out->ip) == 1)
		out->family = PEN_FAMILY_IP4;
	else if (inet_pton(AF_INET6, s, out->ip) == 1)
		out->family = PEN_FAMILY_IP6;
	else
		return -EINVAL;
	return 0;
}

const char *pen_addr_str(const struct pen_addr *a, char out[PEN_ADDR_STR_MAX])
{
	if (a->family == PEN_FAMILY_NONE ||
		inet_ntop(a->family == PEN_FAMILY_IP4 ? AF_INET : AF_INET6, a->ip, out,
			PEN_ADDR_STR_MAX) == NULL)
		memcpy(out, "none", 5);
	return out;
}

static bool prefix_eq(const uint8_t *a, const uint8_t *b, unsigned bits)
{
	if (memcmp(a, b, bits / 8) != 0)
		return false;
	if (bits % 8 == 0)
		return true;
	uint8_t mask = (uint8_t)(0xff << (8 - bits % 8));
	return ((a[bits / 8] ^ b[bits / 8]) & mask) == 0;
}

int pen_cidr_parse(struct pen_cidr *out, struct pen_span text, bool strict)
{
	ptrdiff_t slash = pen_span_find(text, '/');
	struct pen_span host = slash < 0 ? text : pen_span(text.p, (size_t)slash);

	if (pen_addr_parse(&out->net, host) != 0)
		return -EINVAL;
	unsigned max = out->net.family == PEN_FAMILY_IP4 ? 32 : 128;
	unsigned bits = max;
	if (slash >= 0) {
		struct pen_span num = pen_span_from(text, (size_t)slash + 1);
		if (num.n == 0 || num.n > 3)
			return -EINVAL;
		bits = 0;
		for (size_t i = 0; i < num.n; i++) {
			if (num.p[i] < '0' || num.p[i] > '9')
				return -EINVAL;
			bits = bits * 10 + (num.p[i] - '0');
		}
		if (bits > max)
			return -EINVAL;
	}
	out->bits = (uint8_t)bits;
	for (unsigned i = bits; strict && i < max; i++) {
		if (out->net.ip[i / 8] & (0x80 >> (i % 8)))
			return -EINVAL;
	}
	return 0;
}

bool pen_cidr_has(const struct pen_cidr *c, const struct pen_addr *a)
{
	return c->net.family == a->family && prefix_eq(c->net.ip, a->ip, c->bits);
}
