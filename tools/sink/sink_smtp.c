// SPDX-License-Identifier: BSD-3-Clause

// What the sink answers, and what it looks at.

#include "sink.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static enum pen_smtp_verdict draw(struct sink_conn *c, enum fault_command command)
{
	struct sink *k = c->k;
	pen_time_us delay;
	enum fault_action a = faults_draw(&k->cfg->faults, &k->rand, command, &delay);

	if (delay > 0) {
		// Replies keep their order: the answer waits, and all behind it.
		pen_time_us base = c->hold_out > k->now ? c->hold_out : k->now;
		c->hold_out = base + delay;
	}
	switch (a) {
	case FAULT_NONE:
		return PEN_SMTP_OK;
	case FAULT_SOFT:
		PEN_COUNT(k->ctr.rejects_soft);
		pen_smtp_server_reply(&c->smtp, "%s", k->cfg->soft_reply);
		return PEN_SMTP_REPLY;
	case FAULT_HARD:
		PEN_COUNT(k->ctr.rejects_hard);
		pen_smtp_server_reply(&c->smtp, "%s", k->cfg->hard_reply);
		return PEN_SMTP_REPLY;
	case FAULT_SHUTDOWN:
		PEN_COUNT(k->ctr.dropped);
		pen_smtp_server_reply(
			&c->smtp, "421 4.3.2 %s Service not available", k->cfg->smtp.hostname);
		return PEN_SMTP_REPLY;
	default:
		PEN_COUNT(k->ctr.dropped);
		return PEN_SMTP_DROP;
	}
}

static enum pen_smtp_verdict on_connect(void *ctx)
{
	return draw(ctx, FAULT_CONNECT);
}

static enum pen_smtp_verdict on_helo(void *ctx, struct pen_span name, bool ehlo)
{
	struct sink_conn *c = ctx;

	(void)name;
	if (ehlo && c->k->cfg->no_esmtp) {
		pen_smtp_server_reply(&c->smtp, "502 5.5.2 Error: command not recognized");
		return PEN_SMTP_REPLY;
	}
	return draw(c, ehlo ? FAULT_EHLO : FAULT_HELO);
}

static enum pen_smtp_verdict on_mail(void *ctx, const struct pen_smtp_mail *m)
{
	struct sink_conn *c = ctx;

	(void)m;
	c->nrcpt = 0;
	sink_ledger(c, "mail", "");
	return draw(c, FAULT_MAIL);
}

static enum pen_smtp_verdict on_rcpt(void *ctx, const struct pen_smtp_rcpt *r)
{
	struct sink_conn *c = ctx;
	enum pen_smtp_verdict v = draw(c, FAULT_RCPT);

	(void)r;
	if (v == PEN_SMTP_OK)
		c->nrcpt++;
	return v;
}

// ---- content ----

static void dump_path(
	const struct sink_conn *c, uint64_t seq, const char *suffix, char *out, size_t cap)
{
	snprintf(out, cap, "%s/%08llu%s", c->k->cfg->dump_dir, (unsigned long long)seq, suffix);
}

static void dump_open(struct sink_conn *c)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/.part-%p", c->k->cfg->dump_dir, (void *)c);
	c->dump = fopen(path, "we");
	if (c->dump == NULL)
		PEN_COUNT(c->k->ctr.dump_failed);
}

// Under its final name only when it is complete and accepted.
static void dump_close(struct sink_conn *c, bool keep)
{
	char part[512], path[512];

	if (c->dump == NULL)
		return;
	bool ok = fclose(c->dump) == 0;
	c->dump = NULL;
	snprintf(part, sizeof(part), "%s/.part-%p", c->k->cfg->dump_dir, (void *)c);
	if (!keep) {
		unlink(part);
		return;
	}
	dump_path(c, c->k->dump_seq++, ".eml", path, sizeof(path));
	if (!ok || rename(part, path) != 0)
		PEN_COUNT(c->k->ctr.dump_failed);
}

void sink_message_abandon(struct sink_conn *c)
{
	c->hashing = false;
	dump_close(c, false);
}

static enum pen_smtp_verdict on_data(void *ctx)
{
	struct sink_conn *c = ctx;
	enum pen_smtp_verdict v = draw(c, FAULT_DATA);

	if (v != PEN_SMTP_OK)
		return v;
	pen_content_hash_init(&c->hash);
	c->hashing = true;
	if (c->k->cfg->data_read_delay > 0)
		c->hold_in = c->k->now + c->k->cfg->data_read_delay;
	if (c->k->cfg->dump_dir != NULL)
		dump_open(c);
	return v;
}

static void on_content(void *ctx, struct pen_span piece)
{
	struct sink_conn *c = ctx;

	pen_content_hash_feed(&c->hash, piece.p, piece.n);
	if (c->dump != NULL && fwrite(piece.p, 1, piece.n, c->dump) != piece.n)
		PEN_COUNT(c->k->ctr.dump_failed);
}

// "<run>-<n>", as penstock-source numbers its messages.
static enum tally_result tally_id(struct tally *t, const char *id)
{
	const char *dash = strrchr(id, '-');
	char run[PEN_CONTENT_ID_MAX + 1], *end;

	if (dash == NULL || dash[1] < '0' || dash[1] > '9')
		return TALLY_FULL;
	uint64_t number = strtoull(dash + 1, &end, 10);
	if (*end != '\0')
		return TALLY_FULL;
	snprintf(run, sizeof(run), "%.*s", (int)(dash - id), id);
	return tally_add(t, run, number);
}

static void count_message(struct sink_conn *c)
{
	struct sink *k = c->k;
	struct pen_content_hash *h = &c->hash;
	uint64_t hash = pen_content_hash_end(h);

	sink_ledger(c, "message", h->id);
	PEN_COUNT(k->ctr.messages);
	PEN_COUNT_N(k->ctr.bytes, h->bytes);
	PEN_COUNT_N(k->ctr.recipients, c->nrcpt);
	if (h->has_claim && h->claim != hash)
		PEN_COUNT(k->ctr.corrupted);
	else if (h->has_claim)
		PEN_COUNT(k->ctr.verified);
	enum tally_result r = tally_id(&k->tally, h->id);
	if (r == TALLY_NEW)
		PEN_COUNT(k->ctr.unique);
	else if (r == TALLY_SEEN)
		PEN_COUNT(k->ctr.duplicates);
	else
		PEN_COUNT(k->ctr.unidentified);
	if (k->first_at == 0)
		__atomic_store_n(&k->first_at, k->now, __ATOMIC_RELAXED);
	__atomic_store_n(&k->last_at, k->now, __ATOMIC_RELAXED);
}

static enum pen_smtp_verdict on_message(void *ctx, bool too_big)
{
	struct sink_conn *c = ctx;
	enum pen_smtp_verdict v = too_big ? PEN_SMTP_OK : draw(c, FAULT_DOT);

	if (v == PEN_SMTP_OK && !too_big) {
		count_message(c);
		dump_close(c, true);
	} else {
		sink_ledger(c, "refused", c->hash.id);
	}
	sink_message_abandon(c);
	return v;
}

static void on_reset(void *ctx)
{
	sink_message_abandon(ctx);
}

static void on_starttls(void *ctx)
{
	struct sink_conn *c = ctx;

	c->tls_wanted = true;
}

static void on_close(void *ctx)
{
	struct sink_conn *c = ctx;

	c->closing = true;
	sink_message_abandon(c);
	sink_mark(c);
}

const struct pen_smtp_server_callbacks sink_smtp_callbacks = {
	.on_connect = on_connect,
	.on_helo = on_helo,
	.on_mail = on_mail,
	.on_rcpt = on_rcpt,
	.on_data = on_data,
	.on_content = on_content,
	.on_message = on_message,
	.on_reset = on_reset,
	.on_starttls = on_starttls,
	.on_close = on_close,
};
