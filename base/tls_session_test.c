// SPDX-License-Identifier: BSD-3-Clause

// What a TLS policy means at each step: the outcome tables, row by row. The
// walk below is a session in miniature; every row names what the server does.

#include "pen_test.h"
#include "pen_tls_session.h"

#define PEER "mx1.example.com[192.0.2.1]"

// What the server does, in the order of a session.
enum server {
	NO_STARTTLS,
	REFUSES_4XX,
	REFUSES_5XX,
	BREAKS_HANDSHAKE,
	LOSES_HANDSHAKE,
	BAD_CERTIFICATE, // a trusted one with another name
	UNTRUSTED,
	UNUSABLE_TLSA,
	TLS_ONLY,       // all is well, no REQUIRETLS
	TLS_REQUIRETLS, // all is well
};

struct row {
	enum pen_tls_level level;
	enum pen_requiretls requiretls;
	enum server server;
	// "sent", "sent plain", "retry plain", or a status with 4.7.4
	const char *outcome;
	const char *field;
	enum pen_tlsrpt_result event;
	bool early; // message is young: no plaintext retry
	bool lax;   // smtp_requiretls_strict = no
	bool plain;
};

static const char *status(const struct pen_dsn *d)
{
	static char text[64];

	assert_int_equal(d->text_len, strlen(d->text));
	snprintf(text, sizeof(text), "%u.%u.%u", d->klass, d->subject, d->detail);
	return text;
}

// Runs a session; returns how it ended, with the field and event of its end.
struct end {
	const char *outcome;
	char field[PEN_TLS_FIELD_MAX];
	enum pen_tlsrpt_result event;
	struct pen_tls_verdict v;
	bool requiretls, headers_only;
};

static bool goes_on(struct end *e, const struct pen_tls_field *st)
{
	pen_tls_field_str(st, e->field);
	if (e->v.event != PEN_TLSRPT_NONE)
		e->event = e->v.event;
	if (e->v.action == PEN_TLS_LEAVE)
		e->outcome = status(&e->v.why);
	else if (e->v.action == PEN_TLS_RETRY_PLAIN)
		e->outcome = "retry plain";
	return e->v.action == PEN_TLS_GO_ON || e->v.action == PEN_TLS_START;
}

static bool starttls(const struct pen_tls_policy *p, const struct pen_tls_rules *rules,
	enum server server, struct pen_tls_field *st, struct end *e)
{
	struct pen_tls_peer peer = {
		.certificate = true, .trusted = true, .matched = !pen_tls_must_match(p->level)};
	struct pen_dsn said;

	switch (server) {
	case REFUSES_4XX:
	case REFUSES_5XX:
		pen_dsn_set(&said, server == REFUSES_4XX ? 4 : 5, 5, 1, PEN_SCOPE_SESSION,
			PEN_ORIGIN_PEER, PEN_STAGE_STARTTLS, "502 5.5.1 no");
		said.reply = 502;
		pen_tls_refused(p, &said, PEER, st, &e->v);
		return false;
	case BREAKS_HANDSHAKE:
		pen_tls_handshake_failed(p, rules, "bad record", NULL, PEER, st, &e->v);
		return false;
	case LOSES_HANDSHAKE:
		pen_dsn_set(&said, 4, 4, 2, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS,
			"lost connection");
		pen_tls_handshake_failed(p, rules, "", &said, PEER, st, &e->v);
		return false;
	case UNTRUSTED:
		peer.trusted = false;
		peer.failure = PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED;
		break;
	case UNUSABLE_TLSA:
		peer.tlsa_unusable = true;
		peer.failure = PEN_TLSRPT_TLSA_INVALID;
		peer.reason = "all-TLSA-records-unusable";
		break;
	case BAD_CERTIFICATE:
		peer.failure = PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH;
		break;
	default:
		peer.matched = true;
	}
	pen_tls_established(p, &peer, PEER, st, &e->v);
	return true;
}

static struct end run_policy(const struct pen_tls_policy *p, const struct pen_tls_rules *rules,
	enum server server, bool plain)
{
	struct end e = {0};
	struct pen_tls_field st;
	bool encrypted = false;

	pen_tls_begin(p, plain, &st, &e.v);
	if (!goes_on(&e, &st))
		return e;
	pen_tls_offer(p, plain, server != NO_STARTTLS, true, PEER, &st, &e.v);
	if (!goes_on(&e, &st))
		return e;
	if (e.v.action == PEN_TLS_START) {
		encrypted = starttls(p, rules, server, &st, &e);
		if (!goes_on(&e, &st))
			return e;
	}
	// Outside TLS nobody may claim REQUIRETLS: the server tries to.
	pen_tls_ready(p, encrypted, server == TLS_REQUIRETLS || !encrypted, PEER, &st, &e.v);
	if (!goes_on(&e, &st))
		return e;
	e.requiretls = e.v.send_requiretls;
	e.headers_only = e.v.headers_only;
	e.outcome = encrypted ? "sent" : "sent plain";
	return e;
}

static struct pen_tls_policy policy_of(enum pen_tls_level level, enum pen_requiretls requiretls)
{
	return (struct pen_tls_policy){.level = level,
		.host = "mx1.example.com",
		.requiretls = requiretls,
		.requiretls_strict = true};
}

static void run_rows(const struct row *row, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &row[i];
		struct pen_tls_policy p = policy_of(r->level, r->requiretls);
		struct pen_tls_rules rules = {.plain_retry = !r->early};
		p.requiretls_strict = !r->lax;
		struct end e = run_policy(&p, &rules, r->server, r->plain);
		if (strcmp(e.outcome, r->outcome) != 0 || strcmp(e.field, r->field) != 0 ||
			e.event != r->event)
			fail_msg("row %zu: got %s, tls=%s, event %s; wanted %s, tls=%s, event %s",
				i, e.outcome, e.field, pen_tlsrpt_result_name(e.event), r->outcome,
				r->field, pen_tlsrpt_result_name(r->event));
	}
}
#define ROWS(rows) run_rows(rows, sizeof(rows) / sizeof((rows)[0]))

#define R(l, q, s, out, tls, ev, ...)                                                              \
	{                                                                                          \
		.level = l, .requiretls = q, .server = s, .outcome = out, .field = tls,            \
		.event = ev, __VA_ARGS__                                                           \
	}
#define NONE PEN_TLSRPT_NONE
#define OK PEN_TLSRPT_SUCCESS
#define NO_TLS PEN_TLSRPT_STARTTLS_NOT_SUPPORTED
#define BROKEN PEN_TLSRPT_VALIDATION_FAILURE
#define MISMATCH PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH
#define NOT_TRUSTED PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED

static void each_outcome_of_starttls_follows_from_the_level(void **state)
{
	(void)state;
	static const struct row rows[] = {
		R(PEN_TLS_NONE, 0, NO_STARTTLS, "sent plain", "none", NONE),
		R(PEN_TLS_NONE, 0, TLS_ONLY, "sent plain", "none", NONE),
		R(PEN_TLS_MAY, 0, NO_STARTTLS, "sent plain", "may:none", NONE),
		R(PEN_TLS_MAY, 0, REFUSES_4XX, "sent plain", "may:none", NO_TLS),
		R(PEN_TLS_MAY, 0, REFUSES_5XX, "sent plain", "may:none", NO_TLS),
		R(PEN_TLS_MAY, 0, BREAKS_HANDSHAKE, "retry plain", "may?", BROKEN),
		R(PEN_TLS_MAY, 0, BREAKS_HANDSHAKE, "4.7.5", "may?", BROKEN, .early = true),
		R(PEN_TLS_MAY, 0, LOSES_HANDSHAKE, "retry plain", "may?", BROKEN),
		R(PEN_TLS_MAY, 0, LOSES_HANDSHAKE, "4.4.2", "may?", BROKEN, .early = true),
		R(PEN_TLS_MAY, 0, BAD_CERTIFICATE, "sent", "may", MISMATCH),
		R(PEN_TLS_MAY, 0, TLS_ONLY, "sent", "may", OK),
		R(PEN_TLS_MAY, 0, TLS_ONLY, "sent plain", "may:none", NONE, .plain = true),
		R(PEN_TLS_ENCRYPT, 0, NO_STARTTLS, "4.7.4", "!encrypt:none", NO_TLS),
		R(PEN_TLS_ENCRYPT, 0, REFUSES_4XX, "4.5.1", "!encrypt:none", NO_TLS),
		R(PEN_TLS_ENCRYPT, 0, REFUSES_5XX, "5.5.1", "!encrypt:none", NO_TLS),
		R(PEN_TLS_ENCRYPT, 0, BREAKS_HANDSHAKE, "4.7.5", "encrypt?", BROKEN),
		R(PEN_TLS_ENCRYPT, 0, LOSES_HANDSHAKE, "4.4.2", "encrypt?", BROKEN),
		R(PEN_TLS_ENCRYPT, 0, UNTRUSTED, "sent", "encrypt", NOT_TRUSTED),
		R(PEN_TLS_ENCRYPT, 0, TLS_ONLY, "4.7.5", "encrypt?", NONE, .plain = true),
		R(PEN_TLS_FINGERPRINT, 0, BAD_CERTIFICATE, "4.7.5", "!fingerprint", MISMATCH),
		R(PEN_TLS_HALFDANE, 0, BAD_CERTIFICATE, "4.7.5", "!halfdane", MISMATCH),
		R(PEN_TLS_DANE, 0, BAD_CERTIFICATE, "4.7.5", "!dane", MISMATCH),
		R(PEN_TLS_DANE, 0, UNUSABLE_TLSA, "sent", "dane:encrypt", PEN_TLSRPT_TLSA_INVALID),
		R(PEN_TLS_DANE_ONLY, 0, UNUSABLE_TLSA, "4.7.5", "!dane-only",
			PEN_TLSRPT_TLSA_INVALID),
		R(PEN_TLS_DANE_ONLY, 0, TLS_ONLY, "sent", "dane-only", OK),
		R(PEN_TLS_VERIFY, 0, UNTRUSTED, "4.7.5", "!verify", NOT_TRUSTED),
		R(PEN_TLS_SECURE, 0, BAD_CERTIFICATE, "4.7.5", "!secure", MISMATCH),
		R(PEN_TLS_SECURE, 0, TLS_ONLY, "sent", "secure", OK),
		R(PEN_TLS_SECURE, 0, NO_STARTTLS, "4.7.4", "!secure:none", NO_TLS),
	};
	ROWS(rows);
}

#define DISABLE PEN_REQUIRETLS_DISABLE
#define OPP PEN_REQUIRETLS_OPPORTUNISTIC
#define OPP_TLS PEN_REQUIRETLS_STARTTLS
#define ENFORCE PEN_REQUIRETLS_ENFORCE

static void each_outcome_of_requiretls_follows_from_its_policy(void **state)
{
	(void)state;
	static const struct row rows[] = {
		R(PEN_TLS_MAY, ENFORCE, TLS_REQUIRETLS, "5.7.10", "may?/!requiretls:nocertmatch",
			NONE),
		R(PEN_TLS_ENCRYPT, ENFORCE, TLS_REQUIRETLS, "5.7.10",
			"encrypt?/!requiretls:nocertmatch", NONE),
		R(PEN_TLS_NONE, ENFORCE, TLS_REQUIRETLS, "5.7.10", "none?/!requiretls:nocertmatch",
			NONE),
		R(PEN_TLS_DANE, ENFORCE, NO_STARTTLS, "5.7.10", "!dane/!requiretls:nostarttls",
			NO_TLS),
		R(PEN_TLS_DANE, ENFORCE, NO_STARTTLS, "5.7.30", "!dane/!requiretls:nostarttls",
			NO_TLS, .lax = true),
		R(PEN_TLS_DANE, ENFORCE, REFUSES_4XX, "5.7.10", "!dane/!requiretls:nostarttls",
			NO_TLS),
		R(PEN_TLS_DANE, ENFORCE, REFUSES_5XX, "5.7.10", "!dane/!requiretls:nostarttls",
			NO_TLS, .lax = true),
		R(PEN_TLS_MAY, OPP_TLS, REFUSES_5XX, "5.7.10", "may?/!requiretls:nostarttls",
			NO_TLS),
		R(PEN_TLS_DANE, ENFORCE, BREAKS_HANDSHAKE, "4.7.5", "dane?/requiretls?", BROKEN),
		R(PEN_TLS_SECURE, ENFORCE, BAD_CERTIFICATE, "5.7.10",
			"!secure/!requiretls:nocertmatch", MISMATCH),
		R(PEN_TLS_SECURE, ENFORCE, UNTRUSTED, "5.7.10", "!secure/!requiretls:nocertmatch",
			NOT_TRUSTED),
		R(PEN_TLS_SECURE, ENFORCE, TLS_ONLY, "5.7.30", "secure/!requiretls:none", OK),
		R(PEN_TLS_SECURE, ENFORCE, TLS_REQUIRETLS, "sent", "secure/requiretls", OK),
		R(PEN_TLS_NONE, OPP_TLS, TLS_REQUIRETLS, "5.7.10", "none?/!requiretls:noencryption",
			NONE),
		R(PEN_TLS_MAY, OPP_TLS, NO_STARTTLS, "5.7.10", "may?/!requiretls:nostarttls",
			NO_TLS),
		R(PEN_TLS_MAY, OPP_TLS, NO_STARTTLS, "5.7.30", "may?/!requiretls:nostarttls",
			NO_TLS, .lax = true),
		R(PEN_TLS_MAY, OPP_TLS, BREAKS_HANDSHAKE, "4.7.5", "may?/requiretls?", BROKEN),
		R(PEN_TLS_MAY, OPP_TLS, LOSES_HANDSHAKE, "4.4.2", "may?/requiretls?", BROKEN),
		R(PEN_TLS_MAY, OPP_TLS, TLS_REQUIRETLS, "4.7.5", "may?/requiretls?", NONE,
			.plain = true),
		R(PEN_TLS_SECURE, OPP_TLS, BAD_CERTIFICATE, "4.7.5",
			"!secure/requiretls:nocertmatch", MISMATCH),
		R(PEN_TLS_SECURE, OPP, BAD_CERTIFICATE, "4.7.5", "!secure/requiretls:nocertmatch",
			MISMATCH),
		R(PEN_TLS_MAY, OPP_TLS, TLS_ONLY, "sent", "may/requiretls:none", OK),
		R(PEN_TLS_MAY, OPP, TLS_ONLY, "sent", "may/requiretls:none", OK),
		R(PEN_TLS_MAY, OPP_TLS, TLS_REQUIRETLS, "sent", "may/requiretls:nocertmatch", OK),
		R(PEN_TLS_MAY, OPP, TLS_REQUIRETLS, "sent", "may/requiretls:nocertmatch", OK),
		R(PEN_TLS_DANE, OPP, TLS_REQUIRETLS, "sent", "dane/requiretls", OK),
		R(PEN_TLS_SECURE, OPP_TLS, TLS_REQUIRETLS, "sent", "secure/requiretls", OK),
		R(PEN_TLS_MAY, OPP, NO_STARTTLS, "sent plain", "may:none/requiretls:none", NONE),
		R(PEN_TLS_MAY, OPP, BREAKS_HANDSHAKE, "retry plain", "may?/requiretls?", BROKEN),
		R(PEN_TLS_MAY, OPP, TLS_ONLY, "sent plain", "may:none/requiretls:none", NONE,
			.plain = true),
		R(PEN_TLS_NONE, OPP, TLS_REQUIRETLS, "sent plain", "none/requiretls:none", NONE),
		R(PEN_TLS_ENCRYPT, OPP, NO_STARTTLS, "4.7.4", "!encrypt:none/requiretls?", NO_TLS),
		R(PEN_TLS_MAY, DISABLE, NO_STARTTLS, "sent plain", "may:none", NONE),
		// The gaps of Postfix that RFC 8689 does not allow, and the switch.
		R(PEN_TLS_HALFDANE, ENFORCE, TLS_REQUIRETLS, "5.7.10",
			"halfdane?/!requiretls:nocertmatch", NONE),
		R(PEN_TLS_HALFDANE, ENFORCE, TLS_REQUIRETLS, "sent", "halfdane/requiretls", OK,
			.lax = true),
		R(PEN_TLS_DANE, ENFORCE, UNUSABLE_TLSA, "5.7.10",
			"dane:encrypt/!requiretls:nocertmatch", PEN_TLSRPT_TLSA_INVALID),
		R(PEN_TLS_DANE, ENFORCE, UNUSABLE_TLSA, "5.7.30", "dane:encrypt/!requiretls:none",
			PEN_TLSRPT_TLSA_INVALID, .lax = true),
	};
	ROWS(rows);
}

static void mail_that_may_not_pass_requiretls_on_asks_for_headers_only(void **state)
{
	(void)state;
	const struct pen_tls_rules rules = {0};
	struct pen_tls_policy p = policy_of(PEN_TLS_MAY, OPP_TLS);
	struct end e = run_policy(&p, &rules, TLS_ONLY, false);
	assert_true(e.headers_only && !e.requiretls);
	e = run_policy(&p, &rules, TLS_REQUIRETLS, false);
	assert_true(!e.headers_only && e.requiretls);
	// The keyword counts inside TLS only.
	p.requiretls = OPP;
	e = run_policy(&p, &rules, NO_STARTTLS, false);
	assert_true(e.headers_only && !e.requiretls);
	p.requiretls = DISABLE;
	e = run_policy(&p, &rules, TLS_REQUIRETLS, false);
	assert_true(!e.headers_only && !e.requiretls);
}

static void a_plaintext_retry_needs_every_condition(void **state)
{
	(void)state;
	const struct pen_tls_rules good = {.plain_retry = true};
	struct pen_tls_policy p = policy_of(PEN_TLS_MAY, OPP);
	assert_string_equal(run_policy(&p, &good, BREAKS_HANDSHAKE, false).outcome, "retry plain");
	p.offers_credentials = true;
	assert_string_equal(run_policy(&p, &good, BREAKS_HANDSHAKE, false).outcome, "4.7.5");
	p.offers_credentials = false;
	p.wrapper = true;
	assert_string_equal(run_policy(&p, &good, BREAKS_HANDSHAKE, false).outcome, "4.7.5");
	p.wrapper = false;
	const struct pen_tls_rules known = {.plain_retry = true, .remembered = true};
	struct end e = run_policy(&p, &known, BREAKS_HANDSHAKE, false);
	assert_string_equal(e.outcome, "4.7.5");
	assert_string_equal(e.v.why.text, "Cannot start TLS with " PEER
					  ": handshake failure: bad record; it has worked before, "
					  "so no retry without TLS");
	const struct pen_tls_rules young = {0};
	assert_string_equal(run_policy(&p, &young, LOSES_HANDSHAKE, false).outcome, "4.4.2");
}

static void a_refusal_of_starttls_keeps_the_status_of_the_server(void **state)
{
	(void)state;
	const struct pen_tls_rules final = {0};
	struct pen_tls_policy p = policy_of(PEN_TLS_ENCRYPT, DISABLE);
	struct end e = run_policy(&p, &final, REFUSES_5XX, false);
	assert_string_equal(e.outcome, "5.5.1");
	// The text is ours and holds the reply: no "host said" goes around it.
	assert_int_equal(e.v.why.origin, PEN_ORIGIN_POLICY);
	assert_int_equal(e.v.why.stage, PEN_STAGE_STARTTLS);
	assert_int_equal(e.v.why.reply, 502);
	assert_string_equal(e.v.why.text,
		"TLS is required, but host " PEER " refused to start TLS: 502 5.5.1 no");
	assert_string_equal(run_policy(&p, &final, REFUSES_4XX, false).outcome, "4.5.1");
}

static void a_missing_engine_defers_what_needs_tls_and_nothing_else(void **state)
{
	(void)state;
	struct pen_tls_policy p = policy_of(PEN_TLS_MAY, DISABLE);
	struct pen_tls_field st;
	struct pen_tls_verdict v;
	char field[PEN_TLS_FIELD_MAX];

	pen_tls_begin(&p, false, &st, &v);
	pen_tls_offer(&p, false, true, false, PEER, &st, &v);
	assert_int_equal(v.action, PEN_TLS_GO_ON);
	pen_tls_field_str(&st, field);
	assert_string_equal(field, "may:none");
	for (int i = 0; i < 2; i++) {
		p = policy_of(i == 0 ? PEN_TLS_SECURE : PEN_TLS_MAY, i == 0 ? ENFORCE : OPP_TLS);
		pen_tls_begin(&p, false, &st, &v);
		pen_tls_offer(&p, false, true, false, PEER, &st, &v);
		assert_int_equal(v.action, PEN_TLS_LEAVE);
		assert_string_equal(status(&v.why), "4.7.5");
		assert_int_equal(v.event, PEN_TLSRPT_NONE);
	}
}

static void a_host_that_policy_skips_is_left_before_the_connection(void **state)
{
	(void)state;
	struct pen_tls_policy p = policy_of(PEN_TLS_SECURE, ENFORCE);
	struct pen_tls_field st;
	struct pen_tls_verdict v;
	char field[PEN_TLS_FIELD_MAX];

	p.skipped = true;
	p.skip_level = PEN_TLS_INVALID;
	p.failure = PEN_TLSRPT_DANE_REQUIRED;
	pen_dsn_set(&p.skip, 4, 7, 5, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE, "broken");
	pen_tls_begin(&p, false, &st, &v);
	assert_int_equal(v.action, PEN_TLS_LEAVE);
	assert_string_equal(v.why.text, "broken");
	assert_int_equal(v.event, PEN_TLSRPT_DANE_REQUIRED);
	pen_tls_field_str(&st, field);
	assert_string_equal(field, "unknown?/requiretls?");
}

static void a_policy_that_is_broken_by_design_fails_with_its_own_event(void **state)
{
	(void)state;
	const struct pen_tls_rules rules = {0};
	struct pen_tls_policy p = policy_of(PEN_TLS_SECURE, DISABLE);
	p.failure = PEN_TLSRPT_STS_WEBPKI_INVALID;
	struct end e = run_policy(&p, &rules, TLS_ONLY, false);
	assert_string_equal(e.outcome, "4.7.5");
	assert_string_equal(e.field, "!secure");
	assert_int_equal(e.event, PEN_TLSRPT_STS_WEBPKI_INVALID);
}

static void the_field_is_printed_as_postfix_prints_it(void **state)
{
	(void)state;
	// The levels stand for "first" and "low".
	static const struct {
		struct pen_tls_field st;
		const char *text;
	} rows[] = {
		{{.shown = true, .level = PEN_TLS_DANE, .final = PEN_TLS_DANE, .mark = PEN_MARK_OK},
			"dane"},
		{{.shown = true, .level = PEN_TLS_DANE, .final = PEN_TLS_DANE}, "dane?"},
		{{.shown = true,
			 .level = PEN_TLS_DANE,
			 .final = PEN_TLS_DANE,
			 .mark = PEN_MARK_VIOLATED},
			"!dane"},
		{{.shown = true,
			 .level = PEN_TLS_DANE,
			 .final = PEN_TLS_MAY,
			 .mark = PEN_MARK_VIOLATED},
			"!dane:may"},
		{{.shown = true, .level = PEN_TLS_DANE, .final = PEN_TLS_MAY, .mark = PEN_MARK_OK},
			"dane:may"},
		{{.shown = true, .level = PEN_TLS_DANE, .final = PEN_TLS_NONE, .mark = PEN_MARK_OK},
			"dane:none"},
		// An open verdict is never combined with a lowered level.
		{{.shown = true, .level = PEN_TLS_DANE, .final = PEN_TLS_NONE}, "dane?"},
		{{.shown = true,
			 .level = PEN_TLS_DANE,
			 .final = PEN_TLS_DANE,
			 .mark = PEN_MARK_OK,
			 .requiretls = true,
			 .requiretls_mark = PEN_MARK_OK,
			 .note = PEN_NOTE_NONE},
			"dane/requiretls:none"},
		{{.shown = true,
			 .level = PEN_TLS_DANE,
			 .final = PEN_TLS_DANE,
			 .mark = PEN_MARK_VIOLATED,
			 .requiretls = true,
			 .requiretls_mark = PEN_MARK_OK,
			 .note = PEN_NOTE_NONE},
			"!dane/requiretls:none"},
		{{.shown = true,
			 .level = PEN_TLS_DANE,
			 .final = PEN_TLS_DANE,
			 .mark = PEN_MARK_OK,
			 .requiretls = true,
			 .requiretls_mark = PEN_MARK_VIOLATED,
			 .note = PEN_NOTE_NONE},
			"dane/!requiretls:none"},
		{{.shown = true,
			 .level = PEN_TLS_DANE,
			 .final = PEN_TLS_DANE,
			 .requiretls = true,
			 .note = PEN_NOTE_NONE},
			"dane?/requiretls?"},
		{{.level = PEN_TLS_DANE}, ""},
	};
	char out[PEN_TLS_FIELD_MAX];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(pen_tls_field_str(&rows[i].st, out), strlen(rows[i].text));
		assert_string_equal(out, rows[i].text);
	}
	// The longest that there can be fits.
	struct pen_tls_field widest = {.shown = true,
		.level = PEN_TLS_FINGERPRINT,
		.final = PEN_TLS_FINGERPRINT - 1,
		.mark = PEN_MARK_VIOLATED,
		.requiretls = true,
		.requiretls_mark = PEN_MARK_VIOLATED,
		.note = PEN_NOTE_NOENCRYPTION};
	assert_true(pen_tls_field_str(&widest, out) < PEN_TLS_FIELD_MAX - 1);
	assert_string_equal(out, "!fingerprint:encrypt/!requiretls:noencryption");
}

static void the_word_of_the_handshake_says_what_the_certificate_was_worth(void **state)
{
	(void)state;
	struct pen_tls_policy may = policy_of(PEN_TLS_MAY, DISABLE);
	struct pen_tls_policy secure = policy_of(PEN_TLS_SECURE, DISABLE);
	struct pen_tls_policy dane = policy_of(PEN_TLS_DANE, DISABLE);
	struct pen_tls_policy half = policy_of(PEN_TLS_HALFDANE, DISABLE);
	struct pen_tls_peer p = {.matched = true};

	assert_string_equal(pen_tls_word(&may, &p), "Anonymous");
	p.certificate = true;
	assert_string_equal(pen_tls_word(&may, &p), "Untrusted");
	p.trusted = true;
	assert_string_equal(pen_tls_word(&may, &p), "Trusted");
	assert_string_equal(pen_tls_word(&secure, &p), "Verified");
	assert_string_equal(pen_tls_word(&half, &p), "Trusted");
	p.tlsa_unusable = true;
	assert_string_equal(pen_tls_word(&dane, &p), "Trusted");
	p = (struct pen_tls_peer){.certificate = true, .trusted = true};
	assert_string_equal(pen_tls_word(&secure, &p), "Trusted");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_outcome_of_starttls_follows_from_the_level),
		cmocka_unit_test(each_outcome_of_requiretls_follows_from_its_policy),
		cmocka_unit_test(mail_that_may_not_pass_requiretls_on_asks_for_headers_only),
		cmocka_unit_test(a_plaintext_retry_needs_every_condition),
		cmocka_unit_test(a_refusal_of_starttls_keeps_the_status_of_the_server),
		cmocka_unit_test(a_missing_engine_defers_what_needs_tls_and_nothing_else),
		cmocka_unit_test(a_host_that_policy_skips_is_left_before_the_connection),
		cmocka_unit_test(a_policy_that_is_broken_by_design_fails_with_its_own_event),
		cmocka_unit_test(the_field_is_printed_as_postfix_prints_it),
		cmocka_unit_test(the_word_of_the_handshake_says_what_the_certificate_was_worth),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
