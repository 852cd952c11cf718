// SPDX-License-Identifier: BSD-3-Clause

// The first line is the list, the rest a domain.

#include "pen_err.h"
#include "pen_requiretls.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pen_map_where where = {"main.cf", 1, "smtp_requiretls_policy"};
	struct pen_span all = {data, size};
	ptrdiff_t nl = pen_span_find(all, '\n');
	struct pen_requiretls_result found;
	struct pen_report report = {0};
	char list[4096];

	if (nl < 0 || nl >= (ptrdiff_t)sizeof(list))
		return 0;
	memcpy(list, data, (size_t)nl);
	list[nl] = '\0';
	// Tables in files are not for a fuzzer: it would read the machine's.
	if (strstr(list, ":/") != NULL)
		return 0;
	struct pen_requiretls_list *l = pen_requiretls_list_new(list, &where, &report);
	if (l == NULL) {
		PEN_ASSERT(report.errors > 0);
		return 0;
	}
	pen_requiretls_find(l, pen_span_from(all, (size_t)nl + 1), &found);
	PEN_ASSERT(found.level <= PEN_REQUIRETLS_ENFORCE);
	PEN_ASSERT(!found.failed || found.warning[0] != '\0');
	pen_requiretls_list_free(l);
	return 0;
}
