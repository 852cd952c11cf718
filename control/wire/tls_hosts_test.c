// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "tls_hosts.h"

#include <stdio.h>

#define DAY (86400 * PEN_US_PER_S)

static void a_host_is_remembered_for_as_long_as_was_asked(void **state)
{
	struct tls_hosts *t = tls_hosts_new(1000, DAY, 1);

	(void)state;
	assert_false(tls_hosts_seen(t, "mx.example", 5));
	tls_hosts_note(t, "mx.example", 5);
	assert_true(tls_hosts_seen(t, "mx.example", 4 + DAY));
	assert_false(tls_hosts_seen(t, "mx.example", 5 + DAY));
	assert_false(tls_hosts_seen(t, "my.example", 6));
	tls_hosts_note(t, "mx.example", DAY);
	assert_true(tls_hosts_seen(t, "mx.example", 6 + DAY));
	tls_hosts_free(t);
}

static void with_no_memory_nothing_is_ever_seen(void **state)
{
	struct tls_hosts *t = tls_hosts_new(1000, 0, 1);

	(void)state;
	tls_hosts_note(t, "mx.example", 5);
	assert_false(tls_hosts_seen(t, "mx.example", 5));
	tls_hosts_free(t);
}

static void too_many_hosts_push_out_the_oldest(void **state)
{
	struct tls_hosts *t = tls_hosts_new(64, DAY, 1);
	char name[32];
	int old = 0, fresh = 0;

	(void)state;
	for (int i = 0; i < 6400; i++) {
		snprintf(name, sizeof(name), "mx%d.example", i);
		tls_hosts_note(t, name, i);
		assert_true(tls_hosts_seen(t, name, i));
	}
	for (int i = 0; i < 6400; i++) {
		snprintf(name, sizeof(name), "mx%d.example", i);
		*(i < 6200 ? &old : &fresh) += tls_hosts_seen(t, name, 6400);
	}
	assert_true(old + fresh <= 64);
	assert_true(fresh > old);
	tls_hosts_free(t);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(a_host_is_remembered_for_as_long_as_was_asked),
		cmocka_unit_test(with_no_memory_nothing_is_ever_seen),
		cmocka_unit_test(too_many_hosts_push_out_the_oldest),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
