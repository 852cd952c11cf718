// SPDX-License-Identifier: BSD-3-Clause

// What the command line asks of the delivery: -O, -N, -R, -V. Values that make no
// sense are warned about and ignored, as in Postfix: the mail matters more.

#include "sendmail.h"

#include <stdio.h>
#include <strings.h>

static enum request_result warn(char *why, size_t cap, const char *option, const char *value)
{
	snprintf(why, cap, "bad %s option value \"%.100s\": ignored", option, value);
	return REQUEST_IGNORED;
}

static enum request_result take_switch(
	enum request_switch *to, const char *option, const char *value, char *why, size_t cap)
{
	if (strcasecmp(value, "yes") == 0)
		*to = REQUEST_YES;
	else if (strcasecmp(value, "no") == 0)
		*to = REQUEST_NO;
	else
		return warn(why, cap, option, value);
	return REQUEST_TAKEN;
}

enum request_result request_option(struct requests *r, const char *text, char *why, size_t cap)
{
	const char *equals = strchr(text, '=');

	if (equals == NULL) {
		snprintf(why, cap, "-O %.100s: give a value, as in -O name=value", text);
		return REQUEST_WRONG;
	}
	struct pen_span name = pen_span(text, (size_t)(equals - text));
	if (pen_span_ieq(name, PEN_SPAN_LIT("requiretls")))
		return take_switch(&r->requiretls, "-O requiretls", equals + 1, why, cap);
	if (pen_span_ieq(name, PEN_SPAN_LIT("smtputf8")))
		return take_switch(&r->smtputf8, "-O smtputf8", equals + 1, why, cap);
	return REQUEST_TAKEN; // options of Sendmail have no meaning here
}

enum request_result request_notify(struct requests *r, const char *text, char *why, size_t cap)
{
	static const char *const words[] = {"SUCCESS", "FAILURE", "DELAY"};
	struct pen_span rest = pen_span_cstr(text);
	bool given[3] = {false}, more = true;

	if (strcasecmp(text, "never") == 0) {
		snprintf(r->notify, sizeof(r->notify), "NEVER");
		return REQUEST_TAKEN;
	}
	while (more) {
		ptrdiff_t comma = pen_span_find(rest, ',');
		more = comma >= 0;
		struct pen_span word = more ? pen_span(rest.p, (size_t)comma) : rest;
		rest = pen_span_from(rest, word.n + (more ? 1 : 0));
		word = pen_span_trim(word);
		size_t i = 0;
		while (i < 3 && !pen_span_ieq(word, pen_span_cstr(words[i])))
			i++;
		if (i == 3)
			return warn(why, cap, "-N", text);
		given[i] = true;
	}
	r->notify[0] = '\0';
	for (size_t i = 0, n = 0; i < 3; i++) {
		if (given[i])
			n += (size_t)snprintf(r->notify + n, sizeof(r->notify) - n, "%s%s",
				n > 0 ? "," : "", words[i]);
	}
	return REQUEST_TAKEN;
}

enum request_result request_ret(struct requests *r, const char *text, char *why, size_t cap)
{
	if (strcasecmp(text, "full") == 0)
		r->ret = "FULL";
	else if (strcasecmp(text, "hdrs") == 0)
		r->ret = "HDRS";
	else
		return warn(why, cap, "-R", text);
	return REQUEST_TAKEN;
}

enum request_result request_verp(struct requests *r, const char *text, char *why, size_t cap)
{
	size_t n = strlen(text);

	if (text[0] != 'V')
		return REQUEST_TAKEN;
	if (n != 1 && n != 3) {
		snprintf(why, cap, "-X%.40s: accepted is -XV, or -XV and two delimiters", text);
		return REQUEST_WRONG;
	}
	for (size_t i = 1; i < n; i++) {
		if (text[i] <= ' ' || text[i] > '~') {
			snprintf(why, cap, "-XV: accepted as delimiters is punctuation");
			return REQUEST_WRONG;
		}
	}
	r->verp = true;
	snprintf(r->verp_delims, sizeof(r->verp_delims), "%s", text + 1);
	return REQUEST_TAKEN;
}

// xtext of RFC 3461 4, for text of printable ASCII.
enum request_result request_envid(struct requests *r, const char *text, char *why, size_t cap)
{
	char out[sizeof(r->envid)];
	size_t n = 0;

	for (const char *p = text; *p != '\0'; p++) {
		bool plain = *p > ' ' && *p <= '~' && *p != '+' && *p != '=';
		if (*p < ' ' || *p > '~' || n + 4 > sizeof(out))
			return warn(why, cap, "-V", text);
		n += (size_t)snprintf(out + n, sizeof(out) - n, plain ? "%c" : "+%02X", *p);
	}
	if (n == 0 || n > ENVID_MAX)
		return warn(why, cap, "-V", text);
	memcpy(r->envid, out, n + 1);
	return REQUEST_TAKEN;
}
