// SPDX-License-Identifier: BSD-3-Clause
#include "sink.h"

#include <errno.h>

static void tls_fail(struct sink_conn *c)
{
	PEN_COUNT(c->k->ctr.tls_failed);
	c->closing = true;
	c->smtp.out.n = 0;
	sink_mark(c);
}

static int send_ciphertext(void *ctx, const uint8_t *p, size_t n)
{
	struct sink_conn *c = ctx;

	if (c->tcp == NULL || !pen_tcp_can_copy(c->tcp, (uint32_t)n))
		return -EAGAIN;
	return pen_tcp_write_copy(c->tcp, p, (uint32_t)n) == n ? 0 : -EAGAIN;
}

// "220 Ready" leaves in plaintext, what follows does not.
void sink_tls_start(struct sink_conn *c)
{
	const struct pen_session_tls *tls = c->k->cfg->tls;
	struct pen_buf *out = &c->smtp.out;

	c->tls_wanted = false;
	pen_tcp_write_copy(c->tcp, out->p, (uint32_t)out->n);
	out->n = 0;
	c->handshaking = true;
	if (c->k->cfg->tls_break)
		return;
	c->tls = tls->stream_new(c->k->tls_thread, NULL, NULL, NULL, send_ciphertext, c);
	if (c->tls == NULL)
		tls_fail(c);
}

static bool handshake(struct sink_conn *c, pen_time_us now)
{
	const struct pen_session_tls *tls = c->k->cfg->tls;
	enum pen_session_tls_status st = tls->handshake(c->tls);

	if (st == PEN_SESSION_TLS_OK) {
		PEN_COUNT(c->k->ctr.tls_sessions);
		c->handshaking = false;
		pen_smtp_server_tls_up(&c->smtp, now);
	} else if (st != PEN_SESSION_TLS_WANT_INPUT) {
		tls_fail(c);
	}
	return st == PEN_SESSION_TLS_OK;
}

// --tls-break: the client's hello gets an answer that is none.
static void break_tls(struct sink_conn *c)
{
	static const char junk[] = "this is not a handshake\r\n";

	PEN_COUNT(c->k->ctr.dropped);
	pen_tcp_write_copy(c->tcp, junk, sizeof(junk) - 1);
	c->closing = true;
}

void sink_tls_input(struct sink_conn *c, const uint8_t *p, uint32_t n, pen_time_us now)
{
	const struct pen_session_tls *tls = c->k->cfg->tls;
	struct sink *k = c->k;

	if (k->cfg->tls_break) {
		break_tls(c);
		return;
	}
	tls->feed(c->tls, p, n);
	if (c->handshaking && !handshake(c, now))
		return;
	while (!c->closing) {
		size_t got = 0;
		enum pen_session_tls_status st =
			tls->read(c->tls, k->scratch, sizeof(k->scratch), &got);
		if (st == PEN_SESSION_TLS_OK)
			pen_smtp_server_feed(&c->smtp, k->scratch, got, now);
		else if (st == PEN_SESSION_TLS_WANT_INPUT)
			return;
		else if (st == PEN_SESSION_TLS_EOF)
			c->closing = true;
		else
			tls_fail(c);
	}
	sink_mark(c);
}

void sink_tls_output(struct sink_conn *c)
{
	struct pen_buf *out = &c->smtp.out;
	size_t took = 0;

	while (out->n > 0 &&
		pen_tcp_can_copy(c->tcp, (uint32_t)out->n + PEN_SESSION_TLS_OVERHEAD)) {
		if (c->k->cfg->tls->write(c->tls, out->p, out->n, &took) != PEN_SESSION_TLS_OK)
			return;
		pen_buf_consume(out, took);
	}
}

void sink_tls_free(struct sink_conn *c)
{
	if (c->tls != NULL)
		c->k->cfg->tls->stream_free(c->tls);
	c->tls = NULL;
}
