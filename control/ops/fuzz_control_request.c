// SPDX-License-Identifier: BSD-3-Clause
#include "pen_control.h"
#include "pen_control_request.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *root, *args;
	const char *verb;
	char err[128] = "";

	if (pen_control_request_parse(
		    pen_span(data, size), &root, &verb, &args, err, sizeof(err)) != 0) {
		PEN_ASSERT(err[0] != '\0' && root == NULL);
		return 0;
	}
	PEN_ASSERT(verb != NULL && verb[0] != '\0');
	struct pen_control_page page;
	if (args != NULL && pen_control_page(args, &page, err, sizeof(err)) == 0)
		PEN_ASSERT(page.limit >= 1 && page.limit <= 1000 && page.cursor != NULL);
	json_decref(root);
	return 0;
}
