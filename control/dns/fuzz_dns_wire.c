// SPDX-License-Identifier: BSD-3-Clause
#include "dns_wire.h"
#include "mx.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The bytes answer every question of one next hop.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct mx_options options = {.address_limit = 5, .randomize = true};
	struct pen_nexthop hop = {.port = 25, .host = "example.com"};
	struct mx *m = mx_new(&hop, &options, size);
	struct mx_query q;
	struct dns_answer a;

	while (!mx_done(m)) {
		PEN_ASSERT(mx_next(m, &q));
		dns_wire_parse(&a, pen_span(data, size), q.type);
		PEN_ASSERT(a.n <= DNS_WIRE_DATA_MAX && (a.status == DNS_OK) == (a.n > 0));
		for (uint32_t i = 0; i < a.n; i++)
			PEN_ASSERT(strlen(a.data[i].name) <= 253);
		mx_answer(m, q.id, &a);
	}
	struct pen_dns_hosts *h = mx_take(m);
	PEN_ASSERT((h->dsn.klass == 2) == (h->nhosts > 0) && h->nhosts <= 5);
	pen_dns_hosts_free(h);
	mx_free(m);
	return 0;
}
