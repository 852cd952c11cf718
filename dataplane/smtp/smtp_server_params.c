// SPDX-License-Identifier: BSD-3-Clause

// The parameters of MAIL and RCPT: SIZE, BODY, SMTPUTF8, XVERP, AUTH, those of RFC 3461 and
// RFC 8689.
// What is not on offer at this moment is an unknown parameter.

#include "smtp_server.h"

struct pen_span smtp_next_word(struct pen_span *s)
{
	*s = pen_span_trim(*s);
	ptrdiff_t at = pen_span_find(*s, ' ');
	struct pen_span word = at >= 0 ? pen_span(s->p, (size_t)at) : *s;
	*s = pen_span_from(*s, word.n);
	return word;
}

bool smtp_offers_requiretls(const struct pen_smtp_server *s)
{
	return s->cfg->offer_requiretls && s->tls;
}

static bool unsupported(struct pen_smtp_server *s, struct pen_span option)
{
	PEN_COUNT(s->ctr->bad_syntax);
	// What is not printable is replaced where the reply is written.
	int n = option.n < 200 ? (int)option.n : 200;
	smtp_server_sayf(s, "555 5.5.4 Unsupported option: %.*s", n, (const char *)option.p);
	return false;
}

static bool bad(struct pen_smtp_server *s, const char *reply)
{
	PEN_COUNT(s->ctr->bad_syntax);
	smtp_server_say(s, reply);
	return false;
}

static bool bad_dsn(struct pen_smtp_server *s, const char *reply)
{
	PEN_COUNT(s->ctr->bad_dsn_parameters);
	return bad(s, reply);
}

// The value of "NAME=value".
static bool value_of(struct pen_span word, struct pen_span name, struct pen_span *value)
{
	if (!pen_span_istarts(word, name))
		return false;
	*value = pen_span_from(word, name.n);
	return true;
}

static bool parse_size(struct pen_span v, uint64_t *out)
{
	*out = 0;
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] < '0' || v.p[i] > '9' || *out > UINT64_MAX / 10 - 1)
			return false;
		*out = *out * 10 + (uint64_t)(v.p[i] - '0');
	}
	return v.n > 0;
}

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	// Upper case is the rule; nothing is won by refusing the other.
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// RFC 3461 4: what it decodes to has to be printable, as it goes into the header
// fields of notifications. '=' should be encoded; some senders do not.
static bool xtext_ok(struct pen_span v, bool utf8)
{
	for (size_t i = 0; i < v.n; i++) {
		size_t len = utf8 ? smtp_utf8_char(pen_span_from(v, i)) : 0;
		if (len > 0) {
			i += len - 1;
			continue;
		}
		if (v.p[i] <= ' ' || v.p[i] > '~')
			return false;
		if (v.p[i] != '+')
			continue;
		if (v.n - i < 3)
			return false;
		int high = hex_digit(v.p[i + 1]), low = hex_digit(v.p[i + 2]);
		if (high < 0 || low < 0 || high * 16 + low < ' ' || high * 16 + low > '~')
			return false;
		i += 2;
	}
	return v.n > 0;
}

// "type;text"; the type is an atom (RFC 3461 4.2).
static bool orcpt_ok(const struct pen_smtp_server *s, struct pen_span v)
{
	ptrdiff_t semicolon = pen_span_find(v, ';');

	if (semicolon <= 0 || v.n > PEN_SMTP_ORCPT_MAX)
		return false;
	for (ptrdiff_t i = 0; i < semicolon; i++) {
		if (v.p[i] <= ' ' || v.p[i] > '~' || strchr("()<>@,:\\\".[]=+", v.p[i]) != NULL)
			return false;
	}
	bool utf8 =
		s->utf8 && pen_span_ieq(pen_span(v.p, (size_t)semicolon), PEN_SPAN_LIT("utf-8"));
	return xtext_ok(pen_span_from(v, (size_t)semicolon + 1), utf8);
}

// NEVER alone, or a list of the others. 0: neither.
static uint8_t parse_notify(struct pen_span v)
{
	uint8_t mask = 0;

	for (bool more = true; more;) {
		ptrdiff_t comma = pen_span_find(v, ',');
		struct pen_span word = comma >= 0 ? pen_span(v.p, (size_t)comma) : v;
		more = comma >= 0;
		v = pen_span_from(v, word.n + (more ? 1 : 0));
		if (pen_span_ieq(word, PEN_SPAN_LIT("NEVER")))
			mask |= PEN_NOTIFY_NEVER;
		else if (pen_span_ieq(word, PEN_SPAN_LIT("SUCCESS")))
			mask |= PEN_NOTIFY_SUCCESS;
		else if (pen_span_ieq(word, PEN_SPAN_LIT("FAILURE")))
			mask |= PEN_NOTIFY_FAILURE;
		else if (pen_span_ieq(word, PEN_SPAN_LIT("DELAY")))
			mask |= PEN_NOTIFY_DELAY;
		else
			return 0;
	}
	return (mask & PEN_NOTIFY_NEVER) == 0 || mask == PEN_NOTIFY_NEVER ? mask : 0;
}

static bool take_size(struct pen_smtp_server *s, struct pen_span v, struct pen_smtp_mail *m)
{
	if (!parse_size(v, &m->size))
		return bad(s, "501 5.5.4 Bad message size syntax");
	if (s->cfg->max_size != 0 && m->size > s->cfg->max_size) {
		PEN_COUNT(s->ctr->size_refused);
		smtp_server_say(s, "552 5.3.4 Message size exceeds fixed limit");
		return false;
	}
	return true;
}

static bool take_ret(struct pen_smtp_server *s, struct pen_span v, struct pen_smtp_mail *m)
{
	uint32_t flag = 0;

	if (pen_span_ieq(v, PEN_SPAN_LIT("FULL")))
		flag = PEN_SMTP_MAIL_RET_FULL;
	else if (pen_span_ieq(v, PEN_SPAN_LIT("HDRS")))
		flag = PEN_SMTP_MAIL_RET_HDRS;
	if (flag == 0 || (m->flags & (PEN_SMTP_MAIL_RET_FULL | PEN_SMTP_MAIL_RET_HDRS)) != 0)
		return bad_dsn(s, "501 5.5.4 Bad RET parameter syntax");
	m->flags |= flag;
	return true;
}

static bool take_envid(struct pen_smtp_server *s, struct pen_span v, struct pen_smtp_mail *m)
{
	if (m->envid.n > 0 || v.n > PEN_SMTP_ENVID_MAX || !xtext_ok(v, false))
		return bad_dsn(s, "501 5.5.4 Bad ENVID parameter syntax");
	m->envid = v;
	return true;
}

static bool take_xverp(struct pen_smtp_server *s, struct pen_span v, struct pen_smtp_mail *m)
{
	if (v.n != 2 || v.p[0] <= ' ' || v.p[0] > '~' || v.p[1] <= ' ' || v.p[1] > '~')
		return bad(s, "501 5.5.4 Error: Bad XVERP parameter syntax");
	m->flags |= PEN_SMTP_MAIL_XVERP;
	m->verp = v;
	return true;
}

// Nothing is done with it but log it, so it is not decoded, as in Postfix.
static bool take_auth(struct pen_smtp_server *s, struct pen_span v, struct pen_smtp_mail *m)
{
	if (m->auth.n > 0)
		return bad(s, "503 5.5.4 Error: multiple AUTH= options");
	if (v.n == 0 || v.n > PEN_SMTP_AUTH_PARAM_MAX)
		return bad(s, "501 5.5.4 Bad AUTH parameter syntax");
	if (!pen_span_eq(v, PEN_SPAN_LIT("<>")))
		m->auth = v;
	return true;
}

static bool mail_param(struct pen_smtp_server *s, struct pen_span w, struct pen_smtp_mail *m)
{
	const struct pen_smtp_server_config *cfg = s->cfg;
	struct pen_span v;

	if (cfg->offer_size && value_of(w, PEN_SPAN_LIT("SIZE="), &v))
		return take_size(s, v, m);
	if (cfg->offer_8bitmime && pen_span_ieq(w, PEN_SPAN_LIT("BODY=7BIT")))
		return true;
	if (cfg->offer_8bitmime && pen_span_ieq(w, PEN_SPAN_LIT("BODY=8BITMIME"))) {
		m->flags |= PEN_SMTP_MAIL_8BITMIME;
		return true;
	}
	if (cfg->offer_dsn && value_of(w, PEN_SPAN_LIT("RET="), &v))
		return take_ret(s, v, m);
	if (cfg->offer_dsn && value_of(w, PEN_SPAN_LIT("ENVID="), &v))
		return take_envid(s, v, m);
	if (cfg->offer_smtputf8 && pen_span_ieq(w, PEN_SPAN_LIT("SMTPUTF8"))) {
		m->flags |= PEN_SMTP_MAIL_SMTPUTF8;
		return true;
	}
	if (cfg->offer_xverp && pen_span_ieq(w, PEN_SPAN_LIT("XVERP"))) {
		m->flags |= PEN_SMTP_MAIL_XVERP;
		return true;
	}
	if (cfg->offer_xverp && value_of(w, PEN_SPAN_LIT("XVERP="), &v))
		return take_xverp(s, v, m);
	if (smtp_offers_auth(s) && value_of(w, PEN_SPAN_LIT("AUTH="), &v))
		return take_auth(s, v, m);
	if (smtp_offers_requiretls(s) && pen_span_ieq(w, PEN_SPAN_LIT("REQUIRETLS"))) {
		m->flags |= PEN_SMTP_MAIL_REQUIRETLS;
		return true;
	}
	return unsupported(s, w);
}

bool smtp_mail_params(struct pen_smtp_server *s, struct pen_span rest, struct pen_smtp_mail *m)
{
	for (struct pen_span w; (w = smtp_next_word(&rest)).n > 0;) {
		if (!mail_param(s, w, m))
			return false;
	}
	return true;
}

bool smtp_rcpt_params(struct pen_smtp_server *s, struct pen_span rest, struct pen_smtp_rcpt *r)
{
	struct pen_span v;

	for (struct pen_span w; (w = smtp_next_word(&rest)).n > 0;) {
		if (s->cfg->offer_dsn && value_of(w, PEN_SPAN_LIT("NOTIFY="), &v)) {
			if (r->notify != 0 || (r->notify = parse_notify(v)) == 0)
				return bad_dsn(s, "501 5.5.4 Error: Bad NOTIFY parameter syntax");
		} else if (s->cfg->offer_dsn && value_of(w, PEN_SPAN_LIT("ORCPT="), &v)) {
			if (r->orcpt.n > 0 || !orcpt_ok(s, v))
				return bad_dsn(s, "501 5.5.4 Error: Bad ORCPT parameter syntax");
			r->orcpt = v;
		} else {
			return unsupported(s, w);
		}
	}
	return true;
}
