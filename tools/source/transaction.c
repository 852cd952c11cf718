// SPDX-License-Identifier: BSD-3-Clause

// SMTP as the source speaks it. With PIPELINING a message is MAIL, RCPT.., DATA in
// one write, and its content in the next, with the commands of the message
// behind it.

#include "session.h"

#include "pen_err.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

static char *put(char *at, const char *text)
{
	size_t n = strlen(text);

	memcpy(at, text, n);
	return at + n;
}

static char *put_number(char *at, uint64_t v)
{
	char digits[20];
	size_t i = sizeof(digits);

	do {
		digits[--i] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	memcpy(at, digits + i, sizeof(digits) - i);
	return at + sizeof(digits) - i;
}

static char *put_rcpt(struct engine *e, char *at, uint64_t message, uint32_t i)
{
	const char *to = e->opt->to;

	at = put(at, "RCPT TO:<");
	if (e->opt->number)
		at = put_number(at, ++e->rcpt_number);
	else if (e->opt->recipients > 1)
		at = put_number(at, i + 1);
	if (e->opt->domains != 0) {
		size_t local = (size_t)(strrchr(to, '@') + 1 - to);
		memcpy(at, to, local);
		*(at += local) = 'd';
		at = put_number(at + 1, message % e->opt->domains);
		*at++ = '.';
		to += local;
	}
	at = put(at, to);
	return put(at, ">\r\n");
}

static void say(struct session *s, const char *text)
{
	size_t from = s->command_n;

	s->command_n = (size_t)(put(s->command + from, text) - s->command);
	session_queue_command(s, from);
}

static void put_mail(struct engine *e, struct session *s)
{
	char *at = s->command + s->command_n;

	at = put(at, "MAIL FROM:<");
	at = put(at, e->opt->from);
	at = put(at, ">\r\n");
	s->command_n = (size_t)(at - s->command);
}

// MAIL, RCPT.., DATA in one piece.
static void say_batch(struct engine *e, struct session *s, uint64_t number)
{
	size_t from = s->command_n;

	put_mail(e, s);
	char *at = s->command + s->command_n;
	for (uint32_t i = 0; i < e->opt->recipients; i++)
		at = put_rcpt(e, at, number, i);
	at = put(at, "DATA\r\n");
	s->command_n = (size_t)(at - s->command);
	session_queue_command(s, from);
}

// Messages

static bool due(const struct engine *e, uint64_t number)
{
	if (e->opt->rate <= 0)
		return true;
	double after = (double)(number - e->opt->first) / e->opt->rate * 1e6;
	return e->now - e->stats->started >= (pen_time_us)after;
}

static pen_time_us due_at(const struct engine *e, uint64_t number)
{
	double after = (double)(number - e->opt->first) / e->opt->rate * 1e6;

	return e->stats->started + (pen_time_us)after + 1;
}

static bool connection_used_up(const struct engine *e, const struct session *s)
{
	if (!e->opt->keep)
		return s->used >= 1;
	return e->opt->per_connection != 0 && s->used >= e->opt->per_connection;
}

static void expect_batch(struct engine *e, struct session *s)
{
	s->step = STEP_MAIL;
	s->rcpt_left = e->opt->recipients;
	s->rcpt_ok = 0;
	s->failed = false;
	s->code = 0;
}

void transaction_start(struct engine *e, struct session *s)
{
	if (!s->has && e->next < e->end) {
		s->number = e->next++;
		s->has = true;
	}
	if (!s->has || connection_used_up(e, s)) {
		s->step = STEP_QUIT;
		say(s, "QUIT\r\n");
		return;
	}
	if (!due(e, s->number)) {
		s->step = STEP_IDLE;
		session_sleep(e, s, due_at(e, s->number));
		return;
	}
	expect_batch(e, s);
	if (e->opt->pipeline) {
		say_batch(e, s, s->number);
	} else {
		size_t from = s->command_n;
		put_mail(e, s);
		session_queue_command(s, from);
	}
}

static void send_content(struct engine *e, struct session *s)
{
	struct source_content c;

	source_message_make(e->messages, s->number, s->header, &c);
	session_queue(s, s->header, c.header_n);
	session_queue(s, c.rest.p, c.rest.n);
	s->size = c.size;
	s->step = STEP_DOT;
	s->sent_at = e->now;
	s->used++;
	s->ahead = false;
	if (!e->opt->pipeline || connection_used_up(e, s))
		return;
	if (!s->has_next && e->next < e->end && due(e, e->next)) {
		s->next_number = e->next++;
		s->next_at = 0;
		s->has_next = true;
	}
	if (s->has_next && due(e, s->next_number) && e->now >= s->next_at) {
		s->ahead = true;
		say_batch(e, s, s->next_number);
	}
}

void transaction_flush_acked(struct engine *e)
{
	size_t at = 0;

	while (at < e->acked_n) {
		ssize_t w = write(e->acked_fd, e->acked + at, e->acked_n - at);
		if (w < 0 && errno != EINTR)
			pen_fatal("cannot write to %s: %s", e->opt->acked_file, strerror(errno));
		at += w > 0 ? (size_t)w : 0;
	}
	e->acked_n = 0;
}

static void accepted(struct engine *e, struct session *s)
{
	e->stats->accepted++;
	e->stats->bytes += s->size;
	e->settled++;
	pen_histogram_add(&e->stats->latency, (uint64_t)(e->now - s->sent_at));
	s->has = false;
	if (e->acked_fd < 0)
		return;
	if (sizeof(e->acked) - e->acked_n < 24)
		transaction_flush_acked(e);
	char *end = put_number(e->acked + e->acked_n, s->number);
	*end++ = '\n';
	e->acked_n = (size_t)(end - e->acked);
}

// The transaction failed: for now (then it is tried again) or for good.
// True: the session has to rest first.
static bool not_accepted(struct engine *e, struct session *s)
{
	if (s->code >= 500) {
		e->stats->refused++;
		e->settled++;
		s->has = false;
		return false;
	}
	e->stats->deferred++;
	return true;
}

static void end_of_transaction(struct engine *e, struct session *s)
{
	bool rest = s->failed && not_accepted(e, s);

	if (s->ahead) {
		// The commands of the next message are with the server already. A
		// message that has to be repeated takes its place.
		s->ahead = false;
		if (s->has) {
			uint64_t again = s->number;
			s->number = s->next_number;
			s->next_number = again;
			s->next_at = e->now + RETRY_US;
		} else {
			s->number = s->next_number;
			s->has_next = false;
		}
		s->has = true;
		expect_batch(e, s);
		return;
	}
	pen_time_us when = rest ? e->now + RETRY_US : e->now;
	if (!s->has && s->has_next) {
		s->number = s->next_number;
		s->has = true;
		s->has_next = false;
		when = s->next_at;
	}
	if (when > e->now) {
		s->step = STEP_IDLE;
		session_sleep(e, s, when);
		return;
	}
	transaction_start(e, s);
}

// Replies

static void fail(struct engine *e, struct session *s, uint16_t code, const char *text, size_t n)
{
	note_error(e, text, n);
	// A 4xx for one reason leaves the message a chance, whatever else came.
	if (!s->failed || code < s->code)
		s->code = code;
	s->failed = true;
}

static void on_mail_reply(struct engine *e, struct session *s, bool ok)
{
	s->step = STEP_RCPT;
	if (e->opt->pipeline)
		return;
	if (!ok) {
		end_of_transaction(e, s);
		return;
	}
	size_t from = s->command_n;
	s->command_n = (size_t)(put_rcpt(e, s->command + from, s->number, 0) - s->command);
	session_queue_command(s, from);
}

static void reset_transaction(struct session *s)
{
	s->step = STEP_RSET;
	say(s, "RSET\r\n");
}

static void on_rcpt_reply(struct engine *e, struct session *s)
{
	s->rcpt_left--;
	if (s->rcpt_left == 0)
		s->step = STEP_DATA;
	if (e->opt->pipeline)
		return;
	if (s->rcpt_left > 0) {
		size_t from = s->command_n;
		uint32_t i = e->opt->recipients - s->rcpt_left;
		s->command_n = (size_t)(put_rcpt(e, s->command + from, s->number, i) - s->command);
		session_queue_command(s, from);
	} else if (s->rcpt_ok > 0) {
		say(s, "DATA\r\n");
	} else {
		reset_transaction(s);
	}
}

static void on_data_reply(struct engine *e, struct session *s, uint16_t code)
{
	if (code == 354 && s->rcpt_ok == 0) {
		// The server waits for a content that has no recipient.
		s->step = STEP_DOT;
		s->ahead = false;
		say(s, ".\r\n");
	} else if (code == 354) {
		send_content(e, s);
	} else {
		reset_transaction(s);
	}
}

static void on_reply(struct engine *e, struct session *s, uint16_t code, const char *text, size_t n)
{
	bool ok = code < 400;

	if (code == 421) {
		note_error(e, text, n);
		session_lost(e, s, true);
		return;
	}
	switch ((enum session_step)s->step) {
	case STEP_GREETING:
	case STEP_EHLO:
		if (!ok) {
			note_error(e, text, n);
			session_lost(e, s, true);
		} else if (s->step == STEP_GREETING) {
			size_t from = s->command_n;
			char *at = put(put(s->command + from, "EHLO "), e->opt->helo);
			s->command_n = (size_t)(put(at, "\r\n") - s->command);
			session_queue_command(s, from);
			s->step = STEP_EHLO;
		} else {
			e->connected_at = e->now;
			transaction_start(e, s);
		}
		break;
	case STEP_MAIL:
		if (!ok)
			fail(e, s, code, text, n);
		on_mail_reply(e, s, ok);
		break;
	case STEP_RCPT:
		if (ok) {
			s->rcpt_ok++;
		} else {
			e->stats->rcpt_refused++;
			if (s->rcpt_ok == 0 && s->rcpt_left == 1)
				fail(e, s, code, text, n);
		}
		on_rcpt_reply(e, s);
		break;
	case STEP_DATA:
		if (code != 354 && !s->failed)
			fail(e, s, ok ? 550 : code, text, n);
		on_data_reply(e, s, code);
		break;
	case STEP_DOT:
		if (!ok && !s->failed)
			fail(e, s, code, text, n);
		else if (!s->failed)
			accepted(e, s);
		end_of_transaction(e, s);
		break;
	case STEP_RSET:
		end_of_transaction(e, s);
		break;
	case STEP_QUIT:
		session_lost(e, s, false);
		break;
	case STEP_IDLE:
	case STEP_OFF:
	case STEP_CONNECT:
		note_error(e, text, n);
		session_lost(e, s, true);
		break;
	}
}

static void on_line(struct engine *e, struct session *s, const char *p, size_t n)
{
	if (n > 0 && p[n - 1] == '\r')
		n--;
	bool digits = n >= 3 && p[0] >= '2' && p[0] <= '5' && p[1] >= '0' && p[1] <= '9' &&
		      p[2] >= '0' && p[2] <= '9';
	if (!digits) {
		note_error(e, p, n);
		session_lost(e, s, true);
		return;
	}
	if (n > 3 && p[3] == '-')
		return;
	uint16_t code = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0');
	on_reply(e, s, code, p, n);
}

void transaction_input(struct engine *e, struct session *s, const char *p, size_t n)
{
	while (n > 0 && s->fd >= 0) {
		const char *lf = memchr(p, '\n', n);
		size_t used = lf != NULL ? (size_t)(lf - p) + 1 : n;
		if (lf != NULL && s->line_n == 0) {
			on_line(e, s, p, used - 1);
		} else {
			size_t room = sizeof(s->line) - s->line_n;
			size_t take = used < room ? used : room;
			memcpy(s->line + s->line_n, p, take);
			s->line_n += take;
			if (lf != NULL) {
				size_t line_n = s->line_n - (take == used);
				s->line_n = 0;
				on_line(e, s, s->line, line_n);
			}
		}
		p += used;
		n -= used;
	}
}
