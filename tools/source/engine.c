// SPDX-License-Identifier: BSD-3-Clause

// The load: connections over epoll, one thread.

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

#define EVENTS 256

static void session_read(struct engine *e, struct session *s)
{
	ssize_t r = recv(s->fd, e->input, sizeof(e->input), 0);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0) {
		const char *why = r == 0 ? "the server closed the connection" : strerror(errno);
		if (s->step != STEP_QUIT)
			note_error(e, why, strlen(why));
		session_lost(e, s, s->step != STEP_QUIT);
		return;
	}
	s->heard_at = e->now;
	transaction_input(e, s, (char *)e->input, (size_t)r);
	if (s->fd >= 0 && s->nsegments > 0)
		session_flush(e, s);
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
		note_error(e, strerror(errno), strlen(strerror(errno)));
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
		note_error(e, strerror(err), strlen(strerror(err)));
		session_lost(e, s, true);
		return;
	}
	s->step = STEP_GREETING;
	session_watch(e, s, false);
}

static void on_ready(struct engine *e, struct session *s, uint32_t events)
{
	if (s->step == STEP_CONNECT)
		on_connected(e, s);
	else if ((events & EPOLLOUT) != 0)
		session_flush(e, s);
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
			session_sleep(e, s, s->resume_at);
			continue;
		}
		if (s->step == STEP_OFF) {
			if (s->has || e->next < e->end)
				session_connect(e, s);
		} else if (s->step == STEP_IDLE) {
			transaction_start(e, s);
			session_flush(e, s);
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
		note_error(e, "no reply in time", 16);
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
		       (size_t)opt->recipients * (strlen(opt->to) + 64);
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
		session_sleep(e, s, e->now);
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
			transaction_flush_acked(e);
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
