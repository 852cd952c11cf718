// SPDX-License-Identifier: BSD-3-Clause

// What a connection is opened with, and what its failure means for mail and
// site: demands, hosts of two families, TLS policy.
#include "pen_test.h"
#include "sched_steps.h"

#define S PEN_US_PER_S

static void mail_of_different_demands_never_shares_a_connection(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->one_site = true; // even if the resolver's key is the same
	add_flagged(w, "s@x", "r@a.test", 0);
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS);
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_TLS_OPTIONAL);
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_TLS_OPTIONAL);
	assert_int_equal(w->nasked, 3);
	assert_int_equal(w->demand[0], PEN_DEMAND_NONE);
	assert_int_equal(w->demand[1], PEN_DEMAND_REQUIRETLS);
	assert_int_equal(w->demand[2], PEN_DEMAND_NOT_REQUIRED);
	assert_int_equal(world_stats(w).sites, 3);
	assert_int_equal(world_leases(w), 4);
	// An idle connection is of no use to mail with another demand.
	world_run_ok(w);
	world_wait(w, 3 * S);
	uint32_t opened = (uint32_t)w->opened;
	add_flagged(w, "s@x", "q@b.test", PEN_MESSAGE_TLS_OPTIONAL);
	assert_int_equal(w->nflying, 1);
	assert_ptr_equal(w->flying[0]->lease->site, w->lease[2].l->site);
	assert_int_equal(w->opened, opened);
	world_run_ok(w);
	world_free(w);
}

static void mail_that_needs_smtputf8_has_sites_of_its_own(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->one_site = true;
	add_flagged(w, "s@x", "r@a.test", 0);
	// It came with SMTPUTF8, but all in it is ASCII: any server will do.
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_SMTPUTF8);
	assert_int_equal(world_stats(w).sites, 1);
	add_flagged(w, "s@x", "r\xc3\xa4@a.test", PEN_MESSAGE_SMTPUTF8);
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_SMTPUTF8 | PEN_MESSAGE_UTF8_HEADER);
	assert_int_equal(world_stats(w).sites, 2);
	assert_int_equal(w->nasked, 2);
	assert_false(w->lease[0].l->smtputf8);
	assert_true(w->lease[world_leases(w) - 1].l->smtputf8);
	world_run_ok(w);
	world_free(w);
}

static void ask_for_verp(struct pen_message *m)
{
	m->extra = calloc(1, sizeof(*m->extra));
	memcpy(m->extra->verp, "+=", 2);
}

static void with_verp_each_recipient_has_a_delivery_and_a_sender(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->edit = ask_for_verp;
	world_add(w, "list@x.test", "r@a.test,q@a.test");
	world_add(w, "", "r@a.test");
	world_ready_all(w);
	assert_int_equal(w->nflying, 3);
	for (uint32_t i = 0; i < w->nflying; i++)
		assert_int_equal(w->flying[i]->nrcpt, 1);
	assert_true(pen_span_eq(w->flying[0]->sender, PEN_SPAN_LIT("list+r=a.test@x.test")));
	assert_true(pen_span_eq(w->flying[1]->sender, PEN_SPAN_LIT("list+q=a.test@x.test")));
	assert_int_equal(w->flying[2]->sender.n, 0);
	world_run_ok(w);
	world_free(w);
}

static struct pen_sched_source two_families_source[2];

static void both_families(struct pen_sched_config *cfg)
{
	two_families_source[0] = (struct pen_sched_source){.addr = pen_addr_ip4(0xc0000201)};
	two_families_source[1] =
		(struct pen_sched_source){.addr = world_ip6(0x99), .helo = "six.test"};
	cfg->source = two_families_source;
}

static void a_lease_has_hosts_and_sources_of_both_families(void **state)
{
	struct world *w = world_new(both_families);

	(void)state;
	w->two_families = true;
	world_add(w, "s@x", "r@a.test");
	const struct pen_lease *l = w->lease[0].l;
	assert_int_equal(l->nhosts, 4);
	assert_int_equal(l->host[0].addr.family, PEN_FAMILY_IP6);
	assert_string_equal(l->host[0].name, "mx1.a.test");
	assert_int_equal(l->host[1].addr.family, PEN_FAMILY_IP4);
	assert_string_equal(l->host[1].name, "mx1.a.test");
	assert_string_equal(l->host[3].name, "mx2.a.test");
	assert_int_equal(l->source.family, PEN_FAMILY_IP4);
	assert_int_equal(l->source6.family, PEN_FAMILY_IP6);
	assert_string_equal(l->helo, "gw.test");
	assert_string_equal(l->helo6, "six.test");
	assert_false(l->lmtp);
	assert_int_equal(l->rules->session_limit, 2);
	assert_int_equal(w->prepared, 1);
	world_free(w);
}

static void hosts_of_a_family_without_source_are_left_out(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->two_families = true;
	world_add(w, "s@x", "r@a.test");
	const struct pen_lease *l = w->lease[0].l;
	assert_int_equal(l->nhosts, 2);
	assert_int_equal(l->host[0].addr.family, PEN_FAMILY_IP4);
	assert_int_equal(l->source6.family, PEN_FAMILY_NONE);
	world_free(w);
}

static void only_six(struct pen_sched_config *cfg)
{
	both_families(cfg);
	cfg->source = &two_families_source[1];
	cfg->nsources = 1;
}

static void a_site_without_any_reachable_family_is_deferred(void **state)
{
	struct world *w = world_new(only_six);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_wait(w, 1000);
	assert_int_equal(world_leases(w), 0);
	assert_string_equal(last_log(w)->dsn, "4.4.0");
	assert_string_equal(last_log(w)->tls, "");
	world_free(w);
}

// Twelve hosts of one preference, three of IPv6 first: as a resolver orders them.
static void twelve(struct pen_sched *s, uint64_t token)
{
	static struct pen_route_result r;

	pen_dsn_set(&r.status, 2, 0, 0, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "ok");
	r.site_key = PEN_SPAN_LIT("twelve");
	r.ttl = 3600 * S;
	r.nhosts = 12;
	for (uint32_t i = 0; i < r.nhosts; i++) {
		r.host[i].tls = pen_tls_policy_plain(PEN_TLS_MAY, "mx");
		r.host[i].addr = i < 3 ? world_ip6((uint8_t)i) : pen_addr_ip4(0x0a000000 + i);
		r.host[i].port = 25;
	}
	pen_sched_on_resolved(s, token, &r);
	for (uint32_t i = 0; i < r.nhosts; i++)
		pen_tls_policy_unref(r.host[i].tls);
}

static void equal_hosts_share_the_load_within_their_family(void **state)
{
	struct world *w = world_new(both_families);
	uint32_t first[2][12] = {0};

	(void)state;
	w->hold_resolves = true;
	for (int i = 0; i < 200; i++)
		world_add(w, "s@x", "r@a.test");
	twelve(w->s, w->resolve[0]);
	w->nresolve = 0;
	for (int round = 0; round < 40; round++) {
		for (uint32_t i = 0; i < w->nlease; i++) {
			const struct pen_lease *l = w->lease[i].l;
			assert_int_equal(l->nhosts, 12);
			for (uint32_t k = 0; k < 12; k++)
				assert_int_equal(l->host[k].addr.family,
					k < 3 ? PEN_FAMILY_IP6 : PEN_FAMILY_IP4);
			first[0][l->host[0].addr.ip[15]]++;
			first[1][l->host[3].addr.ip[3]]++;
			world_ready(w, i);
			world_answer(w, world_oldest(w, i), 250);
			world_quit(w, i);
			break;
		}
	}
	for (uint32_t i = 0; i < 12; i++)
		assert_true(first[i < 3 ? 0 : 1][i] > 0);
	world_free(w);
}

static void one_minute(struct pen_sched_config *cfg)
{
	cfg->tls_fallback_delay = 60 * S;
}

static void a_policy_may_want_a_connection_for_each_message(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	w->one_use = true;
	world_add(w, "s@x", "r@a.test");
	assert_int_equal(w->lease[0].l->max_messages, 1);
	w->one_use = false;
	world_add(w, "s@x", "r@b.test");
	assert_int_not_equal(w->lease[1].l->max_messages, 1);
	world_free(w);
}

static void a_retry_in_plaintext_is_a_matter_of_the_messages_age(void **state)
{
	struct world *w = world_new(one_minute);

	(void)state;
	world_recover(w, "s@x", "r@a.test", world_wall(w) - 59 * S, 0, 0);
	assert_false(w->lease[0].l->plain_retry);
	world_recover(w, "s@x", "r@b.test", world_wall(w) - 60 * S, 0, 0);
	assert_true(w->lease[1].l->plain_retry);
	world_free(w);
}

static void a_failed_handshake_at_level_may_defers_one_message_only(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	for (int i = 0; i < 20; i++)
		world_add(w, "s@x", "r@a.test");
	for (uint32_t i = 0; i < 10; i++) {
		assert_int_equal(world_leases(w), 5);
		world_fail(w, world_lease_at(w, 0), PEN_TLS_MAY, 4, 5, PEN_SCOPE_SESSION,
			PEN_ORIGIN_LOCAL, PEN_STAGE_TLS);
		assert_int_equal(world_stats(w).deferred, i + 1);
		assert_string_equal(last_log(w)->tls, "may?");
		assert_string_equal(last_log(w)->dsn, "4.7.5");
	}
	assert_int_equal(world_stats(w).sites_dead, 0);
	// The same at a higher level suspends the site.
	for (uint32_t i = 0; i < 3; i++)
		world_fail(w, world_lease_at(w, 0), PEN_TLS_SECURE, 4, 5, PEN_SCOPE_SESSION,
			PEN_ORIGIN_LOCAL, PEN_STAGE_TLS);
	assert_int_equal(world_stats(w).sites_dead, 1);
	assert_string_equal(last_log(w)->tls, "secure?");
	world_wait(w, 1000);
	assert_int_equal(world_stats(w).deferred, 20);
	assert_string_equal(last_log(w)->tls, ""); // a dead destination
	world_free(w);
}

static void an_unreachable_host_shows_its_policy(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_wait(w, 7000);
	world_fail(w, 0, PEN_TLS_MAY, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT);
	assert_string_equal(last_log(w)->relay, "none");
	// The time went into the connection, not into the queue.
	assert_int_equal(last_log(w)->delay[1], 0);
	assert_int_equal(last_log(w)->delay[2], 7000);
	assert_string_equal(last_log(w)->tls, "may?");
	w->route = WORLD_ROUTE_SOFT;
	world_add(w, "s@x", "r@b.test");
	assert_string_equal(last_log(w)->relay, "none");
	assert_string_equal(last_log(w)->tls, "");
	world_free(w);
}

static void refuse_for_good(struct world *w, uint32_t lease)
{
	world_fail(w, lease, PEN_TLS_MAY, 5, 10, PEN_SCOPE_SITE, PEN_ORIGIN_POLICY, PEN_STAGE_NONE);
}

static void a_last_word_bounces_what_waits_at_this_site_only(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t first = add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS);
	for (int i = 1; i < 300; i++)
		add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS);
	uint64_t other = add_flagged(w, "s@x", "r@a.test", 0);
	refuse_for_good(w, 0);
	assert_int_equal(world_fate(w, first, 0), PEN_FATE_BOUNCED);
	assert_int_equal(world_stored(w, first)->attempts[0], 1);
	assert_string_equal(last_log(w)->tls, "may?");
	assert_string_equal(last_log(w)->dsn, "5.7.10");
	assert_int_equal(world_fate(w, first + 1, 0), PEN_FATE_QUEUED); // in steps
	pen_sched_poll(w->s, 10);
	assert_int_equal(world_fate(w, first + 1, 0), PEN_FATE_BOUNCED);
	assert_int_equal(world_fate(w, first + 299, 0), PEN_FATE_QUEUED);
	world_wait(w, 1000);
	for (uint64_t id = first; id < first + 300; id++)
		assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(world_stats(w).sites_dead, 0);
	assert_int_equal(world_fate(w, other, 0), PEN_FATE_QUEUED);
	// Later mail asks again.
	uint64_t opened = w->opened;
	uint64_t later = add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS);
	assert_true(w->opened > opened || world_leases(w) > 0);
	world_run_ok(w);
	assert_int_equal(world_fate(w, later, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, other, 0), PEN_FATE_DELIVERED);
	world_free(w);
}

static void a_session_that_comes_up_saves_what_still_waits(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	uint64_t first = world_add(w, "", "r@a.test");
	for (int i = 1; i < 300; i++)
		world_add(w, "", "r@a.test");
	refuse_for_good(w, 0);
	pen_sched_poll(w->s, 10);
	assert_int_equal(world_leases(w), 4);
	world_ready(w, 1);
	world_run_ok(w);
	assert_int_equal(world_fate(w, first, 0), PEN_FATE_BOUNCED);
	assert_int_equal(world_fate(w, first + 299, 0), PEN_FATE_DELIVERED);
	// And beside a session that is up nothing bounces at all.
	uint64_t before = world_stats(w).bounced;
	for (int i = 0; i < 300; i++)
		world_add(w, "", "r@a.test");
	for (uint32_t i = 0; i < w->nlease; i++) {
		if (w->lease[i].l != NULL && !w->lease[i].ready)
			refuse_for_good(w, i);
	}
	world_run_ok(w);
	assert_int_equal(world_stats(w).bounced, before);
	world_free(w);
}

static void soft_bounces(struct pen_sched_config *cfg)
{
	cfg->soft_bounce = true;
}

static void soft_bounce_keeps_mail_from_a_last_word(void **state)
{
	struct world *w = world_new(soft_bounces);

	(void)state;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	world_add(w, "s@x", "r@a.test");
	refuse_for_good(w, 0);
	world_wait(w, 1000);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED);
	assert_int_equal(last_log(w)->status, PEN_STATUS_SOFTBOUNCE);
	assert_string_equal(last_log(w)->dsn, "4.7.10");
	assert_int_equal(world_stats(w).deferred, 2);
	world_free(w);
}

static void a_refusal_with_waiting_mail_does_not_outlive_the_scheduler(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	for (int i = 0; i < 50; i++)
		world_add(w, "s@x", "r@a.test");
	refuse_for_good(w, 0);
	world_free(w); // the leak checker looks
}

static void sessions_are_told_when_they_begin_and_end(void **state)
{
	struct world *w = world_new(NULL);

	(void)state;
	world_add(w, "s@x", "r@a.test");
	world_ready(w, 0);
	assert_int_equal(w->sessions_up, 1);
	assert_int_equal(w->sessions_over, 0);
	world_answer(w, w->flying[0], 250);
	world_quit(w, 0);
	assert_int_equal(w->sessions_over, 1);
	world_add(w, "s@x", "r@a.test");
	world_refuse(w, 0); // without a session, too
	assert_int_equal(w->sessions_up, 1);
	assert_int_equal(w->sessions_over, 2);
	world_free(w);
}

static bool see_site(void *ctx, const struct pen_site_view *view)
{
	*(struct pen_site_view *)ctx = *view;
	return false;
}

static void a_server_that_wants_us_later_does_not_change_the_window(void **state)
{
	struct world *w = world_new(NULL);
	struct pen_site_view v;

	(void)state;
	for (int i = 0; i < 100; i++)
		world_add(w, "s@x", "r@a.test");
	world_ready_all(w);
	for (int i = 0; i < 40; i++)
		world_answer(w, w->flying[0], 451);
	pen_sched_sites(w->s, see_site, &v);
	assert_int_equal(v.window, 5);
	assert_int_equal(v.dead_for, 0);
	world_answer(w, w->flying[0], 550); // it works, and says no
	pen_sched_sites(w->s, see_site, &v);
	assert_int_equal(v.window, 6);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mail_of_different_demands_never_shares_a_connection),
		cmocka_unit_test(mail_that_needs_smtputf8_has_sites_of_its_own),
		cmocka_unit_test(with_verp_each_recipient_has_a_delivery_and_a_sender),
		cmocka_unit_test(a_lease_has_hosts_and_sources_of_both_families),
		cmocka_unit_test(hosts_of_a_family_without_source_are_left_out),
		cmocka_unit_test(a_site_without_any_reachable_family_is_deferred),
		cmocka_unit_test(equal_hosts_share_the_load_within_their_family),
		cmocka_unit_test(a_policy_may_want_a_connection_for_each_message),
		cmocka_unit_test(a_retry_in_plaintext_is_a_matter_of_the_messages_age),
		cmocka_unit_test(a_failed_handshake_at_level_may_defers_one_message_only),
		cmocka_unit_test(an_unreachable_host_shows_its_policy),
		cmocka_unit_test(a_last_word_bounces_what_waits_at_this_site_only),
		cmocka_unit_test(a_session_that_comes_up_saves_what_still_waits),
		cmocka_unit_test(soft_bounce_keeps_mail_from_a_last_word),
		cmocka_unit_test(a_refusal_with_waiting_mail_does_not_outlive_the_scheduler),
		cmocka_unit_test(sessions_are_told_when_they_begin_and_end),
		cmocka_unit_test(a_server_that_wants_us_later_does_not_change_the_window),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
