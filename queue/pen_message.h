// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A message as accepted: immutable content, an envelope, and the fate of each
// recipient.
//
// Threads: built by one thread (submission, or the DSN maker); from the moment
//          it is handed to the scheduler it belongs to the scheduler thread.
//          The spool writer only reads it between put and completion.
// Memory:  one allocation holds the struct, the envelope and the recipients
//          (pen_message_new); the content is a second one, so that it can be
//          dropped from memory and read back from the spool.

#include "pen_delivery.h"
#include "pen_mail_class.h"
#include "pen_note.h"

enum pen_fate {
	PEN_FATE_QUEUED,    // no end yet
	PEN_FATE_DELIVERED, // the peer answered 2xx
	PEN_FATE_BOUNCED,   // refused for good; the sender was told unless null
	PEN_FATE_EXPIRED,   // maximal_queue_lifetime passed; the sender was told
	PEN_FATE_DELETED,   // by an operator
};

#define PEN_QUEUE_ID_MAX 16 // 15 characters and a NUL

// 16 bytes: millions of them wait. Must stay where pen_message_make put it: its
// address is found from its own place.
struct pen_recipient {
	uint32_t addr_off; // pen_recipient_addr
	// Scheduler, in memory: seconds after the message's first moment before which
	// this recipient is not tried. 0: with the message; PEN_DUE_NEVER: it waits
	// for an operator or the end of its lifetime. Durable while it is in doubt.
	uint32_t due;
	uint16_t addr_len;
	uint16_t attempts; // delivery attempts so far; durable
	uint8_t fate;      // enum pen_fate; durable
	// Deliveries whose final dot was acknowledged and never answered; durable.
	// QUEUED with doubts is *in doubt*: it may have been delivered already.
	uint8_t doubts;
	uint16_t notify : 4;     // PEN_NOTIFY_ bits; 0: not given
	uint16_t orcpt_len : 12; // pen_recipient_orcpt
};
#define PEN_DUE_NEVER 0xffffffu

enum {                                     // pen_message.flags, durable
	PEN_MESSAGE_8BIT = 1 << 0,         // content has bytes above 127
	PEN_MESSAGE_HOLD = 1 << 1,         // never tried until released
	PEN_MESSAGE_DSN = 1 << 2,          // made by us
	PEN_MESSAGE_REQUIRETLS = 1 << 3,   // RFC 8689: MAIL parameter, header or sendmail -O
	PEN_MESSAGE_TLS_OPTIONAL = 1 << 4, // header "TLS-Required: no"
	PEN_MESSAGE_TLSRPT = 1 << 5,       // a TLSRPT report: not reported about
	PEN_MESSAGE_RET_FULL = 1 << 6,     // RFC 3461 RET
	PEN_MESSAGE_RET_HDRS = 1 << 7,
	PEN_MESSAGE_SMTPUTF8 = 1 << 8,     // MAIL had SMTPUTF8 (RFC 6531)
	PEN_MESSAGE_DELAY_TOLD = 1 << 9,   // the delay warning was sent
	PEN_MESSAGE_EXPIRE = 1 << 10,      // an operator ended its lifetime (postsuper -e)
	PEN_MESSAGE_NO_NOTICE = 1 << 11,   // and nobody is to be told (postsuper -f)
	PEN_MESSAGE_UTF8_HEADER = 1 << 12, // with SMTPUTF8: its header is beyond ASCII
};

// When a message may be sent. A window repeats every week in its time zone.
struct pen_send_window {
	uint8_t days;      // bit 0: Sunday ... bit 6: Saturday; 0: no window
	uint16_t from, to; // minutes since midnight, [from, to); to <= from: over midnight
	char zone[48];     // "Europe/Berlin"; empty: UTC
};

// What few messages have. Absolute values; durable.
struct pen_message_extra {
	pen_wall_us not_before, not_after; // 0: no bound; not_after ends its life
	struct pen_send_window window;
	char verp[2];    // the delimiters, as in "+="; zero: no VERP
	char route[128]; // "transport:nexthop" of an operator or a header; empty: as routed
};

// With one recipient and 64 bytes of addresses 160 bytes: a class of jemalloc.
struct pen_message {
	uint64_t id; // unique for the life of the spool; never 0; PEN_QUEUE_ID
	pen_wall_us arrival;
	pen_wall_us next_attempt; // not before; durable after a deferral
	uint8_t *content;         // canonical: CRLF line ends, ends with CRLF; NULL when dropped
	const struct pen_note *last_error;  // of the last deferral, NULL or a reference
	const struct pen_mail_class *klass; // never NULL; a reference
	struct pen_message_extra *extra;    // NULL, or owned
	void *sched;                        // scheduler
	uint32_t content_len;
	uint32_t flags;
	uint32_t nrcpt;
	uint16_t sender_len, envid_len; // of the texts behind the recipients
	struct pen_recipient rcpt[];
};

// Without angle brackets; empty: null sender.
static inline struct pen_span pen_message_sender(const struct pen_message *m)
{
	return pen_span(&m->rcpt[m->nrcpt], m->sender_len);
}

// RFC 3461 ENVID in xtext, or empty.
static inline struct pen_span pen_message_envid(const struct pen_message *m)
{
	return pen_span((const uint8_t *)&m->rcpt[m->nrcpt] + m->sender_len, m->envid_len);
}

// Without angle brackets.
static inline struct pen_span pen_recipient_addr(const struct pen_recipient *r)
{
	return pen_span((const uint8_t *)r + r->addr_off, r->addr_len);
}

// RFC 3461 ORCPT in xtext, or empty.
static inline struct pen_span pen_recipient_orcpt(const struct pen_recipient *r)
{
	return pen_span((const uint8_t *)r + r->addr_off + r->addr_len, r->orcpt_len);
}

// What a message is made of, borrowed for the call. envid and orcpt are xtext, at
// most PEN_XTEXT_MAX bytes each; an address has at most UINT16_MAX bytes.
struct pen_envelope_rcpt {
	struct pen_span addr, orcpt;
	uint8_t notify;
};

struct pen_envelope {
	struct pen_span sender, envid;
	const struct pen_envelope_rcpt *rcpt;
	uint32_t nrcpt;
	uint32_t flags; // PEN_MESSAGE_
	pen_wall_us arrival;
	const struct pen_mail_class *klass;    // NULL: none; a reference is taken
	const struct pen_message_extra *extra; // NULL, or copied
};

#define PEN_XTEXT_MAX 1536

// pen_message_make copies the envelope and takes over `content` (malloc'ed).
// NULL when out of memory, or an address is too long (content is then freed). The
// id is the caller's to set.
struct pen_message *pen_message_make(
	const struct pen_envelope *e, uint8_t *content, uint32_t content_len);
// The same for an envelope that has addresses only.
struct pen_message *pen_message_new(struct pen_span sender, const struct pen_span *rcpts,
	uint32_t nrcpt, uint8_t *content, uint32_t content_len, pen_wall_us arrival,
	uint32_t flags);
void pen_message_free(struct pen_message *m);

// Queue ids follow Postfix's long form: letters and digits without vowels, in
// the order of time, so that log tools take them.
void pen_queue_id_format(uint64_t id, char out[PEN_QUEUE_ID_MAX]);
static inline const char *pen_queue_id_text(uint64_t id, char out[PEN_QUEUE_ID_MAX])
{
	pen_queue_id_format(id, out);
	return out;
}
// What people see of the message; valid to the end of the caller's block.
#define PEN_QUEUE_ID(m) pen_queue_id_text((m)->id, (char[PEN_QUEUE_ID_MAX]){""})
// 0 when text is no queue id.
uint64_t pen_queue_id_parse(struct pen_span text);

// The moment that lifetime and retry times count from.
static inline pen_wall_us pen_message_birth(const struct pen_message *m)
{
	return m->extra != NULL && m->extra->not_before > m->arrival ? m->extra->not_before
								     : m->arrival;
}

// What the mail asks of TLS; REQUIRETLS beats TLS-Required: no (RFC 8689 5).
static inline enum pen_tls_demand pen_message_demand(uint32_t flags)
{
	if (flags & PEN_MESSAGE_REQUIRETLS)
		return PEN_DEMAND_REQUIRETLS;
	return flags & PEN_MESSAGE_TLS_OPTIONAL ? PEN_DEMAND_NOT_REQUIRED : PEN_DEMAND_NONE;
}

// The mail can only go to servers with SMTPUTF8 (RFC 6531): it came with SMTPUTF8,
// and its header, its sender or this recipient has other characters than ASCII.
bool pen_message_needs_utf8(const struct pen_message *m, struct pen_span rcpt);

static inline bool pen_message_live(const struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (m->rcpt[i].fate == PEN_FATE_QUEUED)
			return true;
	}
	return false;
}

// A change of a message's state that has to be durable.
struct pen_message_update {
	uint64_t id;
	pen_wall_us next_attempt;
	uint32_t flags;
	uint32_t nchanges;
	struct pen_rcpt_change {
		uint32_t index;
		uint8_t fate;
		uint8_t doubts;
		uint16_t attempts;
	} * change;
	// An operator moved it: the message's new values. NULL: they stay.
	const struct pen_mail_class *klass;
	const struct pen_message_extra *extra;
	const struct pen_dsn *last_error; // may be NULL
	// When those of `change` that are in doubt are tried again; kept to the second,
	// rounded up. 0: not known.
	pen_wall_us doubt_due;
	bool removed; // no recipient is left: the message's space can be reused
};
