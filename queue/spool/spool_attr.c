// SPDX-License-Identifier: BSD-3-Clause
#include "spool_attr.h"

#include "spool_record.h"

#include <errno.h>
#include <stdlib.h>

// What stands in a char array of a fixed size, without a NUL when it is full.
static uint32_t text_len(const char *p, size_t cap)
{
	return (uint32_t)strnlen(p, cap - 1);
}

uint32_t spool_attr_size(const struct pen_mail_class *klass, const struct pen_message_extra *extra)
{
	uint32_t n = SPOOL_ATTR_FIXED;

	if (klass != NULL)
		n += (uint32_t)(klass->tenant.n + klass->campaign.n + klass->pool.n);
	if (extra != NULL)
		n += SPOOL_ATTR_EXTRA + text_len(extra->window.zone, sizeof(extra->window.zone)) +
		     text_len(extra->route, sizeof(extra->route));
	return n;
}

static uint8_t *put_bytes(uint8_t *at, const void *p, size_t n)
{
	if (n > 0)
		memcpy(at, p, n);
	return at + n;
}

static uint8_t *extra_encode(uint8_t *p, const struct pen_message_extra *x)
{
	uint32_t zone = text_len(x->window.zone, sizeof(x->window.zone));
	uint32_t route = text_len(x->route, sizeof(x->route));

	put64(p, (uint64_t)x->not_before);
	put64(p + 8, (uint64_t)x->not_after);
	put16(p + 16, x->window.from);
	put16(p + 18, x->window.to);
	p[20] = x->window.days;
	p[21] = (uint8_t)zone;
	p[22] = (uint8_t)route;
	p[23] = 0;
	p[24] = (uint8_t)x->verp[0];
	p[25] = (uint8_t)x->verp[1];
	p[26] = p[27] = 0;
	return put_bytes(put_bytes(p + SPOOL_ATTR_EXTRA, x->window.zone, zone), x->route, route);
}

uint8_t *spool_attr_encode(
	uint8_t *p, const struct pen_mail_class *klass, const struct pen_message_extra *extra)
{
	uint8_t *at = p + SPOOL_ATTR_FIXED;

	memset(p, 0, SPOOL_ATTR_FIXED);
	put16(p, (uint16_t)spool_attr_size(klass, extra));
	if (klass != NULL) {
		p[2] |= SPOOL_ATTR_CLASS;
		p[3] = klass->priority;
		p[4] = (uint8_t)klass->tenant.n;
		p[5] = (uint8_t)klass->campaign.n;
		p[6] = (uint8_t)klass->pool.n;
		at = put_bytes(at, klass->tenant.p, klass->tenant.n);
		at = put_bytes(at, klass->campaign.p, klass->campaign.n);
		at = put_bytes(at, klass->pool.p, klass->pool.n);
	}
	if (extra != NULL) {
		p[2] |= SPOOL_ATTR_HAS_EXTRA;
		at = extra_encode(at, extra);
	}
	return at;
}

uint32_t spool_attr_parse(const uint8_t *p, size_t room)
{
	if (room < SPOOL_ATTR_FIXED)
		return 0;
	uint32_t n = get16(p), at = SPOOL_ATTR_FIXED + (uint32_t)p[4] + p[5] + p[6];
	if (n > room || p[4] > PEN_CLASS_NAME_MAX || p[5] > PEN_CLASS_NAME_MAX ||
		p[6] > PEN_CLASS_NAME_MAX)
		return 0;
	if (p[2] & SPOOL_ATTR_HAS_EXTRA) {
		if (at + SPOOL_ATTR_EXTRA > n)
			return 0;
		const uint8_t *x = p + at;
		if (x[21] >= sizeof(((struct pen_send_window *)0)->zone) ||
			x[22] >= sizeof(((struct pen_message_extra *)0)->route))
			return 0;
		at += SPOOL_ATTR_EXTRA + (uint32_t)x[21] + x[22];
	}
	return at == n ? n : 0;
}

static void class_apply(const uint8_t *p, struct pen_message *m)
{
	struct pen_span tenant = pen_span(p + SPOOL_ATTR_FIXED, p[4]);
	struct pen_span campaign = pen_span(tenant.p + tenant.n, p[5]);
	struct pen_span pool = pen_span(campaign.p + campaign.n, p[6]);
	const struct pen_mail_class *k = pen_mail_class_get(tenant, campaign, pool, p[3]);

	// Names that an older program took and this one would not: the mail goes on
	// without them.
	if (k == NULL)
		return;
	pen_mail_class_put(m->klass);
	m->klass = k;
}

bool spool_extra_empty(const struct pen_message_extra *x)
{
	return x->not_before == 0 && x->not_after == 0 && x->window.days == 0 &&
	       x->verp[0] == '\0' && x->route[0] == '\0';
}

int spool_attr_apply(const uint8_t *p, struct pen_message *m)
{
	if (p[2] & SPOOL_ATTR_CLASS)
		class_apply(p, m);
	if (!(p[2] & SPOOL_ATTR_HAS_EXTRA))
		return 0;
	const uint8_t *from = p + SPOOL_ATTR_FIXED + p[4] + p[5] + p[6];
	struct pen_message_extra x = {.not_before = (pen_wall_us)get64(from),
		.not_after = (pen_wall_us)get64(from + 8),
		.window = {.from = get16(from + 16), .to = get16(from + 18), .days = from[20]},
		.verp = {(char)from[24], (char)from[25]}};
	memcpy(x.window.zone, from + SPOOL_ATTR_EXTRA, from[21]);
	memcpy(x.route, from + SPOOL_ATTR_EXTRA + from[21], from[22]);
	if (spool_extra_empty(&x)) {
		free(m->extra);
		m->extra = NULL;
		return 0;
	}
	if (m->extra == NULL && (m->extra = malloc(sizeof(*m->extra))) == NULL)
		return -ENOMEM;
	*m->extra = x;
	return 0;
}
