// SPDX-License-Identifier: BSD-3-Clause
#include "inet6_test_port.h"

static void pings_are_answered_and_bad_icmp_is_not(void **state)
{
	(void)state;
	struct pen_addr us = source(0), a = addr_of_ip6(peer);
	uint8_t echo[64] = {128, 0, 0, 0, 1, 2, 3, 4, 'h', 'i'};

	start(1, NULL);
	pen_inet_neigh_learn(inet, &a, peer_mac, true, now);
	ip_in(peer, us.ip, IP_PROTO_ICMP6, 64, echo, sizeof(echo)); // no checksum
	ip_in(peer, us.ip, IP_PROTO_ICMP6, 64, echo, 7);
	assert_int_equal(ctr.drop_icmp6_malformed, 2);
	icmp_in(peer, us.ip, 64, echo, sizeof(echo));
	assert_int_equal(port.n, 1);
	assert_memory_equal(sent_icmp(0, 129, 64) + 4, echo + 4, 60);
	icmp_in(peer, all_nodes, 64, echo, sizeof(echo));
	echo[0] = 200;
	icmp_in(peer, us.ip, 64, echo, sizeof(echo));
	assert_int_equal(ctr.drop_icmp6_type, 2);
	assert_int_equal(port.n, 1);
	stop();
}

static void errors_reach_the_transport_with_what_they_quote(void **state)
{
	(void)state;
	struct pen_addr us = source(0);
	uint8_t err[8 + 40 + 8] = {2, 0, 0, 0, 0, 0, 5, 0x14};
	uint8_t *inner = err + 8;

	start(1, NULL);
	ip6_write(inner, us.ip, far, 6, 60, 500);
	memcpy(inner + 40, "\x30\x39\x00\x19\x01\x02\x03\x04", 8);
	icmp_in(router, us.ip, 64, err, sizeof(err));
	assert_int_equal(seen.errors, 1);
	assert_int_equal(seen.type, 2);
	assert_int_equal(seen.mtu, 1300);
	assert_int_equal(seen.port, 12345);
	assert_int_equal(seen.seq, 0x01020304);
	err[4] = 1; // 16 million and more
	icmp_in(router, us.ip, 64, err, sizeof(err));
	assert_int_equal(seen.mtu, 65535);
	err[0] = 1;
	err[1] = 4;
	icmp_in(router_ll, us.ip, 255, err, sizeof(err));
	assert_int_equal(seen.errors, 3);
	assert_int_equal(seen.code, 4);
	assert_int_equal(seen.mtu, 0);
	icmp_in(router, us.ip, 64, err, sizeof(err) - 1);
	assert_int_equal(ctr.drop_icmp6_malformed, 1);
	inner[8] ^= 1; // somebody else's
	icmp_in(router, us.ip, 64, err, sizeof(err));
	inner[8] ^= 1;
	inner[6] = 17;
	icmp_in(router, us.ip, 64, err, sizeof(err));
	assert_int_equal(ctr.drop_ip6_protocol, 2);
	assert_int_equal(seen.errors, 3);
	assert_int_equal(ctr.rx_icmp6_too_big, 2);
	assert_int_equal(ctr.rx_icmp6_unreachable, 4);
	stop();
}

static void bad_packets_are_counted_by_reason(void **state)
{
	(void)state;
	static const uint8_t loopback[16] = {[15] = 1},
			     mapped[16] = {[10] = 0xff, 0xff, 10, 0, 0, 2};
	struct pen_addr us = source(0), other = source(1);
	uint8_t tcp[20] = {0}, f[200];

	start(2, NULL);
	ip_in(peer, us.ip, 6, 64, tcp, 20);
	assert_int_equal(seen.tcp, 1);
	ip_in(peer, far, 6, 64, tcp, 20);
	ip_in(peer, nobody, 6, 64, tcp, 20);
	assert_int_equal(ctr.drop_ip6_dst, 2);
	ip_in(other.ip, us.ip, 6, 64, tcp, 20);
	ip_in(all_nodes, us.ip, 6, 64, tcp, 20);
	ip_in(loopback, us.ip, 6, 64, tcp, 20);
	ip_in(mapped, us.ip, 6, 64, tcp, 20);
	ip_in(nobody, us.ip, 6, 64, tcp, 20);
	assert_int_equal(ctr.drop_ip6_src, 5);
	ip_in(peer, us.ip, 17, 64, tcp, 20);
	ip_in(peer, us.ip, 59, 64, tcp, 20);
	ip_in(peer, all_nodes, 6, 64, tcp, 20); // TCP has no groups
	assert_int_equal(ctr.drop_ip6_protocol, 3);
	uint32_t n = make(f, peer, us.ip, 6, 64, tcp, 20);
	input(f, n - 1);
	input(f, PEN_ETH_LEN + 39);
	assert_int_equal(ctr.drop_ip6_short, 2);
	f[14] = 0x40;
	input(f, n);
	assert_int_equal(ctr.drop_ip6_version, 1);
	// A unicast packet in a multicast frame is somebody's trick.
	f[14] = 0x60;
	memcpy(f, "\x33\x33\0\0\0\1", 6);
	input(f, n);
	assert_int_equal(ctr.drop_ip6_dst, 3);
	memcpy(f, all_mac, 6);
	input(f, n);
	assert_int_equal(ctr.drop_eth_dst, 1);
	assert_int_equal(seen.tcp, 1);
	stop();
}

static void extension_headers_are_walked_within_bounds(void **state)
{
	(void)state;
	struct pen_addr us = source(0);
	uint8_t p[400] = {0};

	start(1, NULL);
	// Hop-by-hop with PadN, destination options with Pad1 only, then TCP.
	memcpy(p, "\x3c\x00\x01\x04\0\0\0\0\x06\x00\0\0\0\0\0\0", 16);
	ip_in(peer, us.ip, 0, 64, p, 36);
	assert_int_equal(seen.tcp, 1);
	// Checksums that the device verified count only without extension headers.
	uint8_t f[200];
	pen_inet_input(inet, f, make(f, peer, us.ip, 0, 64, p, 36), true, now);
	assert_int_equal(seen.tcp, 2);
	assert_false(seen.csum_ok);
	p[2] = 0xc2; // an option that must not be ignored
	ip_in(peer, us.ip, 0, 64, p, 36);
	p[2] = 0x1e; // one that may
	ip_in(peer, us.ip, 0, 64, p, 36);
	assert_int_equal(seen.tcp, 3);
	p[3] = 5; // longer than its header
	ip_in(peer, us.ip, 0, 64, p, 36);
	assert_int_equal(ctr.drop_ip6_options, 2);
	p[3] = 4;
	p[1] = 200; // longer than the packet
	ip_in(peer, us.ip, 0, 64, p, 36);
	ip_in(peer, us.ip, 0, 64, p, 7);
	assert_int_equal(ctr.drop_ip6_short, 2);
	p[1] = 0;
	p[0] = 0; // a second hop-by-hop header
	ip_in(peer, us.ip, 0, 64, p, 36);
	assert_int_equal(ctr.drop_ip6_options, 3);
	p[0] = 43;
	ip_in(peer, us.ip, 0, 64, p, 36);
	ip_in(peer, us.ip, 43, 64, p, 36);
	assert_int_equal(ctr.drop_ip6_routing, 2);
	p[0] = 44;
	ip_in(peer, us.ip, 60, 64, p, 36);
	ip_in(peer, us.ip, 44, 64, p, 36);
	assert_int_equal(ctr.drop_ip6_fragment, 2);
	memset(p, 0, sizeof(p));
	for (int i = 0; i < 40; i++)
		p[8 * i] = i < 39 ? 60 : 6; // a chain that is too long
	ip_in(peer, us.ip, 60, 64, p, sizeof(p));
	assert_int_equal(ctr.drop_ip6_options, 4);
	assert_int_equal(seen.tcp, 3);
	stop();
}

static void steering_finds_the_local_port(void **state)
{
	(void)state;
	struct pen_addr us = source(0);
	uint8_t p[80] = {0}, f[200];

	put16(p, 25);
	put16(p + 2, 4321);
	uint32_t n = make(f, peer, us.ip, 6, 64, p, 20);
	assert_int_equal(pen_inet_steer(f, n), 4321);
	assert_int_equal(pen_inet_steer(f, HEAD + 3), 0);
	assert_int_equal(pen_inet_steer(f, HEAD - 1), 0);
	f[PEN_ETH_LEN + 6] = 44;
	assert_int_equal(pen_inet_steer(f, n), 0);
	memset(p, 0, sizeof(p));
	p[0] = 6; // behind options
	put16(p + 10, 777);
	n = make(f, peer, us.ip, 60, 64, p, 28);
	assert_int_equal(pen_inet_steer(f, n), 777);
	memset(p, 0, sizeof(p));
	p[0] = 1;
	ip6_write(p + 8, us.ip, peer, 6, 64, 20);
	put16(p + 48, 999);
	n = make(f, router, us.ip, IP_PROTO_ICMP6, 64, p, 56);
	assert_int_equal(pen_inet_steer(f, n), 999);
	assert_int_equal(pen_inet_steer(f, HEAD + 51), 0);
	f[HEAD] = 128;
	assert_int_equal(pen_inet_steer(f, n), 0);
}

// Frame i as a listener report with a good checksum: the message behind the
// router alert.
static const uint8_t *sent_report(uint32_t i, uint8_t type, const uint8_t *dst)
{
	const uint8_t *ip = port.data[i] + PEN_ETH_LEN, *icmp = ip + 48;
	uint32_t len = port.len[i] - HEAD - 8;
	uint8_t mac[6];

	group_mac(mac, dst);
	assert_memory_equal(port.data[i], mac, 6);
	assert_memory_equal(ip + 24, dst, 16);
	assert_true(ip6_link_local(ip + 8));
	assert_int_equal(ip[6], 0);
	assert_int_equal(ip[7], 1);
	assert_memory_equal(ip + 40, "\x3a\0\5\2\0\0\1\0", 8);
	uint64_t sum = ip6_pseudo_sum(ip + 8, ip + 24, IP_PROTO_ICMP6, len);
	assert_int_equal(pen_csum_fold(pen_csum_add(sum, icmp, len)), 0);
	assert_int_equal(icmp[0], type);
	return icmp;
}

static void groups_are_reported_at_the_start_and_when_a_router_asks(void **state)
{
	(void)state;
	static const uint8_t routers[16] = {0xff, 2, [15] = 0x16};
	uint8_t query[28] = {130, [4] = 0x03, 0xe8}; // within a second
	struct pen_addr us = source(0);
	uint8_t group[16];
	uint32_t records = 0;

	start_quiet(300, NULL, false); // 100 groups and the link-local address's
	go(5 * PEN_US_PER_S);
	assert_int_equal(ctr.tx_mld_reports, 4); // twice, in two packets
	for (uint32_t i = 0; i < 2; i++) {
		const uint8_t *icmp = sent_report(i, 143, routers);
		assert_true(port.len[i] <= 1514);
		assert_int_equal(icmp[8], 4); // changed to: exclude nobody
		records += get16(icmp + 6);
	}
	assert_int_equal(records, 101);
	port.n = 0;
	icmp_in(router_ll, all_nodes, 1, query, sizeof(query));
	assert_int_equal(port.n, 0); // answers are spread over the time allowed
	go(1200 * PEN_US_PER_MS);
	assert_int_equal(port.n, 2);
	assert_int_equal(sent_report(0, 143, routers)[8], 2);
	// A query about a group of ours, and one about another's.
	port.n = 0;
	group_of(group, us.ip);
	memcpy(query + 8, group, 16);
	icmp_in(router_ll, group, 1, query, sizeof(query));
	go(1200 * PEN_US_PER_MS);
	assert_int_equal(port.n, 2);
	query[8 + 13] ^= 1;
	icmp_in(router_ll, all_nodes, 1, query, sizeof(query));
	go(1200 * PEN_US_PER_MS);
	assert_int_equal(port.n, 2);
	// From no router of this link.
	icmp_in(peer, all_nodes, 1, query, sizeof(query));
	icmp_in(router_ll, all_nodes, 2, query, sizeof(query));
	icmp_in(router_ll, all_nodes, 1, query, 26);
	assert_int_equal(ctr.drop_mld_malformed, 3);
	stop();
}

static void an_old_querier_gets_a_report_for_each_group(void **state)
{
	(void)state;
	uint8_t query[24] = {130};
	uint8_t group[16];

	start(60, NULL); // quiet: another worker reports at the start
	go(3 * PEN_US_PER_S);
	assert_int_equal(port.n, 0);
	icmp_in(router_ll, all_nodes, 1, query, sizeof(query));
	go(PEN_US_PER_S);
	assert_int_equal(port.n, 21); // 20 groups and the link-local address's
	for (uint32_t i = 0; i < port.n; i++) {
		memcpy(group, port.data[i] + PEN_ETH_LEN + 24, 16);
		assert_memory_equal(sent_report(i, 131, group) + 8, group, 16);
		for (uint32_t k = 0; k < i; k++)
			assert_memory_not_equal(port.data[k] + PEN_ETH_LEN + 24, group, 16);
	}
	stop();
}

static void a_port_for_one_family_ignores_the_other(void **state)
{
	(void)state;
	struct pen_addr us = source(0), four = pen_addr_ip4(0x0a000a01);
	struct pen_inet_config cfg = {.mac = {2},
		.mtu = 1500,
		.prefix_bits = 24,
		.prefix6_bits = 64,
		.sources = &four,
		.nsources = 1};
	uint8_t echo[8] = {128};

	port_start(&cfg);
	memcpy(inet->mac, our_mac, 6);
	icmp_in(peer, us.ip, 64, echo, 8);
	solicit(peer, us.ip, peer_mac);
	assert_int_equal(ctr.drop_eth_type, 2);
	assert_false(pen_inet_is_local(inet, &us));
	struct pen_addr dst = addr_of_ip6(peer);
	assert_false(pen_inet_has_route(inet, &us, &dst));
	go(3 * PEN_US_PER_S);
	assert_int_equal(port.n, 0);
	stop();
	// Links that are too small for IPv6 are refused.
	static const struct pen_port_ops ops = {tx_get, tx_put, tx_drop};
	cfg.sources = &us;
	cfg.mtu = 1279;
	assert_null(pen_inet_new(&cfg, &ops, NULL, &ctr, now));
	cfg.sources = &four;
	inet = pen_inet_new(&cfg, &ops, NULL, &ctr, now);
	assert_non_null(inet);
	stop();
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(pings_are_answered_and_bad_icmp_is_not),
		cmocka_unit_test(errors_reach_the_transport_with_what_they_quote),
		cmocka_unit_test(bad_packets_are_counted_by_reason),
		cmocka_unit_test(extension_headers_are_walked_within_bounds),
		cmocka_unit_test(steering_finds_the_local_port),
		cmocka_unit_test(groups_are_reported_at_the_start_and_when_a_router_asks),
		cmocka_unit_test(an_old_querier_gets_a_report_for_each_group),
		cmocka_unit_test(a_port_for_one_family_ignores_the_other),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
