// SPDX-License-Identifier: BSD-3-Clause
#include "inet_test_port.h"

#include "pen_rand.h"

static void start(uint32_t nsources, bool gateway)
{
	struct pen_addr *sources = calloc(nsources, sizeof(*sources));

	for (uint32_t i = 0; i < nsources; i++)
		sources[i] = pen_addr_ip4(0x0a000a01 + i);
	struct pen_inet_config cfg = {
		.mtu = 1500, .prefix_bits = 16, .sources = sources, .nsources = nsources};
	memcpy(cfg.mac, our_mac, 6);
	if (gateway)
		cfg.gateway = pen_addr_ip4(0x0a0000fe);
	port_start(&cfg);
	free(sources);
}

static void arp(
	uint16_t op, const uint8_t eth_dst[6], const uint8_t sha[6], uint32_t spa, uint32_t tpa)
{
	uint8_t f[60] = {0};
	struct pen_addr s = pen_addr_ip4(spa), t = pen_addr_ip4(tpa);

	inet_eth_write(f, eth_dst, sha, ETH_TYPE_ARP);
	memcpy(f + 14, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, (uint8_t)op}, 8);
	memcpy(f + 22, sha, 6);
	memcpy(f + 28, s.ip, 4);
	memcpy(f + 38, t.ip, 4);
	input(f, sizeof(f));
}

static void send_to(uint32_t dst)
{
	struct pen_frame f;
	struct pen_addr s = pen_addr_ip4(0x0a000a01), d = pen_addr_ip4(dst);
	uint8_t *p = pen_inet_tx_begin(inet, &f, PEN_FAMILY_IP4);

	memset(p, 0x55, 40);
	pen_inet_tx_end(inet, &f, &s, &d, 40, false, now);
}

// Builds Ethernet + IPv4 around a payload and feeds it in.
static void ip_in(uint32_t src, uint32_t dst, uint8_t proto, const uint8_t *payload, uint32_t len,
	uint16_t frag, uint8_t damage)
{
	uint8_t f[1514] = {0};
	struct pen_addr s = pen_addr_ip4(src), d = pen_addr_ip4(dst);

	inet_eth_write(f, our_mac, peer_mac, ETH_TYPE_IP4);
	uint8_t *ip = f + PEN_ETH_LEN;
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(20 + len));
	put16(ip + 6, frag);
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, s.ip, 4);
	memcpy(ip + 16, d.ip, 4);
	uint16_t sum = pen_csum_fold(pen_csum_add(0, ip, 20));
	memcpy(ip + 10, &sum, 2);
	ip[8] ^= damage;
	if (len > 0)
		memcpy(ip + 20, payload, len);
	input(f, PEN_INET_HEADROOM(PEN_FAMILY_IP4) + len);
}

static uint16_t naive_sum(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (uint32_t)p[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

static void checksums_agree_with_the_definition(void **state)
{
	(void)state;
	struct pen_rand r;
	uint8_t buf[4200], out[4200];

	pen_rand_seed(&r, pen_test_seed());
	for (int round = 0; round < 3000; round++) {
		size_t off = pen_rand_below(&r, 70);
		size_t n = round < 200 ? (size_t)round : pen_rand_below(&r, 4096);
		int fill = (int)pen_rand_below(&r, 4);
		for (size_t i = 0; i < n; i++)
			buf[off + i] = fill == 0 ? 0xff : (uint8_t)pen_rand_u64(&r);
		uint8_t want[2];
		put16(want, naive_sum(buf + off, n));
		uint16_t got = pen_csum_fold(pen_csum_add(0, buf + off, n));
		// Zero has two spellings in ones complement.
		if (memcmp(&got, want, 2) != 0)
			assert_true((got == 0 || got == 0xffff) && (want[0] == want[1]));
		size_t to = pen_rand_below(&r, 70);
		memset(out, 0xaa, sizeof(out));
		assert_int_equal(pen_csum_fold(pen_csum_copy(0, out + to, buf + off, n)), got);
		assert_memory_equal(out + to, buf + off, n);
		assert_int_equal(out[to + n], 0xaa);
		// In parts, at even offsets.
		size_t cut = pen_rand_below(&r, n / 2 + 1) * 2;
		uint64_t part = pen_csum_add(0, buf + off, cut);
		assert_int_equal(pen_csum_fold(pen_csum_add(part, buf + off + cut, n - cut)), got);
	}
	assert_int_equal(pen_csum_fold(0), 0xffff);
	assert_int_equal(pen_csum_fold(UINT64_MAX), 0);
}

static void every_one_of_thousands_of_sources_answers_arp(void **state)
{
	(void)state;
	start(4096, false);
	for (uint32_t i = 0; i < 4096; i++) {
		port.n = 0;
		arp(ARP_REQUEST, all_mac, peer_mac, 0x0a000001, 0x0a000a01 + i);
		assert_int_equal(port.n, 1);
		assert_memory_equal(port.data[0], peer_mac, 6);
		assert_int_equal(port.data[0][21], ARP_REPLY);
		assert_memory_equal(port.data[0] + 22, our_mac, 6);
	}
	port.n = 0;
	arp(ARP_REQUEST, all_mac, peer_mac, 0x0a000001, 0x0a000a01 + 4096);
	assert_int_equal(port.n, 0);
	assert_int_equal(ctr.drop_arp_not_ours, 1);
	stop();
}

static void frames_wait_for_the_neighbour_and_then_leave_in_order(void **state)
{
	(void)state;
	start(1, false);
	for (int i = 0; i < 10; i++)
		send_to(0x0a000002);
	assert_int_equal(port.n, 1); // one request, however many frames
	assert_int_equal(port.data[0][21], ARP_REQUEST);
	assert_int_equal(ctr.drop_tx_unresolved, 2); // eight are parked
	port.n = 0;
	arp(ARP_REPLY, our_mac, peer_mac, 0x0a000002, 0x0a000a01);
	assert_int_equal(port.n, 8);
	assert_memory_equal(port.data[0], peer_mac, 6);
	assert_int_equal(seen.learned, 1);
	send_to(0x0a000002);
	assert_int_equal(port.n, 9);
	// DF, no fragments, a good header checksum.
	assert_int_equal(get16(port.data[8] + 14 + 6), 0x4000);
	assert_int_equal(pen_csum_fold(pen_csum_add(0, port.data[8] + 14, 20)), 0);
	stop();
}

static void a_silent_neighbour_is_asked_three_times_and_then_left_alone(void **state)
{
	(void)state;
	start(1, false);
	send_to(0x0a000002);
	go(2 * PEN_US_PER_S + 500 * PEN_US_PER_MS);
	assert_int_equal(ctr.tx_arp_requests, 3);
	go(2 * PEN_US_PER_S);
	assert_int_equal(ctr.tx_arp_requests, 3);
	assert_int_equal(ctr.drop_tx_unresolved, 1);
	assert_int_equal(port.lent, 0);
	send_to(0x0a000002); // negative
	assert_int_equal(ctr.tx_arp_requests, 3);
	assert_int_equal(ctr.drop_tx_unresolved, 2);
	go(6 * PEN_US_PER_S);
	send_to(0x0a000002);
	assert_int_equal(ctr.tx_arp_requests, 4);
	stop();
}

static void a_neighbour_in_use_is_refreshed_without_a_gap(void **state)
{
	(void)state;
	start(1, false);
	send_to(0x0a000002);
	arp(ARP_REPLY, our_mac, peer_mac, 0x0a000002, 0x0a000a01);
	for (int i = 0; i < 300; i++) {
		port.n = 0;
		uint64_t asked = ctr.tx_arp_requests;
		send_to(0x0a000002);
		assert_int_equal(port.n, 1); // never parked
		go(PEN_US_PER_S);
		if (ctr.tx_arp_requests > asked)
			arp(ARP_REPLY, our_mac, peer_mac, 0x0a000002, 0x0a000a01);
	}
	assert_in_range(ctr.tx_arp_requests, 6, 8);
	uint64_t asked = ctr.tx_arp_requests;
	go(200 * PEN_US_PER_S); // unused: at most one more question, then forgotten
	assert_in_range(ctr.tx_arp_requests - asked, 0, 3);
	port.n = 0;
	send_to(0x0a000002);
	assert_int_equal(port.data[0][21], ARP_REQUEST);
	stop();
}

static void unsolicited_claims_do_not_poison(void **state)
{
	(void)state;
	start(1, false);
	arp(ARP_REPLY, our_mac, evil_mac, 0x0a000002, 0x0a000a01);
	arp(ARP_REPLY, all_mac, evil_mac, 0x0a000002, 0x0a000002);
	assert_int_equal(ctr.drop_arp_unsolicited, 2);
	send_to(0x0a000002);
	assert_int_equal(port.data[0][21], ARP_REQUEST); // nothing was learned
	arp(ARP_REPLY, our_mac, peer_mac, 0x0a000002, 0x0a000a01);
	arp(ARP_REPLY, our_mac, evil_mac, 0x0a000002, 0x0a000a01);
	port.n = 0;
	send_to(0x0a000002);
	assert_memory_equal(port.data[0], peer_mac, 6);
	assert_int_equal(ctr.tx_arp_requests, 2); // but we asked again
	struct pen_addr a = pen_addr_ip4(0x0a000003);
	pen_inet_neigh_learn(inet, &a, peer_mac, true, now);
	arp(ARP_REQUEST, all_mac, evil_mac, 0x0a000003, 0x0a000a01);
	arp(ARP_REPLY, our_mac, evil_mac, 0x0a000003, 0x0a000a01);
	go(100 * PEN_US_PER_S);
	port.n = 0;
	send_to(0x0a000003);
	assert_memory_equal(port.data[0], peer_mac, 6);
	stop();
}

static void far_destinations_go_through_the_gateway_or_nowhere(void **state)
{
	(void)state;
	start(1, true);
	struct pen_addr src = pen_addr_ip4(0x0a000a01), far = pen_addr_ip4(0xc0000201);
	assert_true(pen_inet_has_route(inet, &src, &far));
	send_to(0xc0000201);
	assert_memory_equal(port.data[0] + 38, "\x0a\x00\x00\xfe", 4);
	stop();
	start(1, false);
	assert_false(pen_inet_has_route(inet, &src, &far));
	send_to(0xc0000201);
	send_to(0x0a00ffff); // the broadcast address of our own link
	send_to(0xe0000001);
	assert_int_equal(ctr.drop_tx_no_route, 3);
	assert_int_equal(port.lent, 0);
	stop();
}

static void a_full_neighbour_table_gives_up_the_least_useful(void **state)
{
	(void)state;
	start(1, false);
	for (uint32_t i = 0; i < PEN_INET_NEIGH_MAX + 100; i++) {
		port.n = 0;
		arp(ARP_REQUEST, all_mac, peer_mac, 0x0a000b00 + i, 0x0a000a01);
		now += 1000;
	}
	assert_int_equal(inet->nneigh, PEN_INET_NEIGH_MAX);
	port.n = 0;
	send_to(0x0a000b00 + PEN_INET_NEIGH_MAX + 99);
	assert_memory_equal(port.data[0], peer_mac, 6);
	stop();
}

static void pings_are_answered_and_bad_icmp_is_not(void **state)
{
	(void)state;
	uint8_t echo[64] = {8, 0, 0, 0, 1, 2, 3, 4, 'h', 'i'};

	start(1, false);
	struct pen_addr a = pen_addr_ip4(0x0a000002);
	pen_inet_neigh_learn(inet, &a, peer_mac, true, now);
	ip_in(0x0a000002, 0x0a000a01, 1, echo, sizeof(echo), 0, 0);
	assert_int_equal(ctr.drop_icmp_malformed, 1); // no checksum
	uint16_t sum = pen_csum_fold(pen_csum_add(0, echo, sizeof(echo)));
	memcpy(echo + 2, &sum, 2);
	ip_in(0x0a000002, 0x0a000a01, 1, echo, sizeof(echo), 0, 0);
	assert_int_equal(port.n, 1);
	const uint8_t *icmp = port.data[0] + PEN_INET_HEADROOM(PEN_FAMILY_IP4);
	assert_int_equal(icmp[0], 0);
	assert_memory_equal(icmp + 4, echo + 4, 60);
	assert_int_equal(pen_csum_fold(pen_csum_add(0, icmp, 64)), 0);
	stop();
}

static void icmp_errors_reach_the_transport_with_what_they_quote(void **state)
{
	(void)state;
	uint8_t err[8 + 28] = {3, 1};
	uint8_t *inner = err + 8;

	start(1, false);
	inner[0] = 0x45;
	inner[9] = 6;
	memcpy(inner + 12, "\x0a\x00\x0a\x01\x0a\x00\x00\x02", 8);
	memcpy(inner + 20, "\x30\x39\x00\x19\x01\x02\x03\x04", 8);
	uint16_t sum = pen_csum_fold(pen_csum_add(0, err, sizeof(err)));
	memcpy(err + 2, &sum, 2);
	ip_in(0x0a000063, 0x0a000a01, 1, err, sizeof(err), 0, 0);
	assert_int_equal(seen.errors, 1);
	assert_int_equal(seen.port, 12345);
	assert_int_equal(seen.seq, 0x01020304);
	assert_int_equal(ctr.rx_icmp_unreachable, 1);
	stop();
}

static void bad_packets_are_counted_by_reason(void **state)
{
	(void)state;
	uint8_t tcp[20] = {0};
	uint8_t f[64] = {0};

	start(2, false);
	ip_in(0x0a000002, 0x0a000a01, 6, tcp, 20, 0, 0);
	assert_int_equal(seen.tcp, 1);
	ip_in(0x0a000002, 0x0a000a01, 6, tcp, 20, 0, 1);
	assert_int_equal(ctr.drop_ip_checksum, 1);
	ip_in(0x0a000002, 0x0a000a01, 6, tcp, 20, 0x2000, 0);
	ip_in(0x0a000002, 0x0a000a01, 6, tcp, 20, 0x0001, 0);
	assert_int_equal(ctr.drop_ip_fragment, 2);
	ip_in(0x0a000002, 0x0a0000aa, 6, tcp, 20, 0, 0);
	assert_int_equal(ctr.drop_ip_dst, 1);
	ip_in(0x0a000a02, 0x0a000a01, 6, tcp, 20, 0, 0); // from ourselves
	ip_in(0xe0000001, 0x0a000a01, 6, tcp, 20, 0, 0);
	ip_in(0x7f000001, 0x0a000a01, 6, tcp, 20, 0, 0);
	ip_in(0x0a00ffff, 0x0a000a01, 6, tcp, 20, 0, 0);
	assert_int_equal(ctr.drop_ip_src, 4);
	ip_in(0x0a000002, 0x0a000a01, 17, tcp, 20, 0, 0);
	assert_int_equal(ctr.drop_ip_protocol, 1);
	input(f, 13);
	assert_int_equal(ctr.drop_eth_short, 1);
	input(f, 60);
	assert_int_equal(ctr.drop_eth_dst, 1);
	inet_eth_write(f, our_mac, peer_mac, 0x86dd);
	input(f, 60);
	assert_int_equal(ctr.drop_eth_type, 1);
	inet_eth_write(f, our_mac, peer_mac, ETH_TYPE_IP4);
	input(f, 20);
	f[14] = 0x65;
	input(f, 60);
	assert_int_equal(ctr.drop_ip_version, 1);
	f[14] = 0x45;
	put16(f + 16, 100);
	input(f, 60);
	assert_int_equal(ctr.drop_ip_short, 2);
	inet_eth_write(f, all_mac, peer_mac, ETH_TYPE_ARP);
	input(f, 40);
	input(f, 60);
	assert_int_equal(ctr.drop_arp_malformed, 2);
	assert_int_equal(seen.tcp, 1);
	stop();
}

static void steering_finds_the_local_port(void **state)
{
	(void)state;
	uint8_t f[80] = {0};

	inet_eth_write(f, our_mac, peer_mac, ETH_TYPE_IP4);
	f[14] = 0x45;
	f[23] = 6;
	put16(f + 34, 25);
	put16(f + 36, 4321);
	assert_int_equal(pen_inet_steer(f, 54), 4321);
	assert_int_equal(pen_inet_steer(f, 37), 0);
	put16(f + 20, 0x2000 | 3);
	assert_int_equal(pen_inet_steer(f, 54), 0);
	put16(f + 20, 0);
	f[23] = 1;
	f[34] = 3;
	memcpy(f + 42, f + 14, 20);
	f[42 + 9] = 6;
	put16(f + 62, 999);
	assert_int_equal(pen_inet_steer(f, 70), 999);
	assert_int_equal(pen_inet_steer(f, 60), 0);
	f[34] = 8;
	assert_int_equal(pen_inet_steer(f, 70), 0);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(checksums_agree_with_the_definition),
		cmocka_unit_test(every_one_of_thousands_of_sources_answers_arp),
		cmocka_unit_test(frames_wait_for_the_neighbour_and_then_leave_in_order),
		cmocka_unit_test(a_silent_neighbour_is_asked_three_times_and_then_left_alone),
		cmocka_unit_test(a_neighbour_in_use_is_refreshed_without_a_gap),
		cmocka_unit_test(unsolicited_claims_do_not_poison),
		cmocka_unit_test(far_destinations_go_through_the_gateway_or_nowhere),
		cmocka_unit_test(a_full_neighbour_table_gives_up_the_least_useful),
		cmocka_unit_test(pings_are_answered_and_bad_icmp_is_not),
		cmocka_unit_test(icmp_errors_reach_the_transport_with_what_they_quote),
		cmocka_unit_test(bad_packets_are_counted_by_reason),
		cmocka_unit_test(steering_finds_the_local_port),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
