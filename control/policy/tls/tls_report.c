// SPDX-License-Identifier: BSD-3-Clause
#include "tls_report.h"

#include "pen_sts.h"

#include <stdlib.h>

static char **copy_strings(char *const *from, uint32_t n)
{
	char **list = calloc(n + 1, sizeof(*list));

	for (uint32_t i = 0; list != NULL && i < n; i++) {
		list[i] = strdup(from[i]);
		if (list[i] == NULL) {
			while (i > 0)
				free(list[--i]);
			free(list);
			return NULL;
		}
	}
	return list;
}

static uint32_t count(char *const *list)
{
	uint32_t n = 0;

	while (list != NULL && list[n] != NULL)
		n++;
	return n;
}

static size_t put_number(char *out, unsigned v)
{
	char digits[4];
	size_t n = 0, i = 0;

	do
		digits[n++] = (char)('0' + v % 10);
	while ((v /= 10) > 0);
	while (n > 0)
		out[i++] = digits[--n];
	out[i++] = ' ';
	return i;
}

// "3 1 1 ab12...", as zone files have it.
static char *record_text(const struct pen_tlsa *r)
{
	static const char hex[] = "0123456789abcdef";
	char *text = malloc(16 + (size_t)r->n * 2);
	size_t n = 0;

	if (text == NULL)
		return NULL;
	n += put_number(text + n, r->usage);
	n += put_number(text + n, r->selector);
	n += put_number(text + n, r->mtype);
	for (uint32_t i = 0; i < r->n; i++) {
		text[n++] = hex[r->data[i] >> 4];
		text[n++] = hex[r->data[i] & 15];
	}
	text[n] = '\0';
	return text;
}

static bool fill_tlsa(struct pen_tls_report *r, const struct tls_dane *dane)
{
	const struct pen_tlsa_lookup *l = dane->lookup;
	uint32_t n = l == NULL ? 0 : l->n < PEN_TLSA_MAX ? l->n : PEN_TLSA_MAX;

	r->type = PEN_TLSRPT_TLSA;
	r->policy_domain = strdup(dane->base);
	r->string = calloc(n + 1, sizeof(*r->string));
	if (r->policy_domain == NULL || r->string == NULL)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		r->string[i] = record_text(&l->record[i]);
		if (r->string[i] == NULL)
			return false;
	}
	return true;
}

static bool fill_sts(struct pen_tls_report *r, const struct pen_sts_policy *sts)
{
	r->type = PEN_TLSRPT_STS;
	r->policy_domain = strdup(sts->domain);
	r->string = copy_strings(sts->line, count(sts->line));
	r->mx = copy_strings(sts->mx, sts->nmx);
	return r->policy_domain != NULL && r->string != NULL && r->mx != NULL;
}

static bool fill_table(
	struct pen_tls_report *r, const struct pen_tls_attributes *a, const char *nexthop)
{
	r->type = a->sts ? PEN_TLSRPT_STS : PEN_TLSRPT_NO_POLICY;
	r->policy_domain = strdup(a->policy_domain != NULL ? a->policy_domain : nexthop);
	r->string = copy_strings(a->policy_string, count(a->policy_string));
	r->mx = copy_strings(a->mx, count(a->mx));
	return r->policy_domain != NULL && r->string != NULL && r->mx != NULL;
}

bool tls_report_fill(struct pen_tls_policy *p, const struct tls_report_source *from)
{
	struct pen_tls_report *r = &p->report;

	r->domain = strdup(p->nexthop);
	if (r->domain == NULL)
		return false;
	if (from->dane != NULL)
		return fill_tlsa(r, from->dane);
	if (from->attributes != NULL)
		return fill_table(r, from->attributes, p->nexthop);
	if (from->sts != NULL)
		return fill_sts(r, from->sts);
	r->type = PEN_TLSRPT_NO_POLICY;
	r->policy_domain = strdup(p->nexthop);
	return r->policy_domain != NULL;
}
