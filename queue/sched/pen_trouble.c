// SPDX-License-Identifier: BSD-3-Clause
#include "pen_trouble.h"

#include <stdio.h>

enum pen_verdict pen_trouble_judge(
	const struct pen_dsn *d, enum pen_trouble_source source, bool soft_bounce)
{
	// A route may end in success too: mail that is to be discarded.
	if (d->klass == 2 && source != PEN_TROUBLE_LEASE)
		return PEN_VERDICT_DELIVERED;
	if (d->klass != 5 || soft_bounce)
		return PEN_VERDICT_RETRY;
	switch (source) {
	case PEN_TROUBLE_ROUTE:
		return PEN_VERDICT_BOUNCE;
	case PEN_TROUBLE_DELIVERY:
		// A session that dies with a 5xx (521, "go away") takes its
		// recipients with it without having judged them.
		if (d->scope == PEN_SCOPE_RECIPIENT || d->scope == PEN_SCOPE_MESSAGE)
			return PEN_VERDICT_BOUNCE;
		return PEN_VERDICT_RETRY;
	case PEN_TROUBLE_LEASE:
		return PEN_VERDICT_RETRY;
	}
	return PEN_VERDICT_RETRY;
}

void pen_trouble_demote(struct pen_dsn *d)
{
	if (d->klass == 5)
		d->klass = 4;
}

enum pen_site_effect pen_trouble_site_effect(
	const struct pen_lease *l, uint32_t handled, uint32_t untried)
{
	if (!l->ready)
		return PEN_SITE_UNREACHABLE;
	if (handled > 0 || (pen_dsn_ok(&l->result) && untried == 0))
		return PEN_SITE_OK;
	return PEN_SITE_LOST;
}

const char *pen_trouble_status(const struct pen_dsn *d, char out[PEN_STATUS_STR_MAX])
{
	snprintf(
		out, PEN_STATUS_STR_MAX, "%u.%u.%u", d->klass, d->subject % 1000, d->detail % 1000);
	return out;
}

// The reply as the server gave it. Some texts carry the code already.
static int put_reply(const struct pen_dsn *d, char *out, size_t cap)
{
	char code[8], status[PEN_STATUS_STR_MAX];
	uint8_t k;
	uint16_t a, b;

	snprintf(code, sizeof(code), "%03u", d->reply % 1000u);
	if (strncmp(d->text, code, 3) == 0 && (d->text[3] == ' ' || d->text[3] == '\0'))
		return snprintf(out, cap, "%s", d->text);
	if (pen_dsn_parse_status(pen_span(d->text, d->text_len), &k, &a, &b) != 0)
		return snprintf(out, cap, "%s %s", code, d->text);
	return snprintf(out, cap, "%s %s%s%s", code, pen_trouble_status(d, status),
		d->text_len > 0 ? " " : "", d->text);
}

static size_t make_printable(char *out, size_t cap, int n)
{
	size_t len = n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap - 1;

	for (size_t i = 0; i < len; i++) {
		if ((unsigned char)out[i] < ' ' || (unsigned char)out[i] > 126)
			out[i] = '?';
	}
	return len;
}

size_t pen_trouble_reply(const struct pen_dsn *d, char *out, size_t cap)
{
	return make_printable(out, cap, put_reply(d, out, cap));
}

size_t pen_trouble_text(const struct pen_dsn *d, const char *relay, char *out, size_t cap)
{
	char reply[PEN_DSN_TEXT_MAX + 32];
	int n;

	if (d->origin != PEN_ORIGIN_PEER || d->reply == 0) {
		n = snprintf(out, cap, "%s", d->text);
	} else if (d->klass == 2) {
		n = put_reply(d, out, cap);
	} else {
		put_reply(d, reply, sizeof(reply));
		n = snprintf(
			out, cap, "host %s said: %s", relay[0] != '\0' ? relay : "unknown", reply);
		if (d->stage != PEN_STAGE_NONE && n > 0 && (size_t)n < cap)
			n += snprintf(out + n, cap - (size_t)n, " (in reply to %s%s)",
				pen_smtp_stage_name(d->stage),
				d->stage == PEN_STAGE_DOT || d->stage == PEN_STAGE_GREETING
					? ""
					: " command");
	}
	return make_printable(out, cap, n);
}
