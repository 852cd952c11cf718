// SPDX-License-Identifier: BSD-3-Clause

// The load: sessions over epoll, one thread. With PIPELINING a message is
// MAIL, RCPT.., DATA in one write, and its content in the next, with the
// commands of the message behind it.

#include "session.h"

#include "pen_err.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#define RETRY_US (100 * PEN_US_PER_MS)
#define READ_BYTES 65536
#define EVENTS 256

struct engine {
	const struct source_options *opt;
	struct source_messages *messages;
	struct source_stats *stats;
	struct session *session;
	struct session *sleepers;
	int epoll;
	size_t batch_max; // bytes of one MAIL..DATA
	uint64_t next;    // number of the next message that nobody has
	uint64_t end;     // behind the last one
	uint64_t settled; // messages that have an end
	uint64_t rcpt_number;
	pen_time_us now;
	pen_time_us connected_at; // when a connection last worked
	uint8_t input[READ_BYTES];
	int acked_fd;
	char acked[65536];
	size_t acked_n;
	bool hopeless;
};

static void start_message(struct engine *e, struct session *s);
static void session_connect(struct engine *e, struct session *s);

static void note_error(struct engine *e, struct session *s, const char *text, size_t n)
{
	(void)s;
	snprintf(e->stats->last_error, sizeof(e->stats->last_error), "%.*s", (int)n, text);
	if (e->opt->verbose)
		fprintf(stderr, "%.*s\n", (int)n, text);
}

// Output

static void watch(struct engine *e, struct session *s, bool out)
{
	struct epoll_event ev = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = s};

	if (s->want_out == out)
		return;
	s->want_out = out;
	epoll_ctl(e->epoll, EPOLL_CTL_MOD, s->fd, &ev);
}

static void sleep_until(struct engine *e, struct session *s, pen_time_us when)
{
	s->resume_at = when;
	if (s->sleeping)
		return;
	s->sleeping = true;
	s->next = e->sleepers;
	e->sleepers = s;
}

// The connection is gone. What was under way is tried again, or not known.
static void session_lost(struct engine *e, struct session *s, bool failure)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	s->nsegments = 0;
	s->command_n = 0;
	s->line_n = 0;
	s->want_out = false;
	bool in_doubt = s->step == STEP_DOT && s->has && !s->failed;
	s->step = STEP_OFF;
	s->ahead = false;
	if (failure)
		e->stats->lost_connections++;
	if (in_doubt && !e->opt->resend) {
		e->stats->unknown++;
		e->settled++;
		s->has = false;
	} else if (in_doubt) {
		e->stats->resent++;
	}
	if (!s->has && s->has_next) {
		s->number = s->next_number;
		s->has = true;
		s->has_next = false;
	}
	if (s->has || e->next < e->end)
		sleep_until(e, s, failure ? e->now + RETRY_US : e->now);
}

static void flush(struct engine *e, struct session *s)
{
	while (s->nsegments > 0) {
		struct msghdr m = {.msg_iov = s->segment, .msg_iovlen = s->nsegments};
		ssize_t w = sendmsg(s->fd, &m, MSG_NOSIGNAL);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN) {
			watch(e, s, true);
			return;
		}
		if (w < 0) {
			note_error(e, s, strerror(errno), strlen(strerror(errno)));
			session_lost(e, s, true);
			return;
		}
		unsigned done = 0;
		size_t left = (size_t)w;
		while (done < s->nsegments && left >= s->segment[done].iov_len)
			left -= s->segment[done++].iov_len;
		memmove(s->segment, s->segment + done,
			(s->nsegments - done) * sizeof(s->segment[0]));
		s->nsegments -= done;
		if (s->nsegments > 0) {
			s->segment[0].iov_base = (char *)s->segment[0].iov_base + left;
			s->segment[0].iov_len -= left;
		}
	}
	s->command_n = 0;
	watch(e, s, false);
}

static void queue_span(struct session *s, const void *p, size_t n)
{
	PEN_ASSERT(s->nsegments < SESSION_SEGMENTS);
	s->segment[s->nsegments++] = (struct iovec){(void *)(uintptr_t)p, n};
}

// Queues the bytes that were written to s->command from `from` on.
static void queue_command(struct session *s, size_t from)
{
	struct iovec *last = s->nsegments > 0 ? &s->segment[s->nsegments - 1] : NULL;

	if (last != NULL && (char *)last->iov_base + last->iov_len == s->command + from)
		last->iov_len += s->command_n - from;
	else
		queue_span(s, s->command + from, s->command_n - from);
}

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

static char *put_rcpt(struct engine *e, char *at, uint32_t i)
{
	at = put(at, "RCPT TO:<");
	if (e->opt->number)
		at = put_number(at, ++e->rcpt_number);
	else if (e->opt->recipients > 1)
		at = put_number(at, i + 1);
	at = put(at, e->opt->to);
	return put(at, ">\r\n");
}

static void say(struct session *s, const char *text)
{
	size_t from = s->command_n;

	s->command_n = (size_t)(put(s->command + from, text) - s->command);
	queue_command(s, from);
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
static void say_batch(struct engine *e, struct session *s)
{
	size_t from = s->command_n;

	put_mail(e, s);
	char *at = s->command + s->command_n;
	for (uint32_t i = 0; i < e->opt->recipients; i++)
		at = put_rcpt(e, at, i);
	at = put(at, "DATA\r\n");
	s->command_n = (size_t)(at - s->command);
	queue_command(s, from);
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

// The session is free: its next message, or the end.
static void start_message(struct engine *e, struct session *s)
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
		sleep_until(e, s, due_at(e, s->number));
		return;
	}
	expect_batch(e, s);
	if (e->opt->pipeline) {
		say_batch(e, s);
	} else {
		size_t from = s->command_n;
		put_mail(e, s);
		queue_command(s, from);
	}
}

static void send_content(struct engine *e, struct session *s)
{
	struct source_content c;

	source_message_make(e->messages, s->number, s->header, &c);
	queue_span(s, s->header, c.header_n);
	queue_span(s, c.rest.p, c.rest.n);
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
		say_batch(e, s);
	}
}

static void flush_acked(struct engine *e)
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
		flush_acked(e);
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
		sleep_until(e, s, when);
		return;
	}
	start_message(e, s);
}

// Replies

static void fail(struct engine *e, struct session *s, uint16_t code, const char *text, size_t n)
{
	note_error(e, s, text, n);
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
	s->command_n = (size_t)(put_rcpt(e, s->command + from, 0) - s->command);
	queue_command(s, from);
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
		s->command_n = (size_t)(put_rcpt(e, s->command + from, i) - s->command);
		queue_command(s, from);
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
		note_error(e, s, text, n);
		session_lost(e, s, true);
		return;
	}
	switch ((enum session_step)s->step) {
	case STEP_GREETING:
	case STEP_EHLO:
		if (!ok) {
			note_error(e, s, text, n);
			session_lost(e, s, true);
		} else if (s->step == STEP_GREETING) {
			size_t from = s->command_n;
			char *at = put(put(s->command + from, "EHLO "), e->opt->helo);
			s->command_n = (size_t)(put(at, "\r\n") - s->command);
			queue_command(s, from);
			s->step = STEP_EHLO;
		} else {
			e->connected_at = e->now;
			start_message(e, s);
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
		note_error(e, s, text, n);
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
		note_error(e, s, p, n);
		session_lost(e, s, true);
		return;
	}
	if (n > 3 && p[3] == '-')
		return;
	uint16_t code = (uint16_t)((p[0] - '0') * 100 + (p[1] - '0') * 10 + p[2] - '0');
	on_reply(e, s, code, p, n);
}

static void on_input(struct engine *e, struct session *s, const char *p, size_t n)
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

static void session_read(struct engine *e, struct session *s)
{
	ssize_t r = recv(s->fd, e->input, sizeof(e->input), 0);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0) {
		const char *why = r == 0 ? "the server closed the connection" : strerror(errno);
		if (s->step != STEP_QUIT)
			note_error(e, s, why, strlen(why));
		session_lost(e, s, s->step != STEP_QUIT);
		return;
	}
	s->heard_at = e->now;
	on_input(e, s, (char *)e->input, (size_t)r);
	if (s->fd >= 0 && s->nsegments > 0)
		flush(e, s);
}

// Connections

static void session_connect(struct engine *e, struct session *s)
{
	struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.ptr = s};
	int one = 1;

	s->fd = socket(e->opt->addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->fd < 0)
		pen_fatal("cannot open a socket: %s; raise the limit of open files (ulimit -n)",
			strerror(errno));
	setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	s->used = 0;
	s->step = STEP_CONNECT;
	s->heard_at = e->now;
	s->want_out = true;
	e->stats->connects++;
	int r = connect(s->fd, (const struct sockaddr *)&e->opt->addr, e->opt->addr_len);
	if (r != 0 && errno != EINPROGRESS) {
		e->stats->connect_failures++;
		note_error(e, s, strerror(errno), strlen(strerror(errno)));
		session_lost(e, s, true);
		return;
	}
	if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, s->fd, &ev) != 0)
		pen_fatal("epoll_ctl: %s", strerror(errno));
}

static void on_connected(struct engine *e, struct session *s)
{
	int err = 0;
	socklen_t n = sizeof(err);

	getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &err, &n);
	if (err != 0) {
		e->stats->connect_failures++;
		note_error(e, s, strerror(err), strlen(strerror(err)));
		session_lost(e, s, true);
		return;
	}
	s->step = STEP_GREETING;
	watch(e, s, false);
}

static void on_ready(struct engine *e, struct session *s, uint32_t events)
{
	if (s->step == STEP_CONNECT)
		on_connected(e, s);
	else if ((events & EPOLLOUT) != 0)
		flush(e, s);
	if (s->fd >= 0 && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
		session_read(e, s);
}

static void wake_sleepers(struct engine *e)
{
	struct session *list = e->sleepers;

	e->sleepers = NULL;
	while (list != NULL) {
		struct session *s = list;
		list = s->next;
		s->sleeping = false;
		if (e->now < s->resume_at) {
			sleep_until(e, s, s->resume_at);
			continue;
		}
		if (s->step == STEP_OFF) {
			if (s->has || e->next < e->end)
				session_connect(e, s);
		} else if (s->step == STEP_IDLE) {
			start_message(e, s);
			flush(e, s);
		}
	}
}

static int wait_ms(const struct engine *e)
{
	pen_time_us least = e->now + 100 * PEN_US_PER_MS;

	for (const struct session *s = e->sleepers; s != NULL; s = s->next)
		least = pen_time_min(least, s->resume_at);
	return least <= e->now ? 0 : (int)((least - e->now + 999) / 1000);
}

static void check_timeouts(struct engine *e)
{
	pen_time_us limit = (pen_time_us)e->opt->timeout_s * PEN_US_PER_S;

	for (uint32_t i = 0; i < e->opt->sessions; i++) {
		struct session *s = &e->session[i];
		if (s->fd < 0 || s->step == STEP_IDLE || e->now - s->heard_at < limit)
			continue;
		note_error(e, s, "no reply in time", 16);
		session_lost(e, s, true);
	}
	if (e->now - e->connected_at <= (pen_time_us)e->opt->give_up_s * PEN_US_PER_S)
		return;
	for (uint32_t i = 0; i < e->opt->sessions; i++) {
		if (e->session[i].fd >= 0 && e->session[i].step > STEP_EHLO) {
			e->connected_at = e->now;
			return;
		}
	}
	e->hopeless = true;
}

static void show_progress(struct engine *e, bool last)
{
	const struct source_stats *st = e->stats;
	double seconds = (double)(e->now - st->started) / 1e6;
	uint64_t done = e->settled, all = e->end - e->opt->first;

	if (e->opt->counter && !e->opt->progress) {
		fprintf(stderr, "\r%llu%s", (unsigned long long)st->accepted, last ? "\n" : "");
		return;
	}
	if (!e->opt->progress)
		return;
	fprintf(stderr, "\r%llu of %llu messages, %.0f/s, %llu deferred, %llu refused   %s",
		(unsigned long long)done, (unsigned long long)all,
		seconds > 0 ? (double)st->accepted / seconds : 0, (unsigned long long)st->deferred,
		(unsigned long long)st->refused, last ? "\n" : "");
}

static void engine_init(struct engine *e, const struct source_options *opt)
{
	e->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (e->epoll < 0)
		pen_fatal("epoll_create1: %s", strerror(errno));
	e->acked_fd = -1;
	if (opt->acked_file != NULL) {
		e->acked_fd =
			open(opt->acked_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
		if (e->acked_fd < 0)
			pen_fatal("cannot open %s: %s", opt->acked_file, strerror(errno));
	}
	e->batch_max = 256 + strlen(opt->from) + strlen(opt->helo) +
		       (size_t)opt->recipients * (strlen(opt->to) + 40);
	e->session = calloc(opt->sessions, sizeof(*e->session));
	if (e->session == NULL)
		pen_fatal("out of memory for %u sessions", opt->sessions);
	for (uint32_t i = 0; i < opt->sessions; i++) {
		struct session *s = &e->session[i];
		s->fd = -1;
		s->step = STEP_OFF;
		s->command = malloc(3 * e->batch_max);
		if (s->command == NULL)
			pen_fatal("out of memory for %u sessions", opt->sessions);
		sleep_until(e, s, e->now);
	}
}

static void engine_fini(struct engine *e)
{
	for (uint32_t i = 0; i < e->opt->sessions; i++) {
		if (e->session[i].fd >= 0)
			close(e->session[i].fd);
		free(e->session[i].command);
	}
	free(e->session);
	close(e->epoll);
	if (e->acked_fd >= 0)
		close(e->acked_fd);
}

// Every message has an end, and every session has said goodbye.
static bool finished(const struct engine *e)
{
	if (e->settled < e->end - e->opt->first)
		return false;
	for (uint32_t i = 0; i < e->opt->sessions; i++) {
		if (e->session[i].fd >= 0)
			return false;
	}
	return true;
}

static void run(struct engine *e)
{
	struct epoll_event ev[EVENTS];
	pen_time_us next_look = e->now;

	while (!finished(e) && !e->hopeless) {
		int n = epoll_wait(e->epoll, ev, EVENTS, wait_ms(e));
		e->now = pen_clock_mono();
		for (int i = 0; i < n; i++) {
			struct session *s = ev[i].data.ptr;
			if (s->fd >= 0)
				on_ready(e, s, ev[i].events);
		}
		wake_sleepers(e);
		if (e->acked_n > 0)
			flush_acked(e);
		if (e->now >= next_look) {
			next_look = e->now + 200 * PEN_US_PER_MS;
			check_timeouts(e);
			show_progress(e, false);
		}
	}
}

int source_run(
	const struct source_options *opt, struct source_messages *m, struct source_stats *stats)
{
	struct engine *e = calloc(1, sizeof(*e));

	if (e == NULL)
		pen_fatal("out of memory");
	e->opt = opt;
	e->messages = m;
	e->stats = stats;
	e->next = opt->first;
	e->end = opt->first + opt->messages;
	e->now = e->connected_at = stats->started = pen_clock_mono();
	pen_histogram_init(&stats->latency);
	engine_init(e, opt);
	run(e);
	stats->ended = pen_clock_mono();
	show_progress(e, true);
	bool hopeless = e->hopeless;
	engine_fini(e);
	free(e);
	return hopeless ? 1 : 0;
}
