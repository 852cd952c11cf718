// SPDX-License-Identifier: BSD-3-Clause
#include "spool_record.h"

#include "spool_attr.h"
#include "spool_error.h"

#include <errno.h>
#include <stdlib.h>

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
	uint64_t n = SPOOL_MESSAGE_FIXED + m->sender_len + m->envid_len +
		     spool_note_size(m->last_error) + (uint64_t)m->nrcpt * rcpt_fixed(version) +
		     content_len;

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
// than the code of the seconds after the message's next attempt. Codes below 32 are the
// seconds; above them the low four bits are the four behind the leading one, and the
// others say how far up they stand: at most a sixteenth too late, up to five days.
#define DUE_CODES 255
#define DUE_END (PEN_DUE_NEVER - 1) // of what can be said in seconds

static uint32_t code_seconds(unsigned code)
{
	return code < 32 ? code : (16 + code % 16) << (code / 16 - 1);
}

// The first code that says at least so many; DUE_CODES: none does.
static unsigned seconds_code(uint64_t seconds)
{
	unsigned code = 0;

	while (code < DUE_CODES && code_seconds(code) < seconds)
		code++;
	return code;
}

// In whole seconds, as spool_due_set made them: what is written again and again must
// not move.
static uint8_t due_encode(const struct pen_message *m, const struct pen_recipient *r)
{
	if (r->doubts == 0 || r->due == 0 || r->due >= DUE_END)
		return 0;
	pen_wall_us wait = pen_message_birth(m) + (pen_wall_us)r->due * PEN_US_PER_S;
	wait -= m->next_attempt;
	unsigned code = wait > 0 ? seconds_code((uint64_t)(wait / PEN_US_PER_S)) : 0;
	return code < DUE_CODES ? (uint8_t)(code + 1) : 0;
}

void spool_due_set(const struct pen_message *m, struct pen_recipient *r, pen_wall_us at)
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

	spool_record_header(p, SPOOL_MESSAGE, spool_message_size(m, m->content_len), m->id);
	p[13] = version;
	if (version != SPOOL_VERSION)
		put16(p + 14, m->envid_len);
	put64(p + 32, (uint64_t)m->arrival);
	put64(p + 40, (uint64_t)m->next_attempt);
	put32(p + 48, m->flags);
	put32(p + 52, m->nrcpt);
	put32(p + 56, m->content_len);
	put16(p + 60, m->sender_len);
	put16(p + 62, spool_note_size(m->last_error));
	uint8_t *at = span_encode(p + SPOOL_MESSAGE_FIXED, pen_message_sender(m));
	at = span_encode(at, pen_message_envid(m));
	if (version == SPOOL_VERSION_ATTR)
		at = spool_attr_encode(at, m->klass, m->extra);
	for (uint32_t i = 0; i < m->nrcpt; i++)
		at = rcpt_encode(at, m, &m->rcpt[i], version);
	at = spool_note_encode(at, m->last_error);
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

static uint16_t envid_size(const struct spool_record *r)
{
	return spool_record_version(r) != SPOOL_VERSION ? get16(r->p + 14) : 0;
}

// Where the attributes of a MESSAGE or META are, and how long; 0: none, or bad.
static uint32_t message_attr(const struct spool_record *r, uint64_t *at)
{
	*at = SPOOL_MESSAGE_FIXED + (uint64_t)get16(r->p + 60) + envid_size(r);
	if (spool_record_version(r) != SPOOL_VERSION_ATTR || *at > r->length)
		return 0;
	return spool_attr_parse(r->p + *at, r->length - *at);
}

// The bytes of a MESSAGE or META behind the fixed part: 0 unless they add up.
bool spool_message_sane(const struct spool_record *r)
{
	uint32_t nrcpt = get32(r->p + 52), content_len = get32(r->p + 56);
	uint32_t error_len = get16(r->p + 62), fixed = rcpt_fixed(spool_record_version(r));
	uint64_t at;
	uint32_t attr = message_attr(r, &at);

	if (envid_size(r) > PEN_XTEXT_MAX ||
		(attr == 0 && spool_record_version(r) == SPOOL_VERSION_ATTR))
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
	if (at + error_len > r->length || !spool_error_sane(r->p + at, error_len))
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
	uint8_t version = spool_record_version(r);

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
	for (uint32_t i = 0; i < m->nrcpt && spool_record_version(r) == SPOOL_VERSION_ATTR; i++) {
		struct pen_recipient *to = &m->rcpt[i];
		if (to->doubts > 0 && at[9] != 0)
			spool_due_set(
				m, to, m->next_attempt + code_seconds(at[9] - 1u) * PEN_US_PER_S);
		at += SPOOL_RCPT_FIXED_ATTR + to->addr_len + to->orcpt_len;
	}
}

#define RCPTS_ON_STACK 16

struct pen_message *spool_message_decode(const struct spool_record *r, int *err)
{
	struct pen_envelope_rcpt few[RCPTS_ON_STACK], *rcpts = few;
	uint64_t attr_at;

	*err = -EBADMSG;
	if (r->type == SPOOL_UPDATE || !spool_message_sane(r))
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
		at = rcpt_decode(at, spool_record_version(r), &rcpts[i]);
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
		spool_error_decode(at, get16(r->p + 62), &m->last_error) != 0) {
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

	if (r->type != SPOOL_MESSAGE || !spool_message_sane(r))
		return pen_span(NULL, 0);
	return pen_span(r->p + r->length - n, n);
}
