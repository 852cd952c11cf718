// SPDX-License-Identifier: BSD-3-Clause
#include "pen_tls_session.h"

#include <stdio.h>

// ---- the tls= field

size_t pen_tls_field_str(const struct pen_tls_field *st, char out[PEN_TLS_FIELD_MAX])
{
	static const char *const notes[] = {
		[PEN_NOTE_NOTHING] = "",
		[PEN_NOTE_NOCERTMATCH] = ":nocertmatch",
		[PEN_NOTE_NOSTARTTLS] = ":nostarttls",
		[PEN_NOTE_NOENCRYPTION] = ":noencryption",
		[PEN_NOTE_NONE] = ":none",
	};
	bool open = st->mark == PEN_MARK_UNDECIDED;
	bool lowered = !open && st->final != st->level;
	int n;

	out[0] = '\0';
	if (!st->shown)
		return 0;
	n = snprintf(out, PEN_TLS_FIELD_MAX, "%s%s%s%s%s", st->mark == PEN_MARK_VIOLATED ? "!" : "",
		pen_tls_level_name(st->level), lowered ? ":" : "",
		lowered ? pen_tls_level_name(st->final) : "", open ? "?" : "");
	if (!st->requiretls)
		return (size_t)n;
	open = st->requiretls_mark == PEN_MARK_UNDECIDED;
	n += snprintf(out + n, PEN_TLS_FIELD_MAX - (size_t)n, "/%srequiretls%s%s",
		st->requiretls_mark == PEN_MARK_VIOLATED ? "!" : "", open ? "" : notes[st->note],
		open ? "?" : "");
	return (size_t)n;
}

static void mark_level(struct pen_tls_field *st, enum pen_tls_verdict_mark mark)
{
	st->mark = (uint8_t)mark;
}

static void mark_requiretls(
	struct pen_tls_field *st, enum pen_tls_verdict_mark mark, enum pen_requiretls_note note)
{
	st->requiretls_mark = (uint8_t)mark;
	st->note = (uint8_t)note;
}

const char *pen_tls_word(const struct pen_tls_policy *p, const struct pen_tls_peer *peer)
{
	if (!peer->certificate)
		return "Anonymous";
	if (pen_tls_must_match(p->level) && peer->matched && !peer->tlsa_unusable)
		// The MX that named the host was not signed: trust goes no further.
		return p->level == PEN_TLS_HALFDANE ? "Trusted" : "Verified";
	return peer->trusted ? "Trusted" : "Untrusted";
}

// ---- verdicts

static void leave(struct pen_tls_verdict *out, unsigned klass, unsigned detail,
	enum pen_smtp_stage stage, const char *text, const char *peer, const char *more)
{
	out->action = PEN_TLS_LEAVE;
	pen_dsn_set(&out->why, klass, 7, detail, PEN_SCOPE_SESSION, PEN_ORIGIN_POLICY, stage,
		"%s%s%s%s", text, peer, more[0] != '\0' ? ": " : "", more);
}

static void start_over(struct pen_tls_verdict *out)
{
	*out = (struct pen_tls_verdict){.action = PEN_TLS_GO_ON};
}

// May enforce accept this level? RFC 8689 4.2.1 wants a certificate that is
// checked against a name which was looked up securely.
static bool enforceable(const struct pen_tls_policy *p, enum pen_tls_level level)
{
	return pen_tls_must_match(level) && !(p->requiretls_strict && level == PEN_TLS_HALFDANE);
}

void pen_tls_begin(const struct pen_tls_policy *p, bool plain, struct pen_tls_field *st,
	struct pen_tls_verdict *out)
{
	enum pen_tls_level level = p->skipped ? p->skip_level : p->level;

	start_over(out);
	*st = (struct pen_tls_field){.shown = true,
		.level = (int8_t)level,
		.final = (int8_t)level,
		.requiretls = p->requiretls > PEN_REQUIRETLS_DISABLE};
	if (p->skipped) {
		out->action = PEN_TLS_LEAVE;
		out->why = p->skip;
		out->event = p->failure;
		return;
	}
	if (p->requiretls == PEN_REQUIRETLS_ENFORCE && !enforceable(p, level)) {
		mark_requiretls(st, PEN_MARK_VIOLATED, PEN_NOTE_NOCERTMATCH);
		leave(out, 5, 10, PEN_STAGE_NONE,
			"REQUIRETLS needs a matching certificate, but the TLS policy for host ",
			p->host, pen_tls_level_name(level));
	} else if (p->requiretls == PEN_REQUIRETLS_STARTTLS && level == PEN_TLS_NONE) {
		mark_requiretls(st, PEN_MARK_VIOLATED, PEN_NOTE_NOENCRYPTION);
		leave(out, 5, 10, PEN_STAGE_NONE,
			"REQUIRETLS needs encryption, but the TLS policy turns it off for host ",
			p->host, "");
	} else if (plain && (pen_tls_required(level) || p->requiretls >= PEN_REQUIRETLS_STARTTLS)) {
		leave(out, 4, 5, PEN_STAGE_NONE, "TLS is required by host ", p->host, "");
	}
}

static void go_plain(struct pen_tls_field *st)
{
	mark_level(st, PEN_MARK_OK);
	st->final = PEN_TLS_NONE;
}

// Neither the level nor REQUIRETLS may go on without STARTTLS. False: both may.
static bool no_starttls(const struct pen_tls_policy *p, const char *text, const char *peer,
	const char *more, unsigned detail, struct pen_tls_field *st, struct pen_tls_verdict *out)
{
	if (p->requiretls >= PEN_REQUIRETLS_STARTTLS) {
		if (pen_tls_required(p->level))
			mark_level(st, PEN_MARK_VIOLATED);
		mark_requiretls(st, PEN_MARK_VIOLATED, PEN_NOTE_NOSTARTTLS);
		leave(out, 5, p->requiretls_strict || more[0] != '\0' ? 10 : 30, PEN_STAGE_STARTTLS,
			text, peer, more);
		return true;
	}
	if (!pen_tls_required(p->level))
		return false;
	mark_level(st, PEN_MARK_VIOLATED);
	st->final = PEN_TLS_NONE;
	leave(out, 4, detail, PEN_STAGE_STARTTLS, text, peer, more);
	return true;
}

void pen_tls_offer(const struct pen_tls_policy *p, bool plain, bool offered, bool engine,
	const char *peer, struct pen_tls_field *st, struct pen_tls_verdict *out)
{
	start_over(out);
	if (p->level == PEN_TLS_NONE) {
		mark_level(st, PEN_MARK_OK);
	} else if (plain) {
		go_plain(st);
	} else if (offered && engine) {
		out->action = PEN_TLS_START;
	} else if (offered &&
		   (pen_tls_required(p->level) || p->requiretls >= PEN_REQUIRETLS_STARTTLS)) {
		// Our own trouble: nobody has broken the policy, and nothing bounces.
		leave(out, 4, 5, PEN_STAGE_STARTTLS,
			"TLS is required, but our TLS engine is unavailable for host ", peer, "");
		out->why.origin = PEN_ORIGIN_LOCAL;
	} else if (offered) {
		go_plain(st);
	} else if (no_starttls(p, "TLS is required, but was not offered by host ", peer, "", 4, st,
			   out)) {
		out->event = PEN_TLSRPT_STARTTLS_NOT_SUPPORTED;
	} else {
		go_plain(st);
		// In testing mode a report says what enforce would have refused.
		if (!offered && !plain && p->report.type == PEN_TLSRPT_STS)
			out->event = PEN_TLSRPT_STARTTLS_NOT_SUPPORTED;
	}
}

// Only under an MTA-STS policy common names never count.
static bool is_sts(const struct pen_tls_policy *p)
{
	return p->no_common_name;
}

void pen_tls_refused(const struct pen_tls_policy *p, const struct pen_dsn *said, const char *peer,
	struct pen_tls_field *st, struct pen_tls_verdict *out)
{
	char who[PEN_DSN_TEXT_MAX];

	start_over(out);
	out->event = PEN_TLSRPT_STARTTLS_NOT_SUPPORTED;
	snprintf(who, sizeof(who), "%s refused to start TLS", peer);
	if (!no_starttls(p, "TLS is required, but host ", who, said->text, 4, st, out)) {
		go_plain(st);
		return;
	}
	if (p->requiretls < PEN_REQUIRETLS_STARTTLS) {
		// What MTA-STS refuses is a failure for now, until the mail expires
		// (RFC 8461 5): 4.7.4 then, whatever the server said.
		if (said->klass == 4 || !is_sts(p)) {
			out->why.klass = said->klass;
			out->why.subject = said->subject;
			out->why.detail = said->detail;
		}
		out->why.reply = said->reply;
	}
}

static bool may_retry_plain(const struct pen_tls_policy *p, const struct pen_tls_rules *r)
{
	return p->level == PEN_TLS_MAY && p->requiretls < PEN_REQUIRETLS_STARTTLS &&
	       !p->offers_credentials && !p->wrapper && r->plain_retry && !r->remembered;
}

void pen_tls_handshake_failed(const struct pen_tls_policy *p, const struct pen_tls_rules *r,
	const char *error, const struct pen_dsn *lost, const char *peer, struct pen_tls_field *st,
	struct pen_tls_verdict *out)
{
	(void)st; // undecided: the policy was neither kept nor broken
	start_over(out);
	out->event = PEN_TLSRPT_VALIDATION_FAILURE;
	out->reason = "tls-handshake-failure";
	leave(out, 4, 5, PEN_STAGE_TLS, "Cannot start TLS with ", peer, "handshake failure");
	if (error[0] != '\0')
		pen_dsn_set(&out->why, 4, 7, 5, PEN_SCOPE_SESSION, PEN_ORIGIN_LOCAL, PEN_STAGE_TLS,
			"Cannot start TLS with %s: handshake failure: %s%s", peer, error,
			r->remembered && p->level == PEN_TLS_MAY
				? "; it has worked before, so no retry without TLS"
				: "");
	if (lost != NULL)
		out->why = *lost;
	if (may_retry_plain(p, r))
		out->action = PEN_TLS_RETRY_PLAIN;
}

void pen_tls_established(const struct pen_tls_policy *p, const struct pen_tls_peer *tls,
	const char *peer, struct pen_tls_field *st, struct pen_tls_verdict *out)
{
	bool enforce = p->requiretls == PEN_REQUIRETLS_ENFORCE;

	start_over(out);
	// A fault of the policy itself is what a good session tells the domain.
	out->event = tls->failure != PEN_TLSRPT_NONE     ? tls->failure
		     : p->report.note != PEN_TLSRPT_NONE ? p->report.note
							 : PEN_TLSRPT_SUCCESS;
	out->reason = tls->reason;
	if (p->failure != PEN_TLSRPT_NONE) {
		// The resolver of policies knows that the policy itself is broken.
		out->event = p->failure;
		mark_level(st, PEN_MARK_VIOLATED);
		leave(out, 4, 5, PEN_STAGE_TLS,
			"Server certificate not verified: ", pen_tlsrpt_result_name(p->failure),
			"");
		return;
	}
	if (tls->tlsa_unusable && p->level == PEN_TLS_DANE) {
		mark_level(st, PEN_MARK_OK);
		st->final = PEN_TLS_ENCRYPT;
		if (enforce && p->requiretls_strict) {
			mark_requiretls(st, PEN_MARK_VIOLATED, PEN_NOTE_NOCERTMATCH);
			leave(out, 5, 10, PEN_STAGE_TLS,
				"REQUIRETLS needs a matching certificate, but all TLSA records are "
				"unusable for host ",
				peer, "");
		}
		return;
	}
	mark_level(st, PEN_MARK_OK);
	if (!pen_tls_must_match(p->level) || tls->matched)
		return;
	mark_level(st, PEN_MARK_VIOLATED);
	if (p->requiretls > PEN_REQUIRETLS_DISABLE)
		mark_requiretls(
			st, enforce ? PEN_MARK_VIOLATED : PEN_MARK_OK, PEN_NOTE_NOCERTMATCH);
	bool trust = p->level >= PEN_TLS_VERIFY && !tls->trusted;
	const char *why = tls->reason != NULL               ? tls->reason
			  : tls->failure != PEN_TLSRPT_NONE ? pen_tlsrpt_result_name(tls->failure)
							    : "";
	leave(out, enforce ? 5 : 4, enforce ? 10 : 5, PEN_STAGE_TLS,
		trust ? "Server certificate not trusted: " : "Server certificate not verified: ",
		peer, why);
}

void pen_tls_ready(const struct pen_tls_policy *p, bool encrypted, bool requiretls_offered,
	const char *peer, struct pen_tls_field *st, struct pen_tls_verdict *out)
{
	start_over(out);
	if (p->requiretls == PEN_REQUIRETLS_DISABLE)
		return;
	if (encrypted && requiretls_offered) {
		bool matched = pen_tls_must_match((enum pen_tls_level)st->final);
		mark_requiretls(st, PEN_MARK_OK, matched ? PEN_NOTE_NOTHING : PEN_NOTE_NOCERTMATCH);
		out->send_requiretls = true;
		return;
	}
	out->headers_only = true;
	if (p->requiretls < PEN_REQUIRETLS_ENFORCE) {
		mark_requiretls(st, PEN_MARK_OK, PEN_NOTE_NONE);
		return;
	}
	mark_requiretls(st, PEN_MARK_VIOLATED, PEN_NOTE_NONE);
	leave(out, 5, 30, PEN_STAGE_EHLO, "REQUIRETLS is required, but was not offered by host ",
		peer, "");
}
