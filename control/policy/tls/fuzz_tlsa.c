// SPDX-License-Identifier: BSD-3-Clause

// A set of TLSA records as a hostile zone may publish it: four bytes (usage,
// selector, matching type, length / 2) and the data, again and again.

#include "pen_err.h"
#include "tls_bed.h"
#include "tls_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RECORDS_MAX 64

static uint32_t read_records(struct pen_tlsa *record, const uint8_t *data, size_t size)
{
	uint32_t n = 0;

	while (size >= 4 && n < RECORDS_MAX) {
		size_t len = (size_t)data[3] * 2;
		len = len < size - 4 ? len : size - 4;
		record[n++] = (struct pen_tlsa){.usage = data[0],
			.selector = data[1],
			.mtype = data[2],
			.n = (uint16_t)len,
			.data = data + 4};
		data += 4 + len;
		size -= 4 + len;
	}
	return n;
}

static void check(const struct pen_tls_policy *p)
{
	PEN_ASSERT(p->skipped || p->level == PEN_TLS_MAY || p->level == PEN_TLS_ENCRYPT ||
		   p->level == PEN_TLS_DANE || p->level == PEN_TLS_HALFDANE);
	PEN_ASSERT((p->ntlsa > 0) == (!p->skipped && pen_tls_is_dane(p->level)));
	PEN_ASSERT(p->ntlsa <= PEN_TLSA_MAX);
	for (uint32_t i = 0; i < p->ntlsa; i++) {
		const struct pen_tlsa *t = &p->tlsa[i];
		PEN_ASSERT(
			(t->usage == 2 || t->usage == 3) && t->n > 0 && t->n <= PEN_TLSA_DATA_MAX);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls_bed bed;
	struct pen_tlsa record[RECORDS_MAX];
	struct pen_tls_host_facts facts = tls_bed_facts("mx1.example.com");

	if (bed.settings == NULL)
		PEN_ASSERT(tls_bed_load(
			&bed, "smtp_tls_security_level=dane\ndns_trust_anchor_file=/k\n"));
	if (size == 0)
		return 0;
	facts.mx_secure = (data[0] & 1) == 0;
	facts.tlsa[0] = (struct pen_tlsa_lookup){.asked = true,
		.status = PEN_DNS_OK,
		.secure = (data[0] & 2) == 0,
		.n = read_records(record, data + 1, size - 1),
		.record = record};
	tls_bed_site(&bed, "example.com", PEN_DEMAND_NONE);
	check(tls_bed_host(&bed, &facts));
	tls_bed_drop(&bed);
	return 0;
}
