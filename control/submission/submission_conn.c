// SPDX-License-Identifier: BSD-3-Clause

// One connection's bytes: read, fed to the SMTP server, replies written in one
// call per batch. No system call per line.

#include "pen_secret.h"
#include "submission.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX 65536 // replies that a client may leave unread before we stop reading

static void on_event(evutil_socket_t fd, short what, void *arg);

static void want_read(struct conn *c, bool on)
{
	if (c->read_on == on)
		return;
	if ((on ? event_add(c->ev_read, NULL) : event_del(c->ev_read)) == 0)
		c->read_on = on;
}

static void want_write(struct conn *c, bool on)
{
	if (c->write_on == on)
		return;
	if ((on ? event_add(c->ev_write, NULL) : event_del(c->ev_write)) == 0)
		c->write_on = on;
}

// Per-client limit: only clients outside mynetworks are counted.
static bool client_enter(struct pen_submission *s, const struct pen_addr *a)
{
	bool ok = true;
	size_t i = 0;

	pthread_mutex_lock(&s->clients_lock);
	while (i < s->nclients && !pen_addr_eq(&s->clients[i].addr, a))
		i++;
	if (i < s->nclients) {
		ok = s->clients[i].n < s->cfg.client_connections;
		s->clients[i].n += ok;
	} else {
		if (s->nclients == s->clients_cap) {
			size_t cap = s->clients_cap != 0 ? s->clients_cap * 2 : 64;
			struct client_count *p = realloc(s->clients, cap * sizeof(*p));
			ok = p != NULL;
			if (ok) {
				s->clients = p;
				s->clients_cap = cap;
			}
		}
		if (ok)
			s->clients[s->nclients++] = (struct client_count){*a, 1};
	}
	pthread_mutex_unlock(&s->clients_lock);
	return ok;
}

static void client_leave(struct pen_submission *s, const struct pen_addr *a)
{
	pthread_mutex_lock(&s->clients_lock);
	for (size_t i = 0; i < s->nclients; i++) {
		if (!pen_addr_eq(&s->clients[i].addr, a))
			continue;
		if (--s->clients[i].n == 0)
			s->clients[i] = s->clients[--s->nclients];
		break;
	}
	pthread_mutex_unlock(&s->clients_lock);
}

static struct conn *conn_new(struct loop *l)
{
	struct conn *c = l->free_list;

	if (c != NULL) {
		l->free_list = c->next;
		return c;
	}
	if (l->nconn == l->sub->cfg.max_connections)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c == NULL)
		return NULL;
	c->loop = l;
	c->slot = l->nconn;
	c->fd = -1;
	l->conn[l->nconn++] = c;
	return c;
}

static void conn_release(struct conn *c)
{
	c->next = c->loop->free_list;
	c->loop->free_list = c;
}

static void drop_events(struct conn *c)
{
	if (c->ev_read != NULL)
		event_free(c->ev_read);
	if (c->ev_write != NULL)
		event_free(c->ev_write);
	c->ev_read = c->ev_write = NULL;
	c->read_on = c->write_on = false;
}

static void forget_waiting(struct conn *c)
{
	if (c->loop->auth_on)
		pen_secret_fini(&c->in);
	else
		pen_buf_fini(&c->in);
}

// Ends the connection. The slot is free again once no answer is due.
static void conn_close(struct conn *c)
{
	struct pen_submission *s = c->loop->sub;

	if (c->fd < 0)
		return;
	session_log_end(c);
	tls_end(c);
	drop_events(c);
	close(c->fd);
	c->fd = -1;
	auth_free(c);
	pen_smtp_server_fini(&c->smtp);
	tls_free(c);
	forget_waiting(c);
	c->paused = false;
	if (c->counted)
		client_leave(s, &c->client);
	__atomic_sub_fetch(&s->connections, 1, __ATOMIC_RELAXED);
	if (!c->handed) {
		session_reset(c);
		conn_release(c);
	}
}

void conn_free(struct conn *c)
{
	if (c->fd >= 0) {
		drop_events(c);
		close(c->fd);
		pen_smtp_server_fini(&c->smtp);
	}
	auth_free(c);
	tls_free(c);
	forget_waiting(c);
	content_reset(&c->content);
	pen_buf_fini(&c->envelope);
	free(c->rcpt);
	free(c);
}

// Sends what there is; closes when the session is over. False: it was closed.
static bool conn_flush(struct conn *c)
{
	struct loop *l = c->loop;
	struct pen_buf *out;

	while ((out = tls_output(c)) != NULL && out->n > 0) {
		ssize_t w = send(c->fd, out->p, out->n, MSG_NOSIGNAL);
		PEN_COUNT(l->ctr.writes);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN) {
			want_write(c, true);
			return true;
		}
		if (w < 0) {
			conn_close(c);
			return false;
		}
		PEN_COUNT_N(l->ctr.bytes_out, w);
		tls_consume(c, (size_t)w);
	}
	want_write(c, false);
	bool busy = c->handed || c->paused || c->in.n > 0;
	if (out == NULL || out->failed || c->smtp.out.failed || c->closing || (c->eof && !busy)) {
		conn_close(c);
		return false;
	}
	tls_sent(c);
	return true;
}

// Nothing more is read while the client does not take its replies, or has sent
// enough ahead of an answer; TCP tells it.
static bool may_read(const struct conn *c)
{
	return !c->eof && c->in.n < READ_BYTES && c->smtp.out.n <= OUT_MAX && tls_takes_input(c);
}

// What waits may be a response of AUTH; without AUTH growing is cheaper.
static void keep(struct conn *c, const uint8_t *p, size_t n)
{
	if (c->loop->auth_on)
		pen_secret_add(&c->in, p, n);
	else
		pen_buf_add(&c->in, p, n);
}

// Feeds what waited, as far as the session takes it.
static void feed_waiting(struct conn *c)
{
	if (c->in.n == 0 || c->closing)
		return;
	size_t used = pen_smtp_server_feed(&c->smtp, c->in.p, c->in.n, c->loop->now);
	if (c->loop->auth_on)
		pen_secret_consume(&c->in, used);
	else
		pen_buf_consume(&c->in, used);
	if (c->in.n == 0 && c->in.cap > 1024)
		pen_buf_fini(&c->in);
}

static void feed_fresh(struct conn *c, const uint8_t *p, size_t n)
{
	size_t used = pen_smtp_server_feed(&c->smtp, p, n, c->loop->now);

	if (used < n && !c->closing)
		keep(c, p + used, n - used);
}

void conn_plain(struct conn *c, const uint8_t *p, size_t n)
{
	if (c->closing)
		return;
	if (!pen_smtp_server_pending(&c->smtp) && c->in.n == 0) {
		feed_fresh(c, p, n);
	} else {
		keep(c, p, n);
		if (!pen_smtp_server_pending(&c->smtp))
			feed_waiting(c);
	}
	if (c->in.failed)
		c->closing = true;
}

void conn_eof(struct conn *c)
{
	c->eof = true;
	want_read(c, false);
}

static void conn_read(struct conn *c)
{
	struct loop *l = c->loop;
	bool ahead = pen_smtp_server_pending(&c->smtp) || c->in.n > 0;
	size_t room = ahead ? READ_BYTES - c->in.n : READ_BYTES;

	if (!may_read(c)) {
		want_read(c, false);
		return;
	}
	ssize_t r = recv(c->fd, l->input, room, 0);
	PEN_COUNT(l->ctr.reads);
	if (r < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (r <= 0) {
		conn_eof(c);
		// An answer that is due finds the connection, and nobody to tell.
		if (r < 0 || !(c->handed || c->paused))
			conn_close(c);
		return;
	}
	PEN_COUNT_N(l->ctr.bytes_in, r);
	bool ok = true;
	if (c->tls == NULL)
		conn_plain(c, l->input, (size_t)r);
	else
		ok = tls_input(c, l->input, (size_t)r);
	auth_wipe(l);
	if (ok)
		conn_flush(c);
	else
		conn_close(c);
}

static void on_event(evutil_socket_t fd, short what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	c->loop->now = pen_clock_mono();
	if ((what & EV_WRITE) != 0 && !conn_flush(c))
		return;
	if ((what & EV_WRITE) != 0 && may_read(c))
		want_read(c, true);
	if ((what & EV_READ) != 0)
		conn_read(c);
}

static bool in_nets(const struct pen_cidr *net, uint32_t n, const struct pen_addr *a)
{
	for (uint32_t i = 0; i < n; i++) {
		if (pen_cidr_has(&net[i], a))
			return true;
	}
	return false;
}

static void refuse(struct loop *l, int fd, const char *why)
{
	struct pen_buf b = PEN_BUF_INIT;

	PEN_COUNT(l->ctr.connects_refused);
	pen_buf_addf(&b, "421 4.7.0 %s Error: %s\r\n", l->sub->hostname, why);
	ssize_t w = send(fd, b.p, b.n, MSG_NOSIGNAL | MSG_DONTWAIT);
	(void)w;
	pen_buf_fini(&b);
	close(fd);
}

static int conn_open(struct conn *c, int fd, const struct pen_addr *client)
{
	struct loop *l = c->loop;
	uint32_t generation = c->generation;
	uint32_t slot = c->slot;

	struct pen_buf envelope = c->envelope;
	struct rcpt_at *rcpt = c->rcpt;
	uint32_t rcpt_cap = c->rcpt_cap;
	*c = (struct conn){.loop = l,
		.slot = slot,
		.generation = generation,
		.fd = -1,
		.client = *client,
		.envelope = envelope,
		.rcpt = rcpt,
		.rcpt_cap = rcpt_cap};
	c->ev_read = event_new(l->base, fd, EV_READ | EV_PERSIST, on_event, c);
	c->ev_write = event_new(l->base, fd, EV_WRITE | EV_PERSIST, on_event, c);
	if (c->ev_read == NULL || c->ev_write == NULL) {
		drop_events(c);
		return -ENOMEM;
	}
	c->fd = fd;
	return 0;
}

void conn_accept(struct loop *l, int fd, const struct pen_addr *client)
{
	struct pen_submission *s = l->sub;
	bool trusted = in_nets(s->mynetworks, s->cfg.nmynetworks, client);
	int one = 1;

	if (__atomic_add_fetch(&s->connections, 1, __ATOMIC_RELAXED) > s->cfg.max_connections) {
		__atomic_sub_fetch(&s->connections, 1, __ATOMIC_RELAXED);
		refuse(l, fd, "too many connections");
		return;
	}
	bool counted = !trusted && s->cfg.client_connections != 0;
	if (counted && !client_enter(s, client)) {
		__atomic_sub_fetch(&s->connections, 1, __ATOMIC_RELAXED);
		refuse(l, fd, "too many connections from your address");
		return;
	}
	struct conn *c = conn_new(l);
	if (c == NULL || conn_open(c, fd, client) != 0) {
		if (c != NULL)
			conn_release(c);
		if (counted)
			client_leave(s, client);
		__atomic_sub_fetch(&s->connections, 1, __ATOMIC_RELAXED);
		PEN_COUNT(l->ctr.accepts_failed);
		refuse(l, fd, "out of memory");
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->trusted = trusted;
	c->counted = counted;
	PEN_COUNT(l->ctr.connects);
	bool verp = in_nets(s->verp_clients, s->cfg.nverp_clients, client);
	pen_smtp_server_init(&c->smtp, verp ? &s->smtp_verp_cfg : &s->smtp_cfg, &session_callbacks,
		c, &l->smtp_ctr, l->now);
	want_read(c, true);
	conn_flush(c);
}

void conn_goes_on(struct conn *c)
{
	feed_waiting(c);
	if (c->loop->draining && !c->handed) {
		conn_shutdown(c);
		return;
	}
	if (conn_flush(c) && may_read(c))
		want_read(c, true);
}

void conn_answer(struct loop *l, const struct answer *a)
{
	uint32_t slot = (uint32_t)(a->token & 0xffffff);
	struct conn *c = slot < l->nconn ? l->conn[slot] : NULL;

	if (c == NULL || !c->handed || conn_token(c) != a->token)
		return;
	c->handed = false;
	l->waiting--;
	content_budget_give(&l->sub->budget, c->handed_bytes);
	c->handed_bytes = 0;
	if (a->err == 0) {
		PEN_COUNT(l->ctr.stored);
		c->token = false; // it is the queue's to give back
	} else {
		PEN_COUNT(l->ctr.failed);
		message_token_back(c);
	}
	if (c->fd < 0) {
		PEN_COUNT(l->ctr.client_left);
		session_reset(c);
		conn_release(c);
		return;
	}
	if (c->eof && c->in.n == 0)
		PEN_COUNT(l->ctr.client_left);
	session_answer(c, a->err, a->reply);
	conn_goes_on(c);
}

static void end_pause(struct conn *c, pen_time_us now)
{
	if (now < c->until)
		return;
	message_resume(c);
	if (!c->handed)
		conn_goes_on(c);
}

void conn_tick(struct conn *c, pen_time_us now)
{
	if (c->fd < 0)
		return;
	if (c->closing) {
		// The last reply does not get through: enough.
		if (now >= c->until)
			conn_close(c);
		return;
	}
	if (c->paused) {
		end_pause(c, now);
		return;
	}
	if (c->tls != NULL && !tls_is_up(c)) {
		if (tls_late(c, now))
			conn_close(c);
		return;
	}
	if (now < pen_smtp_server_deadline(&c->smtp))
		return;
	pen_smtp_server_tick(&c->smtp, now);
	c->until = now + CLOSE_GRACE;
	conn_flush(c);
}

void conn_shutdown(struct conn *c)
{
	if (c->fd < 0 || c->handed)
		return;
	// Inside a handshake there is no way to say anything.
	bool mute = c->tls != NULL && !tls_is_up(c);
	if (!c->closing && !mute)
		pen_buf_addf(&c->smtp.out, "421 4.3.2 %s Service shutting down\r\n",
			c->loop->sub->hostname);
	c->closing = true;
	if (conn_flush(c))
		conn_close(c);
}
