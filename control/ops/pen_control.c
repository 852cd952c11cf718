// SPDX-License-Identifier: BSD-3-Clause

// Diagnostics: logs when it starts and when the socket fails; every refused
// request is an answer to its client.

#include "pen_control.h"

#include "pen_control_client.h"
#include "pen_control_request.h"
#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <event2/event.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

PEN_LOG_TYPE("ops.control");

struct verb {
	const char *name;
	pen_control_fn *fn;
	void *ctx;
};

// An answer on its way from another thread.
struct completion {
	struct completion *next;
	uint64_t token;
	char *line; // with its newline, malloc'ed; NULL: out of memory
	size_t n;
	json_t *result; // instead: the line is still to be made of it
};

struct pen_control {
	char path[108];
	pen_time_us handler_timeout;
	struct verb verb[PEN_CONTROL_VERBS_MAX];
	unsigned nverbs;
	int listen_fd;
	int wake_fd;
	bool bound, running;
	pthread_t thread;
	struct event_base *base;
	struct event *ev_listen, *ev_wake, *ev_tick;
	struct control_client client[PEN_CONTROL_CLIENTS_MAX];

	pthread_mutex_t lock; // for the list
	struct completion *first, **last;
	bool stop;
};

int pen_control_new(const struct pen_control_config *cfg, struct pen_control **out)
{
	struct pen_control *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return -ENOMEM;
	if (strlen(cfg->path) >= sizeof(c->path)) {
		free(c);
		return -ENAMETOOLONG;
	}
	snprintf(c->path, sizeof(c->path), "%s", cfg->path);
	c->handler_timeout = cfg->handler_timeout != 0 ? cfg->handler_timeout : 30 * PEN_US_PER_S;
	c->listen_fd = c->wake_fd = -1;
	c->last = &c->first;
	pthread_mutex_init(&c->lock, NULL);
	for (unsigned i = 0; i < PEN_CONTROL_CLIENTS_MAX; i++)
		control_client_init(&c->client[i], i);
	*out = c;
	return 0;
}

int pen_control_register(struct pen_control *c, const char *verb, pen_control_fn *fn, void *ctx)
{
	PEN_ASSERT(!c->running);
	for (unsigned i = 0; i < c->nverbs; i++) {
		if (strcmp(c->verb[i].name, verb) == 0)
			return -EEXIST;
	}
	if (c->nverbs == PEN_CONTROL_VERBS_MAX)
		return -ENOSPC;
	c->verb[c->nverbs++] = (struct verb){verb, fn, ctx};
	return 0;
}

// Answers, from any thread.

static void drop(const struct completion *done)
{
	free(done->line);
	json_decref(done->result);
}

static void post(struct pen_control *c, const struct completion *what)
{
	struct completion *done = malloc(sizeof(*done));
	uint64_t one = 1;

	if (done == NULL) {
		drop(what); // the client's answer time-out tells it
		return;
	}
	*done = *what;
	pthread_mutex_lock(&c->lock);
	*c->last = done;
	c->last = &done->next;
	pthread_mutex_unlock(&c->lock);
	ssize_t w = write(c->wake_fd, &one, sizeof(one));
	(void)w; // can only fail when the counter is full, and then it is readable
}

static char *encode(json_t *root, size_t *n)
{
	char *text = root != NULL ? json_dumps(root, JSON_COMPACT) : NULL;

	*n = 0;
	if (text == NULL)
		return NULL;
	*n = strlen(text) + 1;
	text[*n - 1] = '\n'; // takes the NUL's place: the length is kept apart
	return text;
}

static char *encode_error(const char *text, size_t *n)
{
	json_t *root = json_pack("{s:b,s:s}", "ok", 0, "error", text);
	char *line = encode(root, n);

	json_decref(root);
	return line;
}

// The line of an answer; takes the result over.
static char *encode_ok(json_t *result, size_t *n)
{
	json_t *root =
		json_pack("{s:b,s:o}", "ok", 1, "result", result != NULL ? result : json_object());
	char *line = encode(root, n);

	json_decref(root);
	if (line != NULL && *n > PEN_CONTROL_REPLY_MAX) {
		free(line);
		line = encode_error("the answer is too long: ask for a smaller page", n);
	}
	return line;
}

void pen_control_done_ok(struct pen_control *c, uint64_t token, json_t *result)
{
	struct completion done = {.token = token};

	done.line = encode_ok(result, &done.n);
	post(c, &done);
}

void pen_control_done_page(struct pen_control *c, uint64_t token, json_t *result)
{
	const struct completion done = {.token = token, .result = result};

	post(c, &done);
}

void pen_control_done_error(struct pen_control *c, uint64_t token, const char *fmt, ...)
{
	char text[1024];
	struct completion done = {.token = token};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	done.line = encode_error(text, &done.n);
	if (done.line == NULL)
		done.line = encode_error("the request failed", &done.n); // text was not UTF-8
	post(c, &done);
}

// The server's thread.

static void answer_error(struct control_client *cl, const char *text)
{
	size_t n;
	char *line = encode_error(text, &n);

	control_client_answer(cl, line, n, pen_clock_mono());
}

static void dispatch(struct pen_control *c, struct control_client *cl, struct pen_span line)
{
	json_t *root, *args;
	const char *verb;
	char err[128];

	control_client_begin(cl, pen_clock_mono() + c->handler_timeout);
	if (pen_control_request_parse(line, &root, &verb, &args, err, sizeof(err)) != 0) {
		answer_error(cl, err);
		return;
	}
	const struct verb *v = NULL;
	for (unsigned i = 0; i < c->nverbs && v == NULL; i++) {
		if (strcmp(c->verb[i].name, verb) == 0)
			v = &c->verb[i];
	}
	if (v == NULL) {
		snprintf(err, sizeof(err), "unknown verb \"%s\"", verb);
		answer_error(cl, err);
	} else {
		json_t *none = args == NULL ? json_object() : NULL;
		struct pen_control_request req = {
			verb, args != NULL ? args : none, control_client_token(cl)};
		v->fn(v->ctx, c, &req);
		json_decref(none);
	}
	json_decref(root);
}

// Starts the next request of this client, when it has a complete one.
static void advance(struct pen_control *c, struct control_client *cl)
{
	struct pen_span line;

	while (control_client_idle(cl) && control_client_line(cl, &line)) {
		dispatch(c, cl, line);
		control_client_line_done(cl);
	}
	if (control_client_overlong(cl)) {
		control_client_begin(cl, PEN_TIME_NEVER);
		cl->close_after = true;
		answer_error(cl, "the request is too long");
	}
}

static void on_client(evutil_socket_t fd, short what, void *arg)
{
	struct control_client *cl = arg;
	struct pen_control *c = cl->owner;

	(void)fd;
	if ((what & EV_WRITE) != 0)
		control_client_write(cl);
	if ((what & EV_READ) != 0)
		control_client_read(cl, pen_clock_mono());
	advance(c, cl);
}

static struct control_client *free_client(struct pen_control *c)
{
	for (unsigned i = 0; i < PEN_CONTROL_CLIENTS_MAX; i++) {
		if (c->client[i].fd < 0)
			return &c->client[i];
	}
	return NULL;
}

static void on_listen(evutil_socket_t fd, short what, void *arg)
{
	static const char busy[] = "{\"ok\":false,\"error\":\"too many control clients\"}\n";
	struct pen_control *c = arg;

	(void)what;
	for (;;) {
		int s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s < 0) {
			// Out of descriptors: the tick tries again.
			if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
				event_del(c->ev_listen);
			return;
		}
		struct control_client *cl = free_client(c);
		if (cl == NULL) {
			ssize_t w = send(s, busy, sizeof(busy) - 1, MSG_NOSIGNAL);
			(void)w;
			close(s);
			continue;
		}
		if (control_client_open(cl, c, c->base, s, on_client, pen_clock_mono()) != 0)
			close(s);
	}
}

static void deliver(struct pen_control *c, struct completion *done)
{
	unsigned slot = control_token_slot(done->token);
	struct control_client *cl = slot < PEN_CONTROL_CLIENTS_MAX ? &c->client[slot] : NULL;

	if (cl == NULL || !control_client_waits_for(cl, done->token)) {
		drop(done);
		return;
	}
	if (done->result != NULL)
		done->line = encode_ok(done->result, &done->n);
	control_client_answer(cl, done->line, done->n, pen_clock_mono());
	advance(c, cl);
}

static void on_wake(evutil_socket_t fd, short what, void *arg)
{
	struct pen_control *c = arg;
	uint64_t count;
	ssize_t r = read(fd, &count, sizeof(count));

	(void)what;
	(void)r;
	pthread_mutex_lock(&c->lock);
	struct completion *list = c->first;
	bool stop = c->stop;
	c->first = NULL;
	c->last = &c->first;
	pthread_mutex_unlock(&c->lock);
	while (list != NULL) {
		struct completion *done = list;
		list = done->next;
		deliver(c, done);
		free(done);
	}
	if (stop)
		event_base_loopbreak(c->base);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct pen_control *c = arg;
	pen_time_us now = pen_clock_mono();

	(void)fd;
	(void)what;
	event_add(c->ev_listen, NULL);
	for (unsigned i = 0; i < PEN_CONTROL_CLIENTS_MAX; i++) {
		struct control_client *cl = &c->client[i];
		if (cl->fd < 0 || now < cl->deadline)
			continue;
		if (control_client_idle(cl) || cl->out_n > 0) {
			control_client_close(cl);
			continue;
		}
		answer_error(cl, "no answer in time");
		advance(c, cl);
	}
}

static void *loop(void *arg)
{
	struct pen_control *c = arg;
	sigset_t all;

	sigfillset(&all); // signals are for the main thread
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	event_base_dispatch(c->base);
	return NULL;
}

// A daemon that died leaves its socket file behind; one that lives answers.
static int bind_path(int fd, const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	struct stat st;

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (lstat(path, &st) == 0) {
		if (!S_ISSOCK(st.st_mode))
			return -EEXIST;
		int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (probe < 0)
			return -errno;
		int r = connect(probe, (struct sockaddr *)&sa, sizeof(sa));
		int err = r == 0 || errno == EAGAIN ? -EADDRINUSE : 0;
		close(probe);
		if (err != 0)
			return err;
		unlink(path);
	}
	// No moment with wider permissions than the final ones.
	mode_t old = umask(0117);
	int r = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0 ? 0 : -errno;
	umask(old);
	return r;
}

static int open_socket(struct pen_control *c)
{
	c->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->listen_fd < 0)
		return -errno;
	int err = bind_path(c->listen_fd, c->path);
	if (err != 0)
		return err;
	c->bound = true;
	return listen(c->listen_fd, PEN_CONTROL_CLIENTS_MAX) == 0 ? 0 : -errno;
}

static int open_events(struct pen_control *c)
{
	const struct timeval period = {.tv_sec = 0, .tv_usec = 250000};

	c->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->wake_fd < 0)
		return -errno;
	c->base = event_base_new();
	if (c->base == NULL)
		return -ENOMEM;
	c->ev_listen = event_new(c->base, c->listen_fd, EV_READ | EV_PERSIST, on_listen, c);
	c->ev_wake = event_new(c->base, c->wake_fd, EV_READ | EV_PERSIST, on_wake, c);
	c->ev_tick = event_new(c->base, -1, EV_PERSIST, on_tick, c);
	if (c->ev_listen == NULL || c->ev_wake == NULL || c->ev_tick == NULL)
		return -ENOMEM;
	if (event_add(c->ev_listen, NULL) != 0 || event_add(c->ev_wake, NULL) != 0 ||
		event_add(c->ev_tick, &period) != 0)
		return -ENOMEM;
	return 0;
}

int pen_control_start(struct pen_control *c)
{
	int err = open_socket(c);

	if (err == 0)
		err = open_events(c);
	if (err == 0)
		err = -pthread_create(&c->thread, NULL, loop, c);
	if (err != 0)
		return err;
	c->running = true;
	pen_info("listening on %s", c->path);
	return 0;
}

static void free_event(struct event *ev)
{
	if (ev != NULL)
		event_free(ev);
}

void pen_control_free(struct pen_control *c)
{
	uint64_t one = 1;

	if (c == NULL)
		return;
	if (c->running) {
		pthread_mutex_lock(&c->lock);
		c->stop = true;
		pthread_mutex_unlock(&c->lock);
		ssize_t w = write(c->wake_fd, &one, sizeof(one));
		(void)w;
		pthread_join(c->thread, NULL);
	}
	for (unsigned i = 0; i < PEN_CONTROL_CLIENTS_MAX; i++)
		control_client_close(&c->client[i]);
	while (c->first != NULL) {
		struct completion *done = c->first;
		c->first = done->next;
		drop(done);
		free(done);
	}
	free_event(c->ev_listen);
	free_event(c->ev_wake);
	free_event(c->ev_tick);
	if (c->base != NULL)
		event_base_free(c->base);
	if (c->listen_fd >= 0)
		close(c->listen_fd);
	if (c->wake_fd >= 0)
		close(c->wake_fd);
	if (c->bound)
		unlink(c->path);
	pthread_mutex_destroy(&c->lock);
	free(c);
}
