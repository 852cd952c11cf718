// SPDX-License-Identifier: BSD-3-Clause
#include "auth_link.h"

#include "sockaddr.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void name_of(const struct pen_sasl_server *s, char *out, size_t cap)
{
	char ip[PEN_ADDR_STR_MAX];

	if (s->path[0] != '\0')
		snprintf(out, cap, "%s", s->path);
	else
		snprintf(out, cap, "inet:[%s]:%u", pen_addr_str(&s->addr, ip), s->port);
}

// Once for each time that the server is away, however often it is tried.
static void tell(struct auth_link *l, const char *what)
{
	char name[PEN_SASL_PATH_MAX + 1];

	if (l->told)
		return;
	l->told = true;
	name_of(l->server, name, sizeof(name));
	pen_maillog_line(
		l->maillog, "smtpd", "warning: SASL: authentication server %s: %s", name, what);
}

static void drop_socket(struct auth_link *l)
{
	if (l->ev_read != NULL)
		event_free(l->ev_read);
	if (l->ev_write != NULL)
		event_free(l->ev_write);
	if (l->fd >= 0)
		close(l->fd);
	l->ev_read = l->ev_write = NULL;
	l->fd = -1;
	l->connecting = l->write_on = false;
}

// The connection is of no use any more. One that worked is made again at the next tick.
static void lose(struct auth_link *l, const char *why)
{
	bool worked = l->client.state == AUTH_READY;

	drop_socket(l);
	if (worked) {
		PEN_COUNT(l->ctr->auth_lost);
		l->retry = 0;
	}
	tell(l, why);
	auth_client_lost(&l->client);
}

static void write_some(struct auth_link *l)
{
	struct pen_buf *out = &l->client.out;

	while (out->n > 0) {
		ssize_t w = send(l->fd, out->p, out->n, MSG_NOSIGNAL);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN)
			return;
		if (w < 0) {
			lose(l, strerror(errno));
			return;
		}
		auth_client_sent(&l->client, (size_t)w);
	}
	if (out->failed) {
		lose(l, "out of memory");
		return;
	}
	event_del(l->ev_write);
	l->write_on = false;
}

static void read_some(struct auth_link *l)
{
	uint8_t in[4096];
	ssize_t r = recv(l->fd, in, sizeof(in), 0);

	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0) {
		lose(l, r < 0 ? strerror(errno) : "it has closed the connection");
		return;
	}
	bool ready = l->client.state == AUTH_READY;
	const char *why = auth_client_feed(&l->client, in, (size_t)r);
	if (why != NULL) {
		PEN_COUNT(l->ctr->auth_protocol_errors);
		l->client.state = AUTH_SHAKES; // not at once again
		lose(l, why);
		return;
	}
	if (!ready && l->client.state == AUTH_READY) {
		PEN_COUNT(l->ctr->auth_connects);
		if (l->told)
			pen_maillog_line(
				l->maillog, "smtpd", "SASL: the authentication server is back");
		l->told = false;
	}
}

static void up(struct auth_link *l)
{
	l->connecting = false;
	// Of the thread: another loop of this process has a connection of its own.
	auth_client_connected(&l->client, (uint32_t)gettid(), pen_clock_mono());
	if (event_add(l->ev_read, NULL) != 0)
		lose(l, "out of memory");
	else
		auth_link_push(l);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct auth_link *l = arg;
	int err = 0;
	socklen_t len = sizeof(err);

	if (l->connecting) {
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
		if (err != 0)
			lose(l, strerror(err));
		else
			up(l);
	} else if ((what & EV_WRITE) != 0) {
		write_some(l);
	} else {
		read_some(l);
	}
}

void auth_link_push(struct auth_link *l)
{
	if (l->fd >= 0 && !l->write_on && event_add(l->ev_write, NULL) == 0)
		l->write_on = true;
}

static socklen_t address(const struct pen_sasl_server *s, struct sockaddr_storage *out)
{
	if (s->path[0] != '\0') {
		memset(out, 0, sizeof(*out));
		struct sockaddr_un *un = (struct sockaddr_un *)out;
		un->sun_family = AF_UNIX;
		memcpy(un->sun_path, s->path, strlen(s->path) + 1);
		return sizeof(*un);
	}
	return sockaddr_of(&s->addr, s->port, out);
}

static void dial(struct auth_link *l)
{
	struct sockaddr_storage sa;
	socklen_t len = address(l->server, &sa);

	l->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0) {
		tell(l, strerror(errno));
		return;
	}
	l->ev_read = event_new(l->base, l->fd, EV_READ | EV_PERSIST, on_event, l);
	l->ev_write = event_new(l->base, l->fd, EV_WRITE | EV_PERSIST, on_event, l);
	if (l->ev_read == NULL || l->ev_write == NULL) {
		lose(l, "out of memory");
	} else if (connect(l->fd, (struct sockaddr *)&sa, len) == 0) {
		up(l);
	} else if (errno == EINPROGRESS) {
		l->connecting = true;
		auth_link_push(l);
	} else {
		lose(l, strerror(errno));
	}
}

void auth_link_init(struct auth_link *l, struct event_base *base,
	const struct pen_sasl_server *server, struct pen_maillog *maillog,
	struct pen_submission_counters *ctr)
{
	*l = (struct auth_link){
		.server = server, .base = base, .maillog = maillog, .ctr = ctr, .fd = -1};
	auth_client_init(&l->client);
}

void auth_link_fini(struct auth_link *l)
{
	drop_socket(l);
	auth_client_fini(&l->client);
}

void auth_link_tick(struct auth_link *l, pen_time_us now)
{
	const char *why = auth_client_tick(&l->client, now);

	if (why == NULL && l->connecting && now >= l->retry)
		why = strerror(ETIMEDOUT);
	if (why != NULL)
		lose(l, why);
	if (l->fd >= 0 || now < l->retry)
		return;
	l->retry = now + AUTH_RETRY;
	dial(l);
}
