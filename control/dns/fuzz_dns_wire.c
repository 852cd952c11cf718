// SPDX-License-Identifier: BSD-3-Clause
#include "dns_wire.h"
#include "mx.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct dns_answer answer;

static void check(enum pen_dns_type type)
{
	const struct pen_dns_answer *a = &answer.a;

	PEN_ASSERT(a->n <= DNS_WIRE_DATA_MAX && (a->status == PEN_DNS_OK) == (a->n > 0));
	PEN_ASSERT(strlen(a->canonical) <= 253);
	for (uint32_t i = 0; i < a->n; i++) {
		const struct pen_dns_record *r = &a->record[i];
		PEN_ASSERT(strlen(r->name) <= 253);
		PEN_ASSERT(
			r->data.n <= (type == PEN_DNS_TXT ? DNS_WIRE_TXT_MAX : DNS_WIRE_TLSA_MAX));
		// Touch every byte, so that a sanitizer sees what a user would.
		volatile uint8_t sum = 0;
		for (size_t k = 0; k < r->data.n; k++)
			sum ^= r->data.p[k];
	}
}

// The bytes answer every question of one next hop, and one of each other type.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pen_cidr net = {{PEN_FAMILY_IP4, {192, 0, 2, 1}}, 32};
	static const struct mx_own own = {&net, 1};
	static const enum pen_dns_type others[] = {PEN_DNS_CNAME, PEN_DNS_TXT, PEN_DNS_TLSA};
	struct mx_options options = {.pick = {.limit = 5, .randomize = true, .balance = true},
		.validated = true,
		.ip4 = true,
		.ip6 = true,
		.own = &own};
	struct pen_nexthop hop = {.port = 25, .host = "example.com"};
	struct mx *m = mx_new(&hop, &options, size);
	struct mx_query q;

	while (!mx_done(m)) {
		PEN_ASSERT(mx_next(m, &q));
		dns_wire_parse(&answer, pen_span(data, size), q.name, q.type);
		check(q.type);
		mx_answer(m, q.id, &answer.a);
	}
	struct pen_dns_hosts *h = mx_take(m);
	PEN_ASSERT((h->dsn.klass == 2) == (h->nhosts > 0) && h->nhosts <= 5);
	pen_dns_hosts_free(h);
	mx_free(m);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		dns_wire_parse(&answer, pen_span(data, size), "example.com", others[i]);
		check(others[i]);
	}
	return 0;
}
