// SPDX-License-Identifier: BSD-3-Clause

// The form of a cached policy on disk:
//
//	penstock-mta-sts 1 0123456789abcdef     (checksum of what follows the line)
//	domain example.com
//	id 20261121T000000
//	fetched 1795232580
//	                                        (empty line, then the policy)

#include "sts_file.h"

#include "pen_rand.h"
#include "sts_name.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAGIC "penstock-mta-sts 1 "
#define SUM_DIGITS 16
#define FIRST_LINE (sizeof(MAGIC) - 1 + SUM_DIGITS + 1)

static uint64_t checksum(struct pen_span s)
{
	// Against damage, not against forgery: whoever writes here is trusted.
	static const struct pen_siphash_key key = {0x70656e73746f636b, 0x6d74612d737473};

	return pen_siphash(&key, s.p, s.n);
}

void sts_file_encode(struct pen_buf *out, const struct pen_sts_policy *p, pen_wall_us fetched)
{
	struct pen_buf rest = PEN_BUF_INIT;

	pen_buf_addf(&rest, "domain %s\nid %s\nfetched %lld\n\n", p->domain, p->id,
		(long long)(fetched / PEN_US_PER_S));
	for (char **l = p->line; l != NULL && *l != NULL; l++) {
		pen_buf_add_cstr(&rest, *l);
		pen_buf_add(&rest, "\n", 1);
	}
	pen_buf_addf(out, MAGIC "%016llx\n", (unsigned long long)checksum(pen_buf_span(&rest)));
	pen_buf_add_span(out, pen_buf_span(&rest));
	out->failed |= rest.failed;
	pen_buf_fini(&rest);
}

// header reads "name value\n" off the front.
static bool header(struct pen_span *s, const char *name, char *value, size_t cap)
{
	struct pen_span key = pen_span_cstr(name);
	ptrdiff_t end = pen_span_find(*s, '\n');

	if (end < 0 || (size_t)end <= key.n || !pen_span_eq(pen_span(s->p, key.n), key) ||
		s->p[key.n] != ' ')
		return false;
	size_t n = (size_t)end - key.n - 1;
	if (n >= cap || memchr(s->p, '\0', (size_t)end) != NULL)
		return false;
	memcpy(value, s->p + key.n + 1, n);
	value[n] = '\0';
	*s = pen_span_from(*s, (size_t)end + 1);
	return true;
}

static bool number(const char *text, pen_wall_us *out)
{
	char *end;

	if (text[0] < '0' || text[0] > '9' || strlen(text) > 12)
		return false;
	*out = strtoll(text, &end, 10) * PEN_US_PER_S;
	return *end == '\0';
}

static bool id_ok(const char *id)
{
	struct pen_span txt;
	char record[64], again[PEN_STS_ID_MAX + 1];

	txt = pen_span(record, (size_t)snprintf(record, sizeof(record), "v=STSv1; id=%s", id));
	return pen_sts_record(&txt, 1, again) && strcmp(id, again) == 0;
}

const char *sts_file_decode(struct pen_span bytes, struct pen_sts_policy *out, pen_wall_us *fetched)
{
	const struct pen_span magic = PEN_SPAN_LIT(MAGIC);
	char sum[SUM_DIGITS + 1], domain[STS_NAME_MAX + 1], again[STS_NAME_MAX + 1];
	char id[PEN_STS_ID_MAX + 1], when[16];

	memset(out, 0, sizeof(*out));
	if (bytes.n > STS_FILE_MAX)
		return "too long";
	if (bytes.n < FIRST_LINE || !pen_span_eq(pen_span(bytes.p, magic.n), magic) ||
		bytes.p[FIRST_LINE - 1] != '\n')
		return "no cached policy of this version";
	struct pen_span rest = pen_span_from(bytes, FIRST_LINE);
	snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)checksum(rest));
	if (memcmp(sum, bytes.p + magic.n, SUM_DIGITS) != 0)
		return "wrong checksum";
	if (!header(&rest, "domain", domain, sizeof(domain)) ||
		!header(&rest, "id", id, sizeof(id)) ||
		!header(&rest, "fetched", when, sizeof(when)) || rest.n == 0 || rest.p[0] != '\n')
		return "bad header";
	if (!sts_domain_read(pen_span_cstr(domain), again) || strcmp(domain, again) != 0 ||
		!id_ok(id) || !number(when, fetched))
		return "bad header";
	const char *wrong = pen_sts_parse(pen_span_from(rest, 1), out);
	if (wrong != NULL)
		return wrong;
	memcpy(out->domain, domain, strlen(domain) + 1);
	memcpy(out->id, id, strlen(id) + 1);
	return NULL;
}
