// SPDX-License-Identifier: BSD-3-Clause
#include "x_headers.h"

#include "header_field.h"
#include "send_schedule.h"

#include <stdio.h>

static void fault(struct x_headers *x, const struct header_field *f, const char *what)
{
	int n = f->value.n < 100 ? (int)f->value.n : 100;
	int m = f->name.n < 60 ? (int)f->name.n : 60;

	snprintf(x->why, sizeof(x->why), "%.*s: %.*s: %s", m, (const char *)f->name.p, n,
		(const char *)f->value.p, what);
	for (char *p = x->why; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~')
			*p = '?';
	}
}

static void take_name(struct x_headers *x, const struct header_field *f, struct pen_span *to)
{
	if (to->n > 0)
		fault(x, f, "the field stands twice");
	else if (!pen_class_name_valid(f->value))
		fault(x, f, "accepted is a name of at most 63 letters, digits and . _ - @ +");
	else
		*to = f->value;
}

static void take_priority(struct x_headers *x, const struct header_field *f)
{
	static const struct {
		struct pen_span word;
		enum pen_priority value;
	} words[] = {{PEN_SPAN_LIT("high"), PEN_PRIORITY_HIGH},
		{PEN_SPAN_LIT("normal"), PEN_PRIORITY_NORMAL},
		{PEN_SPAN_LIT("low"), PEN_PRIORITY_LOW}};

	if (x->priority_text.n > 0) {
		fault(x, f, "the field stands twice");
		return;
	}
	x->priority_text = f->value;
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (pen_span_ieq(f->value, words[i].word)) {
			x->priority = words[i].value;
			return;
		}
	}
	fault(x, f, "accepted is high, normal or low");
}

static void take_schedule(struct x_headers *x, const struct header_field *f, pen_wall_us now)
{
	char why[SEND_SCHEDULE_WHY_MAX];

	if (x->scheduled)
		fault(x, f, "the field stands twice");
	else if (!send_schedule_parse(f->value, now, &x->extra, why))
		fault(x, f, why);
	x->scheduled = true;
}

enum our_field { TENANT, CAMPAIGN, POOL, PRIORITY, SCHEDULE, OUR_FIELDS };

static const struct pen_span field_names[OUR_FIELDS] = {
	[TENANT] = PEN_SPAN_LIT("X-Penstock-Tenant"),
	[CAMPAIGN] = PEN_SPAN_LIT("X-Penstock-Campaign"),
	[POOL] = PEN_SPAN_LIT("X-Penstock-Pool"),
	[PRIORITY] = PEN_SPAN_LIT("X-Penstock-Priority"),
	[SCHEDULE] = PEN_SPAN_LIT("X-Penstock-Schedule"),
};

// OUR_FIELDS: it is none of them.
static enum our_field which(struct pen_span name)
{
	enum our_field i = 0;

	while (i < OUR_FIELDS && !pen_span_ieq(name, field_names[i]))
		i++;
	return i;
}

void x_headers_scan(struct pen_span block, pen_wall_us now, struct x_headers *out)
{
	struct header_field f;

	*out = (struct x_headers){.priority = PEN_PRIORITY_NORMAL};
	while (out->why[0] == '\0' && header_field_next(&block, &f)) {
		enum our_field field = which(f.name);
		out->any = out->any || field != OUR_FIELDS;
		switch (field) {
		case TENANT:
			take_name(out, &f, &out->tenant);
			break;
		case CAMPAIGN:
			take_name(out, &f, &out->campaign);
			break;
		case POOL:
			take_name(out, &f, &out->pool);
			break;
		case PRIORITY:
			take_priority(out, &f);
			break;
		case SCHEDULE:
			take_schedule(out, &f, now);
			break;
		case OUR_FIELDS:
			break;
		}
	}
}

void x_headers_strip(struct pen_span block, struct pen_buf *out)
{
	struct header_field f;

	while (header_field_next(&block, &f)) {
		if (which(f.name) == OUR_FIELDS)
			pen_buf_add_span(out, f.whole);
	}
}
