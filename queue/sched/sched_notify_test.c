// SPDX-License-Identifier: BSD-3-Clause

// Who is told what about the fate of mail.
#include "pen_test.h"
#include "sched_steps.h"

#include <errno.h>
#include <stdlib.h>

#define S PEN_US_PER_S

// Its notification stays with the test.
static struct world *holding(void (*tweak)(struct pen_sched_config *cfg))
{
	struct world *w = world_new(tweak);

	w->hold_submissions = true;
	return w;
}

static void notify_never(struct pen_message *m)
{
	m->rcpt[0].notify = PEN_NOTIFY_NEVER;
}

static void never_means_silence(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = notify_never;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	answer_all(w, 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(w->log[0].status, PEN_STATUS_BOUNCED);
	assert_int_equal(w->nsub, 0);
	// The others of the same message are told about.
	world_add(w, "s@x", "never@a.test,r@a.test");
	answer_all(w, 550);
	assert_int_equal(w->nsub, 1);
	assert_non_null(strstr(w->sub[0].content, "Final-Recipient: rfc822; r@a.test"));
	assert_null(strstr(w->sub[0].content, "never@a.test"));
	world_free(w);
}

static void notify_success(struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++)
		m->rcpt[i].notify = PEN_NOTIFY_SUCCESS;
}

static void only_success_wanted_means_no_failure_notice(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = notify_success;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	answer_all(w, 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(w->nsub, 0);
	world_free(w);
}

static void a_server_without_dsn_makes_us_report_that_it_relayed(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = notify_success;
	uint64_t id = world_add(w, "s@x", "r@a.test,q@a.test");
	answer_all(w, 250);
	// It is not delivered again whatever becomes of the report.
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_false(world_stored(w, id)->removed);
	assert_int_equal(w->nsub, 1);
	assert_string_equal(w->sub[0].rcpt, "s@x");
	assert_non_null(strstr(w->sub[0].content, "Final-Recipient: rfc822; r@a.test\r\n"
						  "Action: relayed\r\nStatus: 2."));
	assert_non_null(strstr(w->sub[0].content, "rfc822; q@a.test"));
	assert_null(strstr(w->sub[0].content, "Body line"));
	world_submitted(w, 0, -ENOSPC);
	world_wait(w, 61 * S);
	assert_int_equal(w->nsub, 2);
	world_submitted(w, 1, 0);
	assert_true(world_stored(w, id)->gone);
	world_free(w);
}

static void a_server_with_dsn_reports_itself(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = notify_success;
	uint64_t id = world_add(w, "s@x", "r@a.test");
	w->lease[0].l->dsn = true;
	world_ready(w, 0);
	assert_int_equal(w->flying[0]->rcpt[0].notify, PEN_NOTIFY_SUCCESS);
	answer_all(w, 250);
	assert_true(world_stored(w, id)->gone);
	assert_int_equal(w->nsub, 0);
	world_free(w);
}

static void notify_both(struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++)
		m->rcpt[i].notify = PEN_NOTIFY_SUCCESS | PEN_NOTIFY_FAILURE;
}

static void failures_and_successes_are_told_apart(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = notify_both;
	uint64_t id = world_add(w, "s@x", "ok@a.test,bad@a.test,later@a.test");
	world_ready_all(w);
	struct pen_delivery *d = w->flying[0];
	world_answer_one(d, 0, 250);
	world_answer_one(d, 1, 550);
	world_answer_one(d, 2, 450);
	world_done(w, d);
	assert_int_equal(w->nsub, 1);
	assert_non_null(strstr(w->sub[0].content, "bad@a.test"));
	assert_null(strstr(w->sub[0].content, "ok@a.test"));
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_QUEUED);
	w->edit = NULL;
	world_submitted(w, 0, 0);
	assert_int_equal(w->nsub, 2);
	assert_non_null(strstr(w->sub[1].content, "ok@a.test"));
	assert_null(strstr(w->sub[1].content, "bad@a.test"));
	world_submitted(w, 1, 0);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_BOUNCED);
	assert_int_equal(world_stats(w).deferred, 1);
	// The next pass tells of its own results only.
	w->nsub = 0;
	for (int i = 0; i < 2; i++)
		free(w->sub[i].content);
	memset(w->sub, 0, 2 * sizeof(w->sub[0]));
	world_wait(w, 301 * S);
	answer_all(w, 250);
	assert_int_equal(w->nsub, 1);
	assert_non_null(strstr(w->sub[0].content, "later@a.test"));
	assert_null(strstr(w->sub[0].content, "ok@a.test"));
	world_free(w);
}

static void deleting_a_message_with_an_open_report_keeps_its_fate(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = notify_both;
	uint64_t id = world_add(w, "s@x", "ok@a.test,bad@a.test");
	world_ready_all(w);
	world_answer_one(w->flying[0], 0, 250);
	world_answer_one(w->flying[0], 1, 550);
	world_done(w, w->flying[0]);
	assert_int_equal(pen_sched_delete(w->s, id), 0);
	world_submitted(w, 0, -ENOSPC);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_DELIVERED);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_DELETED);
	assert_true(world_stored(w, id)->gone);
	// Nothing but the report is left of this one.
	id = world_add(w, "s@x", "ok@b.test");
	answer_all(w, 250);
	assert_int_equal(pen_sched_delete(w->s, id), 0);
	assert_false(world_stored(w, id)->gone);
	w->edit = NULL;
	world_submitted(w, w->nsub - 1, 0);
	assert_true(world_stored(w, id)->gone);
	world_free(w);
}

static void requiretls_mail_returns_as_its_header(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS | PEN_MESSAGE_TLS_OPTIONAL);
	answer_all(w, 550);
	assert_int_equal(w->nsub, 1);
	assert_int_equal(w->sub[0].flags, PEN_MESSAGE_DSN);
	assert_non_null(strstr(w->sub[0].content, "Subject: hello"));
	assert_null(strstr(w->sub[0].content, "Body line"));
	// It ignores "TLS-Required: no", here too.
	assert_null(strstr(w->sub[0].content, "TLS-Required"));
	world_free(w);
}

static void no_redaction(struct pen_sched_config *cfg)
{
	cfg->redact_dsn = false;
}

static void unredacted_notifications_need_tls_themselves(void **state)
{
	struct world *w = holding(no_redaction);

	(void)state;
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_REQUIRETLS);
	answer_all(w, 550);
	assert_int_equal(w->sub[0].flags, PEN_MESSAGE_DSN | PEN_MESSAGE_REQUIRETLS);
	assert_non_null(strstr(w->sub[0].content, "Body line"));
	world_submitted(w, 0, 0);
	assert_int_equal(w->demand[w->nasked - 1], PEN_DEMAND_REQUIRETLS);
	world_free(w);
}

static void tls_required_no_is_copied(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_TLS_OPTIONAL);
	answer_all(w, 550);
	assert_int_equal(w->sub[0].flags, PEN_MESSAGE_DSN | PEN_MESSAGE_TLS_OPTIONAL);
	assert_non_null(strstr(w->sub[0].content, "\r\nTLS-Required: no\r\n"));
	assert_non_null(strstr(w->sub[0].content, "Body line"));
	world_free(w);
}

static void ret_hdrs_returns_the_header(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	add_flagged(w, "s@xQQ+2B1", "r@a.testrfc822;someone+2Belse@b.test", PEN_MESSAGE_RET_HDRS);
	answer_all(w, 550);
	assert_null(strstr(w->sub[0].content, "Body line"));
	add_flagged(w, "s@x", "r@a.test", PEN_MESSAGE_RET_FULL);
	answer_all(w, 550);
	assert_non_null(strstr(w->sub[1].content, "Body line"));
	world_free(w);
}

static void make_large(struct pen_message *m)
{
	static const char head[] = "Subject: large\r\n\r\n";

	free(m->content);
	m->content_len = 60000;
	m->content = malloc(m->content_len);
	memset(m->content, 'x', m->content_len);
	memcpy(m->content, head, sizeof(head) - 1);
	for (uint32_t i = sizeof(head) + 60; i + 1 < m->content_len; i += 70)
		memcpy(m->content + i, "\r\n", 2);
	memcpy(m->content + m->content_len - 2, "\r\n", 2);
}

static void a_large_message_returns_as_its_header(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = make_large;
	world_add(w, "s@x", "r@a.test");
	answer_all(w, 550);
	assert_non_null(strstr(w->sub[0].content, "text/rfc822-headers"));
	assert_non_null(strstr(w->sub[0].content, "Subject: large\r\n"));
	assert_null(strstr(w->sub[0].content, "xxxx"));
	world_free(w);
}

static void as_submitted(struct pen_message *m)
{
	// The ends of the sender and the address are texts of their own.
	m->sender_len -= 6;
	m->envid_len = 6;
	m->rcpt[0].addr_len -= 28;
	m->rcpt[0].orcpt_len = 28;
	m->rcpt[0].notify = PEN_NOTIFY_FAILURE | PEN_NOTIFY_DELAY;
}

static void what_the_sender_asked_for_goes_along(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = as_submitted;
	add_flagged(w, "s@xQQ+2B1", "r@a.testrfc822;someone+2Belse@b.test", PEN_MESSAGE_RET_HDRS);
	world_ready_all(w);
	const struct pen_delivery *d = w->flying[0];
	assert_true(pen_span_eq(d->envid, PEN_SPAN_LIT("QQ+2B1")));
	assert_int_equal(d->ret, PEN_RET_HDRS);
	assert_int_equal(d->rcpt[0].notify, PEN_NOTIFY_FAILURE | PEN_NOTIFY_DELAY);
	assert_true(pen_span_eq(d->rcpt[0].orcpt, PEN_SPAN_LIT("rfc822;someone+2Belse@b.test")));
	answer_all(w, 550);
	assert_non_null(strstr(w->sub[0].content, "Original-Envelope-Id: QQ+1\r\n"));
	assert_non_null(
		strstr(w->sub[0].content, "Original-Recipient: rfc822; someone+else@b.test\r\n"));
	world_free(w);
}

static void mail_without_a_sender_is_dropped_silently(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	uint64_t id = world_add(w, "", "r@a.test");
	answer_all(w, 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	assert_int_equal(w->nsub, 0);
	world_free(w);
}

static void ask_for_verp(struct pen_message *m)
{
	m->extra = calloc(1, sizeof(*m->extra));
	memcpy(m->extra->verp, "+=", 2);
}

static void failures_of_verp_mail_are_told_one_by_one_to_each_ones_sender(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = ask_for_verp;
	uint64_t id = world_add(w, "list@x.test", "a@a.test,b@a.test,c@a.test");
	uint64_t null = world_add(w, "", "a@a.test");
	w->edit = NULL;
	answer_all(w, 550);
	assert_int_equal(world_fate(w, null, 0), PEN_FATE_BOUNCED);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(w->nsub, i + 1);
		assert_int_equal(memcmp(w->sub[i].rcpt, "list+", 5), 0);
		uint32_t who = (uint32_t)(w->sub[i].rcpt[5] - 'a');
		char to[64], about[64];
		snprintf(to, sizeof(to), "list+%c=a.test@x.test", 'a' + (char)who);
		assert_string_equal(w->sub[i].rcpt, to);
		snprintf(about, sizeof(about), "Final-Recipient: rfc822; %c@a.test",
			'a' + (char)who);
		assert_non_null(strstr(w->sub[i].content, about));
		assert_null(strstr(strstr(w->sub[i].content, about) + 1, "Final-Recipient:"));
		assert_int_equal(world_fate(w, id, who), PEN_FATE_QUEUED);
		if (i == 1) { // it is tried again, and no other is told twice for that
			world_submitted(w, i, -ENOSPC);
			world_wait(w, 61 * S);
			assert_int_equal(w->nsub, 3);
			assert_string_equal(w->sub[2].rcpt, to);
			world_submitted(w, 2, 0);
			assert_int_equal(world_fate(w, id, who), PEN_FATE_BOUNCED);
			break;
		}
		world_submitted(w, i, 0);
		assert_int_equal(world_fate(w, id, who), PEN_FATE_BOUNCED);
	}
	assert_int_equal(w->nsub, 4);
	pen_sched_delete(w->s, id); // what is on its way to the spool is still told
	world_submitted(w, 3, 0);
	assert_true(world_stored(w, id)->gone);
	assert_int_equal(world_stats(w).deleted, 0);
	world_free(w);
}

static void nobody_is_told_of_the_rest_of_deleted_verp_mail(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	w->edit = ask_for_verp;
	uint64_t id = world_add(w, "list@x.test", "a@a.test,b@a.test,c@a.test");
	w->edit = NULL;
	answer_all(w, 550);
	pen_sched_delete(w->s, id);
	world_submitted(w, 0, 0);
	assert_int_equal(w->nsub, 1);
	assert_true(world_stored(w, id)->gone);
	assert_int_equal(world_stats(w).bounced, 1);
	assert_int_equal(world_stats(w).deleted, 2);
	world_free(w);
}

static void without_verp_bounces(struct pen_sched_config *cfg)
{
	cfg->disable_verp_bounces = true;
}

static void failures_of_verp_mail_may_be_told_together(void **state)
{
	struct world *w = holding(without_verp_bounces);

	(void)state;
	w->edit = ask_for_verp;
	uint64_t id = world_add(w, "list@x.test", "a@a.test,b@a.test");
	w->edit = NULL;
	answer_all(w, 550);
	assert_int_equal(w->nsub, 1);
	assert_string_equal(w->sub[0].rcpt, "list@x.test");
	world_submitted(w, 0, 0);
	assert_int_equal(world_fate(w, id, 1), PEN_FATE_BOUNCED);
	world_free(w);
}

static void double_bounces(struct pen_sched_config *cfg)
{
	cfg->notify_double_bounce = true;
}

static void the_postmaster_hears_of_double_bounces_once(void **state)
{
	struct world *w = holding(double_bounces);

	(void)state;
	uint64_t id = add_flagged(w, "", "r@a.test", PEN_MESSAGE_REQUIRETLS);
	answer_all(w, 550);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_QUEUED); // until he knows
	assert_int_equal(w->nsub, 1);
	assert_string_equal(w->sub[0].rcpt, "postmaster@gw.test");
	assert_non_null(strstr(w->sub[0].content, "Undelivered Mail Without a Sender"));
	assert_null(strstr(w->sub[0].content, "Body line")); // redacted like any other
	assert_int_equal(w->sub[0].flags, PEN_MESSAGE_DSN);
	world_submitted(w, 0, 0);
	assert_int_equal(world_fate(w, id, 0), PEN_FATE_BOUNCED);
	// That he cannot be told is not told to him.
	answer_all(w, 550);
	assert_int_equal(w->nsub, 1);
	assert_int_equal(world_stats(w).messages, 0);
	world_free(w);
}

static void a_route_that_ends_some_recipients_at_once_mixes_no_records(void **state)
{
	struct world *w = holding(NULL);

	(void)state;
	uint64_t a = world_add(w, "s@x", "r@discarded,r@a.test");
	assert_int_equal(world_fate(w, a, 0), PEN_FATE_DELIVERED);
	uint64_t b = world_add(w, "s@x", "r@discarded,r@unroutable");
	assert_int_equal(world_fate(w, b, 0), PEN_FATE_DELIVERED);
	world_submitted(w, 0, 0);
	assert_int_equal(world_fate(w, b, 1), PEN_FATE_BOUNCED);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(never_means_silence),
		cmocka_unit_test(only_success_wanted_means_no_failure_notice),
		cmocka_unit_test(a_server_without_dsn_makes_us_report_that_it_relayed),
		cmocka_unit_test(a_server_with_dsn_reports_itself),
		cmocka_unit_test(failures_and_successes_are_told_apart),
		cmocka_unit_test(deleting_a_message_with_an_open_report_keeps_its_fate),
		cmocka_unit_test(requiretls_mail_returns_as_its_header),
		cmocka_unit_test(unredacted_notifications_need_tls_themselves),
		cmocka_unit_test(tls_required_no_is_copied),
		cmocka_unit_test(ret_hdrs_returns_the_header),
		cmocka_unit_test(a_large_message_returns_as_its_header),
		cmocka_unit_test(what_the_sender_asked_for_goes_along),
		cmocka_unit_test(failures_of_verp_mail_are_told_one_by_one_to_each_ones_sender),
		cmocka_unit_test(nobody_is_told_of_the_rest_of_deleted_verp_mail),
		cmocka_unit_test(failures_of_verp_mail_may_be_told_together),
		cmocka_unit_test(mail_without_a_sender_is_dropped_silently),
		cmocka_unit_test(the_postmaster_hears_of_double_bounces_once),
		cmocka_unit_test(a_route_that_ends_some_recipients_at_once_mixes_no_records),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
