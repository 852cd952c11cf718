// SPDX-License-Identifier: BSD-3-Clause

// AUTH of one session: between the SMTP server and the authentication server. What the
// client says goes from one to the other and is kept nowhere.

#include "sockaddr.h"
#include "submission.h"

#include <stdio.h>
#include <stdlib.h>

#define NO_REASON "(reason unavailable)"

struct conn_auth {
	struct auth_request request; // first: the answer casts back
	struct conn *c;
	char method[PEN_SMTP_MECHANISM_MAX + 1];
	char user[AUTH_USER_MAX + 1]; // empty: nobody yet
	char sender[PEN_SMTP_AUTH_PARAM_MAX + 1];
};

static struct pen_sasl_options options(const struct conn *c)
{
	const struct pen_submission_config *cfg = &c->loop->sub->cfg;

	return tls_is_up(c) ? cfg->auth_tls_options : cfg->auth_options;
}

struct pen_span auth_mechanisms(void *ctx)
{
	struct conn *c = ctx;
	struct loop *l = c->loop;
	size_t n =
		auth_client_list(&l->auth.client, options(c), l->mechanisms, sizeof(l->mechanisms));

	return pen_span(l->mechanisms, n);
}

struct pen_span auth_user(const struct conn *c)
{
	return pen_span_cstr(c->auth != NULL ? c->auth->user : NULL);
}

void auth_free(struct conn *c)
{
	if (c->auth == NULL)
		return;
	if (c->auth->request.id != 0) {
		auth_client_cancel(&c->loop->auth.client, &c->auth->request);
		auth_link_push(&c->loop->auth);
	}
	free(c->auth);
	c->auth = NULL;
}

void auth_set_sender(struct conn *c, struct pen_span sender)
{
	if (c->auth != NULL)
		snprintf(c->auth->sender, sizeof(c->auth->sender), "%.*s", PEN_SPAN_ARG(sender));
}

const struct pen_maillog_sasl *auth_log(const struct conn *c, struct pen_maillog_sasl *out)
{
	if (auth_user(c).n == 0)
		return NULL;
	*out = (struct pen_maillog_sasl){
		pen_span_cstr(c->auth->method), auth_user(c), pen_span_cstr(c->auth->sender)};
	return out;
}

// The name stands in a comment of a header field.
size_t auth_received(const struct conn *c, char *out, size_t cap)
{
	struct pen_span user = auth_user(c);
	char name[AUTH_USER_MAX + 1];

	if (user.n == 0 || !c->loop->sub->cfg.auth_header)
		return 0;
	for (size_t i = 0; i < user.n; i++) {
		uint8_t ch = user.p[i];
		bool odd = ch < ' ' || ch > '~' || strchr("()\\", ch) != NULL;
		name[i] = odd ? '?' : (char)ch;
	}
	int n = snprintf(out, cap, "\t(Authenticated sender: %.*s)\r\n", (int)user.n, name);
	return (size_t)n < cap ? (size_t)n : cap - 1;
}

void auth_wipe(struct loop *l)
{
	if (!l->secrets)
		return;
	l->secrets = false;
	explicit_bzero(l->input, READ_BYTES);
	if (l->plain != NULL)
		explicit_bzero(l->plain, READ_BYTES);
}

// ---- answers

static void say_failed(struct conn *c, const char *method, const char *reason, const char *user)
{
	char ip[PEN_ADDR_STR_MAX];

	pen_maillog_line(c->loop->sub->cfg.maillog, "smtpd",
		"warning: unknown[%s]: SASL %s authentication failed: %s, sasl_username=%s",
		pen_addr_str(&c->client, ip), method, reason[0] != '\0' ? reason : NO_REASON,
		user[0] != '\0' ? user : "(unavailable)");
}

static void unavailable(struct conn *c, const char *method, const char *reason, const char *user)
{
	PEN_COUNT(c->loop->ctr.auth_unavailable);
	say_failed(c, method, reason, user);
	pen_smtp_server_reply(&c->smtp, "454 4.7.0 Temporary authentication failure: %s",
		reason[0] != '\0' ? reason : NO_REASON);
}

static void granted(struct conn *c, const char *user)
{
	PEN_COUNT(c->loop->ctr.auth_ok);
	c->count.auth_ok++;
	snprintf(c->auth->user, sizeof(c->auth->user), "%s", user);
	pen_smtp_server_reply(&c->smtp, "235 2.7.0 Authentication successful");
}

static void denied(struct conn *c, const struct auth_answer *a)
{
	PEN_COUNT(c->loop->ctr.auth_failed);
	say_failed(c, c->auth->method, a->reason, a->user);
	pen_smtp_server_reply(&c->smtp, "535 5.7.8 Error: authentication failed: %s",
		a->reason[0] != '\0' ? a->reason : NO_REASON);
}

static void on_answer(struct auth_request *r, const struct auth_answer *a)
{
	struct conn *c = ((struct conn_auth *)r)->c;

	c->loop->now = pen_clock_mono();
	switch (a->verdict) {
	case AUTH_CHALLENGE:
		pen_smtp_server_challenge(&c->smtp, a->challenge);
		break;
	case AUTH_GRANTED:
		granted(c, a->user);
		break;
	case AUTH_DENIED:
		denied(c, a);
		break;
	case AUTH_UNAVAILABLE:
		unavailable(c, c->auth->method, a->reason, a->user);
		break;
	}
	conn_goes_on(c); // may free r
}

// ---- what the client says

static enum pen_smtp_verdict lost(struct conn *c)
{
	unavailable(c, c->auth->method, "Connection lost to authentication server", "");
	return PEN_SMTP_REPLY;
}

// Ports are of use to people who read the log of the authentication server.
static void where(const struct conn *c, struct auth_start *s)
{
	struct sockaddr_storage here = {0}, there = {0};
	socklen_t n = sizeof(here), m = sizeof(there);

	getsockname(c->fd, (struct sockaddr *)&here, &n);
	getpeername(c->fd, (struct sockaddr *)&there, &m);
	s->client = c->client;
	s->server = sockaddr_addr(&here);
	s->server_port = sockaddr_port(&here);
	s->client_port = sockaddr_port(&there);
}

static bool prepare(struct conn *c, struct pen_span mechanism)
{
	if (c->auth == NULL)
		c->auth = calloc(1, sizeof(*c->auth));
	if (c->auth == NULL)
		return false;
	c->auth->c = c;
	c->auth->request.answer = on_answer;
	snprintf(c->auth->method, sizeof(c->auth->method), "%.*s", PEN_SPAN_ARG(mechanism));
	return true;
}

enum pen_smtp_verdict auth_begin(
	void *ctx, struct pen_span mechanism, const struct pen_span *initial)
{
	struct conn *c = ctx;
	struct loop *l = c->loop;
	struct auth_start start = {
		.mechanism = mechanism, .response = initial, .secured = tls_is_up(c)};

	l->secrets = true;
	c->count.auth++;
	if (!prepare(c, mechanism)) {
		PEN_COUNT(l->ctr.memory_refused);
		pen_smtp_server_reply(&c->smtp, "454 4.7.0 Temporary authentication failure");
		return PEN_SMTP_REPLY;
	}
	if (l->auth.client.state != AUTH_READY)
		return lost(c);
	if (!auth_client_offers(&l->auth.client, options(c), mechanism)) {
		PEN_COUNT(l->ctr.auth_failed);
		say_failed(c, c->auth->method, "Invalid authentication mechanism", "");
		pen_smtp_server_reply(
			&c->smtp, "504 5.5.4 Error: invalid authentication mechanism");
		return PEN_SMTP_REPLY;
	}
	where(c, &start);
	if (!auth_client_begin(&l->auth.client, &c->auth->request, &start, l->now))
		return lost(c);
	auth_link_push(&l->auth);
	return PEN_SMTP_PENDING;
}

enum pen_smtp_verdict auth_response(void *ctx, struct pen_span response)
{
	struct conn *c = ctx;
	struct loop *l = c->loop;

	l->secrets = true;
	if (!auth_client_continue(&l->auth.client, &c->auth->request, response, l->now))
		return lost(c);
	auth_link_push(&l->auth);
	return PEN_SMTP_PENDING;
}

void auth_cancel(void *ctx)
{
	struct conn *c = ctx;
	char ip[PEN_ADDR_STR_MAX];

	c->loop->secrets = true; // what was cancelled may have been a password gone wrong
	pen_maillog_line(c->loop->sub->cfg.maillog, "smtpd",
		"warning: unknown[%s]: SASL %s authentication aborted",
		pen_addr_str(&c->client, ip), c->auth->method);
	auth_free(c);
}
