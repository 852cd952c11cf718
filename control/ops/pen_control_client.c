// SPDX-License-Identifier: BSD-3-Clause
#include "pen_control_client.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define REQUEST_TIMEOUT (30 * PEN_US_PER_S)
#define WRITE_TIMEOUT (30 * PEN_US_PER_S)
#define IDLE_TIMEOUT (300 * PEN_US_PER_S)

void control_client_init(struct control_client *cl, unsigned slot)
{
	*cl = (struct control_client){.fd = -1, .slot = slot};
}

int control_client_open(struct control_client *cl, struct pen_control *owner,
	struct event_base *base, int fd, event_callback_fn fn, pen_time_us now)
{
	cl->in = malloc(PEN_CONTROL_REQUEST_MAX);
	cl->ev_read = event_new(base, fd, EV_READ | EV_PERSIST, fn, cl);
	cl->ev_write = event_new(base, fd, EV_WRITE | EV_PERSIST, fn, cl);
	cl->owner = owner;
	if (cl->in == NULL || cl->ev_read == NULL || cl->ev_write == NULL ||
		event_add(cl->ev_read, NULL) != 0) {
		control_client_close(cl);
		return -ENOMEM;
	}
	cl->fd = fd;
	cl->busy = cl->close_after = cl->eof = cl->writing = false;
	cl->deadline = now + IDLE_TIMEOUT;
	return 0;
}

void control_client_close(struct control_client *cl)
{
	if (cl->ev_read != NULL)
		event_free(cl->ev_read);
	if (cl->ev_write != NULL)
		event_free(cl->ev_write);
	if (cl->fd >= 0)
		close(cl->fd);
	free(cl->in);
	free(cl->out);
	cl->ev_read = cl->ev_write = NULL;
	cl->in = cl->out = NULL;
	cl->in_n = cl->line_n = cl->out_n = cl->out_sent = 0;
	cl->fd = -1;
	cl->busy = false;
	cl->generation++; // late answers find nobody
}

void control_client_read(struct control_client *cl, pen_time_us now)
{
	size_t room = PEN_CONTROL_REQUEST_MAX - cl->in_n;

	if (cl->fd < 0)
		return;
	if (room == 0) {
		// More than a request's worth while one is being answered: the
		// client waits, and the level-triggered event with it.
		event_del(cl->ev_read);
		return;
	}
	ssize_t r = recv(cl->fd, cl->in + cl->in_n, room, 0);
	if (r < 0) {
		if (errno != EAGAIN && errno != EINTR)
			control_client_close(cl);
		return;
	}
	if (r == 0) {
		// A client may half-close behind its last request.
		cl->eof = true;
		event_del(cl->ev_read);
		return;
	}
	if (cl->in_n == 0 && control_client_idle(cl))
		cl->deadline = now + REQUEST_TIMEOUT;
	cl->in_n += (size_t)r;
}

bool control_client_overlong(const struct control_client *cl)
{
	return control_client_idle(cl) && cl->in_n == PEN_CONTROL_REQUEST_MAX &&
	       memchr(cl->in, '\n', cl->in_n) == NULL;
}

bool control_client_line(struct control_client *cl, struct pen_span *line)
{
	const char *nl = cl->in_n > 0 ? memchr(cl->in, '\n', cl->in_n) : NULL;

	if (nl == NULL) {
		if (cl->eof)
			control_client_close(cl);
		return false;
	}
	cl->line_n = (size_t)(nl - cl->in) + 1;
	*line = pen_span(cl->in, cl->line_n - 1);
	if (line->n > 0 && line->p[line->n - 1] == '\r')
		line->n--;
	return true;
}

void control_client_line_done(struct control_client *cl)
{
	if (cl->fd < 0)
		return;
	cl->in_n -= cl->line_n;
	memmove(cl->in, cl->in + cl->line_n, cl->in_n);
	cl->line_n = 0;
	if (!cl->eof && !cl->close_after)
		event_add(cl->ev_read, NULL);
}

void control_client_begin(struct control_client *cl, pen_time_us deadline)
{
	cl->generation++;
	cl->busy = true;
	cl->deadline = deadline;
}

uint64_t control_client_token(const struct control_client *cl)
{
	return (uint64_t)cl->generation << 32 | cl->slot;
}

unsigned control_token_slot(uint64_t token)
{
	return (unsigned)(token & UINT32_MAX);
}

bool control_client_waits_for(const struct control_client *cl, uint64_t token)
{
	return cl->fd >= 0 && cl->busy && control_client_token(cl) == token;
}

void control_client_answer(struct control_client *cl, char *line, size_t n, pen_time_us now)
{
	if (line == NULL) {
		control_client_close(cl);
		return;
	}
	cl->busy = false;
	cl->out = line;
	cl->out_n = n;
	cl->out_sent = 0;
	cl->deadline = now + WRITE_TIMEOUT;
	control_client_write(cl);
	if (cl->fd >= 0 && cl->out_n == 0)
		cl->deadline = now + (cl->in_n > 0 ? REQUEST_TIMEOUT : IDLE_TIMEOUT);
}

void control_client_write(struct control_client *cl)
{
	while (cl->fd >= 0 && cl->out_n > cl->out_sent) {
		ssize_t w = send(
			cl->fd, cl->out + cl->out_sent, cl->out_n - cl->out_sent, MSG_NOSIGNAL);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0 && errno == EAGAIN) {
			if (!cl->writing && event_add(cl->ev_write, NULL) == 0)
				cl->writing = true;
			return;
		}
		if (w < 0) {
			control_client_close(cl);
			return;
		}
		cl->out_sent += (size_t)w;
	}
	if (cl->fd < 0)
		return;
	if (cl->writing) {
		event_del(cl->ev_write);
		cl->writing = false;
	}
	free(cl->out);
	cl->out = NULL;
	cl->out_n = cl->out_sent = 0;
	if (cl->close_after)
		control_client_close(cl);
}
