// SPDX-License-Identifier: BSD-3-Clause
#include "inet6_test_port.h"

static void every_one_of_thousands_of_sources_answers_solicitations(void **state)
{
	(void)state;
	struct pen_addr a;

	start(4096, NULL);
	for (uint32_t i = 0; i < 4096; i++) {
		port.n = 0;
		a = source(i);
		solicit(peer, a.ip, peer_mac);
		assert_int_equal(port.n, 1);
		const uint8_t *na = sent_icmp(0, ADVERTISEMENT, 255);
		assert_memory_equal(port.data[0], peer_mac, 6);
		assert_memory_equal(port.data[0] + PEN_ETH_LEN + 8, a.ip, 16);
		assert_int_equal(na[4], 0x60); // solicited, override, no router
		assert_memory_equal(na + 8, a.ip, 16);
		assert_memory_equal(na + 24, "\2\1\2\0\0\0\0\1", 8);
	}
	port.n = 0;
	a = source(4096 * 3); // another group
	solicit(peer, a.ip, peer_mac);
	assert_int_equal(ctr.drop_ip6_group, 1);
	a = source(0);
	a.ip[11] = 9; // our group, not our address
	solicit(peer, a.ip, peer_mac);
	assert_int_equal(ctr.drop_nd_not_ours, 1);
	assert_int_equal(port.n, 0);
	stop();
}

static void the_link_local_address_comes_from_the_mac_and_answers(void **state)
{
	(void)state;
	static const uint8_t ours[16] = {0xfe, 0x80, [11] = 0xff, 0xfe, 0, 0, 1};

	start(1, NULL);
	solicit(router_ll, ours, peer_mac);
	sent_icmp(0, ADVERTISEMENT, 255);
	struct pen_addr a = addr_of_ip6(ours);
	assert_true(pen_inet_is_local(inet, &a));
	stop();
}

static void a_check_for_duplicates_is_told_that_the_address_is_taken(void **state)
{
	(void)state;
	struct pen_addr a = source(0);

	start(1, NULL);
	solicit(nobody, a.ip, NULL);
	assert_int_equal(port.n, 1);
	const uint8_t *na = sent_icmp(0, ADVERTISEMENT, 255);
	assert_memory_equal(port.data[0], "\x33\x33\0\0\0\1", 6);
	assert_memory_equal(port.data[0] + PEN_ETH_LEN + 24, all_nodes, 16);
	assert_int_equal(na[4], 0x20);
	assert_int_equal(inet->nneigh, 0);
	solicit(nobody, a.ip, peer_mac); // who has no address has no option either
	assert_int_equal(ctr.drop_nd_malformed, 1);
	stop();
}

static void frames_wait_for_the_neighbour_and_then_leave_in_order(void **state)
{
	(void)state;
	uint8_t group[16];

	start(1, NULL);
	for (int i = 0; i < 10; i++)
		send_to(peer);
	assert_int_equal(port.n, 1); // one solicitation, however many frames
	const uint8_t *ns = sent_icmp(0, SOLICITATION, 255);
	group_of(group, peer);
	assert_memory_equal(port.data[0], "\x33\x33\xff\0\0\2", 6);
	assert_memory_equal(port.data[0] + PEN_ETH_LEN + 24, group, 16);
	assert_memory_equal(ns + 8, peer, 16);
	assert_memory_equal(ns + 24, "\1\1\2\0\0\0\0\1", 8);
	assert_int_equal(ctr.drop_tx_unresolved, 2);
	port.n = 0;
	advertise(peer, peer_mac);
	assert_int_equal(port.n, 8);
	assert_int_equal(seen.learned, 1);
	send_to(peer);
	const uint8_t *f = port.data[8], *ip = f + PEN_ETH_LEN;
	assert_memory_equal(f, peer_mac, 6);
	assert_int_equal(port.len[8], HEAD + 40);
	assert_int_equal(ip[0], 0x60);
	assert_int_equal(get16(ip + 4), 40);
	assert_int_equal(ip[6], 6);
	assert_int_equal(ip[7], 64);
	assert_memory_equal(ip + 24, peer, 16);
	stop();
}

static void a_silent_neighbour_is_asked_three_times_and_then_left_alone(void **state)
{
	(void)state;
	start(1, NULL);
	send_to(peer);
	go(4 * PEN_US_PER_S);
	assert_int_equal(ctr.tx_nd_solicitations, 3);
	assert_int_equal(port.lent, 0);
	send_to(peer);
	assert_int_equal(ctr.tx_nd_solicitations, 3);
	go(6 * PEN_US_PER_S);
	send_to(peer);
	assert_int_equal(ctr.tx_nd_solicitations, 4);
	stop();
}

static void a_neighbour_in_use_is_asked_alone_before_it_expires(void **state)
{
	(void)state;
	start(1, NULL);
	send_to(peer);
	advertise(peer, peer_mac);
	for (int i = 0; i < 300; i++) {
		port.n = 0;
		uint64_t asked = ctr.tx_nd_solicitations;
		send_to(peer);
		assert_int_equal(port.n, 1); // never parked
		go(PEN_US_PER_S);
		if (ctr.tx_nd_solicitations == asked)
			continue;
		sent_icmp(port.n - 1, SOLICITATION, 255);
		assert_memory_equal(port.data[port.n - 1], peer_mac, 6);
		// RFC 4861 4.4: the answer to a question to one MAC may leave it out.
		advertise(peer, i % 2 ? peer_mac : NULL);
	}
	assert_in_range(ctr.tx_nd_solicitations, 6, 8);
	// It moved: after one unanswered question all are asked.
	for (int i = 0; i < 60 && ctr.tx_nd_solicitations < 10; i++) {
		port.n = 0;
		send_to(peer);
		go(PEN_US_PER_S);
	}
	bool all = false;
	for (uint32_t i = 0; i < port.n; i++)
		all |= port.data[i][0] == 0x33;
	assert_true(all);
	stop();
}

static void unsolicited_claims_do_not_poison(void **state)
{
	(void)state;
	struct pen_addr us = source(0);

	start(1, NULL);
	advertise(peer, evil_mac);
	nd_in(ADVERTISEMENT, 0x20, peer, all_nodes, peer, evil_mac);
	assert_int_equal(ctr.drop_nd_unsolicited, 2);
	send_to(peer);
	sent_icmp(0, SOLICITATION, 255); // nothing was learned
	advertise(peer, peer_mac);
	advertise(peer, evil_mac);
	port.n = 0;
	send_to(peer);
	assert_memory_equal(port.data[0], peer_mac, 6);
	assert_int_equal(ctr.tx_nd_solicitations, 2); // but all were asked again
	// While we ask, a claim without the override flag replaces nothing.
	nd_in(ADVERTISEMENT, 0x40, peer, us.ip, peer, evil_mac);
	send_to(peer);
	assert_memory_equal(port.data[1], peer_mac, 6);
	// Nobody takes an address of ours.
	nd_in(ADVERTISEMENT, 0x60, peer, us.ip, us.ip, evil_mac);
	assert_int_equal(ctr.drop_nd_not_ours, 1);
	stop();
}

static void who_asks_for_us_is_learned_when_on_the_link(void **state)
{
	(void)state;
	struct pen_addr us = source(0);

	start(1, router_ll);
	solicit(peer, us.ip, peer_mac);
	solicit(router_ll, us.ip, evil_mac);
	port.n = 0;
	send_to(peer);
	assert_memory_equal(port.data[0], peer_mac, 6);
	send_to(far); // through the gateway
	assert_memory_equal(port.data[1], evil_mac, 6);
	solicit(far, us.ip, peer_mac);
	assert_int_equal(inet->nneigh, 2);
	stop();
}

static void far_destinations_go_through_the_gateway_or_nowhere(void **state)
{
	(void)state;
	struct pen_addr src = source(0), dst = addr_of_ip6(far);

	start(1, router);
	assert_true(pen_inet_has_route(inet, &src, &dst));
	send_to(far);
	assert_memory_equal(sent_icmp(0, SOLICITATION, 255) + 8, router, 16);
	stop();
	start(1, NULL);
	assert_false(pen_inet_has_route(inet, &src, &dst));
	send_to(far);
	send_to(all_nodes);
	send_to(src.ip);
	assert_int_equal(ctr.drop_tx_no_route, 3);
	assert_int_equal(port.lent, 0);
	dst = pen_addr_ip4(0x0a000001);
	assert_false(pen_inet_has_route(inet, &src, &dst));
	stop();
}

static void addresses_of_one_hash_are_told_apart(void **state)
{
	(void)state;
	// What multiplies the first half can be divided away again (Newton).
	const uint64_t factor = 0x9e3779b97f4a7c15u, factor2 = 0xc2b2ae3d27d4eb4fu;
	uint64_t inverse = factor, half;
	struct pen_addr us = source(0);
	uint8_t other[16] = {[8] = 1, [15] = 9};

	for (int i = 0; i < 6; i++)
		inverse *= 2 - factor * inverse;
	half = raw64(peer) * factor ^ raw64(peer + 8) * factor2;
	half = (half ^ raw64(other + 8) * factor2) * inverse;
	memcpy(other, &half, 8);
	assert_int_equal(hash_ip6(other), hash_ip6(peer));
	start(1, NULL);
	struct pen_addr a = addr_of_ip6(other);
	pen_inet_neigh_learn(inet, &a, evil_mac, false, now);
	solicit(peer, us.ip, peer_mac);
	assert_int_equal(inet->nneigh, 2);
	port.n = 0;
	send_to(peer);
	assert_memory_equal(port.data[0], peer_mac, 6);
	stop();
}

static void discovery_from_beyond_the_link_is_refused(void **state)
{
	(void)state;
	struct pen_addr us = source(0);
	uint8_t icmp[40] = {SOLICITATION, [24] = 1, 1, 2, 0, 0, 0, 0, 2};

	start(1, NULL);
	memcpy(icmp + 8, us.ip, 16);
	icmp_in(peer, us.ip, 254, icmp, 32); // came over a router
	icmp[1] = 1;
	icmp_in(peer, us.ip, 255, icmp, 32);
	icmp[1] = 0;
	icmp_in(peer, us.ip, 255, icmp, 23);
	icmp_in(peer, us.ip, 255, icmp, 30); // the option is cut off
	icmp[24] = 14;
	icmp[25] = 0;
	icmp_in(peer, us.ip, 255, icmp, 32); // of no length: a loop for the careless
	icmp[24] = 1;
	icmp[25] = 2;
	icmp_in(peer, us.ip, 255, icmp, 32);
	icmp[25] = 1;
	icmp[26] = 3; // a multicast MAC
	icmp_in(peer, us.ip, 255, icmp, 32);
	assert_int_equal(ctr.drop_nd_malformed, 7);
	icmp[26] = 2;
	icmp_in(peer, us.ip, 255, icmp, 32);
	assert_int_equal(port.n, 1);
	uint8_t ra[24] = {134}, redirect[40] = {137};
	icmp_in(router_ll, all_nodes, 255, ra, sizeof(ra));
	icmp_in(router_ll, us.ip, 255, redirect, sizeof(redirect));
	assert_int_equal(ctr.drop_nd_router, 2);
	assert_int_equal(port.n, 1);
	stop();
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(every_one_of_thousands_of_sources_answers_solicitations),
		cmocka_unit_test(the_link_local_address_comes_from_the_mac_and_answers),
		cmocka_unit_test(a_check_for_duplicates_is_told_that_the_address_is_taken),
		cmocka_unit_test(frames_wait_for_the_neighbour_and_then_leave_in_order),
		cmocka_unit_test(a_silent_neighbour_is_asked_three_times_and_then_left_alone),
		cmocka_unit_test(a_neighbour_in_use_is_asked_alone_before_it_expires),
		cmocka_unit_test(unsolicited_claims_do_not_poison),
		cmocka_unit_test(who_asks_for_us_is_learned_when_on_the_link),
		cmocka_unit_test(far_destinations_go_through_the_gateway_or_nowhere),
		cmocka_unit_test(addresses_of_one_hash_are_told_apart),
		cmocka_unit_test(discovery_from_beyond_the_link_is_refused),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
