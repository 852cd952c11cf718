// SPDX-License-Identifier: BSD-3-Clause
#include "site_hosts.h"

#include "pen_nexthop.h"

#include <stdio.h>

void site_hosts_find(struct site_hosts *out, const char *site, uint16_t port)
{
	struct pen_span rest = pen_span_cstr(site);
	const uint8_t *colon = rest.n > 0 ? memrchr(rest.p, ':', rest.n) : NULL;
	char name[PEN_SITE_NAME_MAX + 1];

	if (colon != NULL)
		rest.n = (size_t)(colon - rest.p);
	for (out->n = 0; rest.n > 0 && out->n < SITE_HOSTS_MAX;) {
		ptrdiff_t comma = pen_span_find(rest, ',');
		size_t n = comma < 0 ? rest.n : (size_t)comma;
		if (n > 0)
			out->mx[out->n++] = pen_span(rest.p, n);
		rest = pen_span_from(rest, n + 1);
	}
	size_t n = pen_site_rollup(out->mx, out->n, name);
	snprintf(out->name, sizeof(out->name), "%.*s", (int)n, name);
	if (port != PEN_NEXTHOP_PORT)
		snprintf(out->name + n, sizeof(out->name) - n, ":%u", port);
}
