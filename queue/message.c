// SPDX-License-Identifier: BSD-3-Clause
#include "pen_message.h"

#include "pen_err.h"

#include <stddef.h>
#include <stdlib.h>

// Digits and letters without vowels, in ASCII order, so that comparing the
// text compares the numbers.
static const char base52[] = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";

// SSSSSSUUUUzEEEE: seconds (base 52), microseconds (base 52), 'z', and what the
// seconds do not hold (base 51, without the 'z'): "0000" until the year 2596.
#define SEC_DIGITS 6
#define USEC_DIGITS 4
#define ERA_DIGITS 4
#define ID_LEN (SEC_DIGITS + USEC_DIGITS + 1 + ERA_DIGITS)
_Static_assert(ID_LEN < PEN_QUEUE_ID_MAX, "a queue id fits its text");
_Static_assert(sizeof(struct pen_recipient) == 16 && sizeof(struct pen_message) == 80,
	"one recipient and 64 bytes of addresses fit 160 bytes");
_Static_assert(PEN_XTEXT_MAX < 1 << 12, "lengths of xtext have 12 bits");
#define TOO_LONG (UINT32_MAX + 1ull) // for any message
#define ERA_SECONDS 19770609664ull   // 52^6

static uint8_t *copy_text(uint8_t *at, struct pen_span from)
{
	if (from.n > 0)
		memcpy(at, from.p, from.n);
	return at + from.n;
}

// text: the bytes of all addresses and of what follows them.
static struct pen_message *message_alloc(
	uint32_t nrcpt, uint64_t text, uint8_t *content, uint32_t content_len)
{
	uint64_t rcpts = (uint64_t)nrcpt * sizeof(struct pen_recipient);
	struct pen_message *m = NULL;

	if (rcpts + text <= UINT32_MAX) // as pen_recipient.addr_off says it
		m = calloc(1, sizeof(*m) + rcpts + text);
	if (m == NULL) {
		free(content);
		return NULL;
	}
	m->nrcpt = nrcpt;
	m->content = content;
	m->content_len = content_len;
	return m;
}

// Returns where the next text goes.
static uint8_t *set_rcpt(struct pen_recipient *r, uint8_t *at, struct pen_span addr)
{
	r->addr_off = (uint32_t)(at - (uint8_t *)r);
	r->addr_len = (uint16_t)addr.n;
	return copy_text(at, addr);
}

static void message_begin(struct pen_message *m, pen_wall_us arrival, uint32_t flags)
{
	m->arrival = arrival;
	m->next_attempt = arrival;
	m->flags = flags;
	m->klass = &pen_mail_class_none;
}

// False: no memory.
static bool take_class(struct pen_message *m, const struct pen_envelope *e)
{
	if (e->klass != NULL)
		m->klass = pen_mail_class_ref(e->klass);
	if (e->extra == NULL)
		return true;
	m->extra = malloc(sizeof(*m->extra));
	if (m->extra != NULL)
		*m->extra = *e->extra;
	return m->extra != NULL;
}

// The bytes of all texts; TOO_LONG: an address is.
static uint64_t text_size(const struct pen_envelope *e)
{
	uint64_t text = e->sender.n + e->envid.n;
	size_t longest = e->sender.n;

	PEN_ASSERT(e->envid.n <= PEN_XTEXT_MAX);
	for (uint32_t i = 0; i < e->nrcpt; i++) {
		PEN_ASSERT(e->rcpt[i].orcpt.n <= PEN_XTEXT_MAX);
		text += e->rcpt[i].addr.n + e->rcpt[i].orcpt.n;
		longest = longest > e->rcpt[i].addr.n ? longest : e->rcpt[i].addr.n;
	}
	return longest <= UINT16_MAX ? text : TOO_LONG;
}

struct pen_message *pen_message_make(
	const struct pen_envelope *e, uint8_t *content, uint32_t content_len)
{
	struct pen_message *m = message_alloc(e->nrcpt, text_size(e), content, content_len);

	if (m == NULL)
		return NULL;
	uint8_t *at = (uint8_t *)&m->rcpt[e->nrcpt];
	m->sender_len = (uint16_t)e->sender.n;
	m->envid_len = (uint16_t)e->envid.n;
	at = copy_text(copy_text(at, e->sender), e->envid);
	for (uint32_t i = 0; i < e->nrcpt; i++) {
		struct pen_recipient *r = &m->rcpt[i];
		at = copy_text(set_rcpt(r, at, e->rcpt[i].addr), e->rcpt[i].orcpt);
		r->orcpt_len = e->rcpt[i].orcpt.n & 0xfff;
		r->notify = e->rcpt[i].notify & 0xf;
	}
	message_begin(m, e->arrival, e->flags);
	if (!take_class(m, e)) {
		pen_message_free(m);
		return NULL;
	}
	return m;
}

struct pen_message *pen_message_new(struct pen_span sender, const struct pen_span *rcpts,
	uint32_t nrcpt, uint8_t *content, uint32_t content_len, pen_wall_us arrival, uint32_t flags)
{
	uint64_t text = sender.n;
	bool fits = sender.n <= UINT16_MAX;

	for (uint32_t i = 0; i < nrcpt; i++) {
		text += rcpts[i].n;
		fits = fits && rcpts[i].n <= UINT16_MAX;
	}
	struct pen_message *m = message_alloc(nrcpt, fits ? text : TOO_LONG, content, content_len);
	if (m == NULL)
		return NULL;
	m->sender_len = (uint16_t)sender.n;
	uint8_t *at = copy_text((uint8_t *)&m->rcpt[nrcpt], sender);
	for (uint32_t i = 0; i < nrcpt; i++)
		at = set_rcpt(&m->rcpt[i], at, rcpts[i]);
	message_begin(m, arrival, flags);
	return m;
}

static bool is_ascii(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 127)
			return false;
	}
	return true;
}

bool pen_message_needs_utf8(const struct pen_message *m, struct pen_span rcpt)
{
	return (m->flags & PEN_MESSAGE_SMTPUTF8) != 0 &&
	       ((m->flags & PEN_MESSAGE_UTF8_HEADER) != 0 || !is_ascii(pen_message_sender(m)) ||
		       !is_ascii(rcpt));
}

void pen_message_free(struct pen_message *m)
{
	if (m == NULL)
		return;
	free(m->content);
	pen_note_put(m->last_error);
	free(m->extra);
	pen_mail_class_put(m->klass);
	free(m);
}

static void digits_put(char *out, unsigned n, unsigned base, uint64_t v)
{
	while (n-- > 0) {
		out[n] = base52[v % base];
		v /= base;
	}
}

static bool digits_get(const uint8_t *in, unsigned n, unsigned base, uint64_t *v)
{
	*v = 0;
	for (unsigned i = 0; i < n; i++) {
		const char *hit = in[i] != 0 ? strchr(base52, in[i]) : NULL;
		if (hit == NULL || hit - base52 >= (ptrdiff_t)base)
			return false;
		*v = *v * base + (uint64_t)(hit - base52);
	}
	return true;
}

void pen_queue_id_format(uint64_t id, char out[PEN_QUEUE_ID_MAX])
{
	uint64_t seconds = id / 1000000;

	digits_put(out, SEC_DIGITS, 52, seconds % ERA_SECONDS);
	digits_put(out + SEC_DIGITS, USEC_DIGITS, 52, id % 1000000);
	out[SEC_DIGITS + USEC_DIGITS] = 'z';
	digits_put(out + SEC_DIGITS + USEC_DIGITS + 1, ERA_DIGITS, 51, seconds / ERA_SECONDS);
	out[ID_LEN] = '\0';
}

uint64_t pen_queue_id_parse(struct pen_span text)
{
	uint64_t seconds, usec, era;

	if (text.n != ID_LEN || text.p[SEC_DIGITS + USEC_DIGITS] != 'z' ||
		!digits_get(text.p, SEC_DIGITS, 52, &seconds) ||
		!digits_get(text.p + SEC_DIGITS, USEC_DIGITS, 52, &usec) ||
		!digits_get(text.p + SEC_DIGITS + USEC_DIGITS + 1, ERA_DIGITS, 51, &era))
		return 0;
	if (usec >= 1000000 || era > UINT64_MAX / 1000000 / ERA_SECONDS)
		return 0;
	seconds += era * ERA_SECONDS;
	if (seconds > (UINT64_MAX - usec) / 1000000)
		return 0;
	return seconds * 1000000 + usec;
}
