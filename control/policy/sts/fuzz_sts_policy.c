// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "sts_file.h"
#include "sts_name.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// A policy obeys its limits, and is the same after a stay on disk.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_sts_policy p, again;
	struct pen_buf file = PEN_BUF_INIT;
	pen_wall_us fetched;
	size_t quoted = 0;

	if (pen_sts_parse(pen_span(data, size), &p) != NULL) {
		PEN_ASSERT(p.nmx == 0 && p.line == NULL);
		return 0;
	}
	PEN_ASSERT(size <= PEN_STS_BODY_MAX && p.nmx <= PEN_STS_MX_MAX);
	PEN_ASSERT(p.max_age_s <= PEN_STS_MAX_AGE && (p.nmx > 0 || p.mode == PEN_STS_NONE));
	for (uint32_t i = 0; i < p.nmx; i++) {
		char name[STS_NAME_MAX + 1], host[STS_NAME_MAX + 8];
		const char *mx = p.mx[i][0] == '*' ? p.mx[i] + 2 : p.mx[i];
		PEN_ASSERT(sts_name_read(pen_span_cstr(mx), name) && strcmp(name, mx) == 0);
		snprintf(host, sizeof(host), "%s%s", mx == p.mx[i] ? "" : "a.", mx);
		PEN_ASSERT(pen_sts_mx_allowed(&p, host));
	}
	for (char **l = p.line; *l != NULL; l++)
		quoted += strlen(*l) + 1;
	PEN_ASSERT(quoted <= (PEN_STS_MX_MAX + 3) * 321 + 2048);
	snprintf(p.domain, sizeof(p.domain), "example.com");
	snprintf(p.id, sizeof(p.id), "1");
	sts_file_encode(&file, &p, 5 * PEN_US_PER_S);
	PEN_ASSERT(sts_file_decode(pen_buf_span(&file), &again, &fetched) == NULL);
	PEN_ASSERT(again.nmx == p.nmx && again.mode == p.mode && again.max_age_s == p.max_age_s);
	for (uint32_t i = 0; i < p.nmx; i++)
		PEN_ASSERT(strcmp(p.mx[i], again.mx[i]) == 0);
	pen_sts_policy_fini(&p);
	pen_sts_policy_fini(&again);
	pen_buf_fini(&file);
	return 0;
}
