// SPDX-License-Identifier: BSD-3-Clause

// STARTTLS of one connection: a TLS stream between the socket and the session.
//
// Life: the 220 goes out in plaintext (WAITS), nothing is read meanwhile; the
// handshake (SHAKES), in which the session sees nothing; then (UP) ciphertext in,
// plaintext to the session, its replies encrypted into `out`, which the socket
// drains. Only `out` is bounded here: replies that do not fit wait in the session,
// and a session with too much unsent is not read from.

#include "submission.h"

#include "pen_err.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_MAX 65536
#define HANDSHAKE_TIME (60 * PEN_US_PER_S)
#define HANDSHAKE_MAX 65536u // bytes of the client

enum { WAITS, SHAKES, UP, FAILED };

struct conn_tls {
	struct pen_tls *stream;
	struct pen_buf out;
	pen_time_us until; // of the handshake
	uint32_t fed;      // handshake bytes of the client
	uint8_t state;
};

// Start-up: every failure names the parameter, the file and the way out.

static int cannot(char *text, size_t cap, const char *param, const char *file, const char *why)
{
	snprintf(text, cap,
		"%s = %s: %s. Give a PEM file that penstockd can read, or set "
		"smtpd_tls_security_level = none",
		param, file, why);
	return -EINVAL;
}

static int check_file(const char *param, const char *file, char *text, size_t cap)
{
	if (file == NULL || file[0] == '\0')
		return cannot(text, cap, param, "", "STARTTLS needs it");
	if (access(file, R_OK) != 0)
		return cannot(text, cap, param, file, strerror(errno));
	return 0;
}

int tls_loop_init(struct loop *l, const char **what)
{
	static char text[1024];
	const struct pen_submission_config *cfg = &l->sub->cfg;
	const struct pen_tls_ctx_config tls = {.server = true,
		.trust = PEN_TLS_TRUST_NONE,
		.cert_file = cfg->tls_cert_file,
		.key_file = cfg->tls_key_file};
	char why[512];

	if (cfg->tls == PEN_SUBMISSION_TLS_NONE)
		return 0;
	*what = text;
	if (check_file("smtpd_tls_cert_file", cfg->tls_cert_file, text, sizeof(text)) != 0 ||
		check_file("smtpd_tls_key_file", cfg->tls_key_file, text, sizeof(text)) != 0)
		return -EINVAL;
	if (pen_tls_global_init() != 0) {
		snprintf(text, sizeof(text), "TLS cannot be initialised");
		return -EIO;
	}
	l->tls = pen_tls_ctx_new(&tls, why, sizeof(why));
	if (l->tls == NULL) {
		snprintf(text, sizeof(text),
			"smtpd_tls_cert_file = %s, smtpd_tls_key_file = %s: %s. The first has to "
			"be a "
			"PEM chain that begins with the server's certificate, the second its key "
			"without a passphrase",
			cfg->tls_cert_file, cfg->tls_key_file, why);
		return -EINVAL;
	}
	l->plain = malloc(READ_BYTES);
	return l->plain != NULL ? 0 : -ENOMEM;
}

void tls_loop_fini(struct loop *l)
{
	pen_tls_ctx_free(l->tls);
	free(l->plain);
	l->tls = NULL;
	l->plain = NULL;
}

// A connection

static void say(struct conn *c, const char *what, const char *end)
{
	char ip[PEN_ADDR_STR_MAX];

	pen_maillog_line(c->loop->sub->cfg.maillog, "smtpd", "%s unknown[%s]%s", what,
		pen_addr_str(&c->client, ip), end);
}

// Takes a record whole, as long as there is any room.
static int to_socket(void *ctx, const uint8_t *p, size_t n)
{
	struct conn_tls *t = ctx;

	if (t->out.n >= OUT_MAX || t->out.failed)
		return -EAGAIN;
	pen_buf_add(&t->out, p, n);
	return t->out.failed ? -EAGAIN : 0;
}

bool tls_begin(struct conn *c)
{
	struct conn_tls *t = calloc(1, sizeof(*t));

	PEN_ASSERT(c->tls == NULL);
	if (t == NULL)
		return false;
	t->stream = pen_tls_new(c->loop->tls, NULL, to_socket, t);
	if (t->stream == NULL) {
		free(t);
		return false;
	}
	t->until = c->loop->now + pen_time_min(HANDSHAKE_TIME, c->smtp.cfg->timeout);
	c->tls = t;
	if (c->loop->sub->cfg.tls_loglevel >= 2)
		say(c, "setting up TLS connection from", "");
	return true;
}

void tls_end(struct conn *c)
{
	struct conn_tls *t = c->tls;

	if (t == NULL || t->state == WAITS)
		return;
	if (t->state == UP)
		pen_tls_shutdown(t->stream);
	if (t->out.n > 0) {
		ssize_t w = send(c->fd, t->out.p, t->out.n, MSG_NOSIGNAL | MSG_DONTWAIT);
		(void)w; // the goodbye, or an alert: nice to have
	}
}

void tls_free(struct conn *c)
{
	struct conn_tls *t = c->tls;

	if (t == NULL)
		return;
	pen_tls_free(t->stream);
	pen_buf_fini(&t->out);
	free(t);
	c->tls = NULL;
}

bool tls_takes_input(const struct conn *c)
{
	return c->tls == NULL || (c->tls->state != WAITS && c->tls->out.n <= OUT_MAX);
}

bool tls_is_up(const struct conn *c)
{
	return c->tls != NULL && c->tls->state == UP;
}

static void log_up(struct conn *c)
{
	struct pen_tls *stream = c->tls->stream;
	unsigned bits = pen_tls_cipher_bits(stream);
	char end[160];

	if (c->loop->sub->cfg.tls_loglevel < 1)
		return;
	snprintf(end, sizeof(end), ": %s with cipher %s (%u/%u bits)", pen_tls_protocol(stream),
		pen_tls_cipher(stream), bits, bits);
	say(c, "Anonymous TLS connection established from", end);
}

static bool shaking_failed(struct conn *c, const char *why)
{
	char end[200];

	PEN_COUNT(c->loop->ctr.tls_failed);
	c->tls->state = FAILED;
	snprintf(end, sizeof(end), ": %s", why);
	say(c, "SSL_accept error from", end);
	return false;
}

// False: the handshake failed. It is over when the state says so.
static bool shake(struct conn *c, size_t n)
{
	struct conn_tls *t = c->tls;

	t->fed += (uint32_t)n;
	switch (pen_tls_handshake(t->stream)) {
	case PEN_TLS_OK:
		t->state = UP;
		session_tls_up(c);
		log_up(c);
		return true;
	case PEN_TLS_WANT_INPUT:
		// Asked only now: what ends a handshake may have much mail behind it.
		if (t->fed <= HANDSHAKE_MAX)
			return true;
		PEN_COUNT(c->loop->ctr.tls_too_big);
		return shaking_failed(c, "too many bytes in the handshake");
	case PEN_TLS_WANT_OUTPUT:
		return shaking_failed(c, "the client does not read");
	case PEN_TLS_EOF:
		return shaking_failed(c, "lost connection");
	case PEN_TLS_FAILED:
		break;
	}
	return shaking_failed(c, pen_tls_error(t->stream));
}

bool tls_input(struct conn *c, const uint8_t *p, size_t n)
{
	struct conn_tls *t = c->tls;
	enum pen_tls_status st = PEN_TLS_OK;
	size_t got;

	PEN_ASSERT(t->state == SHAKES || t->state == UP);
	pen_tls_feed(t->stream, p, n);
	if (t->state == SHAKES && !shake(c, n))
		return false;
	// All of it: the stream keeps no input of ours.
	while (t->state == UP && st == PEN_TLS_OK) {
		st = pen_tls_read(t->stream, c->loop->plain, READ_BYTES, &got);
		if (st == PEN_TLS_OK)
			conn_plain(c, c->loop->plain, got);
	}
	if (st == PEN_TLS_EOF)
		conn_eof(c);
	if (st == PEN_TLS_FAILED)
		PEN_COUNT(c->loop->ctr.tls_broken);
	return st != PEN_TLS_FAILED;
}

struct pen_buf *tls_output(struct conn *c)
{
	struct conn_tls *t = c->tls;
	struct pen_buf *replies = &c->smtp.out;
	enum pen_tls_status st = PEN_TLS_OK;
	size_t took;

	if (t == NULL || t->state == WAITS)
		return replies;
	while (t->state == UP && replies->n > 0 && st == PEN_TLS_OK) {
		st = pen_tls_write(t->stream, replies->p, replies->n, &took);
		if (st == PEN_TLS_OK)
			pen_smtp_server_consume(&c->smtp, took);
	}
	return st == PEN_TLS_OK || st == PEN_TLS_WANT_OUTPUT ? &t->out : NULL;
}

void tls_consume(struct conn *c, size_t n)
{
	struct conn_tls *t = c->tls;

	if (t == NULL || t->state == WAITS) {
		pen_smtp_server_consume(&c->smtp, n);
		return;
	}
	pen_buf_consume(&t->out, n);
	if (t->out.n == 0)
		pen_buf_fini(&t->out);
}

void tls_sent(struct conn *c)
{
	if (c->tls != NULL && c->tls->state == WAITS)
		c->tls->state = SHAKES;
}

bool tls_late(struct conn *c, pen_time_us now)
{
	if (now < c->tls->until)
		return false;
	PEN_COUNT(c->loop->ctr.tls_timeouts);
	shaking_failed(c, "timeout exceeded");
	return true;
}

size_t tls_received(const struct conn *c, char *out, size_t cap)
{
	if (!tls_is_up(c))
		return 0;
	const struct pen_tls *stream = c->tls->stream;
	unsigned bits = pen_tls_cipher_bits(stream);
	int n = snprintf(out, cap,
		"\t(using %s with cipher %s (%u/%u bits))\r\n\t(No client certificate "
		"requested)\r\n",
		pen_tls_protocol(stream), pen_tls_cipher(stream), bits, bits);

	return (size_t)n < cap ? (size_t)n : cap - 1;
}
