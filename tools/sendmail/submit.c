// SPDX-License-Identifier: BSD-3-Clause

// One message over SMTP, to the gateway's own submission listener: blocking, with
// a time limit on every step.

#include "sendmail.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#define TIMEOUT_S 300
#define LINE_MAX_BYTES 4096

struct client {
	int fd;
	char line[LINE_MAX_BYTES]; // the last reply line
	char in[LINE_MAX_BYTES];
	size_t in_n, in_at;
	bool eight_bit_offered, size_offered, dsn_offered, utf8_offered, verp_offered;
	char *why;
	size_t cap;
};

static int fail(struct client *c, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int fail(struct client *c, int code, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->why, c->cap, fmt, ap);
	va_end(ap);
	return code;
}

static bool send_all(struct client *c, const void *data, size_t n)
{
	const char *p = data;

	while (n > 0) {
		ssize_t w = send(c->fd, p, n, MSG_NOSIGNAL);
		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			return false;
		p += w;
		n -= (size_t)w;
	}
	return true;
}

static bool read_line(struct client *c)
{
	size_t n = 0;

	for (;;) {
		if (c->in_at == c->in_n) {
			ssize_t r = recv(c->fd, c->in, sizeof(c->in), 0);
			if (r < 0 && errno == EINTR)
				continue;
			if (r <= 0)
				return false;
			c->in_n = (size_t)r;
			c->in_at = 0;
		}
		char ch = c->in[c->in_at++];
		if (ch == '\n')
			break;
		if (n < sizeof(c->line) - 1 && ch != '\r')
			c->line[n++] = ch >= ' ' && ch < 127 ? ch : '?';
	}
	c->line[n] = '\0';
	return true;
}

// Reads a reply. Returns its code, 0 when the connection broke.
static int reply(struct client *c)
{
	for (;;) {
		if (!read_line(c))
			return 0;
		const char *l = c->line;
		if (l[0] < '2' || l[0] > '5' || l[1] < '0' || l[1] > '9' || l[2] < '0' ||
			l[2] > '9')
			return 0;
		if (strncasecmp(l + 4, "8BITMIME", 8) == 0)
			c->eight_bit_offered = true;
		if (l[3] != '\0' && strncasecmp(l + 4, "SIZE", 4) == 0)
			c->size_offered = true;
		if (l[3] != '\0' && strcasecmp(l + 4, "DSN") == 0)
			c->dsn_offered = true;
		if (l[3] != '\0' && strcasecmp(l + 4, "SMTPUTF8") == 0)
			c->utf8_offered = true;
		if (l[3] != '\0' && strcasecmp(l + 4, "XVERP") == 0)
			c->verp_offered = true;
		if (l[3] != '-')
			return (l[0] - '0') * 100 + (l[1] - '0') * 10 + l[2] - '0';
	}
}

static int command(struct client *c, const struct pen_buf *b)
{
	if (b->failed || !send_all(c, b->p, b->n))
		return 0;
	return reply(c);
}

static int commandf(struct client *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int commandf(struct client *c, const char *fmt, ...)
{
	struct pen_buf b = PEN_BUF_INIT;
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text) - 2, fmt, ap);
	va_end(ap);
	pen_buf_add_cstr(&b, text);
	pen_buf_add_cstr(&b, "\r\n");
	int code = command(c, &b);
	pen_buf_fini(&b);
	return code;
}

static int dial(struct client *c, const char *host, const char *port)
{
	struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *list, *a;
	struct timeval tv = {.tv_sec = TIMEOUT_S};
	int err = getaddrinfo(host, port, &hints, &list);

	if (err != 0)
		return fail(c, EX_TEMPFAIL, "%s: %s", host, gai_strerror(err));
	err = ECONNREFUSED;
	for (a = list; a != NULL; a = a->ai_next) {
		c->fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (c->fd < 0)
			continue;
		setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
		setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
		if (connect(c->fd, a->ai_addr, a->ai_addrlen) == 0)
			break;
		err = errno;
		close(c->fd);
		c->fd = -1;
	}
	freeaddrinfo(list);
	if (a == NULL)
		return fail(c, EX_TEMPFAIL, "cannot connect to %s port %s: %s", host, port,
			strerror(err));
	return EX_OK;
}

static int refused(struct client *c, int code, int permanent)
{
	if (code == 0)
		return fail(c, EX_TEMPFAIL, "the connection broke");
	return fail(c, code >= 500 ? permanent : EX_TEMPFAIL, "%s", c->line);
}

static bool has_high_byte(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 127)
			return true;
	}
	return false;
}

static bool send_content(struct client *c, struct pen_span m)
{
	size_t from = 0;

	// A dot at a line's start is doubled (RFC 5321 4.5.2).
	for (size_t i = 0; i < m.n; i++) {
		bool start = i == 0 || (i >= 2 && m.p[i - 1] == '\n' && m.p[i - 2] == '\r');
		if (!start || m.p[i] != '.')
			continue;
		if (!send_all(c, m.p + from, i - from) || !send_all(c, ".", 1))
			return false;
		from = i;
	}
	return send_all(c, m.p + from, m.n - from) && send_all(c, ".\r\n", 3);
}

// The parameters of MAIL that the command line asks for.
static void ask_mail(struct client *c, const struct requests *r, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	if (c->dsn_offered && r->ret != NULL)
		n += (size_t)snprintf(out + n, cap - n, " RET=%s", r->ret);
	if (c->dsn_offered && r->envid[0] != '\0')
		n += (size_t)snprintf(out + n, cap - n, " ENVID=%s", r->envid);
	if (r->verp && r->verp_delims[0] != '\0')
		n += (size_t)snprintf(out + n, cap - n, " XVERP=%s", r->verp_delims);
	else if (r->verp)
		n += (size_t)snprintf(out + n, cap - n, " XVERP");
	if (r->smtputf8 >= REQUEST_YES && c->utf8_offered)
		snprintf(out + n, cap - n, " SMTPUTF8");
	else if (r->smtputf8 == REQUEST_YES)
		fprintf(stderr,
			"sendmail: warning: -O smtputf8=yes: the gateway does not offer SMTPUTF8: "
			"ignored\n");
}

static int envelope(struct client *c, const struct submission *s)
{
	char size[40] = "";

	if (c->size_offered)
		snprintf(size, sizeof(size), " SIZE=%zu", s->content.n);
	// Without it bounces would not say whose they are: better not to send at all.
	if (s->requests->verp && !c->verp_offered)
		return fail(c, EX_UNAVAILABLE,
			"-XV: the gateway does not offer XVERP: smtpd_authorized_verp_clients says "
			"to whom");
	bool eight = c->eight_bit_offered && has_high_byte(s->content);
	char asked[200];
	ask_mail(c, s->requests, asked, sizeof(asked));
	int code = commandf(
		c, "MAIL FROM:<%s>%s%s%s", s->sender, size, eight ? " BODY=8BITMIME" : "", asked);
	if (code != 250)
		return refused(c, code, EX_UNAVAILABLE);
	for (size_t i = 0; i < s->to->n; i++) {
		bool notify = c->dsn_offered && s->requests->notify[0] != '\0';
		code = commandf(c, "RCPT TO:<%s>%s%s", s->to->item[i], notify ? " NOTIFY=" : "",
			notify ? s->requests->notify : "");
		if (code / 100 != 2)
			return refused(c, code, EX_NOUSER);
	}
	return EX_OK;
}

static int dialogue(struct client *c, const struct submission *s)
{
	int code = reply(c);

	if (code != 220)
		return refused(c, code, EX_UNAVAILABLE);
	code = commandf(c, "EHLO localhost");
	if (code != 250)
		return refused(c, code, EX_UNAVAILABLE);
	int err = envelope(c, s);
	if (err != EX_OK)
		return err;
	code = commandf(c, "DATA");
	if (code != 354)
		return refused(c, code, EX_UNAVAILABLE);
	if (!send_content(c, s->content))
		return fail(c, EX_TEMPFAIL, "the connection broke");
	code = reply(c);
	if (code / 100 != 2)
		return refused(c, code, EX_UNAVAILABLE);
	commandf(c, "QUIT");
	return EX_OK;
}

int submit(const struct submission *s, char *why, size_t cap)
{
	static struct client c;

	c = (struct client){.fd = -1, .why = why, .cap = cap};
	int err = dial(&c, s->host, s->port);
	if (err == EX_OK)
		err = dialogue(&c, s);
	if (c.fd >= 0)
		close(c.fd);
	return err;
}
