// SPDX-License-Identifier: BSD-3-Clause

// What the SMTP client sends: commands through a small buffer, content by
// reference.

#include "smtp_client.h"

#include "pen_err.h"
#include "smtp_scan.h"

#define PARTS_MAX 12

// Commands are put together from parts each time a piece is needed, so that an
// address longer than the buffer needs no room of its own.
struct command {
	struct pen_span part[PARTS_MAX];
	unsigned n;
	char number[24];
};

static void add(struct command *m, struct pen_span s)
{
	PEN_ASSERT(m->n < PARTS_MAX);
	m->part[m->n++] = s;
}

static struct pen_span number(struct command *m, uint64_t v)
{
	char *end = m->number + sizeof(m->number), *p = end;

	do {
		*--p = (char)('0' + v % 10);
		v /= 10;
	} while (v > 0);
	return pen_span(p, (size_t)(end - p));
}

static void compose_mail(const struct pen_smtp_client *c, struct command *m)
{
	const struct pen_delivery *d = c->cur.d;
	const struct pen_lease *l = c->lease;

	add(m, PEN_SPAN_LIT("MAIL FROM:<"));
	add(m, d->sender);
	if (c->size) {
		add(m, PEN_SPAN_LIT("> SIZE="));
		add(m, number(m, d->content.n));
	} else {
		add(m, PEN_SPAN_LIT(">"));
	}
	if (d->eight_bit && c->eight_bit)
		add(m, PEN_SPAN_LIT(" BODY=8BITMIME"));
	if (l->dsn && d->envid.n > 0) {
		add(m, PEN_SPAN_LIT(" ENVID="));
		add(m, d->envid);
	}
	// A bounce of what asked for REQUIRETLS must not take the text along where
	// REQUIRETLS could not be asked for.
	if (l->dsn && (l->headers_only || d->ret == PEN_RET_HDRS))
		add(m, PEN_SPAN_LIT(" RET=HDRS"));
	else if (l->dsn && d->ret == PEN_RET_FULL)
		add(m, PEN_SPAN_LIT(" RET=FULL"));
	if (l->requiretls)
		add(m, PEN_SPAN_LIT(" REQUIRETLS"));
}

static void compose_rcpt(const struct pen_smtp_client *c, struct command *m)
{
	static const struct pen_span events[] = {
		[PEN_NOTIFY_SUCCESS] = PEN_SPAN_LIT("SUCCESS"),
		[PEN_NOTIFY_FAILURE] = PEN_SPAN_LIT("FAILURE"),
		[PEN_NOTIFY_SUCCESS | PEN_NOTIFY_FAILURE] = PEN_SPAN_LIT("SUCCESS,FAILURE"),
		[PEN_NOTIFY_DELAY] = PEN_SPAN_LIT("DELAY"),
		[PEN_NOTIFY_SUCCESS | PEN_NOTIFY_DELAY] = PEN_SPAN_LIT("SUCCESS,DELAY"),
		[PEN_NOTIFY_FAILURE | PEN_NOTIFY_DELAY] = PEN_SPAN_LIT("FAILURE,DELAY"),
		[PEN_NOTIFY_SUCCESS | PEN_NOTIFY_FAILURE | PEN_NOTIFY_DELAY] =
			PEN_SPAN_LIT("SUCCESS,FAILURE,DELAY"),
	};
	const struct pen_delivery_rcpt *r = &c->cur.d->rcpt[c->cur.rcpt_sent];

	add(m, PEN_SPAN_LIT("RCPT TO:<"));
	add(m, r->addr);
	add(m, PEN_SPAN_LIT(">"));
	if (!c->lease->dsn)
		return;
	if (r->notify != 0) {
		// NEVER stands alone (RFC 3461 4.1).
		bool never = (r->notify & PEN_NOTIFY_NEVER) != 0;
		add(m, PEN_SPAN_LIT(" NOTIFY="));
		add(m, never ? PEN_SPAN_LIT("NEVER") : events[r->notify & 14]);
	}
	if (r->orcpt.n > 0) {
		add(m, PEN_SPAN_LIT(" ORCPT="));
		add(m, r->orcpt);
	}
}

static void compose(const struct pen_smtp_client *c, struct command *m)
{
	m->n = 0;
	switch (c->cmd) {
	case CMD_EHLO:
		add(m, c->lease->lmtp ? PEN_SPAN_LIT("LHLO ") : PEN_SPAN_LIT("EHLO "));
		add(m, pen_span_cstr(smtp_client_helo(c)));
		break;
	case CMD_HELO:
		add(m, PEN_SPAN_LIT("HELO "));
		add(m, pen_span_cstr(smtp_client_helo(c)));
		break;
	case CMD_STARTTLS:
		add(m, PEN_SPAN_LIT("STARTTLS"));
		break;
	case CMD_RSET:
		add(m, PEN_SPAN_LIT("RSET"));
		break;
	case CMD_MAIL:
		compose_mail(c, m);
		break;
	case CMD_RCPT:
		compose_rcpt(c, m);
		break;
	case CMD_DATA:
		add(m, PEN_SPAN_LIT("DATA"));
		break;
	default:
		add(m, PEN_SPAN_LIT("QUIT"));
	}
	add(m, PEN_SPAN_LIT("\r\n"));
}

static void command_sent(struct pen_smtp_client *c, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;

	switch (c->cmd) {
	case CMD_RSET:
		PEN_COUNT(c->ctr->rsets);
		c->need_rset = false;
		c->rset_wait = true;
		break;
	case CMD_MAIL:
		PEN_COUNT(c->ctr->transactions);
		if (t->d->eight_bit && !c->eight_bit)
			PEN_COUNT(c->ctr->eight_bit_not_offered);
		if (c->lease->requiretls)
			PEN_COUNT(c->ctr->requiretls);
		t->mail_sent = true;
		t->d->started_at = now;
		c->lease->messages++;
		break;
	case CMD_RCPT:
		t->rcpt_sent++;
		break;
	case CMD_DATA:
		t->data_sent = true;
		break;
	default:
		c->cmd_sent = true;
	}
}

static bool too_big(struct pen_smtp_client *c, struct pen_delivery *d)
{
	struct pen_dsn why;
	char peer[SMTP_PEER_MAX];

	if (c->lease->size_limit == 0 || d->content.n <= c->lease->size_limit)
		return false;
	PEN_COUNT(c->ctr->size_exceeded);
	pen_dsn_set(&why, 5, 3, 4, PEN_SCOPE_MESSAGE, PEN_ORIGIN_LOCAL, PEN_STAGE_MAIL,
		"message size %zu exceeds size limit %llu of server %s", d->content.n,
		(unsigned long long)c->lease->size_limit, smtp_client_peer(c, peer));
	smtp_client_fill(d, &why);
	return true;
}

// Takes the next delivery that can be sent into c->cur.
static bool txn_begin(struct pen_smtp_client *c, pen_time_us now)
{
	for (;;) {
		struct pen_delivery *d = c->cb->next_delivery(c->ctx);
		if (d == NULL) {
			c->dry = true;
			return false;
		}
		d->attempted = true;
		d->dot = PEN_DOT_NOT_SENT;
		d->dot_at = 0;
		d->conn_use = (uint16_t)(c->lease->messages + 1);
		d->started_at = now;
		for (uint32_t i = 0; i < d->nrcpt; i++)
			d->rcpt[i].result.klass = 0;
		if (d->nrcpt > 0 && !too_big(c, d)) {
			c->cur.d = d;
			c->cur.active = true;
			return true;
		}
		smtp_client_done(c, d, now);
	}
}

static bool used_up(const struct pen_smtp_client *c, pen_time_us now)
{
	const struct pen_lease *l = c->lease;

	return c->closing || (l->max_messages != 0 && l->messages >= l->max_messages) ||
	       (l->max_age != 0 && now - c->begun_at >= l->max_age);
}

static enum smtp_client_cmd txn_command(const struct pen_smtp_client *c)
{
	const struct pen_smtp_client_txn *t = &c->cur;

	if (c->need_rset)
		return CMD_RSET;
	if (!c->pipelining && smtp_client_outstanding(c))
		return CMD_NONE;
	if (!t->mail_sent)
		return CMD_MAIL;
	if (t->data_sent || (t->mail_answered && !t->mail_ok))
		return CMD_NONE;
	if (t->rcpt_sent < t->d->nrcpt)
		return CMD_RCPT;
	return CMD_DATA;
}

static enum smtp_client_cmd next_command(struct pen_smtp_client *c, pen_time_us now)
{
	static const uint8_t commands[] = {
		[SMTP_EHLO] = CMD_EHLO,
		[SMTP_HELO] = CMD_HELO,
		[SMTP_STARTTLS] = CMD_STARTTLS,
		[SMTP_QUIT] = CMD_QUIT,
		[SMTP_ENDED] = CMD_NONE,
	};

	if (c->state != SMTP_READY)
		return c->cmd_sent ? CMD_NONE : commands[c->state];
	if (!c->cur.active) {
		if (used_up(c, now)) {
			if (!smtp_client_idle(c))
				return CMD_NONE;
			smtp_client_enter(c, SMTP_QUIT, now);
			return CMD_QUIT;
		}
		if (smtp_client_block_early(c, now))
			return CMD_NONE;
		if (c->dry || ((c->old_active || c->rset_wait) && !c->pipelining))
			return CMD_NONE;
		if (!txn_begin(c, now))
			return CMD_NONE;
	}
	return c->cur.content ? CMD_NONE : txn_command(c);
}

// Writes commands into the buffer until it is full or a reply must come first.
static void fill_out(struct pen_smtp_client *c, pen_time_us now)
{
	struct command m;

	c->out_at = c->out_n = 0;
	while (c->out_n < sizeof(c->out)) {
		if (c->cmd_off == 0)
			c->cmd = (uint8_t)next_command(c, now);
		if (c->cmd == CMD_NONE)
			return;
		compose(c, &m);
		size_t skip = c->cmd_off;
		bool whole = true;
		for (unsigned i = 0; i < m.n; i++) {
			struct pen_span s = m.part[i];
			size_t room = sizeof(c->out) - c->out_n;
			if (skip >= s.n) {
				skip -= s.n;
				continue;
			}
			s = pen_span_from(s, skip);
			skip = 0;
			size_t n = s.n < room ? s.n : room;
			memcpy(c->out + c->out_n, s.p, n);
			c->out_n = (uint16_t)(c->out_n + n);
			c->cmd_off += (uint32_t)n;
			if (n < s.n) {
				whole = false;
				break;
			}
		}
		if (!whole)
			return;
		c->cmd_off = 0;
		command_sent(c, now);
	}
}

// The line that ends the content; with a line end of its own if the content
// lacks one.
static bool dot_pull(struct pen_smtp_client *c, struct pen_span content, size_t max,
	struct pen_smtp_out *out, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;
	struct pen_span line = PEN_SPAN_LIT(".\r\n");

	if (content.n > 0 && (content.n < 2 || memcmp(content.p + content.n - 2, "\r\n", 2) != 0))
		line = PEN_SPAN_LIT("\r\n.\r\n");
	line = pen_span_from(line, t->dot_sent);
	size_t n = line.n < max ? line.n : max;
	out->bytes = pen_span(line.p, n);
	t->dot_sent = (uint8_t)(t->dot_sent + n);
	if (n < line.n)
		return true;
	c->old = t->d;
	c->old_active = true;
	c->old_at = 0;
	if (t->d != NULL) {
		out->final_dot = true;
		t->d->dot = PEN_DOT_SENT;
		t->d->dot_at = now;
		c->old_dot = ++c->dots_sent;
	}
	memset(t, 0, sizeof(*t));
	return true;
}

static bool content_pull(
	struct pen_smtp_client *c, size_t max, struct pen_smtp_out *out, pen_time_us now)
{
	struct pen_smtp_client_txn *t = &c->cur;
	struct pen_span content = t->d != NULL ? t->d->content : (struct pen_span){0};

	if (t->off == content.n)
		return dot_pull(c, content, max, out, now);
	struct pen_span left = pen_span_from(content, t->off);
	if (left.p[0] == '.' && !t->stuffed && (t->off == 0 || left.p[-1] == '\n')) {
		t->stuffed = true;
		out->bytes = PEN_SPAN_LIT(".");
		return true;
	}
	t->stuffed = false;
	if (left.n > max)
		left.n = max;
	size_t lf = smtp_find_dot_line(left.p, left.n);
	out->bytes = pen_span(left.p, lf < left.n ? lf + 1 : left.n);
	out->by_ref = true;
	t->off += out->bytes.n;
	return true;
}

// The end of this message waits for the results before it to be on disk. The
// time limit of the transfer goes on: without an end it is free of duplicates.
static bool dot_held(const struct pen_smtp_client *c)
{
	const struct pen_smtp_client_txn *t = &c->cur;

	return c->unstored > 0 && t->d != NULL && t->dot_sent == 0 && t->off == t->d->content.n;
}

bool pen_smtp_client_pull(
	struct pen_smtp_client *c, size_t max, struct pen_smtp_out *out, pen_time_us now)
{
	PEN_ASSERT(max > 0);
	*out = (struct pen_smtp_out){0};
	if (c->state == SMTP_ENDED)
		return false;
	if (c->out_at == c->out_n)
		fill_out(c, now);
	bool some = true;
	if (c->out_at < c->out_n) {
		size_t n = (size_t)(c->out_n - c->out_at);
		if (n > max)
			n = max;
		out->bytes = pen_span(c->out + c->out_at, n);
		c->out_at = (uint16_t)(c->out_at + n);
	} else if (c->state == SMTP_READY && c->cur.content && !dot_held(c)) {
		some = content_pull(c, max, out, now);
		smtp_client_arm(c, now);
	} else {
		some = false;
	}
	if (c->armed_stage != smtp_client_stage(c))
		smtp_client_arm(c, now);
	return some;
}
