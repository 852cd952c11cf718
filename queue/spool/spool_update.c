// SPDX-License-Identifier: BSD-3-Clause
#include "spool_record.h"

#include "spool_attr.h"
#include "spool_error.h"

#include <errno.h>

static uint8_t update_version(const struct pen_message_update *u)
{
	bool attr = u->klass != NULL || u->extra != NULL;

	for (uint32_t i = 0; i < u->nchanges && !attr; i++)
		attr = u->change[i].doubts != 0;
	return attr ? SPOOL_VERSION_ATTR : SPOOL_VERSION;
}

uint64_t spool_update_size(const struct pen_message_update *u)
{
	uint64_t n = SPOOL_UPDATE_FIXED + (uint64_t)u->nchanges * SPOOL_CHANGE_SIZE +
		     spool_error_size(u->last_error);

	if (update_version(u) == SPOOL_VERSION_ATTR)
		n += spool_attr_size(u->klass, u->extra);
	return n <= INT32_MAX ? n : 0;
}

void spool_update_encode(
	uint8_t *p, const struct pen_message_update *u, const struct spool_place *prev)
{
	spool_record_header(p, SPOOL_UPDATE, spool_update_size(u), u->id);
	p[13] = update_version(u);
	put64(p + 32, (uint64_t)u->next_attempt);
	put32(p + 40, u->flags);
	put32(p + 44, u->nchanges);
	spool_update_set_prev(p, prev);
	p[64] = u->removed;
	p[65] = 0;
	put16(p + 66, spool_error_size(u->last_error));
	put32(p + 68, (uint32_t)((u->doubt_due + PEN_US_PER_S - 1) / PEN_US_PER_S));
	uint8_t *at = p + SPOOL_UPDATE_FIXED;
	for (uint32_t i = 0; i < u->nchanges; i++, at += SPOOL_CHANGE_SIZE) {
		put32(at, u->change[i].index);
		at[4] = u->change[i].fate;
		at[5] = u->change[i].doubts;
		put16(at + 6, u->change[i].attempts);
	}
	if (p[13] == SPOOL_VERSION_ATTR)
		at = spool_attr_encode(at, u->klass, u->extra);
	spool_error_encode(at, u->last_error);
}

// Where the attributes of an UPDATE are, and how long; 0: none, or bad.
static uint32_t update_attr(const struct spool_record *r, uint64_t *at)
{
	*at = SPOOL_UPDATE_FIXED + (uint64_t)get32(r->p + 44) * SPOOL_CHANGE_SIZE;
	if (spool_record_version(r) != SPOOL_VERSION_ATTR || *at > r->length)
		return 0;
	return spool_attr_parse(r->p + *at, r->length - *at);
}

bool spool_update_sane(const struct spool_record *r)
{
	uint32_t error_len = get16(r->p + 66);
	uint64_t at;

	if (r->type != SPOOL_UPDATE)
		return false;
	uint32_t attr = update_attr(r, &at);
	if (attr == 0 && spool_record_version(r) == SPOOL_VERSION_ATTR)
		return false;
	at += attr;
	return at + error_len == r->length && spool_error_sane(r->p + at, error_len);
}

bool spool_update_removed(const struct spool_record *r)
{
	return r->p[64] != 0;
}

struct spool_place spool_update_prev(const struct spool_record *r)
{
	return (struct spool_place){get32(r->p + 56), get32(r->p + 60), get64(r->p + 48)};
}

void spool_update_set_prev(uint8_t *p, const struct spool_place *prev)
{
	put64(p + 48, prev->epoch);
	put32(p + 56, prev->slot);
	put32(p + 60, prev->off);
}

// With extra there.
static void update_dues(const struct spool_record *r, struct pen_message *m)
{
	const uint8_t *at = r->p + SPOOL_UPDATE_FIXED;
	pen_wall_us due = (pen_wall_us)get32(r->p + 68) * PEN_US_PER_S;

	if (due == 0)
		return;
	for (uint32_t n = get32(r->p + 44); n > 0; n--, at += SPOOL_CHANGE_SIZE) {
		uint32_t index = get32(at);
		if (index < m->nrcpt && m->rcpt[index].doubts > 0 &&
			m->rcpt[index].fate == PEN_FATE_QUEUED)
			spool_due_set(m, &m->rcpt[index], due);
	}
}

int spool_update_apply(const struct spool_record *r, struct pen_message *m)
{
	const uint8_t *at = r->p + SPOOL_UPDATE_FIXED;
	uint64_t attr_at;
	uint32_t attr = update_attr(r, &attr_at);

	m->next_attempt = (pen_wall_us)get64(r->p + 32);
	m->flags = get32(r->p + 40);
	for (uint32_t n = get32(r->p + 44); n > 0; n--, at += SPOOL_CHANGE_SIZE) {
		uint32_t index = get32(at);
		if (index >= m->nrcpt || at[4] > PEN_FATE_DELETED)
			continue;
		m->rcpt[index].fate = at[4];
		m->rcpt[index].doubts = spool_record_version(r) == SPOOL_VERSION_ATTR ? at[5] : 0;
		m->rcpt[index].attempts = get16(at + 6);
	}
	if (attr > 0 && spool_attr_apply(r->p + attr_at, m) != 0)
		return -ENOMEM;
	update_dues(r, m);
	return spool_error_decode(at + attr, get16(r->p + 66), &m->last_error);
}
