// SPDX-License-Identifier: BSD-3-Clause
#include "spool_record.h"

#include "pen_crc32c.h"
#include "spool_attr.h"

#include <errno.h>
#include <stdlib.h>

// Segment header, batch header and trailer: magic, checksum of what follows it.
static void block_seal(uint8_t *p, uint32_t magic, size_t n)
{
	put32(p, magic);
	put32(p + 4, pen_crc32c(0, p + 8, n - 8));
}

static bool block_check(const uint8_t *p, uint32_t magic, size_t n)
{
	return get32(p) == magic && get32(p + 4) == pen_crc32c(0, p + 8, n - 8);
}

void spool_segment_header_encode(uint8_t block[SPOOL_BLOCK], const struct spool_segment_header *h)
{
	memset(block, 0, SPOOL_BLOCK);
	put32(block + 8, SPOOL_VERSION);
	put64(block + 16, h->segment_bytes);
	put64(block + 24, h->epoch);
	put64(block + 32, h->low_epoch);
	put64(block + 40, h->high_id);
	put64(block + 48, h->prev_epoch);
	put64(block + 56, h->prev_end);
	block_seal(block, SPOOL_SEGMENT_MAGIC, 64);
}

bool spool_segment_header_decode(const uint8_t *block, struct spool_segment_header *h)
{
	if (!block_check(block, SPOOL_SEGMENT_MAGIC, 64) || get32(block + 8) != SPOOL_VERSION)
		return false;
	h->segment_bytes = get64(block + 16);
	h->epoch = get64(block + 24);
	h->low_epoch = get64(block + 32);
	h->high_id = get64(block + 40);
	h->prev_epoch = get64(block + 48);
	h->prev_end = get64(block + 56);
	return h->epoch != 0;
}

void spool_batch_header_encode(uint8_t *p, const struct spool_batch_header *h)
{
	memset(p, 0, SPOOL_BATCH_HEADER);
	put64(p + 8, h->epoch);
	put64(p + 16, h->low_epoch);
	put64(p + 24, h->high_id);
	put32(p + 32, h->number);
	put32(p + 36, h->length);
	put32(p + 40, h->records);
	block_seal(p, SPOOL_BATCH_MAGIC, SPOOL_BATCH_HEADER);
}

bool spool_batch_header_decode(const uint8_t *p, struct spool_batch_header *h)
{
	if (!block_check(p, SPOOL_BATCH_MAGIC, SPOOL_BATCH_HEADER))
		return false;
	h->epoch = get64(p + 8);
	h->low_epoch = get64(p + 16);
	h->high_id = get64(p + 24);
	h->number = get32(p + 32);
	h->length = get32(p + 36);
	h->records = get32(p + 40);
	return h->length >= SPOOL_BATCH_HEADER && h->epoch != 0;
}

void spool_trailer_encode(uint8_t block[SPOOL_BLOCK], const struct spool_trailer *t)
{
	memset(block, 0, SPOOL_BLOCK);
	put32(block + 8, SPOOL_VERSION);
	put64(block + 16, t->epoch);
	put64(block + 24, t->low_epoch);
	put64(block + 32, t->high_id);
	put64(block + 40, t->end);
	put32(block + 48, t->foot_off);
	put32(block + 52, t->foot_len);
	put32(block + 56, t->foot_crc);
	block_seal(block, SPOOL_TRAILER_MAGIC, 64);
}

bool spool_trailer_decode(const uint8_t *block, struct spool_trailer *t)
{
	if (!block_check(block, SPOOL_TRAILER_MAGIC, 64) || get32(block + 8) != SPOOL_VERSION)
		return false;
	t->epoch = get64(block + 16);
	t->low_epoch = get64(block + 24);
	t->high_id = get64(block + 32);
	t->end = get64(block + 40);
	t->foot_off = get32(block + 48);
	t->foot_len = get32(block + 52);
	t->foot_crc = get32(block + 56);
	return t->epoch != 0;
}

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

uint32_t spool_segment_header_newer(const uint8_t *block)
{
	return block_check(block, SPOOL_SEGMENT_MAGIC, 64) && get32(block + 8) > SPOOL_VERSION
		       ? get32(block + 8)
		       : 0;
}

void spool_record_seal(uint8_t *p, uint64_t epoch)
{
	put64(p + 16, epoch);
	put32(p + 4, pen_crc32c(0, p + 8, get32(p + 8) - 8));
}

static void record_header(uint8_t *p, uint8_t type, uint64_t length, uint64_t id)
{
	memset(p, 0, SPOOL_RECORD_HEADER);
	put32(p, SPOOL_RECORD_MAGIC);
	put32(p + 8, (uint32_t)length);
	p[12] = type;
	p[13] = SPOOL_VERSION;
	put64(p + 24, id);
}

static uint16_t error_size(const struct pen_dsn *d)
{
	return d != NULL ? (uint16_t)(SPOOL_ERROR_FIXED + d->text_len) : 0;
}

static uint8_t *error_encode(uint8_t *p, const struct pen_dsn *d)
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

static bool error_sane(const uint8_t *p, uint32_t n)
{
	return n == 0 || (n >= SPOOL_ERROR_FIXED && n == SPOOL_ERROR_FIXED + get16(p + 10) &&
				 get16(p + 10) < PEN_DSN_TEXT_MAX);
}

// Replaces *to by the error at p; leaves it when n is 0.
static int error_decode(const uint8_t *p, uint32_t n, const struct pen_note **to)
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

static uint16_t note_size(const struct pen_note *n)
{
	return n != NULL ? (uint16_t)(SPOOL_ERROR_FIXED + n->text_len) : 0;
}

static uint8_t *note_encode(uint8_t *p, const struct pen_note *n)
{
	struct pen_dsn d;

	if (n == NULL)
		return p;
	pen_note_to_dsn(n, &d);
	return error_encode(p, &d);
}

static bool has_attr(const struct pen_message *m)
{
	bool any = m->klass != &pen_mail_class_none || m->extra != NULL;

	for (uint32_t i = 0; i < m->nrcpt && !any; i++)
		any = m->rcpt[i].doubts != 0;
	return any;
}

// The least version that holds all of it: plain mail, nearly all there is, is
// written as version 1 wrote it.
static uint8_t message_version(const struct pen_message *m)
{
	if (has_attr(m))
		return SPOOL_VERSION_ATTR;
	bool dsn = m->envid_len > 0;
	for (uint32_t i = 0; i < m->nrcpt && !dsn; i++)
		dsn = m->rcpt[i].orcpt_len > 0 || m->rcpt[i].notify != 0;
	return dsn ? SPOOL_VERSION_DSN : SPOOL_VERSION;
}

static uint32_t rcpt_fixed(uint8_t version)
{
	return version == SPOOL_VERSION       ? SPOOL_RCPT_FIXED
	       : version == SPOOL_VERSION_DSN ? SPOOL_RCPT_FIXED_DSN
					      : SPOOL_RCPT_FIXED_ATTR;
}

uint64_t spool_message_size(const struct pen_message *m, uint32_t content_len)
{
	uint8_t version = message_version(m);
	uint64_t n = SPOOL_MESSAGE_FIXED + m->sender_len + m->envid_len + note_size(m->last_error) +
		     (uint64_t)m->nrcpt * rcpt_fixed(version) + content_len;

	if (version == SPOOL_VERSION_ATTR)
		n += spool_attr_size(m->klass, m->extra);
	for (uint32_t i = 0; i < m->nrcpt; i++)
		n += m->rcpt[i].addr_len + m->rcpt[i].orcpt_len;
	return n <= INT32_MAX ? n : 0;
}

uint64_t spool_message_growth(uint32_t nrcpt)
{
	return SPOOL_ERROR_FIXED + PEN_DSN_TEXT_MAX + SPOOL_ATTR_MAX +
	       (uint64_t)nrcpt * (SPOOL_RCPT_FIXED_ATTR - SPOOL_RCPT_FIXED);
}

static uint8_t *span_encode(uint8_t *at, struct pen_span s)
{
	if (s.n > 0)
		memcpy(at, s.p, s.n);
	return at + s.n;
}

// When a recipient in doubt is tried again, in a byte: 0 not known, otherwise one more
// than the units after the message's next attempt, rounded up.
#define DUE_UNIT (300 * PEN_US_PER_S)
#define DUE_END (PEN_DUE_NEVER - 1) // of what can be said in seconds

static uint8_t due_encode(const struct pen_message *m, const struct pen_recipient *r)
{
	if (r->doubts == 0 || r->due == 0 || r->due >= DUE_END)
		return 0;
	pen_wall_us wait = pen_message_birth(m) + (pen_wall_us)r->due * PEN_US_PER_S;
	wait -= m->next_attempt;
	if (wait <= 0)
		return 1;
	return wait < 254 * DUE_UNIT ? (uint8_t)(1 + (wait + DUE_UNIT - 1) / DUE_UNIT) : 0;
}

static void due_set(const struct pen_message *m, struct pen_recipient *r, pen_wall_us at)
{
	pen_wall_us since = at - pen_message_birth(m);
	int64_t seconds = since > 0 ? (since + PEN_US_PER_S - 1) / PEN_US_PER_S : 1;

	r->due = (uint32_t)(seconds < DUE_END ? seconds : DUE_END - 1) & PEN_DUE_NEVER;
}

static uint8_t *rcpt_encode(
	uint8_t *at, const struct pen_message *m, const struct pen_recipient *r, uint8_t version)
{
	put16(at, r->addr_len);
	at[2] = r->fate;
	at[3] = version != SPOOL_VERSION ? r->notify : 0;
	put16(at + 4, r->attempts);
	if (version == SPOOL_VERSION)
		return span_encode(at + SPOOL_RCPT_FIXED, pen_recipient_addr(r));
	put16(at + 6, r->orcpt_len);
	if (version == SPOOL_VERSION_ATTR) {
		at[8] = r->doubts;
		at[9] = due_encode(m, r);
	}
	return span_encode(span_encode(at + rcpt_fixed(version), pen_recipient_addr(r)),
		pen_recipient_orcpt(r));
}

void spool_message_encode(uint8_t *p, const struct pen_message *m, const uint8_t *content)
{
	uint8_t version = message_version(m);

	record_header(p, SPOOL_MESSAGE, spool_message_size(m, m->content_len), m->id);
	p[13] = version;
	if (version != SPOOL_VERSION)
		put16(p + 14, m->envid_len);
	put64(p + 32, (uint64_t)m->arrival);
	put64(p + 40, (uint64_t)m->next_attempt);
	put32(p + 48, m->flags);
	put32(p + 52, m->nrcpt);
	put32(p + 56, m->content_len);
	put16(p + 60, m->sender_len);
	put16(p + 62, note_size(m->last_error));
	uint8_t *at = span_encode(p + SPOOL_MESSAGE_FIXED, pen_message_sender(m));
	at = span_encode(at, pen_message_envid(m));
	if (version == SPOOL_VERSION_ATTR)
		at = spool_attr_encode(at, m->klass, m->extra);
	for (uint32_t i = 0; i < m->nrcpt; i++)
		at = rcpt_encode(at, m, &m->rcpt[i], version);
	at = note_encode(at, m->last_error);
	if (m->content_len > 0)
		memcpy(at, content, m->content_len);
}

uint32_t spool_meta_size(const uint8_t *message)
{
	return get32(message + 8) - get32(message + 56);
}

void spool_meta_encode(uint8_t *p, const uint8_t *message)
{
	uint32_t n = spool_meta_size(message);

	memcpy(p, message, n);
	put32(p + 8, n);
	p[12] = SPOOL_META;
}

#define NOTIFY_ALL (PEN_NOTIFY_NEVER | PEN_NOTIFY_SUCCESS | PEN_NOTIFY_FAILURE | PEN_NOTIFY_DELAY)

static uint8_t version_of(const struct spool_record *r)
{
	return r->p[13];
}

static uint16_t envid_size(const struct spool_record *r)
{
	return version_of(r) != SPOOL_VERSION ? get16(r->p + 14) : 0;
}

// Where the attributes of a MESSAGE or META are, and how long; 0: none, or bad.
static uint32_t message_attr(const struct spool_record *r, uint64_t *at)
{
	*at = SPOOL_MESSAGE_FIXED + (uint64_t)get16(r->p + 60) + envid_size(r);
	if (version_of(r) != SPOOL_VERSION_ATTR || *at > r->length)
		return 0;
	return spool_attr_parse(r->p + *at, r->length - *at);
}

// The bytes of a MESSAGE or META behind the fixed part: 0 unless they add up.
static bool message_sane(const struct spool_record *r)
{
	uint32_t nrcpt = get32(r->p + 52), content_len = get32(r->p + 56);
	uint32_t error_len = get16(r->p + 62), fixed = rcpt_fixed(version_of(r));
	uint64_t at;
	uint32_t attr = message_attr(r, &at);

	if (envid_size(r) > PEN_XTEXT_MAX || (attr == 0 && version_of(r) == SPOOL_VERSION_ATTR))
		return false;
	at += attr;
	for (uint32_t i = 0; i < nrcpt; i++) {
		if (at + fixed > r->length)
			return false;
		uint32_t orcpt = fixed != SPOOL_RCPT_FIXED ? get16(r->p + at + 6) : 0;
		if (orcpt > PEN_XTEXT_MAX)
			return false;
		at += fixed + (uint64_t)get16(r->p + at) + orcpt;
	}
	if (at + error_len > r->length || !error_sane(r->p + at, error_len))
		return false;
	at += error_len;
	return at + (r->type == SPOOL_MESSAGE ? content_len : 0) == r->length;
}

static const uint8_t *rcpt_decode(const uint8_t *at, uint8_t version, struct pen_envelope_rcpt *out)
{
	*out = (struct pen_envelope_rcpt){.addr = pen_span(at + rcpt_fixed(version), get16(at))};
	if (version != SPOOL_VERSION) {
		out->notify = at[3] & NOTIFY_ALL;
		out->orcpt = pen_span(out->addr.p + out->addr.n, get16(at + 6));
	}
	return out->addr.p + out->addr.n + out->orcpt.n;
}

static void fates_decode(const struct spool_record *r, const uint8_t *at, struct pen_message *m)
{
	uint8_t version = version_of(r);

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		struct pen_recipient *to = &m->rcpt[i];
		to->fate = at[2] <= PEN_FATE_DELETED ? at[2] : PEN_FATE_QUEUED;
		to->attempts = get16(at + 4);
		to->doubts = version == SPOOL_VERSION_ATTR ? at[8] : 0;
		at += rcpt_fixed(version) + to->addr_len + to->orcpt_len;
	}
}

// With next_attempt and extra there.
static void dues_decode(const struct spool_record *r, const uint8_t *at, struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt && version_of(r) == SPOOL_VERSION_ATTR; i++) {
		struct pen_recipient *to = &m->rcpt[i];
		if (to->doubts > 0 && at[9] != 0)
			due_set(m, to, m->next_attempt + (at[9] - 1) * DUE_UNIT);
		at += SPOOL_RCPT_FIXED_ATTR + to->addr_len + to->orcpt_len;
	}
}

#define RCPTS_ON_STACK 16

struct pen_message *spool_message_decode(const struct spool_record *r, int *err)
{
	struct pen_envelope_rcpt few[RCPTS_ON_STACK], *rcpts = few;
	uint64_t attr_at;

	*err = -EBADMSG;
	if (r->type == SPOOL_UPDATE || !message_sane(r))
		return NULL;
	struct pen_envelope e = {
		.sender = pen_span(r->p + SPOOL_MESSAGE_FIXED, get16(r->p + 60)),
		.nrcpt = get32(r->p + 52),
		.flags = get32(r->p + 48),
		.arrival = (pen_wall_us)get64(r->p + 32),
	};
	e.envid = pen_span(e.sender.p + e.sender.n, envid_size(r));
	*err = -ENOMEM;
	if (e.nrcpt > RCPTS_ON_STACK && (rcpts = calloc(e.nrcpt, sizeof(*rcpts))) == NULL)
		return NULL;
	uint32_t attr = message_attr(r, &attr_at);
	const uint8_t *first = r->p + attr_at + attr, *at = first;
	for (uint32_t i = 0; i < e.nrcpt; i++)
		at = rcpt_decode(at, version_of(r), &rcpts[i]);
	e.rcpt = rcpts;
	struct pen_message *m = pen_message_make(&e, NULL, get32(r->p + 56));
	if (rcpts != few)
		free(rcpts);
	if (m == NULL)
		return NULL;
	fates_decode(r, first, m);
	m->next_attempt = (pen_wall_us)get64(r->p + 40);
	m->id = r->id;
	if ((attr > 0 && spool_attr_apply(r->p + attr_at, m) != 0) ||
		error_decode(at, get16(r->p + 62), &m->last_error) != 0) {
		pen_message_free(m);
		return NULL;
	}
	dues_decode(r, first, m);
	*err = 0;
	return m;
}

struct pen_span spool_message_content(const struct spool_record *r)
{
	uint32_t n = get32(r->p + 56);

	if (r->type != SPOOL_MESSAGE || !message_sane(r))
		return pen_span(NULL, 0);
	return pen_span(r->p + r->length - n, n);
}

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
		     error_size(u->last_error);

	if (update_version(u) == SPOOL_VERSION_ATTR)
		n += spool_attr_size(u->klass, u->extra);
	return n <= INT32_MAX ? n : 0;
}

void spool_update_encode(
	uint8_t *p, const struct pen_message_update *u, const struct spool_place *prev)
{
	record_header(p, SPOOL_UPDATE, spool_update_size(u), u->id);
	p[13] = update_version(u);
	put64(p + 32, (uint64_t)u->next_attempt);
	put32(p + 40, u->flags);
	put32(p + 44, u->nchanges);
	spool_update_set_prev(p, prev);
	p[64] = u->removed;
	p[65] = 0;
	put16(p + 66, error_size(u->last_error));
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
	error_encode(at, u->last_error);
}

// Where the attributes of an UPDATE are, and how long; 0: none, or bad.
static uint32_t update_attr(const struct spool_record *r, uint64_t *at)
{
	*at = SPOOL_UPDATE_FIXED + (uint64_t)get32(r->p + 44) * SPOOL_CHANGE_SIZE;
	if (version_of(r) != SPOOL_VERSION_ATTR || *at > r->length)
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
	if (attr == 0 && version_of(r) == SPOOL_VERSION_ATTR)
		return false;
	at += attr;
	return at + error_len == r->length && error_sane(r->p + at, error_len);
}

bool spool_record_sane(const struct spool_record *r)
{
	return r->type == SPOOL_UPDATE ? spool_update_sane(r) : message_sane(r);
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
			due_set(m, &m->rcpt[index], due);
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
		m->rcpt[index].doubts = version_of(r) == SPOOL_VERSION_ATTR ? at[5] : 0;
		m->rcpt[index].attempts = get16(at + 6);
	}
	if (attr > 0 && spool_attr_apply(r->p + attr_at, m) != 0)
		return -ENOMEM;
	update_dues(r, m);
	return error_decode(at + attr, get16(r->p + 66), &m->last_error);
}
