// SPDX-License-Identifier: BSD-3-Clause
#include "pen_attempt.h"

#include "pen_err.h"

void pen_attempt_init(struct pen_attempt *a, struct pen_lease *lease)
{
	*a = (struct pen_attempt){.lease = lease};
	lease->host_used = 0;
	lease->host_tried = lease->ready = lease->tls = false;
	lease->tls_field = (struct pen_tls_field){0};
	lease->result.klass = 0;
	for (uint8_t i = 0; i < lease->nhosts; i++) {
		lease->host[i].answer = PEN_HOST_UNTRIED;
		lease->host[i].tls_event = PEN_TLSRPT_NONE;
		lease->host[i].tls_reason = NULL;
	}
}

void pen_attempt_note(struct pen_lease *lease, const struct pen_tls_verdict *v)
{
	struct pen_lease_host *h = &lease->host[lease->host_used];

	if (v->event == PEN_TLSRPT_NONE)
		return;
	// A session that succeeds may be lost afterwards; one that failed stays
	// failed, whatever a retry brings.
	if (h->tls_event != PEN_TLSRPT_NONE && h->tls_event != PEN_TLSRPT_SUCCESS)
		return;
	h->tls_event = (uint8_t)v->event;
	h->tls_reason = v->reason;
}

struct pen_tls_rules pen_attempt_rules(const struct pen_lease *lease)
{
	return (struct pen_tls_rules){
		.plain_retry = lease->plain_retry,
		.remembered = lease->host[lease->host_used].tls_remembered,
	};
}

static void failed(struct pen_attempt *a, const struct pen_dsn *why)
{
	if (why != &a->lease->result)
		a->lease->result = *why;
	if (a->lease->result.klass != 5)
		a->soft = true;
}

// Hard failures that say something about the mail, not about the host.
static bool bounces(const struct pen_lease *l)
{
	const struct pen_dsn *r = &l->result;

	if (r->klass != 5)
		return false;
	return r->origin == PEN_ORIGIN_POLICY ||
	       (r->origin == PEN_ORIGIN_PEER &&
		       (r->stage == PEN_STAGE_STARTTLS ||
			       (r->stage == PEN_STAGE_GREETING && !l->rules->skip_5xx_greeting)));
}

static bool over(struct pen_attempt *a)
{
	struct pen_lease *l = a->lease;

	if (l->result.klass == 0)
		pen_dsn_set(&l->result, 4, 4, 4, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL,
			PEN_STAGE_CONNECT, "no host to connect to");
	// A host that failed for a temporary reason may take the mail later, so
	// another one's refusal is not the last word.
	if (l->result.klass == 5 && a->soft && !l->rules->last_error_wins)
		l->result.klass = 4;
	if (bounces(l))
		l->result.scope = PEN_SCOPE_SITE;
	return false;
}

static void use(struct pen_attempt *a, uint8_t i, struct pen_tls_verdict *v)
{
	struct pen_lease *l = a->lease;

	a->tried |= 1u << i;
	l->host_used = i;
	l->host_tried = true;
	pen_tls_begin(l->host[i].tls, a->plain, &l->tls_field, v);
	pen_attempt_note(l, v);
}

static int untried(const struct pen_attempt *a, uint8_t from)
{
	for (uint8_t i = from; i < a->lease->nhosts; i++) {
		if ((a->tried & (1u << i)) == 0)
			return i;
	}
	return -1;
}

bool pen_attempt_next(struct pen_attempt *a)
{
	const struct pen_lease *l = a->lease;
	struct pen_tls_verdict v;

	a->plain = a->retry;
	a->retry = false;
	for (;;) {
		int i = a->plain ? l->host_used : untried(a, 0);
		if (i < 0 || a->final)
			return over(a);
		use(a, (uint8_t)i, &v);
		if (v.action == PEN_TLS_GO_ON)
			return true;
		a->plain = false;
		failed(a, &v.why);
	}
}

void pen_attempt_stop(struct pen_attempt *a)
{
	if (a->lease->result.klass == 5)
		a->lease->result.klass = 4;
}

void pen_attempt_no_connection(
	struct pen_attempt *a, uint8_t host, enum pen_host_answer answer, const char *why)
{
	struct pen_lease_host *h = &a->lease->host[host];
	char addr[PEN_ADDR_STR_MAX];

	h->answer = (uint8_t)answer;
	pen_dsn_set(&a->lease->result, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"connect to %s[%s]:%u: %s", h->name, pen_addr_str(&h->addr, addr), h->port, why);
	a->soft = true;
}

void pen_attempt_no_source(struct pen_attempt *a)
{
	bool soft = a->soft;

	if (a->lease->result.klass != 0)
		return;
	pen_attempt_no_connection(
		a, a->lease->host_used, PEN_HOST_UNTRIED, "no source address of this family");
	a->soft = soft;
}

// Whether a session that ended had got as far as a greeting that lets us in.
static enum pen_host_answer answer_of(enum pen_attempt_end how, const struct pen_dsn *why)
{
	if (how != PEN_ATTEMPT_NO_SESSION || why->stage != PEN_STAGE_GREETING)
		return PEN_HOST_ANSWERED;
	if (why->klass == 2) // we left before it could speak
		return PEN_HOST_UNTRIED;
	if (why->origin != PEN_ORIGIN_PEER)
		return PEN_HOST_SILENT;
	return why->reply == 421 ? PEN_HOST_BUSY : PEN_HOST_ANSWERED;
}

void pen_attempt_ended(struct pen_attempt *a, enum pen_attempt_end how, const struct pen_dsn *why)
{
	struct pen_lease *l = a->lease;

	l->host[l->host_used].answer = (uint8_t)answer_of(how, why);
	if (how == PEN_ATTEMPT_RETRY_PLAIN) {
		PEN_ASSERT(!a->plain);
		a->retry = true;
		return;
	}
	failed(a, why);
	// smtp_skip_5xx_greeting = no: whoever sets it wants the first such
	// greeting to be the end.
	if (l->result.stage == PEN_STAGE_GREETING && bounces(l))
		a->final = true;
	// smtp_tls_refused_is_final: Postfix bounces at once, whatever other hosts
	// might say.
	if (l->rules->refused_is_final && l->result.stage == PEN_STAGE_STARTTLS && bounces(l)) {
		a->final = true;
		a->soft = false;
	}
	if (how == PEN_ATTEMPT_PASSED)
		a->sessions++;
	if (l->rules->session_limit != 0 && a->sessions >= l->rules->session_limit)
		a->final = true;
}

void pen_attempt_ready(struct pen_attempt *a)
{
	a->lease->host[a->lease->host_used].answer = PEN_HOST_ANSWERED;
	a->sessions++;
}

// ---- racing ----

// A host that its policy forbids, or that we have no address to reach from, is
// no rival; it has its turn later.
static bool may_race(const struct pen_attempt *a, int i)
{
	const struct pen_lease *l = a->lease;
	bool six = l->host[i].addr.family == PEN_FAMILY_IP6;
	struct pen_tls_field field;
	struct pen_tls_verdict v;

	if ((six ? &l->source6 : &l->source)->family == PEN_FAMILY_NONE)
		return false;
	pen_tls_begin(a->lease->host[i].tls, false, &field, &v);
	return v.action == PEN_TLS_GO_ON;
}

int pen_attempt_rival(const struct pen_attempt *a)
{
	const struct pen_lease *l = a->lease;
	const struct pen_lease_host *mine = &l->host[l->host_used];
	int best = -1;

	if (a->plain)
		return -1;
	for (int i = untried(a, 0); i >= 0; i = untried(a, (uint8_t)(i + 1))) {
		const struct pen_lease_host *h = &l->host[i];
		if (!may_race(a, i))
			continue;
		if (best < 0)
			best = i;
		// Another name may be a less preferred host: only its own.
		if (h->addr.family != mine->addr.family && strcmp(h->name, mine->name) == 0) {
			best = i;
			break;
		}
	}
	return best;
}

void pen_attempt_race(struct pen_attempt *a, uint8_t rival)
{
	a->tried |= 1u << rival;
}

void pen_attempt_replace(struct pen_attempt *a, uint8_t rival, bool lost)
{
	struct pen_tls_verdict v;

	if (!lost)
		a->tried &= ~(1u << a->lease->host_used);
	use(a, rival, &v);
}
