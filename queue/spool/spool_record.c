// SPDX-License-Identifier: BSD-3-Clause
#include "spool_record.h"

#include "pen_crc32c.h"

static bool version_known(uint8_t type, uint8_t version)
{
	return version == SPOOL_VERSION || version == SPOOL_VERSION_ATTR ||
	       (version == SPOOL_VERSION_DSN && type != SPOOL_UPDATE);
}

static bool record_begin(const uint8_t *p, size_t room, struct spool_record *out)
{
	if (room < SPOOL_RECORD_HEADER || get32(p) != SPOOL_RECORD_MAGIC)
		return false;
	out->p = p;
	out->length = get32(p + 8);
	out->type = p[12];
	out->epoch = get64(p + 16);
	out->id = get64(p + 24);
	return out->length >= SPOOL_RECORD_HEADER && out->length <= room;
}

bool spool_record_parse_meta(const uint8_t *p, size_t room, struct spool_record *out)
{
	if (!record_begin(p, room, out) || !version_known(p[12], p[13]) || out->id == 0)
		return false;
	if (out->type == SPOOL_UPDATE)
		return out->length >= SPOOL_UPDATE_FIXED;
	return (out->type == SPOOL_MESSAGE || out->type == SPOOL_META) &&
	       out->length >= SPOOL_MESSAGE_FIXED;
}

bool spool_record_parse(const uint8_t *p, size_t room, uint64_t epoch, struct spool_record *out)
{
	return spool_record_parse_meta(p, room, out) && out->epoch == epoch &&
	       get32(p + 4) == pen_crc32c(0, p + 8, out->length - 8);
}

bool spool_record_newer(const uint8_t *p, size_t room, uint64_t epoch, struct spool_record *out)
{
	return record_begin(p, room, out) && p[13] > SPOOL_VERSION_ATTR && out->epoch == epoch &&
	       get32(p + 4) == pen_crc32c(0, p + 8, out->length - 8);
}

uint64_t spool_record_guess(const uint8_t *p, size_t n, uint64_t epoch)
{
	bool header = n >= SPOOL_RECORD_HEADER && get32(p) == SPOOL_RECORD_MAGIC &&
		      get64(p + 16) == epoch;

	return header ? get64(p + 24) : 0;
}

void spool_record_header(uint8_t *p, uint8_t type, uint64_t length, uint64_t id)
{
	memset(p, 0, SPOOL_RECORD_HEADER);
	put32(p, SPOOL_RECORD_MAGIC);
	put32(p + 8, (uint32_t)length);
	p[12] = type;
	p[13] = SPOOL_VERSION;
	put64(p + 24, id);
}

void spool_record_seal(uint8_t *p, uint64_t epoch)
{
	put64(p + 16, epoch);
	put32(p + 4, pen_crc32c(0, p + 8, get32(p + 8) - 8));
}

bool spool_record_sane(const struct spool_record *r)
{
	return r->type == SPOOL_UPDATE ? spool_update_sane(r) : spool_message_sane(r);
}
