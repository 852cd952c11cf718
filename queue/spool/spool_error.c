// SPDX-License-Identifier: BSD-3-Clause
#include "spool_error.h"

#include "spool_record.h"

#include <errno.h>

uint16_t spool_error_size(const struct pen_dsn *d)
{
	return d != NULL ? (uint16_t)(SPOOL_ERROR_FIXED + d->text_len) : 0;
}

uint8_t *spool_error_encode(uint8_t *p, const struct pen_dsn *d)
{
	if (d == NULL)
		return p;
	p[0] = d->klass;
	p[1] = d->scope;
	p[2] = d->origin;
	p[3] = d->stage;
	put16(p + 4, d->subject);
	put16(p + 6, d->detail);
	put16(p + 8, d->reply);
	put16(p + 10, d->text_len);
	memcpy(p + SPOOL_ERROR_FIXED, d->text, d->text_len);
	return p + SPOOL_ERROR_FIXED + d->text_len;
}

uint16_t spool_note_size(const struct pen_note *n)
{
	return n != NULL ? (uint16_t)(SPOOL_ERROR_FIXED + n->text_len) : 0;
}

uint8_t *spool_note_encode(uint8_t *p, const struct pen_note *n)
{
	struct pen_dsn d;

	if (n == NULL)
		return p;
	pen_note_to_dsn(n, &d);
	return spool_error_encode(p, &d);
}

bool spool_error_sane(const uint8_t *p, uint32_t n)
{
	return n == 0 || (n >= SPOOL_ERROR_FIXED && n == SPOOL_ERROR_FIXED + get16(p + 10) &&
				 get16(p + 10) < PEN_DSN_TEXT_MAX);
}

int spool_error_decode(const uint8_t *p, uint32_t n, const struct pen_note **to)
{
	struct pen_dsn d;

	if (n == 0)
		return 0;
	d.klass = p[0];
	d.scope = p[1];
	d.origin = p[2];
	d.stage = p[3] < PEN_STAGE_COUNT ? p[3] : PEN_STAGE_NONE;
	d.subject = get16(p + 4);
	d.detail = get16(p + 6);
	d.reply = get16(p + 8);
	d.text_len = get16(p + 10);
	memcpy(d.text, p + SPOOL_ERROR_FIXED, d.text_len);
	d.text[d.text_len] = '\0';
	const struct pen_note *note = pen_note_get(&d, "", 0);
	if (note == NULL)
		return -ENOMEM;
	pen_note_put(*to);
	*to = note;
	return 0;
}
