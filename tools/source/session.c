// SPDX-License-Identifier: BSD-3-Clause
#include "session.h"

#include "pen_err.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

void note_error(struct engine *e, const char *text, size_t n)
{
	snprintf(e->stats->last_error, sizeof(e->stats->last_error), "%.*s", (int)n, text);
	if (e->opt->verbose)
		fprintf(stderr, "%.*s\n", (int)n, text);
}

void session_watch(struct engine *e, struct session *s, bool out)
{
	struct epoll_event ev = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = s};

	if (s->want_out == out)
		return;
	s->want_out = out;
	epoll_ctl(e->epoll, EPOLL_CTL_MOD, s->fd, &ev);
}

void session_sleep(struct engine *e, struct session *s, pen_time_us when)
{
	s->resume_at = when;
	if (s->sleeping)
		return;
	s->sleeping = true;
	s->next = e->sleepers;
	e->sleepers = s;
}

void session_lost(struct engine *e, struct session *s, bool failure)
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
		session_sleep(e, s, failure ? e->now + RETRY_US : e->now);
}

void session_flush(struct engine *e, struct session *s)
{
	while (s->nsegments > 0) {
		struct msghdr m = {.msg_iov = s->segment, .msg_iovlen = s->nsegments};
		ssize_t w = sendmsg(s->fd, &m, MSG_NOSIGNAL);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN) {
			session_watch(e, s, true);
			return;
		}
		if (w < 0) {
			note_error(e, strerror(errno), strlen(strerror(errno)));
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
	session_watch(e, s, false);
}

void session_queue(struct session *s, const void *p, size_t n)
{
	PEN_ASSERT(s->nsegments < SESSION_SEGMENTS);
	s->segment[s->nsegments++] = (struct iovec){(void *)(uintptr_t)p, n};
}

void session_queue_command(struct session *s, size_t from)
{
	struct iovec *last = s->nsegments > 0 ? &s->segment[s->nsegments - 1] : NULL;

	if (last != NULL && (char *)last->iov_base + last->iov_len == s->command + from)
		last->iov_len += s->command_n - from;
	else
		session_queue(s, s->command + from, s->command_n - from);
}
