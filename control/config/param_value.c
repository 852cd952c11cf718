// SPDX-License-Identifier: BSD-3-Clause
#include "pen_params.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX 4096

bool pen_hostname_valid(struct pen_span name)
{
	size_t label = 0;
	bool numeric = true;

	if (name.n == 0 || name.n > 253)
		return false;
	for (size_t i = 0; i < name.n; i++) {
		uint8_t c = name.p[i];
		if (c == '.') {
			if (label == 0 || name.p[i - 1] == '-')
				return false;
			label = 0;
			continue;
		}
		if (!isalnum(c) && c != '_' && (c != '-' || label == 0))
			return false;
		if (++label > 63)
			return false;
		numeric = numeric && isdigit(c);
	}
	return label > 0 && name.p[name.n - 1] != '-' && !numeric;
}

// parse_digits reads digits up to `limit`; the rest stays in *s.
static bool parse_digits(struct pen_span *s, int64_t limit, int64_t *out)
{
	size_t i = 0;
	int64_t v = 0;

	for (; i < s->n && isdigit(s->p[i]); i++) {
		int d = s->p[i] - '0';
		if (v > (limit - d) / 10)
			return false;
		v = v * 10 + d;
	}
	*s = pen_span_from(*s, i);
	*out = v;
	return i > 0;
}

int pen_endpoint_parse(struct pen_endpoint *out, struct pen_span text, char sep, uint16_t port)
{
	struct pen_span host = text, rest = {0};
	int64_t n;

	out->port = port;
	if (text.n > 0 && text.p[0] == '[') {
		ptrdiff_t end = pen_span_find(text, ']');
		if (end < 0)
			return -EINVAL;
		host = pen_span(text.p + 1, (size_t)end - 1);
		rest = pen_span_from(text, (size_t)end + 1);
	} else {
		ptrdiff_t at = pen_span_find(text, (uint8_t)sep);
		// A bare IPv6 address has several colons and no port.
		if (at >= 0 && (sep != ':' || memchr(text.p + at + 1, ':',
						      text.n - (size_t)at - 1) == NULL)) {
			host = pen_span(text.p, (size_t)at);
			rest = pen_span_from(text, (size_t)at);
		}
	}
	if (pen_addr_parse(&out->addr, host) != 0)
		return -EINVAL;
	if (rest.n == 0)
		return 0;
	if (rest.p[0] != (uint8_t)sep)
		return -EINVAL;
	rest = pen_span_from(rest, 1);
	if (!parse_digits(&rest, 65535, &n) || rest.n > 0 || n == 0)
		return -EINVAL;
	out->port = (uint16_t)n;
	return 0;
}

static const char *duration_text(int64_t us, char *out, size_t cap)
{
	int64_t s = us / PEN_US_PER_S;

	if (s > 0 && s % 86400 == 0)
		snprintf(out, cap, "%" PRId64 "d", s / 86400);
	else if (s > 0 && s % 3600 == 0)
		snprintf(out, cap, "%" PRId64 "h", s / 3600);
	else
		snprintf(out, cap, "%" PRId64 "s", s);
	return out;
}

static int64_t unit_seconds(int unit)
{
	switch (unit) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 7 * 86400;
	default:
		return 0;
	}
}

static bool parse_duration(
	const struct pen_param_desc *d, struct pen_span s, int64_t *out, char *why, size_t cap)
{
	int64_t n, unit;
	char lo[32], hi[32];

	snprintf(why, cap, "a time from %s to %s: a number with s, m, h, d or w (none means %c)",
		duration_text(d->min, lo, sizeof(lo)), duration_text(d->max, hi, sizeof(hi)),
		d->unit);
	if (!parse_digits(&s, INT32_MAX, &n) || s.n > 1)
		return false;
	unit = unit_seconds(s.n == 1 ? tolower(s.p[0]) : d->unit);
	if (unit == 0)
		return false;
	*out = n * unit * PEN_US_PER_S;
	return *out >= d->min && *out <= d->max;
}

static bool parse_number(
	const struct pen_param_desc *d, struct pen_span s, int64_t *out, char *why, size_t cap)
{
	bool size = d->type == PEN_PARAM_SIZE;
	int shift = 0;

	snprintf(why, cap, "a number from %" PRId64 " to %" PRId64 "%s", d->min, d->max,
		size ? " (k, m and g may follow)" : "");
	if (!parse_digits(&s, INT64_MAX / 4, out))
		return false;
	if (size && s.n == 1) {
		switch (tolower(s.p[0])) {
		case 'k':
			shift = 10;
			break;
		case 'm':
			shift = 20;
			break;
		case 'g':
			shift = 30;
			break;
		default:
			return false;
		}
		s.n = 0;
	}
	if (s.n > 0 || *out > (INT64_MAX >> shift))
		return false;
	*out <<= shift;
	return *out >= d->min && *out <= d->max;
}

static bool parse_enum(
	const struct pen_param_desc *d, struct pen_span s, int *out, char *why, size_t cap)
{
	struct pen_span names = pen_span_cstr(d->names);
	size_t used = 0;

	why[0] = '\0';
	used += (size_t)snprintf(why, cap, "one of");
	for (int i = 0; names.n > 0; i++) {
		ptrdiff_t bar = pen_span_find(names, '|');
		struct pen_span name = pen_span(names.p, bar < 0 ? names.n : (size_t)bar);
		if (pen_span_ieq(name, s)) {
			*out = i;
			return true;
		}
		if (used < cap)
			used += (size_t)snprintf(why + used, cap - used, "%s %.*s",
				i > 0 ? "," : "", PEN_SPAN_ARG(name));
		names = pen_span_from(names, name.n + 1);
	}
	return false;
}

// list_next takes one item of a list separated by commas and white space.
static bool list_next(struct pen_span *rest, struct pen_span *item)
{
	static const char seps[] = ", \t\r\n";

	while (rest->n > 0 && memchr(seps, rest->p[0], sizeof(seps) - 1) != NULL)
		*rest = pen_span_from(*rest, 1);
	size_t n = 0;
	while (n < rest->n && memchr(seps, rest->p[n], sizeof(seps) - 1) == NULL)
		n++;
	*item = pen_span(rest->p, n);
	*rest = pen_span_from(*rest, n);
	return n > 0;
}

static bool parse_stub(struct pen_stub *out, struct pen_span item)
{
	ptrdiff_t eq = pen_span_find(item, '=');
	bool root = eq == 1 && item.p[0] == '.';

	if (eq <= 0 || eq > PEN_HOST_NAME_MAX)
		return false;
	struct pen_span zone = pen_span(item.p, (size_t)eq);
	if (!root && zone.p[zone.n - 1] == '.')
		zone.n--;
	if (!root && !pen_hostname_valid(zone))
		return false;
	memset(out->zone, 0, sizeof(out->zone));
	memcpy(out->zone, zone.p, zone.n);
	return pen_endpoint_parse(&out->server, pen_span_from(item, (size_t)eq + 1), '@', 53) == 0;
}

int pen_net_parse(struct pen_cidr *out, struct pen_span item)
{
	char plain[64];
	size_t n = 0;

	if (item.n >= sizeof(plain))
		return -EINVAL;
	for (size_t i = 0; i < item.n; i++) {
		if (item.p[i] != '[' && item.p[i] != ']')
			plain[n++] = (char)item.p[i];
	}
	return pen_cidr_parse(out, pen_span(plain, n), true);
}

static bool parse_item(const struct pen_param_desc *d, struct pen_span item, void *out)
{
	switch (d->type) {
	case PEN_PARAM_NETS:
		return pen_net_parse(out, item) == 0;
	case PEN_PARAM_ENDPOINTS:
		return pen_endpoint_parse(out, item, ':', d->port) == 0;
	case PEN_PARAM_SERVERS:
		return pen_endpoint_parse(out, item, '@', 53) == 0;
	default:
		return parse_stub(out, item);
	}
}

static const char *item_shape(const struct pen_param_desc *d, size_t *size)
{
	switch (d->type) {
	case PEN_PARAM_NETS:
		*size = sizeof(struct pen_cidr);
		return "a list of networks such as 10.0.0.0/8 or [2001:db8::]/32, host bits zero";
	case PEN_PARAM_ENDPOINTS:
		*size = sizeof(struct pen_endpoint);
		return "a list of address:port such as 127.0.0.1:25 or [::1]:25";
	case PEN_PARAM_SERVERS:
		*size = sizeof(struct pen_endpoint);
		return "a list of address@port such as 127.0.0.1@53";
	default:
		*size = sizeof(struct pen_stub);
		return "a list of zone=address@port such as example.test=127.0.0.1@5353";
	}
}

static bool parse_list(
	const struct pen_param_desc *d, struct pen_span rest, void *field, char *why, size_t cap)
{
	struct pen_param_nets *list = field; // all lists have this shape
	size_t size, n = 0;
	const char *shape = item_shape(d, &size);
	struct pen_span count = rest, item;

	while (list_next(&count, &item))
		n++;
	if (n > LIST_MAX) {
		snprintf(why, cap, "at most %d items", LIST_MAX);
		return false;
	}
	uint8_t *items = calloc(n > 0 ? n : 1, size);
	if (items == NULL) {
		snprintf(why, cap, "out of memory");
		return false;
	}
	for (size_t i = 0; list_next(&rest, &item); i++) {
		if (!parse_item(d, item, items + i * size)) {
			snprintf(why, cap, "%s; \"%.*s\" is none", shape,
				(int)(item.n < 80 ? item.n : 80), (const char *)item.p);
			free(items);
			return false;
		}
	}
	free(list->item);
	list->item = (void *)items;
	list->n = n;
	return true;
}

static bool parse_string(
	const struct pen_param_desc *d, const char *value, char **field, char *why, size_t cap)
{
	if (d->type == PEN_PARAM_HOST && !pen_hostname_valid(pen_span_cstr(value))) {
		snprintf(why, cap,
			"a host name: letters, digits and \"-\" in labels joined by \".\"");
		return false;
	}
	char *copy = strdup(value);
	if (copy == NULL) {
		snprintf(why, cap, "out of memory");
		return false;
	}
	free(*field);
	*field = copy;
	return true;
}

bool pen_param_parse(struct pen_params *p, const struct pen_param_desc *desc, const char *value,
	char *why, size_t cap)
{
	void *field = (char *)p + desc->offset;
	struct pen_span s = pen_span_cstr(value);
	int64_t number;
	int index;

	switch (desc->type) {
	case PEN_PARAM_STR:
	case PEN_PARAM_HOST:
		return parse_string(desc, value, field, why, cap);
	case PEN_PARAM_BOOL:
		snprintf(why, cap, "yes or no");
		if (!pen_span_ieq(s, PEN_SPAN_LIT("yes")) && !pen_span_ieq(s, PEN_SPAN_LIT("no")))
			return false;
		*(bool *)field = s.n == 3;
		return true;
	case PEN_PARAM_INT:
	case PEN_PARAM_SIZE:
		if (!parse_number(desc, s, &number, why, cap))
			return false;
		*(int64_t *)field = number;
		return true;
	case PEN_PARAM_DURATION:
		if (!parse_duration(desc, s, &number, why, cap))
			return false;
		*(pen_time_us *)field = number;
		return true;
	case PEN_PARAM_ENUM:
		if (!parse_enum(desc, s, &index, why, cap))
			return false;
		*(int *)field = index;
		return true;
	default:
		return parse_list(desc, s, field, why, cap);
	}
}

void pen_param_free(struct pen_params *p, const struct pen_param_desc *desc)
{
	void *field = (char *)p + desc->offset;

	switch (desc->type) {
	case PEN_PARAM_STR:
	case PEN_PARAM_HOST:
		free(*(char **)field);
		break;
	case PEN_PARAM_NETS:
	case PEN_PARAM_ENDPOINTS:
	case PEN_PARAM_SERVERS:
	case PEN_PARAM_STUBS:
		free(((struct pen_param_nets *)field)->item);
		break;
	default:
		break;
	}
}
