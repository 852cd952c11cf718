// SPDX-License-Identifier: BSD-3-Clause

// Message content: dot-stuffing comes off, CRLF.CRLF ends it, and nothing else
// does.
//
// A dot counts as a line's first byte only behind CRLF. What other servers take
// for the end (LF.LF, LF.CRLF, CR.CR) is content here, so a message cannot
// hide a second one from us that they would see (CVE-2023-51764).

#include "smtp_scan.h"
#include "smtp_server.h"

static void deliver(struct pen_smtp_server *s, const uint8_t *p, size_t n)
{
	uint64_t max = s->cfg->max_size;

	if (n == 0)
		return;
	if (max != 0 && n > max - s->content_n) {
		size_t room = (size_t)(max - s->content_n);
		PEN_COUNT_N(s->ctr->content_cut_bytes, n - room);
		s->too_big = true;
		n = room;
		if (n == 0)
			return;
	}
	s->content_n += n;
	PEN_COUNT_N(s->ctr->content_bytes, n);
	s->cb->on_content(s->ctx, pen_span(p, n));
}

static void deliver_crlf(struct pen_smtp_server *s)
{
	PEN_COUNT(s->ctr->bare_lf);
	deliver(s, (const uint8_t *)"\r\n", 2);
}

// Handles as much as fits of the middle of lines in one piece: up to a line end
// that is followed by a dot, or that must be repaired. Returns bytes used.
static size_t middle(struct pen_smtp_server *s, const uint8_t *p, size_t n)
{
	bool fix = s->cfg->fix_bare_lf;
	size_t lf;

	// p[0] is inside a line; a LF there has no CR before it.
	if (p[0] == '\n') {
		if (fix)
			deliver_crlf(s);
		else
			deliver(s, p, 1);
		return 1;
	}
	for (size_t from = 0;; from = lf + 1) {
		const uint8_t *q = p + from;
		lf = from +
		     (fix ? smtp_find_line_event(q, n - from) : smtp_find_dot_line(q, n - from));
		if (lf >= n)
			break;
		bool crlf = lf > 0 && p[lf - 1] == '\r';
		if (crlf) {
			s->content = CONTENT_BOL;
			deliver(s, p, lf + 1);
			return lf + 1;
		}
		if (fix) {
			deliver(s, p, lf);
			deliver_crlf(s);
			return lf + 1;
		}
	}
	// The search looks one byte ahead: the last byte decides the state.
	if (p[n - 1] == '\r') {
		s->content = CONTENT_CR;
	} else if (p[n - 1] == '\n' && n > 1) {
		if (p[n - 2] == '\r') {
			s->content = CONTENT_BOL;
		} else if (fix) {
			deliver(s, p, n - 1);
			deliver_crlf(s);
			return n;
		}
	}
	deliver(s, p, n);
	return n;
}

static void content_end(struct pen_smtp_server *s)
{
	s->state = SERVER_COMMAND;
	s->mail = false;
	s->nrcpt = 0;
	s->overshoot = 0;
	PEN_COUNT(s->ctr->messages);
	if (s->too_big)
		PEN_COUNT(s->ctr->messages_too_big);
	smtp_server_ask(s, ASKED_MESSAGE);
	smtp_server_verdict(s, s->cb->on_message(s->ctx, s->too_big), "250 2.0.0 Ok");
}

// Bytes behind CRLF, or behind a dot there. Returns bytes used (0: the state
// alone changed).
static size_t line_start(struct pen_smtp_server *s, const uint8_t *p)
{
	switch (s->content) {
	case CONTENT_BOL:
		s->content = *p == '.' ? CONTENT_DOT : CONTENT_MID;
		return *p == '.' ? 1 : 0;
	case CONTENT_DOT:
		s->content = *p == '\r' ? CONTENT_DOT_CR : CONTENT_MID;
		return *p == '\r' ? 1 : 0;
	case CONTENT_DOT_CR:
		if (*p == '\n') {
			content_end(s);
			return 1;
		}
		deliver(s, (const uint8_t *)"\r", 1);
		s->content = *p == '\r' ? CONTENT_CR : CONTENT_MID;
		if (*p != '\r')
			return 0;
		deliver(s, p, 1);
		return 1;
	default: // CONTENT_CR
		if (*p == '\n') {
			deliver(s, p, 1);
			s->content = CONTENT_BOL;
			return 1;
		}
		s->content = CONTENT_MID;
		return 0;
	}
}

size_t smtp_server_content(struct pen_smtp_server *s, const uint8_t *p, size_t n)
{
	size_t at = 0;

	while (at < n && s->state == SERVER_CONTENT) {
		if (s->content == CONTENT_MID)
			at += middle(s, p + at, n - at);
		else
			at += line_start(s, p + at);
	}
	return at;
}
