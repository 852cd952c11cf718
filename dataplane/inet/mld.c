// SPDX-License-Identifier: BSD-3-Clause

// Multicast listener reports (RFC 3810, RFC 2710 when asked so), for switches
// that pass on multicast only to who has asked for it: without them nobody's
// solicitations would reach us. The groups never change, so there is only one
// kind of report: all of them.

#include "inet_internal.h"

#define QUERY_LEN_V1 24
#define QUERY_LEN_V2 28
#define REPORT_V1 131
#define REPORT_V2 143
#define RECORD_LEN 20
#define RECORD_IS_EXCLUDE 2
#define RECORD_TO_EXCLUDE 4
// The unsolicited report may be lost: RFC 3810 9.1 and 9.11.
#define REPEATS 1
#define REPEAT_US PEN_US_PER_S
#define DELAY_MAX_US (10 * PEN_US_PER_S)
// Thousands of groups leave in small bursts.
#define BURST 32
#define BURST_PAUSE_US (10 * PEN_US_PER_MS)

// A hop-by-hop header with the router alert option (RFC 2711).
static const uint8_t alert[8] = {IP_PROTO_ICMP6, 0, 5, 2, 0, 0, 1, 0};

void mld_init(struct pen_inet *n, bool quiet, pen_time_us now)
{
	n->six.mld = (struct mld){.due = quiet ? PEN_TIME_NEVER : now, .repeats = REPEATS};
}

// The next group at or after *slot, or 0.
static uint32_t next_group(const struct inet6 *six, uint32_t *slot)
{
	while (*slot <= six->group_mask) {
		uint32_t g = six->group[(*slot)++];
		if (g != 0)
			return g;
	}
	return 0;
}

static void group_write(uint8_t *out, uint32_t g)
{
	memcpy(out, (uint8_t[]){0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff}, 13);
	out[13] = (uint8_t)(g >> 16);
	put16(out + 14, (uint16_t)g);
}

// Adds the headers to a message of len bytes that stands behind them.
static void report_send(
	struct pen_inet *n, struct pen_frame *f, const uint8_t *group, uint8_t *icmp, uint32_t len)
{
	uint8_t *ip = f->data + PEN_ETH_LEN;
	const uint8_t mac[6] = {0x33, 0x33, group[12], group[13], group[14], group[15]};

	inet_eth_write(f->data, mac, n->mac, ETH_TYPE_IP6);
	ip6_write(ip, n->six.link_local, group, 0, 1, sizeof(alert) + len);
	memcpy(ip + PEN_IP6_LEN, alert, sizeof(alert));
	icmp6_finish(ip, icmp, len);
	PEN_COUNT(n->ctr->tx_mld_reports);
	PEN_COUNT(n->ctr->tx_frames);
	n->ops->tx_put(n->port, f, PEN_ETH_LEN + PEN_IP6_LEN + sizeof(alert) + len, false);
}

// One group in a message of its own, to that group.
static void report_v1(struct pen_inet *n, struct pen_frame *f, uint8_t *icmp)
{
	uint32_t g = next_group(&n->six, &n->six.mld.next);
	uint8_t group[16];

	if (g == 0) {
		n->ops->tx_drop(n->port, f);
		return;
	}
	group_write(group, g);
	memset(icmp, 0, 8);
	icmp[0] = REPORT_V1;
	memcpy(icmp + 8, group, 16);
	report_send(n, f, group, icmp, 8 + 16);
}

// As many groups as fit, to all routers that listen.
static void report_v2(struct pen_inet *n, struct pen_frame *f, uint8_t *icmp)
{
	static const uint8_t routers[16] = {0xff, 2, [15] = 0x16};
	struct mld *m = &n->six.mld;
	uint32_t most = (n->mtu - PEN_IP6_LEN - (uint32_t)sizeof(alert) - 8) / RECORD_LEN;
	uint32_t count = 0, g;
	bool asked = m->repeats == 0;

	memset(icmp, 0, 8);
	icmp[0] = REPORT_V2;
	while (count < most && (g = next_group(&n->six, &m->next)) != 0) {
		uint8_t *record = icmp + 8 + count++ * RECORD_LEN;
		memset(record, 0, RECORD_LEN);
		record[0] = asked ? RECORD_IS_EXCLUDE : RECORD_TO_EXCLUDE;
		group_write(record + 4, g);
	}
	put16(icmp + 6, (uint16_t)count);
	if (count == 0)
		n->ops->tx_drop(n->port, f);
	else
		report_send(n, f, routers, icmp, 8 + count * RECORD_LEN);
}

pen_time_us mld_poll(struct pen_inet *n, pen_time_us now)
{
	struct inet6 *six = &n->six;
	struct mld *m = &six->mld;

	if (now < m->due)
		return m->due;
	for (int i = 0; i < BURST && m->next <= six->group_mask; i++) {
		struct pen_frame f;
		uint8_t *p = pen_inet_tx_begin(n, &f, PEN_FAMILY_IP6);
		if (p == NULL)
			break;
		if (m->old_querier)
			report_v1(n, &f, p + sizeof(alert));
		else
			report_v2(n, &f, p + sizeof(alert));
	}
	if (m->next <= six->group_mask) {
		m->due = now + BURST_PAUSE_US;
	} else if (m->repeats > 0) {
		m->repeats--;
		m->next = 0;
		m->due = now + REPEAT_US;
	} else {
		m->due = PEN_TIME_NEVER;
	}
	return m->due;
}

// RFC 3810 5.1.3: large delays are written as a small floating-point number.
static pen_time_us response_delay(uint16_t code, bool v1)
{
	uint32_t ms = code;

	if (!v1 && code >= 0x8000)
		ms = ((code & 0xfffu) | 0x1000u) << (((code >> 12) & 7) + 3);
	return pen_time_min(ms * PEN_US_PER_MS, DELAY_MAX_US);
}

void mld_query_input(
	struct pen_inet *n, const uint8_t *ip, const uint8_t *icmp, uint32_t len, pen_time_us now)
{
	struct mld *m = &n->six.mld;
	bool v1 = len == QUERY_LEN_V1;

	PEN_COUNT(n->ctr->rx_mld_queries);
	// RFC 3810 6.2: from a router on the link, or from nobody.
	if ((!v1 && len < QUERY_LEN_V2) || ip[7] != 1 || !ip6_link_local(ip + 8)) {
		PEN_COUNT(n->ctr->drop_mld_malformed);
		return;
	}
	// A query about one group is answered with all if it is ours: more than was
	// asked for, and nothing that is wrong.
	const uint8_t *group = icmp + 8;
	if (!ip6_unspecified(group) && !inet6_group_has(n, group))
		return;
	// Hosts spread their answers; ours differ by address and time.
	pen_time_us most = response_delay(get16(icmp + 4), v1);
	pen_time_us delay = hash_raw(raw32(n->mac + 2) ^ (uint32_t)now) % (most + 1);
	if (m->due != PEN_TIME_NEVER && m->due <= now + delay && m->next == 0)
		return; // a report is due sooner
	*m = (struct mld){.due = now + delay, .old_querier = v1};
}
