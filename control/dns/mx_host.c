// SPDX-License-Identifier: BSD-3-Clause
#include "mx_host.h"

#include "pen_err.h"

#include <stdio.h>

#define BIT(slot) ((uint8_t)(1u << (slot)))

// stage_source returns where the addresses come from at a stage, or -1.
static int stage_source(const struct mx_options *o, unsigned stage)
{
	static const int8_t sources[][2] = {
		[MX_LOOKUP_DNS] = {SLOT_A, -1},
		[MX_LOOKUP_NATIVE] = {SLOT_NATIVE, -1},
		[MX_LOOKUP_DNS_NATIVE] = {SLOT_A, SLOT_NATIVE},
		[MX_LOOKUP_NATIVE_DNS] = {SLOT_NATIVE, SLOT_A},
	};
	enum mx_lookup lookup = o->no_dns ? MX_LOOKUP_NATIVE : o->host_lookup;

	return stage < 2 ? sources[lookup][stage] : -1;
}

static bool family_used(const struct mx_options *o, uint8_t family)
{
	return family == PEN_FAMILY_IP4 ? o->ip4 : o->ip6;
}

// An IPv4 address in the clothes of IPv6 (RFC 4291 2.5.5.2) is nowhere on the
// wire, and would hide which host it is.
static bool mapped(const struct pen_addr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return a->family == PEN_FAMILY_IP6 && memcmp(a->ip, prefix, sizeof(prefix)) == 0;
}

static void want_stage(const struct mx *m, struct mx_host *h)
{
	if (stage_source(&m->options, h->stage) == SLOT_NATIVE) {
		h->want |= BIT(SLOT_NATIVE);
		return;
	}
	if (m->options.ip4)
		h->want |= BIT(SLOT_A);
	if (m->options.ip6)
		h->want |= BIT(SLOT_AAAA);
}

void mx_host_known(struct mx_host *h, const struct pen_addr *addr)
{
	h->addr[h->naddrs++] = (struct mx_host_addr){*addr, SLOT_NATIVE};
	h->done = true;
}

void mx_host_begin(struct mx *m, struct mx_host *h)
{
	if (!h->done) {
		m->pending++;
		want_stage(m, h);
	} else if (!family_used(&m->options, h->addr[0].addr.family) || mapped(&h->addr[0].addr)) {
		h->naddrs = 0;
		h->status = PEN_DNS_NODATA;
	}
}

int mx_host_next(struct mx_host *h)
{
	for (int slot = 0; slot < SLOTS_N; slot++) {
		if ((h->want & ~h->asked & BIT(slot)) != 0) {
			h->asked |= BIT(slot);
			return slot;
		}
	}
	return -1;
}

uint16_t mx_slot_type(int slot)
{
	static const uint16_t types[SLOTS_N] = {
		[SLOT_A] = PEN_DNS_A,
		[SLOT_AAAA] = PEN_DNS_AAAA,
		[SLOT_NATIVE] = MX_TYPE_NATIVE,
		[SLOT_CNAME] = PEN_DNS_CNAME,
	};
	return types[slot];
}

static unsigned weight(enum pen_dns_status s)
{
	switch (s) {
	case PEN_DNS_BOGUS:
		return 4;
	case PEN_DNS_FAILED:
		return 3;
	case PEN_DNS_MALFORMED:
		return 2;
	case PEN_DNS_NXDOMAIN:
		return 0;
	default:
		return 1;
	}
}

// no_address remembers why; what may work later weighs more than what is gone
// for good. The order of answers makes no difference.
static void no_address(struct mx_host *h, int slot, enum pen_dns_status status)
{
	bool first = h->status == PEN_DNS_OK;
	bool soft = status == PEN_DNS_FAILED || status == PEN_DNS_BOGUS;

	h->soft = h->soft || soft;
	h->bogus = h->bogus || status == PEN_DNS_BOGUS;
	if (!first && (weight(status) < weight(h->status) ||
			      (weight(status) == weight(h->status) && slot > h->said)))
		return;
	h->status = status;
	h->said = (uint8_t)slot;
}

static void take_addresses(
	struct mx *m, struct mx_host *h, int slot, const struct pen_dns_answer *a)
{
	uint32_t before = h->naddrs;
	// Half of the room for each family, whichever answer comes first.
	bool halves = slot != SLOT_NATIVE && m->options.ip4 && m->options.ip6;
	uint32_t most = halves ? before + MX_ADDRS_MAX / 2 : MX_ADDRS_MAX;

	h->secure[slot] = a->secure && slot != SLOT_NATIVE;
	for (uint32_t i = 0; i < a->n && h->naddrs < most; i++) {
		if (family_used(&m->options, a->record[i].addr.family) &&
			!mapped(&a->record[i].addr))
			h->addr[h->naddrs++] =
				(struct mx_host_addr){a->record[i].addr, (uint8_t)slot};
	}
	if (h->naddrs == before)
		no_address(h, slot, PEN_DNS_NODATA); // of families that are not used
	if (slot == SLOT_NATIVE || strcmp(a->canonical, a->name) == 0)
		return;
	snprintf(h->canonical[slot], sizeof(h->canonical[slot]), "%s", a->canonical);
	if (!a->secure && m->options.validated)
		h->want |= BIT(SLOT_CNAME);
}

// settle: all that was wanted has been answered.
static void settle(struct mx *m, struct mx_host *h)
{
	// The system's resolver may not validate: it must not stand in for an
	// answer that was found to be forged.
	bool more = h->naddrs == 0 && !h->bogus && stage_source(&m->options, h->stage + 1u) >= 0;

	if (more) {
		h->stage++;
		want_stage(m, h);
		return;
	}
	h->done = true;
	m->pending--;
}

void mx_host_answer(struct mx *m, struct mx_host *h, int slot, const struct pen_dns_answer *answer)
{
	PEN_ASSERT((h->asked & ~h->answered & BIT(slot)) != 0);
	if (slot == SLOT_CNAME)
		h->alias_secure = answer->status == PEN_DNS_OK && answer->secure;
	else if (answer->status == PEN_DNS_OK)
		take_addresses(m, h, slot, answer);
	else
		no_address(h, slot, answer->status);
	h->answered |= BIT(slot);
	if (h->answered == h->want)
		settle(m, h);
}
