// SPDX-License-Identifier: BSD-3-Clause
#include "auth_client.h"

#include "pen_err.h"
#include "pen_secret.h"

#include <stdio.h>

#define LOST "Connection lost to authentication server"

static struct auth_request **bucket_of(struct auth_client *c, uint32_t id)
{
	return &c->bucket[id % AUTH_BUCKETS];
}

static struct auth_request *find(struct auth_client *c, uint32_t id)
{
	struct auth_request *r = *bucket_of(c, id);

	while (r != NULL && r->id != id)
		r = r->next;
	return r;
}

static void insert(struct auth_client *c, struct auth_request *r)
{
	struct auth_request **at;

	do
		r->id = ++c->last_id;
	while (r->id == 0);
	at = bucket_of(c, r->id);
	r->next = *at;
	*at = r;
}

static void forget(struct auth_client *c, struct auth_request *r)
{
	struct auth_request **at = bucket_of(c, r->id);

	while (*at != r)
		at = &(*at)->next;
	*at = r->next;
	r->id = 0;
	r->next = NULL;
}

// The end of a request. One that waits for its client hears of it when the client speaks.
static void end(struct auth_client *c, struct auth_request *r, const struct auth_answer *a)
{
	bool asked = r->asked;

	forget(c, r);
	if (asked)
		r->answer(r, a);
}

static void end_unavailable(struct auth_client *c, struct auth_request *r, const char *reason)
{
	const struct auth_answer a = {.verdict = AUTH_UNAVAILABLE, .user = "", .reason = reason};

	end(c, r, &a);
}

void auth_client_init(struct auth_client *c)
{
	*c = (struct auth_client){.out.limit = AUTH_OUT_MAX, .line.limit = AUTH_LINE_MAX};
}

void auth_client_fini(struct auth_client *c)
{
	pen_secret_fini(&c->out);
	pen_buf_fini(&c->line);
}

void auth_client_connected(struct auth_client *c, uint32_t pid, pen_time_us now)
{
	char text[64];
	int n = snprintf(text, sizeof(text), "VERSION\t1\t1\nCPID\t%u\n", pid);

	PEN_ASSERT(c->state == AUTH_DOWN);
	c->state = AUTH_SHAKES;
	c->version = false;
	c->until = now + AUTH_TIME;
	c->nfresh = 0;
	pen_secret_add(&c->out, text, (size_t)n);
}

void auth_client_lost(struct auth_client *c)
{
	c->state = AUTH_DOWN;
	pen_secret_fini(&c->out);
	pen_buf_reset(&c->line);
	for (uint32_t i = 0; i < AUTH_BUCKETS; i++) {
		while (c->bucket[i] != NULL)
			end_unavailable(c, c->bucket[i], LOST);
	}
}

void auth_client_sent(struct auth_client *c, size_t n)
{
	pen_secret_consume(&c->out, n);
	if (c->out.n == 0)
		pen_secret_fini(&c->out);
}

// ---- what the server says

static const char *take_mechanism(struct auth_client *c, const struct auth_line *l)
{
	if (c->nfresh == AUTH_MECHANISMS)
		return NULL; // enough for anybody
	struct auth_mechanism *m = &c->fresh[c->nfresh++];
	memcpy(m->name, l->mechanism.p, l->mechanism.n);
	m->name[l->mechanism.n] = '\0';
	m->traits = l->traits;
	return NULL;
}

static const char *shake(struct auth_client *c, const struct auth_line *l)
{
	switch (l->kind) {
	case AUTH_LINE_VERSION:
		c->version = true;
		return l->major == 1 ? NULL : "it speaks another version of the protocol";
	case AUTH_LINE_MECH:
		return take_mechanism(c, l);
	case AUTH_LINE_DONE:
		if (!c->version)
			return "it does not say which version of the protocol it speaks";
		memcpy(c->mechanism, c->fresh, sizeof(c->fresh));
		c->nmechanisms = c->nfresh;
		c->state = AUTH_READY;
		return NULL;
	default:
		return NULL;
	}
}

static void take_answer(struct auth_client *c, const struct auth_line *l)
{
	struct auth_answer a = {.challenge = l->challenge, .user = l->user, .reason = l->reason};
	struct auth_request *r = find(c, l->id);

	// One that was given up, or whose client is to speak: a challenge makes no sense.
	if (r == NULL || (!r->asked && l->kind == AUTH_LINE_CONT))
		return;
	switch (l->kind) {
	case AUTH_LINE_CONT:
		r->asked = false;
		r->until = PEN_TIME_NEVER;
		r->answer(r, &a);
		return;
	case AUTH_LINE_OK:
		a.verdict = AUTH_GRANTED;
		if (l->user[0] == '\0') {
			a.verdict = AUTH_UNAVAILABLE;
			a.reason = "the authentication server names no user";
		}
		break;
	default:
		a.verdict = l->temporary ? AUTH_UNAVAILABLE : AUTH_DENIED;
		break;
	}
	end(c, r, &a);
}

static const char *take_line(struct auth_client *c, struct pen_span line)
{
	struct auth_line l;

	if (line.n > 0 && line.p[line.n - 1] == '\r')
		line.n--;
	if (!auth_line_parse(line, &l))
		return "it does not keep to the protocol";
	if (c->state == AUTH_SHAKES)
		return shake(c, &l);
	if (l.kind == AUTH_LINE_CONT || l.kind == AUTH_LINE_OK || l.kind == AUTH_LINE_FAIL)
		take_answer(c, &l);
	return NULL;
}

const char *auth_client_feed(struct auth_client *c, const uint8_t *p, size_t n)
{
	const char *why = NULL;

	PEN_ASSERT(c->state != AUTH_DOWN);
	while (n > 0 && why == NULL) {
		const uint8_t *lf = memchr(p, '\n', n);
		size_t used = lf != NULL ? (size_t)(lf - p) : n;
		if (lf != NULL && c->line.n == 0 && used <= AUTH_LINE_MAX) {
			why = take_line(c, pen_span(p, used));
		} else {
			pen_buf_add(&c->line, p, used);
			if (c->line.failed)
				return "a line is too long";
			if (lf != NULL) {
				why = take_line(c, pen_buf_span(&c->line));
				pen_buf_reset(&c->line);
			}
		}
		used += lf != NULL;
		p += used;
		n -= used;
	}
	return why;
}

const char *auth_client_tick(struct auth_client *c, pen_time_us now)
{
	if (c->state == AUTH_SHAKES && now >= c->until)
		return "it does not finish the handshake";
	for (uint32_t i = 0; i < AUTH_BUCKETS; i++) {
		struct auth_request *r = c->bucket[i];
		while (r != NULL && now < r->until)
			r = r->next;
		if (r == NULL)
			continue;
		auth_client_cancel(c, r);
		r->answer(r, &(struct auth_answer){.verdict = AUTH_UNAVAILABLE,
				     .user = "",
				     .reason = "the authentication server does not answer"});
		i--; // there may be more, and the list may be another one now
	}
	return NULL;
}

// ---- mechanisms

// EXTERNAL is about certificates of clients, which nobody is asked for.
static bool offers(const struct auth_mechanism *m, struct pen_sasl_options o)
{
	return pen_sasl_allows(o, m->traits) && strcasecmp(m->name, "EXTERNAL") != 0;
}

bool auth_client_offers(
	const struct auth_client *c, struct pen_sasl_options o, struct pen_span mechanism)
{
	for (uint32_t i = 0; i < c->nmechanisms; i++) {
		const struct auth_mechanism *m = &c->mechanism[i];
		if (pen_span_ieq(mechanism, pen_span_cstr(m->name)))
			return offers(m, o);
	}
	return false;
}

size_t auth_client_list(
	const struct auth_client *c, struct pen_sasl_options o, char *out, size_t cap)
{
	size_t n = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < c->nmechanisms; i++) {
		const struct auth_mechanism *m = &c->mechanism[i];
		if (!offers(m, o) || n + 1 + strlen(m->name) >= cap)
			continue;
		n += (size_t)snprintf(out + n, cap - n, "%s%s", n > 0 ? " " : "", m->name);
	}
	return n;
}

// ---- requests

static void add_cstr(struct auth_client *c, const char *text)
{
	pen_secret_add(&c->out, text, strlen(text));
}

// A queue that cannot grow leaves no half a line behind: what was in it is gone, and the
// requests end with the connection.
static bool room(const struct auth_client *c, struct pen_span response)
{
	return c->state == AUTH_READY && !c->out.failed &&
	       c->out.n + response.n + 512 <= AUTH_OUT_MAX;
}

static void add_where(struct auth_client *c, const struct auth_start *s)
{
	char text[200], client[PEN_ADDR_STR_MAX], server[PEN_ADDR_STR_MAX];

	snprintf(text, sizeof(text), "\tlip=%s\trip=%s\tlport=%u\trport=%u",
		pen_addr_str(&s->server, server), pen_addr_str(&s->client, client), s->server_port,
		s->client_port);
	add_cstr(c, text);
}

bool auth_client_begin(
	struct auth_client *c, struct auth_request *r, const struct auth_start *s, pen_time_us now)
{
	char text[32];

	PEN_ASSERT(r->id == 0 && s->mechanism.n <= AUTH_MECHANISM_MAX);
	if (!room(c, s->response != NULL ? *s->response : pen_span(NULL, 0)))
		return false;
	insert(c, r);
	r->asked = true;
	r->until = now + AUTH_TIME;
	snprintf(text, sizeof(text), "AUTH\t%u\t", r->id);
	add_cstr(c, text);
	pen_secret_add_span(&c->out, s->mechanism);
	add_cstr(c, "\tservice=smtp\tnologin");
	add_where(c, s);
	if (s->secured)
		add_cstr(c, "\tsecured");
	if (s->response != NULL) { // has to be the last
		add_cstr(c, "\tresp=");
		pen_secret_add_span(&c->out, *s->response);
	}
	add_cstr(c, "\n");
	return true;
}

bool auth_client_continue(
	struct auth_client *c, struct auth_request *r, struct pen_span response, pen_time_us now)
{
	char text[32];

	if (r->id == 0)
		return false; // the server has ended it meanwhile
	if (!room(c, response)) {
		forget(c, r);
		return false;
	}
	r->asked = true;
	r->until = now + AUTH_TIME;
	snprintf(text, sizeof(text), "CONT\t%u\t", r->id);
	add_cstr(c, text);
	pen_secret_add_span(&c->out, response);
	add_cstr(c, "\n");
	return true;
}

void auth_client_cancel(struct auth_client *c, struct auth_request *r)
{
	char text[32];

	if (r->id == 0)
		return;
	if (room(c, pen_span(NULL, 0))) {
		snprintf(text, sizeof(text), "CANCEL\t%u\n", r->id);
		add_cstr(c, text);
	}
	forget(c, r);
}
