// SPDX-License-Identifier: BSD-3-Clause
#include "dns_wire.h"

#include "pen_idn.h"
#include "pen_params.h"

#include <ctype.h>

#define HEADER 12
#define CLASS_IN 1
#define FAILURE_TTL_S 30

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

// read_name is dns_wire_name that can also keep bytes beyond ASCII.
static bool read_name(
	struct pen_span packet, size_t *at, char out[DNS_WIRE_NAME_MAX], bool *odd, bool keep_utf8)
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
			bool fine = isalnum(b) || b == '-' || b == '_' || (keep_utf8 && b >= 0x80);
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

bool dns_wire_name(struct pen_span packet, size_t *at, char out[DNS_WIRE_NAME_MAX], bool *odd)
{
	return read_name(packet, at, out, odd, false);
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

// owner_is compares the owner of a record; names with odd bytes, which lose
// them as text, are nobody's.
static bool owner_is(struct pen_span packet, const struct rr *rr, const char *name)
{
	char owner[DNS_WIRE_NAME_MAX];
	size_t at = rr->owner;
	bool odd;

	return dns_wire_name(packet, &at, owner, &odd) && !odd && strcmp(owner, name) == 0;
}

static uint8_t *take(struct dns_answer *out, size_t n)
{
	uint8_t *p = out->store + out->used;

	// By construction: names are limited in number and length, and strings
	// are disjoint parts of a packet of at most 64 KiB.
	if (n > sizeof(out->store) - out->used)
		return NULL;
	out->used += n;
	return p;
}

// host_name reads the name that a record points to. An internationalized name
// that somebody put into a zone as it is becomes its A-labels.
static bool host_name(struct dns_answer *out, struct pen_span packet, size_t at, size_t end,
	struct pen_dns_record *d)
{
	char text[DNS_WIRE_NAME_MAX], raw[DNS_WIRE_NAME_MAX];
	size_t again = at;
	bool odd, raw_odd;

	if (!dns_wire_name(packet, &at, text, &odd) || at != end)
		return false;
	if (odd && read_name(packet, &again, raw, &raw_odd, true) && !raw_odd)
		odd = pen_idn_to_ascii(text, pen_span_cstr(raw)) != NULL;
	d->bad_name = odd || (text[0] != '\0' && !pen_hostname_valid(pen_span_cstr(text)));
	if (d->bad_name)
		out->odd |= DNS_ODD_NAME;
	uint8_t *p = take(out, strlen(text) + 1);
	if (p == NULL)
		return false;
	d->name = strcpy((char *)p, text);
	return true;
}

// join_strings puts the strings of a TXT record behind each other (RFC 8461 3.1).
static bool join_strings(struct dns_answer *out, struct pen_span data, struct pen_dns_record *d)
{
	uint8_t *to = take(out, data.n < DNS_WIRE_TXT_MAX ? data.n : DNS_WIRE_TXT_MAX);
	size_t n = 0;

	if (to == NULL || data.n == 0)
		return false;
	for (size_t at = 0; at < data.n;) {
		size_t len = data.p[at++];
		if (len > data.n - at)
			return false;
		size_t room = DNS_WIRE_TXT_MAX - n;
		if (len > room)
			out->odd |= DNS_ODD_TXT;
		memcpy(to + n, data.p + at, len < room ? len : room);
		n += len < room ? len : room;
		at += len;
	}
	d->data = pen_span(to, n);
	return true;
}

static bool tlsa_data(struct dns_answer *out, struct pen_span data, struct pen_dns_record *d)
{
	if (data.n < 3)
		return false;
	d->usage = data.p[0];
	d->selector = data.p[1];
	d->mtype = data.p[2];
	d->data = pen_span_from(data, 3);
	if (d->data.n > DNS_WIRE_TLSA_MAX) {
		d->data.n = DNS_WIRE_TLSA_MAX;
		out->odd |= DNS_ODD_TLSA;
	}
	return true;
}

static bool address(struct pen_span data, uint8_t family, struct pen_dns_record *d)
{
	if (data.n != (family == PEN_FAMILY_IP4 ? 4 : 16))
		return false;
	d->addr.family = family;
	memcpy(d->addr.ip, data.p, data.n);
	return true;
}

static bool add_data(struct dns_answer *out, struct pen_span packet, const struct rr *rr)
{
	struct pen_dns_record *d = &out->record[out->a.n++];
	struct pen_span data = pen_span(packet.p + rr->data, rr->len);

	*d = (struct pen_dns_record){.name = ""};
	switch (rr->type) {
	case PEN_DNS_MX:
		if (rr->len < 3)
			return false;
		d->preference = get16(packet, rr->data);
		return host_name(out, packet, rr->data + 2, rr->data + rr->len, d);
	case PEN_DNS_CNAME:
		return host_name(out, packet, rr->data, rr->data + rr->len, d);
	case PEN_DNS_A:
		return address(data, PEN_FAMILY_IP4, d);
	case PEN_DNS_AAAA:
		return address(data, PEN_FAMILY_IP6, d);
	case PEN_DNS_TXT:
		return join_strings(out, data, d);
	case PEN_DNS_TLSA:
		return tlsa_data(out, data, d);
	default:
		return false;
	}
}

static void lower_ttl(struct dns_answer *out, uint32_t ttl)
{
	if (ttl < out->a.ttl_s)
		out->a.ttl_s = ttl;
}

// follow_cnames moves `name` to the end of the chain and lowers the TTL. False:
// there is no end, or one that has no text.
static bool follow_cnames(
	struct dns_answer *out, struct pen_span packet, const struct rr *rr, size_t n, char *name)
{
	for (int hop = 0;; hop++) {
		size_t i = 0;
		while (i < n && !(rr[i].type == PEN_DNS_CNAME && rr[i].klass == CLASS_IN &&
					owner_is(packet, &rr[i], name)))
			i++;
		if (i == n)
			return true;
		size_t at = rr[i].data;
		bool odd;
		if (hop == DNS_WIRE_CNAMES_MAX || !dns_wire_name(packet, &at, name, &odd) || odd)
			return false;
		lower_ttl(out, rr[i].ttl);
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
		lower_ttl(out, rr[i].ttl < minimum ? rr[i].ttl : minimum);
		return;
	}
}

// add_answers keeps the records of the type that `name` has.
static bool add_answers(struct dns_answer *out, struct pen_span packet, const struct rr *rr,
	size_t n, enum pen_dns_type type, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (rr[i].type != type || rr[i].klass != CLASS_IN ||
			!owner_is(packet, &rr[i], name))
			continue;
		if (out->a.n == DNS_WIRE_DATA_MAX) {
			out->odd |= DNS_ODD_RECORDS;
			break;
		}
		if (!add_data(out, packet, &rr[i]))
			return false;
		lower_ttl(out, rr[i].ttl);
	}
	return true;
}

static enum pen_dns_status parse_sections(
	struct dns_answer *out, struct pen_span packet, enum pen_dns_type type, unsigned rcode)
{
	struct rr rr[DNS_WIRE_RRS_MAX];
	size_t at = HEADER, answers = get16(packet, 6), total = answers + get16(packet, 8), n = 0;
	bool odd;

	if (get16(packet, 4) != 1 || !dns_wire_name(packet, &at, out->canonical, &odd) ||
		packet.n - at < 4 || get16(packet, at) != type || get16(packet, at + 2) != CLASS_IN)
		return PEN_DNS_MALFORMED;
	at += 4;
	while (n < total && n < DNS_WIRE_RRS_MAX) {
		if (!read_rr(packet, &at, &rr[n]))
			return PEN_DNS_MALFORMED;
		n++;
	}
	if (n < total)
		out->odd |= DNS_ODD_RECORDS;
	if (answers > n)
		answers = n;
	if (type != PEN_DNS_CNAME && !follow_cnames(out, packet, rr, answers, out->canonical)) {
		out->odd |= DNS_ODD_CNAMES;
		return PEN_DNS_FAILED;
	}
	if (!add_answers(out, packet, rr, answers, type, out->canonical))
		return PEN_DNS_MALFORMED;
	if (out->a.n > 0)
		return PEN_DNS_OK;
	negative_ttl(out, packet, rr + answers, n - answers);
	return rcode == 3 ? PEN_DNS_NXDOMAIN : PEN_DNS_NODATA;
}

void dns_answer_none(struct dns_answer *out, const char *name, enum pen_dns_status status)
{
	bool failed = status != PEN_DNS_NODATA && status != PEN_DNS_NXDOMAIN;

	out->a = (struct pen_dns_answer){.status = status,
		.ttl_s = failed ? FAILURE_TTL_S : INT32_MAX,
		.name = name,
		.canonical = name,
		.record = out->record};
	out->odd = 0;
	out->used = 0;
}

void dns_wire_parse(
	struct dns_answer *out, struct pen_span packet, const char *name, enum pen_dns_type type)
{
	enum pen_dns_status status = PEN_DNS_MALFORMED;

	dns_answer_none(out, name, PEN_DNS_NODATA);
	if (packet.n >= HEADER && packet.n <= UINT16_MAX && (packet.p[2] & 0x80) != 0) {
		unsigned rcode = packet.p[3] & 0x0f;
		status = rcode == 0 || rcode == 3 ? parse_sections(out, packet, type, rcode)
						  : PEN_DNS_FAILED;
	}
	if (status == PEN_DNS_FAILED || status == PEN_DNS_MALFORMED) {
		unsigned odd = out->odd;
		dns_answer_none(out, name, status);
		out->odd = odd;
		return;
	}
	out->a.status = status;
	out->a.canonical = strcmp(out->canonical, name) == 0 ? name : out->canonical;
	out->a.cut = (out->odd & (DNS_ODD_RECORDS | DNS_ODD_TXT | DNS_ODD_TLSA)) != 0;
}
