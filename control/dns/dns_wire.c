// SPDX-License-Identifier: BSD-3-Clause
#include "dns_wire.h"

#include "pen_params.h"

#include <ctype.h>

#define HEADER 12
#define CNAMES_MAX 16
#define CLASS_IN 1

struct rr {
	size_t owner; // offset of the owner name
	uint16_t type, klass;
	uint32_t ttl;
	size_t data, len;
};

static uint16_t get16(struct pen_span s, size_t at)
{
	return (uint16_t)(s.p[at] << 8 | s.p[at + 1]);
}

static uint32_t get32(struct pen_span s, size_t at)
{
	return (uint32_t)get16(s, at) << 16 | get16(s, at + 2);
}

bool dns_wire_name(struct pen_span packet, size_t *at, char out[DNS_WIRE_NAME_MAX], bool *odd)
{
	size_t pos = *at, len = 0, floor = *at;
	bool jumped = false;

	*odd = false;
	for (;;) {
		if (pos >= packet.n)
			return false;
		uint8_t c = packet.p[pos];
		if (c >= 0xc0) {
			if (pos + 2 > packet.n)
				return false;
			size_t to = get16(packet, pos) & 0x3fff;
			if (!jumped)
				*at = pos + 2;
			jumped = true;
			// Each jump goes before the part it came from, so it ends.
			if (to >= floor)
				return false;
			pos = floor = to;
			continue;
		}
		if (c > 63 || pos + 1 + c > packet.n)
			return false;
		pos++;
		if (c == 0)
			break;
		// A name has at most 255 bytes on the wire, so 253 as text.
		if (len + c + (len > 0) > 253)
			return false;
		if (len > 0)
			out[len++] = '.';
		for (size_t i = 0; i < c; i++) {
			uint8_t b = packet.p[pos + i];
			bool fine = isalnum(b) || b == '-' || b == '_';
			*odd = *odd || !fine;
			out[len++] = fine ? (char)tolower(b) : '?';
		}
		pos += c;
	}
	out[len] = '\0';
	if (!jumped)
		*at = pos;
	return true;
}

static bool read_rr(struct pen_span packet, size_t *at, struct rr *rr)
{
	char name[DNS_WIRE_NAME_MAX];
	bool odd;

	rr->owner = *at;
	if (!dns_wire_name(packet, at, name, &odd) || packet.n - *at < 10)
		return false;
	rr->type = get16(packet, *at);
	rr->klass = get16(packet, *at + 2);
	rr->ttl = get32(packet, *at + 4);
	if (rr->ttl > INT32_MAX) // RFC 2181 8
		rr->ttl = 0;
	rr->len = get16(packet, *at + 8);
	rr->data = *at + 10;
	if (rr->len > packet.n - rr->data)
		return false;
	*at = rr->data + rr->len;
	return true;
}

static bool owner_is(struct pen_span packet, const struct rr *rr, const char *name)
{
	char owner[DNS_WIRE_NAME_MAX];
	size_t at = rr->owner;
	bool odd;

	return dns_wire_name(packet, &at, owner, &odd) && !odd && strcmp(owner, name) == 0;
}

static bool add_data(struct dns_answer *out, struct pen_span packet, const struct rr *rr)
{
	struct dns_data *d = &out->data[out->n];
	size_t at = rr->data + 2;
	bool odd;

	memset(d, 0, sizeof(*d));
	switch (rr->type) {
	case DNS_TYPE_MX:
		if (rr->len < 3 || !dns_wire_name(packet, &at, d->name, &odd) ||
			at != rr->data + rr->len)
			return false;
		d->preference = get16(packet, rr->data);
		d->bad_name =
			odd || (d->name[0] != '\0' && !pen_hostname_valid(pen_span_cstr(d->name)));
		break;
	case DNS_TYPE_A:
		if (rr->len != 4)
			return false;
		d->addr.family = PEN_FAMILY_IP4;
		memcpy(d->addr.ip, packet.p + rr->data, 4);
		break;
	default:
		if (rr->len != 16)
			return false;
		d->addr.family = PEN_FAMILY_IP6;
		memcpy(d->addr.ip, packet.p + rr->data, 16);
		break;
	}
	out->n++;
	return true;
}

// follow_cnames moves `name` to the end of the chain and lowers the TTL.
static void follow_cnames(
	struct dns_answer *out, struct pen_span packet, const struct rr *rr, size_t n, char *name)
{
	for (int hop = 0; hop < CNAMES_MAX; hop++) {
		size_t i = 0;
		while (i < n && !(rr[i].type == DNS_TYPE_CNAME && rr[i].klass == CLASS_IN &&
					owner_is(packet, &rr[i], name)))
			i++;
		size_t at = i < n ? rr[i].data : 0;
		char target[DNS_WIRE_NAME_MAX];
		bool odd;
		if (i == n || !dns_wire_name(packet, &at, target, &odd) || odd)
			return;
		strcpy(name, target);
		if (rr[i].ttl < out->ttl_s)
			out->ttl_s = rr[i].ttl;
	}
}

// negative_ttl reads the SOA of the authority section (RFC 2308 5).
static void negative_ttl(
	struct dns_answer *out, struct pen_span packet, const struct rr *rr, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (rr[i].type != DNS_TYPE_SOA || rr[i].len < 22)
			continue;
		uint32_t minimum = get32(packet, rr[i].data + rr[i].len - 4);
		uint32_t ttl = rr[i].ttl < minimum ? rr[i].ttl : minimum;
		if (ttl < out->ttl_s)
			out->ttl_s = ttl;
		return;
	}
}

static enum dns_status parse_sections(
	struct dns_answer *out, struct pen_span packet, uint16_t type, unsigned rcode)
{
	struct rr rr[DNS_WIRE_RRS_MAX];
	char name[DNS_WIRE_NAME_MAX];
	size_t at = HEADER, answers = get16(packet, 6), total = answers + get16(packet, 8), n = 0;
	bool odd;

	if (get16(packet, 4) != 1 || !dns_wire_name(packet, &at, name, &odd) || packet.n - at < 4 ||
		get16(packet, at) != type || get16(packet, at + 2) != CLASS_IN)
		return DNS_MALFORMED;
	at += 4;
	while (n < total && n < DNS_WIRE_RRS_MAX) {
		if (!read_rr(packet, &at, &rr[n]))
			return DNS_MALFORMED;
		n++;
	}
	out->cut = n < total;
	if (answers > n)
		answers = n;
	follow_cnames(out, packet, rr, answers, name);
	for (size_t i = 0; i < answers; i++) {
		if (rr[i].type != type || rr[i].klass != CLASS_IN ||
			!owner_is(packet, &rr[i], name))
			continue;
		if (out->n == DNS_WIRE_DATA_MAX) {
			out->cut = true;
			break;
		}
		if (!add_data(out, packet, &rr[i]))
			return DNS_MALFORMED;
		if (rr[i].ttl < out->ttl_s)
			out->ttl_s = rr[i].ttl;
	}
	if (out->n > 0)
		return DNS_OK;
	negative_ttl(out, packet, rr + answers, n - answers);
	return rcode == 3 ? DNS_NXDOMAIN : DNS_NODATA;
}

void dns_wire_parse(struct dns_answer *out, struct pen_span packet, uint16_t type)
{
	*out = (struct dns_answer){.status = DNS_MALFORMED, .ttl_s = INT32_MAX};
	if (packet.n < HEADER || (packet.p[2] & 0x80) == 0)
		return;
	unsigned rcode = packet.p[3] & 0x0f;
	if (rcode != 0 && rcode != 3) {
		out->status = DNS_FAIL;
		return;
	}
	out->status = parse_sections(out, packet, type, rcode);
	if (out->status == DNS_MALFORMED)
		out->n = 0;
}
