// SPDX-License-Identifier: BSD-3-Clause
#include "pen_sasl_params.h"

#include "pen_map.h"

#include <stdio.h>

static bool parse_inet(struct pen_span text, struct pen_sasl_server *out)
{
	struct pen_endpoint e;

	if (pen_endpoint_parse(&e, text, ':', 0) != 0 || e.port == 0)
		return false;
	out->addr = e.addr;
	out->port = e.port;
	return true;
}

bool pen_sasl_server_parse(const struct pen_params *p, struct pen_sasl_server *out)
{
	struct pen_span text = pen_span_cstr(p->smtpd_sasl_path);

	*out = (struct pen_sasl_server){0};
	if (pen_span_istarts(text, PEN_SPAN_LIT("inet:")))
		return parse_inet(pen_span_from(text, 5), out);
	if (pen_span_istarts(text, PEN_SPAN_LIT("unix:")))
		text = pen_span_from(text, 5);
	if (text.n == 0)
		return false;
	bool absolute = text.p[0] == '/';
	int n = snprintf(out->path, sizeof(out->path), "%s%s%.*s",
		absolute ? "" : p->queue_directory, absolute ? "" : "/", PEN_SPAN_ARG(text));
	return n > 0 && (size_t)n < sizeof(out->path);
}

bool pen_sasl_options_parse(const char *text, struct pen_sasl_options *out, struct pen_span *bad)
{
	static const struct {
		struct pen_span word;
		struct pen_sasl_options o;
	} words[] = {
		{PEN_SPAN_LIT("noanonymous"), {PEN_SASL_ANONYMOUS, 0}},
		{PEN_SPAN_LIT("noplaintext"), {PEN_SASL_PLAINTEXT, 0}},
		{PEN_SPAN_LIT("noactive"), {PEN_SASL_ACTIVE, 0}},
		{PEN_SPAN_LIT("nodictionary"), {PEN_SASL_DICTIONARY, 0}},
		{PEN_SPAN_LIT("forward_secrecy"), {0, PEN_SASL_FORWARD_SECRECY}},
		{PEN_SPAN_LIT("mutual_auth"), {0, PEN_SASL_MUTUAL_AUTH}},
	};
	struct pen_span rest = pen_span_cstr(text);
	size_t count = sizeof(words) / sizeof(words[0]);

	*out = (struct pen_sasl_options){0};
	while (pen_list_next(&rest, bad)) {
		size_t i = 0;
		while (i < count && !pen_span_ieq(*bad, words[i].word))
			i++;
		if (i == count)
			return false;
		out->refused |= words[i].o.refused;
		out->required |= words[i].o.required;
	}
	return true;
}

static void check_options(const struct pen_params *p, const char *file, const char *name,
	const char *value, struct pen_report *r)
{
	struct pen_sasl_options o;
	struct pen_span bad;

	if (!pen_sasl_options_parse(value, &o, &bad))
		pen_report_error(r, file, pen_params_line(p, name),
			"%s: %.*s: accepted is noanonymous, noplaintext, noactive, nodictionary, "
			"forward_secrecy or mutual_auth",
			name, PEN_SPAN_ARG(bad));
}

void pen_sasl_check(const struct pen_params *p, const char *file, struct pen_report *r)
{
	struct pen_sasl_server server;

	check_options(p, file, "smtpd_sasl_security_options", p->smtpd_sasl_security_options, r);
	// The default repeats the other, and would repeat its fault.
	if (pen_params_line(p, "smtpd_sasl_tls_security_options") != 0)
		check_options(p, file, "smtpd_sasl_tls_security_options",
			p->smtpd_sasl_tls_security_options, r);
	unsigned line = pen_params_line(p, "smtpd_sasl_path");
	if ((p->smtpd_sasl_auth_enable || line != 0) && !pen_sasl_server_parse(p, &server))
		pen_report_error(r, file, line,
			"smtpd_sasl_path = %.200s: accepted is the path of a socket of at most %d "
			"bytes with queue_directory, or inet:address:port",
			p->smtpd_sasl_path, PEN_SASL_PATH_MAX);
	// "none|may|encrypt"
	if (p->smtpd_sasl_auth_enable && p->smtpd_tls_auth_only && p->smtpd_tls_security_level == 0)
		pen_report_warning(r, file, pen_params_line(p, "smtpd_tls_auth_only"),
			"smtpd_tls_auth_only = yes and smtpd_tls_security_level = none: nobody can "
			"authenticate");
}
