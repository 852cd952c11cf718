// SPDX-License-Identifier: BSD-3-Clause

// Whose a message is, from its sender's address and from its header, and which of
// its recipients are suppressed.

#include "submission.h"
#include "x_headers.h"

#include <stdio.h>

static struct pen_span tenant_of_sender(const struct conn *c)
{
	return pen_span_cstr(c->sender_class.tenant);
}

bool class_of_sender(struct conn *c)
{
	struct pen_submission *s = c->loop->sub;

	struct pen_span user = auth_user(c);

	if (user.n > 0 && s->ops.user_class != NULL) {
		if (s->ops.user_class(s->ctx, user, &c->sender_class) != 0)
			return false;
		c->tenant_bound = c->sender_class.tenant[0] != '\0';
		if (c->tenant_bound)
			return true;
	}
	if (!c->trusted || s->ops.sender_class == NULL)
		return true;
	return s->ops.sender_class(s->ctx, conn_sender(c), &c->sender_class) == 0;
}

static bool suppressed(struct conn *c, struct pen_span tenant, uint32_t rcpt, char *why, size_t cap)
{
	struct pen_submission *s = c->loop->sub;

	return s->ops.suppressed != NULL &&
	       s->ops.suppressed(s->ctx, tenant, conn_rcpt(c, rcpt), why, cap);
}

static enum pen_smtp_verdict refuse_rcpt(
	struct conn *c, const char *stage, struct pen_span rcpt, const char *why)
{
	char reply[600];

	snprintf(reply, sizeof(reply), "550 5.7.1 <%.*s>: Recipient address suppressed (%s)",
		(int)(rcpt.n < 320 ? rcpt.n : 320), (const char *)rcpt.p, why);
	return session_refuse_rcpt(c, stage, rcpt, reply);
}

static void drop(struct conn *c, uint32_t rcpt)
{
	PEN_COUNT(c->loop->ctr.suppressed_dropped);
	c->rcpt[rcpt].dropped = true;
}

bool class_admits_rcpt(struct conn *c)
{
	uint32_t last = c->nrcpt - 1;
	char why[200];

	if (!suppressed(c, tenant_of_sender(c), last, why, sizeof(why)))
		return true;
	if (c->loop->sub->cfg.suppression_drop) {
		drop(c, last);
		return true;
	}
	PEN_COUNT(c->loop->ctr.suppressed_refused);
	refuse_rcpt(c, "RCPT", conn_rcpt(c, last), why);
	return false;
}

// ---- after DATA

static enum pen_smtp_verdict no_memory(struct conn *c)
{
	PEN_COUNT(c->loop->ctr.memory_refused);
	return message_refuse(c, "END-OF-MESSAGE", "451 4.3.0 Error: queue file write error");
}

// What they name has to be there; a pool counts from mynetworks only.
static void check_names(const struct conn *c, struct x_headers *x)
{
	const struct pen_submission *s = c->loop->sub;
	const char *zone = x->extra.window.zone;

	if (x->scheduled && zone[0] != '\0' && s->ops.zone_known != NULL &&
		!s->ops.zone_known(s->ctx, zone))
		snprintf(x->why, sizeof(x->why),
			"X-Penstock-Schedule: zone=%s: there is no such time zone", zone);
	else if (c->trusted && x->pool.n > 0 && s->ops.pool_known != NULL &&
		 !s->ops.pool_known(s->ctx, x->pool))
		snprintf(x->why, sizeof(x->why),
			"X-Penstock-Pool: %.*s: egress.conf has no such pool",
			PEN_SPAN_ARG(x->pool));
}

// A user cannot leave its tenant, wherever it comes from. Not taken in silence: the client
// believes that it chooses.
static bool leaves_tenant(struct conn *c, const struct x_headers *x)
{
	return c->tenant_bound && x->tenant.n > 0 && !pen_span_eq(x->tenant, tenant_of_sender(c));
}

static enum pen_smtp_verdict refuse_tenant(struct conn *c, const struct x_headers *x)
{
	char reply[200];

	PEN_COUNT(c->loop->ctr.tenant_refused);
	snprintf(reply, sizeof(reply),
		"554 5.7.1 X-Penstock-Tenant: %.*s: not the tenant of this user",
		PEN_SPAN_ARG(x->tenant));
	return message_refuse(c, "END-OF-MESSAGE", reply);
}

// The fields go, whoever sent them; they are believed from mynetworks, and some of them from
// users with a tenant.
static bool take_fields(struct conn *c, struct x_headers *x, enum pen_smtp_verdict *verdict)
{
	char reply[X_HEADERS_WHY_MAX + 32];

	x_headers_scan(content_header(&c->content), pen_clock_wall(), x);
	if (!c->trusted && !c->tenant_bound)
		return true;
	if (x->why[0] == '\0')
		check_names(c, x);
	if (x->why[0] == '\0' && !leaves_tenant(c, x))
		return true;
	if (x->why[0] == '\0') {
		*verdict = refuse_tenant(c, x);
		return false;
	}
	PEN_COUNT(c->loop->ctr.fields_refused);
	snprintf(reply, sizeof(reply), "554 5.6.0 %s", x->why);
	*verdict = message_refuse(c, "END-OF-MESSAGE", reply);
	return false;
}

// Fields name before the sender's address does; a tenant of the fields makes that
// one's campaign somebody else's.
static const struct pen_mail_class *make_class(const struct conn *c, const struct x_headers *x)
{
	struct pen_span tenant = x->tenant, campaign = x->campaign;
	bool of_sender = tenant.n == 0 || pen_span_eq(tenant, tenant_of_sender(c));

	if (tenant.n == 0)
		tenant = tenant_of_sender(c);
	if (campaign.n == 0 && of_sender)
		campaign = pen_span_cstr(c->sender_class.campaign);
	return pen_mail_class_get(tenant, campaign, x->pool, x->priority);
}

// Points into the block that is about to go, so it is used before that.
static bool make_envelope(struct conn *c, const struct x_headers *x)
{
	struct x_headers some = {.priority = PEN_PRIORITY_NORMAL};

	// Pool and priority are at the cost of others.
	if (!c->trusted && c->tenant_bound) {
		some.campaign = x->campaign;
		some.scheduled = x->scheduled;
		some.extra = x->extra;
	}
	if (!c->trusted)
		x = &some;
	pen_mail_class_put(c->klass);
	c->klass = make_class(c, x);
	if (x->scheduled) {
		c->extra.not_before = x->extra.not_before;
		c->extra.not_after = x->extra.not_after;
		c->extra.window = x->extra.window;
	}
	return c->klass != NULL;
}

static bool strip(struct conn *c)
{
	struct pen_buf kept = PEN_BUF_INIT;

	x_headers_strip(content_header(&c->content), &kept);
	bool ok = !kept.failed;
	if (ok)
		content_replace_header(&c->content, pen_buf_span(&kept));
	pen_buf_fini(&kept);
	return ok && c->content.err == 0;
}

static uint32_t count_left(const struct conn *c)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < c->nrcpt; i++)
		left += c->rcpt[i].dropped ? 0 : 1;
	return left;
}

// The list of a tenant that only the header named. False: the message is refused.
static bool check_tenant(struct conn *c, enum pen_smtp_verdict *verdict)
{
	uint32_t left = count_left(c), hits = 0, first = 0;
	char why[200], first_why[200];

	if (c->klass->tenant.n == 0 || pen_span_eq(c->klass->tenant, tenant_of_sender(c)))
		return true; // RCPT saw to it
	for (uint32_t i = 0; i < c->nrcpt; i++) {
		if (c->rcpt[i].dropped || !suppressed(c, c->klass->tenant, i, why, sizeof(why)))
			continue;
		if (hits++ == 0) {
			first = i;
			memcpy(first_why, why, sizeof(why));
		}
		c->rcpt[i].dropped = true;
	}
	if (hits == left && left > 0 && !c->loop->sub->cfg.suppression_drop) {
		PEN_COUNT_N(c->loop->ctr.suppressed_refused, hits);
		*verdict = refuse_rcpt(c, "END-OF-MESSAGE", conn_rcpt(c, first), first_why);
		return false;
	}
	PEN_COUNT_N(c->loop->ctr.suppressed_dropped, hits);
	return true;
}

// Nobody is left: the client has done its part, and there is nothing to keep.
static enum pen_smtp_verdict end_dropped(struct conn *c)
{
	struct pen_submission *s = c->loop->sub;
	struct pen_submission_mail mail = {c->queue_id, c->client, conn_sender(c), conn_rcpt(c, 0),
		pen_span_cstr(c->helo), c->nrcpt, c->esmtp, auth_user(c)};
	struct pen_maillog_sasl sasl;
	char why[200];

	pen_maillog_client(s->cfg.maillog, c->queue_id, &c->client, auth_log(c, &sasl));
	pen_maillog_message_id(s->cfg.maillog, c->queue_id, content_message_id(&c->content));
	for (uint32_t i = 0; s->ops.dropped != NULL && i < c->nrcpt; i++) {
		if (!suppressed(c, c->klass->tenant, i, why, sizeof(why)))
			snprintf(why, sizeof(why), "suppressed"); // taken off just now
		s->ops.dropped(s->ctx, &mail, conn_rcpt(c, i), why);
	}
	c->count.data_ok++;
	pen_smtp_server_reply(&c->smtp, "250 2.0.0 Ok: queued as %s", c->queue_id);
	return PEN_SMTP_REPLY;
}

bool class_of_message(struct conn *c, enum pen_smtp_verdict *verdict)
{
	struct x_headers x;

	if (!take_fields(c, &x, verdict))
		return false;
	if (!make_envelope(c, &x) || (x.any && !strip(c))) {
		*verdict = no_memory(c);
		return false;
	}
	if (!check_tenant(c, verdict))
		return false;
	if (count_left(c) > 0)
		return true;
	*verdict = end_dropped(c);
	return false;
}
