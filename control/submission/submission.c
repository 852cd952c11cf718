// SPDX-License-Identifier: BSD-3-Clause

// Loops, listening sockets, and the way back for answers.

#include "submission.h"
#include "sockaddr.h"

#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

PEN_LOG_TYPE("submission");
PEN_COUNTERS_DEFINE(pen_submission, PEN_SUBMISSION_COUNTERS);

#define BACKLOG 1024
#define ACCEPTS_PER_EVENT 64
#define TICK_US 250000

// Binds listen[i] for one loop; the first loop settles a port of 0.
static int bind_one(struct pen_submission *s, uint32_t i)
{
	struct sockaddr_storage sa;
	socklen_t len = sockaddr_of(&s->listen[i].addr, s->port[i], &sa);
	int one = 1;
	int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (s->nloops > 1)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one));
	if (sa.ss_family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&sa, len) != 0 || listen(fd, BACKLOG) != 0 ||
		getsockname(fd, (struct sockaddr *)&sa, &len) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	s->port[i] = sockaddr_port(&sa);
	return fd;
}

// Events of a loop

static void loop_end_if_drained(struct loop *l)
{
	if (l->draining && (l->waiting == 0 || l->now >= l->drain_until))
		event_base_loopbreak(l->base);
}

static void on_accept(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)what;
	l->now = pen_clock_mono();
	for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
		struct sockaddr_storage sa;
		socklen_t len = sizeof(sa);
		int c = accept4(fd, (struct sockaddr *)&sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (c >= 0) {
			struct pen_addr client = sockaddr_addr(&sa);
			conn_accept(l, c, &client);
			continue;
		}
		if (errno == ECONNABORTED || errno == EINTR)
			continue;
		if (errno == EAGAIN)
			return;
		// Out of descriptors or memory: the tick listens again.
		PEN_COUNT(l->ctr.accepts_failed);
		for (uint32_t k = 0; k < l->sub->cfg.nlisten; k++)
			event_del(l->ev_listen[k]);
		return;
	}
}

static void drain(struct loop *l, pen_time_us grace)
{
	l->draining = true;
	l->drain_until = l->now + grace;
	for (uint32_t i = 0; i < l->sub->cfg.nlisten; i++) {
		event_del(l->ev_listen[i]);
		close(l->listen_fd[i]);
		l->listen_fd[i] = -1;
	}
	for (uint32_t i = 0; i < l->nconn; i++)
		conn_shutdown(l->conn[i]);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;
	uint64_t count;
	ssize_t r = read(fd, &count, sizeof(count));

	(void)what;
	(void)r;
	l->now = pen_clock_mono();
	pthread_mutex_lock(&l->lock);
	struct answer *todo = l->answer;
	size_t n = l->nanswer;
	l->answer = l->spare;
	l->nanswer = 0;
	bool stop = l->stop;
	pen_time_us grace = l->grace;
	pthread_mutex_unlock(&l->lock);
	for (size_t i = 0; i < n; i++)
		conn_answer(l, &todo[i]);
	l->spare = todo;
	if (stop && !l->draining)
		drain(l, grace);
	loop_end_if_drained(l);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct loop *l = arg;

	(void)fd;
	(void)what;
	l->now = pen_clock_mono();
	for (uint32_t i = 0; i < l->nconn; i++)
		conn_tick(l->conn[i], l->now);
	if (l->auth_on)
		auth_link_tick(&l->auth, l->now);
	for (uint32_t i = 0; i < l->sub->cfg.nlisten && !l->draining; i++)
		event_add(l->ev_listen[i], NULL);
	loop_end_if_drained(l);
}

static void *loop_main(void *arg)
{
	struct loop *l = arg;
	sigset_t all;

	sigfillset(&all); // signals are for the main thread
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	if (l->auth_on)
		auth_link_tick(&l->auth, pen_clock_mono());
	event_base_dispatch(l->base);
	return NULL;
}

// Making and ending

static int loop_events(struct loop *l)
{
	const struct timeval period = {.tv_usec = TICK_US};

	l->base = event_base_new();
	l->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->base == NULL || l->wake_fd < 0)
		return -ENOMEM;
	l->ev_wake = event_new(l->base, l->wake_fd, EV_READ | EV_PERSIST, on_wake, l);
	l->ev_tick = event_new(l->base, -1, EV_PERSIST, on_tick, l);
	if (l->ev_wake == NULL || l->ev_tick == NULL || event_add(l->ev_wake, NULL) != 0 ||
		event_add(l->ev_tick, &period) != 0)
		return -ENOMEM;
	for (uint32_t i = 0; i < l->sub->cfg.nlisten; i++) {
		l->ev_listen[i] =
			event_new(l->base, l->listen_fd[i], EV_READ | EV_PERSIST, on_accept, l);
		if (l->ev_listen[i] == NULL || event_add(l->ev_listen[i], NULL) != 0)
			return -ENOMEM;
	}
	l->auth_on = l->sub->cfg.auth_server != NULL;
	if (l->auth_on)
		auth_link_init(
			&l->auth, l->base, &l->sub->auth_server, l->sub->cfg.maillog, &l->ctr);
	return 0;
}

static int loop_init(struct loop *l, struct pen_submission *s, uint32_t index, const char **what)
{
	static char text[128];

	l->sub = s;
	l->index = index;
	l->wake_fd = -1;
	pthread_mutex_init(&l->lock, NULL);
	for (uint32_t i = 0; i < LISTENERS_MAX; i++)
		l->listen_fd[i] = -1;
	*what = "out of memory";
	l->input = malloc(READ_BYTES);
	l->rcpts = calloc(s->cfg.recipient_limit, sizeof(*l->rcpts));
	l->conn = calloc(s->cfg.max_connections, sizeof(struct conn *));
	l->answer = calloc(s->cfg.max_connections, sizeof(*l->answer));
	l->spare = calloc(s->cfg.max_connections, sizeof(*l->spare));
	if (!l->input || !l->rcpts || !l->conn || !l->answer || !l->spare)
		return -ENOMEM;
	int err = tls_loop_init(l, what);
	if (err != 0)
		return err;
	for (uint32_t i = 0; i < s->cfg.nlisten; i++) {
		l->listen_fd[i] = bind_one(s, i);
		if (l->listen_fd[i] < 0) {
			char ip[PEN_ADDR_STR_MAX];
			snprintf(text, sizeof(text),
				"smtpd_listen: cannot listen on %s port %u: %s",
				pen_addr_str(&s->listen[i].addr, ip), s->listen[i].port,
				strerror(-l->listen_fd[i]));
			*what = text;
			return l->listen_fd[i];
		}
	}
	return loop_events(l);
}

static void free_event(struct event *ev)
{
	if (ev != NULL)
		event_free(ev);
}

static void loop_fini(struct loop *l)
{
	for (uint32_t i = 0; i < l->nconn; i++)
		conn_free(l->conn[i]);
	for (uint32_t i = 0; i < LISTENERS_MAX; i++) {
		free_event(l->ev_listen[i]);
		if (l->listen_fd[i] >= 0)
			close(l->listen_fd[i]);
	}
	free_event(l->ev_wake);
	free_event(l->ev_tick);
	if (l->auth_on)
		auth_link_fini(&l->auth);
	if (l->base != NULL)
		event_base_free(l->base);
	if (l->wake_fd >= 0)
		close(l->wake_fd);
	tls_loop_fini(l);
	free(l->input);
	free(l->rcpts);
	free(l->conn);
	free(l->answer);
	free(l->spare);
	pthread_mutex_destroy(&l->lock);
}

static void *copy(const void *p, size_t n)
{
	void *q = malloc(n > 0 ? n : 1);

	if (q != NULL && n > 0)
		memcpy(q, p, n);
	return q;
}

static bool copy_config(struct pen_submission *s, const struct pen_submission_config *cfg)
{
	s->cfg = *cfg;
	s->listen = copy(cfg->listen, cfg->nlisten * sizeof(*cfg->listen));
	s->mynetworks = copy(cfg->mynetworks, cfg->nmynetworks * sizeof(*cfg->mynetworks));
	s->verp_clients = copy(cfg->verp_clients, cfg->nverp_clients * sizeof(*cfg->verp_clients));
	s->verp_filter = strdup(cfg->verp_filter != NULL ? cfg->verp_filter : "-=+");
	memcpy(s->verp_delimiters, cfg->verp_delimiters != NULL ? cfg->verp_delimiters : "+=", 2);
	s->hostname = strdup(cfg->hostname);
	s->banner = strdup(cfg->banner != NULL ? cfg->banner : "ESMTP Penstock");
	s->mail_name = strdup(cfg->mail_name != NULL ? cfg->mail_name : "Penstock");
	bool origin = cfg->myorigin != NULL && cfg->myorigin[0] != '\0';
	s->myorigin = origin ? strdup(cfg->myorigin) : NULL;
	if (!s->listen || !s->mynetworks || !s->hostname || !s->banner || !s->mail_name ||
		!s->verp_clients || !s->verp_filter || (origin && !s->myorigin))
		return false;
	if (s->cfg.max_connections == 0)
		s->cfg.max_connections = 1000;
	if (s->cfg.recipient_limit == 0)
		s->cfg.recipient_limit = 1000;
	s->budget.max = cfg->max_in_flight != 0 ? cfg->max_in_flight : 256u << 20;
	inflow_init(&s->inflow,
		cfg->in_flow_tokens != 0 ? cfg->in_flow_tokens : s->cfg.max_connections);
	s->smtp_cfg = (struct pen_smtp_server_config){
		.hostname = s->hostname,
		.banner = s->banner,
		.max_size = cfg->message_size_limit,
		.max_recipients = s->cfg.recipient_limit,
		.soft_error_limit = cfg->soft_error_limit,
		.hard_error_limit = cfg->hard_error_limit,
		.timeout = cfg->timeout != 0 ? cfg->timeout : 300 * PEN_US_PER_S,
		.fix_bare_lf = true,
		.offer_starttls = cfg->tls != PEN_SUBMISSION_TLS_NONE,
		.require_starttls = cfg->tls == PEN_SUBMISSION_TLS_ENCRYPT,
		.offer_dsn = true,
		.offer_requiretls = cfg->requiretls,
		.offer_pipelining = true,
		.offer_8bitmime = true,
		.offer_size = true,
		.offer_enhanced = true,
		.offer_smtputf8 = cfg->smtputf8,
		.offer_auth = cfg->auth_server != NULL,
		.auth_tls_only = cfg->auth_tls_only,
	};
	s->smtp_verp_cfg = s->smtp_cfg;
	s->smtp_verp_cfg.offer_xverp = true;
	for (uint32_t i = 0; i < cfg->nlisten; i++)
		s->port[i] = cfg->listen[i].port;
	return true;
}

int pen_submission_new(const struct pen_submission_config *cfg,
	const struct pen_submission_ops *ops, void *ctx, struct pen_submission **out,
	const char **what)
{
	struct pen_submission *s = calloc(1, sizeof(*s));
	uint32_t loops = cfg->loops != 0 ? cfg->loops : 1;
	int err = -ENOMEM;

	*what = "out of memory";
	if (s == NULL)
		return err;
	pthread_mutex_init(&s->clients_lock, NULL);
	s->ops = *ops;
	s->ctx = ctx;
	if (cfg->auth_server != NULL)
		s->auth_server = *cfg->auth_server;
	if (cfg->nlisten > LISTENERS_MAX || loops > 255) {
		*what = "too many listening addresses or loops";
		err = -EINVAL;
		goto fail;
	}
	if (!copy_config(s, cfg))
		goto fail;
	s->loop = calloc(loops, sizeof(*s->loop));
	if (s->loop == NULL)
		goto fail;
	s->nloops = loops; // SO_REUSEPORT is decided by it
	for (uint32_t i = 0; i < loops; i++) {
		err = loop_init(&s->loop[i], s, i, what);
		if (err != 0) {
			s->nloops = i + 1;
			goto fail;
		}
	}
	*out = s;
	return 0;
fail:
	pen_submission_free(s);
	return err;
}

int pen_submission_start(struct pen_submission *s)
{
	for (uint32_t i = 0; i < s->nloops; i++) {
		int err = pthread_create(&s->loop[i].thread, NULL, loop_main, &s->loop[i]);
		if (err != 0)
			return -err;
		s->loop[i].started = true;
	}
	pen_info("%u listening addresses, %u loops", s->cfg.nlisten, s->nloops);
	return 0;
}

static void wake(struct loop *l)
{
	uint64_t one = 1;
	ssize_t w = write(l->wake_fd, &one, sizeof(one));

	(void)w; // fails only when the counter is full, and then it is readable
}

void pen_submission_stop(struct pen_submission *s, pen_time_us grace)
{
	for (uint32_t i = 0; i < s->nloops; i++) {
		struct loop *l = &s->loop[i];
		pthread_mutex_lock(&l->lock);
		l->stop = true;
		l->grace = grace;
		pthread_mutex_unlock(&l->lock);
		wake(l);
	}
	for (uint32_t i = 0; i < s->nloops; i++) {
		if (s->loop[i].started)
			pthread_join(s->loop[i].thread, NULL);
		s->loop[i].started = false;
	}
}

void pen_submission_free(struct pen_submission *s)
{
	if (s == NULL)
		return;
	if (s->loop != NULL) {
		pen_submission_stop(s, 0);
		for (uint32_t i = 0; i < s->nloops; i++)
			loop_fini(&s->loop[i]);
	}
	free(s->loop);
	free(s->listen);
	free(s->mynetworks);
	free(s->verp_clients);
	free(s->verp_filter);
	free(s->hostname);
	free(s->banner);
	free(s->mail_name);
	free(s->myorigin);
	free(s->clients);
	pthread_mutex_destroy(&s->clients_lock);
	free(s);
}

void pen_submission_done(struct pen_submission *s, uint64_t token, int err, const char *reply)
{
	uint32_t index = (uint32_t)(token >> 24 & 0xff);

	PEN_ASSERT(index < s->nloops);
	struct loop *l = &s->loop[index];
	pthread_mutex_lock(&l->lock);
	// At most one answer per slot is under way.
	PEN_ASSERT(l->nanswer < s->cfg.max_connections);
	l->answer[l->nanswer++] = (struct answer){token, reply, err};
	// One wake-up for all answers that the loop has not taken yet.
	bool first = l->nanswer == 1;
	pthread_mutex_unlock(&l->lock);
	if (first)
		wake(l);
}

uint16_t pen_submission_port(const struct pen_submission *s, uint32_t i)
{
	return s->port[i];
}

struct pen_submission_stats pen_submission_stats(const struct pen_submission *s)
{
	return (struct pen_submission_stats){__atomic_load_n(&s->connections, __ATOMIC_RELAXED),
		__atomic_load_n(&s->budget.used, __ATOMIC_RELAXED)};
}

uint32_t pen_submission_loops(const struct pen_submission *s)
{
	return s->nloops;
}

const struct pen_submission_counters *pen_submission_counters(
	const struct pen_submission *s, uint32_t loop)
{
	return &s->loop[loop].ctr;
}

const struct pen_smtp_server_counters *pen_submission_smtp_counters(
	const struct pen_submission *s, uint32_t loop)
{
	return &s->loop[loop].smtp_ctr;
}
