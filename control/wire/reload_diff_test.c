// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "reload_diff.h"

#include <stdio.h>
#include <unistd.h>

#define EGRESS                                                                                     \
	"port p0 { device = net_tap0 }\n"                                                          \
	"source s0 { address = 10.0.0.2 }\n"                                                       \
	"source s1 { address = 10.0.0.3; helo = b.example }\n"

static char dir[64], said[4096];
static struct pen_config *boot, *next;
static struct reload_diff diff;

static void note(void *ctx, const struct pen_report_entry *e)
{
	char line[2048];
	size_t n = strlen(said);

	(void)ctx;
	snprintf(said + n, sizeof(said) - n, "%s\n", pen_report_format(e, line, sizeof(line)));
}

static struct pen_report report = {.fn = note};

static void put(const char *name, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static struct pen_config *load(const char *main_cf, const char *egress)
{
	char head[4096];

	snprintf(head, sizeof(head), "myhostname = gw.example\n%s", main_cf);
	put("main.cf", head);
	put("egress.conf", egress);
	struct pen_config *c = pen_config_load(dir, &report);
	if (c == NULL)
		fail_msg("%s", said);
	return c;
}

static int begin(void **state)
{
	(void)state;
	strcpy(dir, "reload_diff_test.XXXXXX");
	assert_non_null(mkdtemp(dir));
	said[0] = '\0';
	return 0;
}

static int end(void **state)
{
	char command[128];

	(void)state;
	pen_config_free(boot);
	pen_config_free(next);
	json_decref(diff.changed);
	json_decref(diff.restart);
	boot = next = NULL;
	diff = (struct reload_diff){NULL, NULL};
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static bool compare(const char *was, const char *was_egress, const char *is, const char *is_egress)
{
	boot = load(was, was_egress);
	next = load(is, is_egress);
	return reload_compare(boot, boot, boot->egress.shape, next, &diff, &report);
}

static void expect(const json_t *list, const char *text)
{
	char *got = json_dumps(list, JSON_COMPACT);

	assert_string_equal(got, text);
	free(got);
}

static void nothing_changed_is_nothing_to_say(void **state)
{
	(void)state;
	assert_true(compare("", EGRESS, "", EGRESS));
	expect(diff.changed, "[]");
	expect(diff.restart, "[]");
	assert_string_equal(said, "");
}

static void parameters_that_are_read_anew_take_effect(void **state)
{
	(void)state;
	assert_true(compare("soft_bounce = no\n", EGRESS,
		"soft_bounce = yes\nrelayhost = [relay.example]\nmaximal_queue_lifetime = 120h\n",
		EGRESS "site a { mx = [a.example] }\n"));
	// 120 hours are the five days that it was, written in another way.
	expect(diff.changed,
		"[\"maximal_queue_lifetime\",\"soft_bounce\",\"relayhost\",\"egress.conf\"]");
	expect(diff.restart, "[]");
}

static void what_is_kept_by_a_part_needs_a_restart(void **state)
{
	(void)state;
	assert_true(compare("", EGRESS, "smtpd_listen = 127.0.0.1:2525\nmyhostname = x.example\n",
		"workers = 2\n" EGRESS));
	json_t *one;
	char names[512] = "";
	size_t i;
	json_array_foreach(diff.restart, i, one)
	{
		strcat(names, json_string_value(json_object_get(one, "name")));
		strcat(names, " ");
	}
	// With myhostname, what is made of it.
	assert_non_null(strstr(names, "myhostname "));
	assert_non_null(strstr(names, "smtpd_listen "));
	assert_non_null(strstr(names, "workers "));
	json_array_foreach(diff.restart, i, one)
	{
		if (strcmp(json_string_value(json_object_get(one, "name")), "smtpd_listen") != 0)
			continue;
		assert_string_equal(
			json_string_value(json_object_get(one, "value")), "127.0.0.1:2525");
		assert_string_equal(
			json_string_value(json_object_get(one, "in_effect")), "127.0.0.1:25");
		assert_int_equal(json_integer_value(json_object_get(one, "line")), 2);
	}
}

static void a_source_keeps_its_place(void **state)
{
	(void)state;
	assert_false(compare("", EGRESS, "",
		"port p0 { device = net_tap0 }\n"
		"source s1 { address = 10.0.0.3 }\nsource s0 { address = 10.0.0.2 }\n"));
	assert_non_null(strstr(said, "egress.conf: error: source s1 (10.0.0.3) stands where source "
				     "s0 (10.0.0.2) is in use: a change of sources or of their "
				     "order needs a restart"));
}

static void a_new_source_needs_a_restart(void **state)
{
	(void)state;
	assert_false(compare("", EGRESS, "", EGRESS "source s2 { address = 10.0.0.4 }\n"));
	assert_non_null(strstr(said, "3 sources, 2 are in use"));
}

static void pools_are_put_into_the_order_that_is_in_use(void **state)
{
	(void)state;
	assert_true(compare("", EGRESS "pool a { sources = [s0] }\npool b { sources = [s1] }\n", "",
		EGRESS "pool b { sources = [s1, s0] }\npool a { sources = [s0]; connections = 3 "
		       "}\n"));
	const struct pen_shape_config *c = next->egress.shape;
	assert_string_equal(c->pool[0].name, "default");
	assert_string_equal(c->pool[1].name, "a");
	assert_int_equal(c->pool[1].limits.connections, 3);
	assert_string_equal(c->pool[2].name, "b");
	assert_int_equal(c->pool[2].nmembers, 2);
}

static void pools_that_come_or_go_need_a_restart(void **state)
{
	(void)state;
	assert_false(compare("", EGRESS, "", EGRESS "pool a { sources = [s0] }\n"));
	assert_non_null(strstr(said, "egress.conf:4: error: pool a is new"));
	end(NULL);
	begin(NULL);
	assert_false(compare("", EGRESS "pool a { sources = [s0] }\n", "", EGRESS));
	assert_non_null(strstr(said, "pool a is in use and not there any more"));
}

static void a_name_in_egress_conf_is_compared_with_the_start(void **state)
{
	(void)state;
	assert_true(compare("", EGRESS, "",
		"port p0 { device = net_tap0 }\nsource s0 { address = 10.0.0.2; helo = "
		"new.example }\n"
		"source s1 { address = 10.0.0.3; helo = b.example }\n"));
	assert_string_equal(
		json_string_value(json_object_get(json_array_get(diff.restart, 0), "name")),
		"source s0: helo");
}

// A misspelt name in the list would make a parameter need a restart for ever.
static void each_live_name_is_a_parameter(void **state)
{
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < pen_param_count; i++)
		n += reload_is_live(pen_param_table[i].name);
	assert_int_equal(n, reload_live_count());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(nothing_changed_is_nothing_to_say),
		TEST(parameters_that_are_read_anew_take_effect),
		TEST(what_is_kept_by_a_part_needs_a_restart),
		TEST(a_source_keeps_its_place),
		TEST(a_new_source_needs_a_restart),
		TEST(pools_are_put_into_the_order_that_is_in_use),
		TEST(pools_that_come_or_go_need_a_restart),
		TEST(a_name_in_egress_conf_is_compared_with_the_start),
		TEST(each_live_name_is_a_parameter),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
