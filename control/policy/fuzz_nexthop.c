// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_nexthop.h"
#include "pen_route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_nexthop n, again;
	struct pen_routing routing = {NULL, "", "origin.example"};
	struct pen_route route;
	char text[PEN_NEXTHOP_MAX];

	pen_route_find(&routing, pen_span(data, size), &route);
	if (pen_nexthop_parse(&n, pen_span(data, size)) == NULL) {
		// What is printed means the same.
		pen_nexthop_str(&n, text);
		PEN_ASSERT(pen_nexthop_parse(&again, pen_span_cstr(text)) == NULL);
		PEN_ASSERT(strcmp(n.host, again.host) == 0 && n.port == again.port &&
			   n.literal == again.literal);
	}
	return 0;
}
