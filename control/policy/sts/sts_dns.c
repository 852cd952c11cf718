// SPDX-License-Identifier: BSD-3-Clause

// The service on the daemon's own resolver and clocks.

#include "sts_service.h"

#define HTTPS_PORT 443

struct pen_sts_service *pen_sts_service_new(
	const struct pen_params *params, struct pen_dns *dns, char *err, size_t cap)
{
	const struct sts_env env = {
		.dns = dns,
		.query = pen_dns_query,
		.event_base = pen_dns_event_base,
		.mono = pen_clock_mono,
		.wall = pen_clock_wall,
		.port = HTTPS_PORT,
		.fetch_ms = STS_JOB_MS,
	};

	return sts_service_new(params, &env, err, cap);
}
