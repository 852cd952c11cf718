// SPDX-License-Identifier: BSD-3-Clause

// The grammar of a policy table's value: "level [name=value]...".

#include "tls_private.h"

#include "pen_params.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

struct parser {
	struct pen_tls_attributes *a;
	enum pen_tls_digest digest;
	const char *wrong; // what, in a few words
	char name[32];     // the attribute being read
	bool needs_type;   // an attribute that policy_type= must go with
};

static bool fail(struct parser *p, const char *what)
{
	p->wrong = what;
	return false;
}

static bool set_once(struct parser *p, char **slot, struct pen_span value)
{
	if (*slot != NULL)
		return fail(p, "given twice");
	*slot = strndup((const char *)value.p, value.n);
	return *slot != NULL || fail(p, "out of memory");
}

static bool add_string(struct parser *p, char ***list, struct pen_span value)
{
	size_t n = 0;

	while (*list != NULL && (*list)[n] != NULL)
		n++;
	if (n >= 256)
		return fail(p, "given too often");
	char **grown = realloc(*list, (n + 2) * sizeof(*grown));
	if (grown == NULL)
		return fail(p, "out of memory");
	*list = grown;
	grown[n + 1] = NULL;
	grown[n] = strndup((const char *)value.p, value.n);
	return grown[n] != NULL || fail(p, "out of memory");
}

static bool read_ciphers(struct parser *p, struct pen_span v)
{
	return set_once(p, &p->a->ciphers, v);
}

static bool read_protocols(struct parser *p, struct pen_span v)
{
	for (size_t i = 0; i < v.n; i++) {
		if (v.p[i] == ',' || isspace(v.p[i]))
			return fail(p, "only \":\" separates protocols here");
	}
	return set_once(p, &p->a->protocols, v);
}

static bool read_exclude(struct parser *p, struct pen_span v)
{
	return set_once(p, &p->a->exclude, v);
}

static bool read_servername(struct parser *p, struct pen_span v)
{
	if (!pen_hostname_valid(v))
		return fail(p, "this is no valid host name");
	return set_once(p, &p->a->servername, v);
}

static bool read_match(struct parser *p, struct pen_span v)
{
	uint32_t had = p->a->fingerprint.n + p->a->match.n;
	const char *wrong = NULL;

	if (p->a->level == PEN_TLS_FINGERPRINT)
		wrong = tls_fingerprint_add(&p->a->fingerprint, v, "|", p->digest);
	else if (p->a->level >= PEN_TLS_VERIFY)
		wrong = tls_match_add(&p->a->match, v, ":");
	else
		wrong = "not possible at this level";
	if (wrong == NULL && p->a->fingerprint.n + p->a->match.n == had)
		wrong = "nothing is there";
	return wrong == NULL || fail(p, wrong);
}

static bool read_tafile(struct parser *p, struct pen_span v)
{
	char *joined = NULL;

	if (p->a->level < PEN_TLS_VERIFY)
		return fail(p, "not possible at this level");
	if (v.p[0] != '/')
		return fail(p, "this is no absolute path");
	if (asprintf(&joined, "%s%s%.*s", p->a->anchors != NULL ? p->a->anchors : "",
		    p->a->anchors != NULL ? "\n" : "", PEN_SPAN_ARG(v)) < 0)
		return fail(p, "out of memory");
	free(p->a->anchors);
	p->a->anchors = joined;
	return true;
}

static bool read_flag(struct parser *p, struct pen_span v)
{
	if (!pen_span_ieq(v, PEN_SPAN_LIT("yes")) && !pen_span_ieq(v, PEN_SPAN_LIT("no")))
		return fail(p, "accepted is yes or no");
	return true;
}

static bool read_reuse(struct parser *p, struct pen_span v)
{
	p->a->one_use = pen_span_ieq(v, PEN_SPAN_LIT("no"));
	return read_flag(p, v);
}

// Postfix's word is taken, and said to be without effect.
static bool read_rpk(struct parser *p, struct pen_span v)
{
	if (pen_span_ieq(v, PEN_SPAN_LIT("yes")))
		snprintf(p->a->note, sizeof(p->a->note),
			"enable_rpk=yes has no effect: raw public keys are not supported");
	return read_flag(p, v);
}

static bool read_type(struct parser *p, struct pen_span v)
{
	if (p->a->reported)
		return fail(p, "given twice");
	p->a->reported = true;
	p->a->sts = pen_span_ieq(v, PEN_SPAN_LIT("sts"));
	if (!p->a->sts && !pen_span_ieq(v, PEN_SPAN_LIT("no-policy-found")))
		return fail(p, "accepted is sts or no-policy-found");
	return true;
}

static bool read_domain(struct parser *p, struct pen_span v)
{
	p->needs_type = true;
	if (!pen_hostname_valid(v))
		return fail(p, "this is no valid host name");
	return set_once(p, &p->a->policy_domain, v);
}

static bool read_string(struct parser *p, struct pen_span v)
{
	p->needs_type = true;
	return add_string(p, &p->a->policy_string, v);
}

static bool read_mx(struct parser *p, struct pen_span v)
{
	bool wild = v.n > 2 && v.p[0] == '*' && v.p[1] == '.';

	p->needs_type = true;
	if (!pen_hostname_valid(pen_span_from(v, wild ? 2 : 0)))
		return fail(p, "accepted is a host name, or one after \"*.\"");
	return add_string(p, &p->a->mx, v);
}

static bool read_ttl(struct parser *p, struct pen_span v)
{
	p->needs_type = true;
	if (p->a->has_ttl)
		return fail(p, "given twice");
	p->a->has_ttl = true;
	for (size_t i = 0; i < v.n; i++) {
		if (!isdigit(v.p[i]))
			return fail(p, "this is no number");
	}
	return true;
}

static bool read_failure(struct parser *p, struct pen_span v)
{
	static const enum pen_tlsrpt_result known[] = {PEN_TLSRPT_STS_POLICY_FETCH_ERROR,
		PEN_TLSRPT_STS_POLICY_INVALID, PEN_TLSRPT_STS_WEBPKI_INVALID,
		PEN_TLSRPT_VALIDATION_FAILURE};

	p->needs_type = true;
	if (p->a->failure != PEN_TLSRPT_NONE)
		return fail(p, "given twice");
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (pen_span_ieq(v, pen_span_cstr(pen_tlsrpt_result_name(known[i]))))
			p->a->failure = known[i];
	}
	return p->a->failure != PEN_TLSRPT_NONE || fail(p, "no such failure");
}

static const struct {
	const char *name;
	bool (*read)(struct parser *p, struct pen_span value);
} readers[] = {
	{"ciphers", read_ciphers},
	{"protocols", read_protocols},
	{"exclude", read_exclude},
	{"servername", read_servername},
	{"match", read_match},
	{"tafile", read_tafile},
	{"connection_reuse", read_reuse},
	{"enable_rpk", read_rpk},
	{"policy_type", read_type},
	{"policy_domain", read_domain},
	{"policy_string", read_string},
	{"mx_host_pattern", read_mx},
	{"policy_ttl", read_ttl},
	{"policy_failure", read_failure},
};

static bool read_attribute(struct parser *p, struct pen_span item)
{
	bool braces = item.n >= 2 && item.p[0] == '{' && item.p[item.n - 1] == '}';
	struct pen_span in = braces ? pen_span_trim(pen_span(item.p + 1, item.n - 2)) : item;
	ptrdiff_t eq = pen_span_find(in, '=');
	struct pen_span name = pen_span(in.p, eq > 0 ? (size_t)eq : in.n);

	name = pen_span_trim(name);
	snprintf(p->name, sizeof(p->name), "%.*s", (int)(name.n < 31 ? name.n : 31),
		(const char *)name.p);
	if (eq <= 0)
		return fail(p, "expected name=value");
	struct pen_span value = pen_span_trim(pen_span_from(in, (size_t)eq + 1));
	for (size_t i = 0; i < sizeof(readers) / sizeof(readers[0]); i++) {
		if (!pen_span_ieq(name, pen_span_cstr(readers[i].name)))
			continue;
		// An empty exclude= is how a table says: no exclusions.
		if (value.n == 0 && readers[i].read != read_exclude)
			return fail(p, "the value is empty");
		return readers[i].read(p, value);
	}
	return fail(p, "no such attribute");
}

static void broken(struct pen_tls_attributes *a, const char *name, const char *what)
{
	a->level = PEN_TLS_INVALID;
	snprintf(a->why, sizeof(a->why), "%s%s%s", name, name[0] != '\0' ? ": " : "", what);
}

static void parse(struct pen_tls_attributes *a, struct pen_span value, enum pen_tls_digest digest)
{
	struct parser p = {.a = a, .digest = digest};
	struct pen_span item;

	if (!pen_list_next(&value, &item)) {
		broken(a, "", "the value is empty");
		return;
	}
	a->level = pen_tls_level_parse(item);
	if (a->level == PEN_TLS_INVALID) {
		broken(a, "", "the first word is no security level");
		return;
	}
	while (pen_list_next(&value, &item)) {
		if (a->level == PEN_TLS_NONE) {
			snprintf(a->note, sizeof(a->note),
				"attributes after level none are ignored");
			return;
		}
		if (!read_attribute(&p, item)) {
			broken(a, p.name, p.wrong);
			return;
		}
	}
	if (p.needs_type && !a->reported)
		broken(a, "", "policy attributes without policy_type=");
}

struct pen_tls_attributes *tls_attributes_parse(struct pen_span value, enum pen_tls_digest digest)
{
	struct pen_tls_attributes *a = calloc(1, sizeof(*a));

	if (a != NULL)
		parse(a, value, digest);
	return a;
}

static void free_strings(char **list)
{
	for (char **s = list; s != NULL && *s != NULL; s++)
		free(*s);
	free(list);
}

void tls_attributes_free(struct pen_tls_attributes *a)
{
	if (a == NULL)
		return;
	free(a->ciphers);
	free(a->protocols);
	free(a->exclude);
	free(a->servername);
	tls_match_fini(&a->match);
	free(a->fingerprint.item);
	free(a->anchors);
	free(a->policy_domain);
	free_strings(a->policy_string);
	free_strings(a->mx);
	free(a);
}
