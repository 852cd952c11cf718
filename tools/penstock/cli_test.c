// SPDX-License-Identifier: BSD-3-Clause

// The verbs against the real control server with handlers of the test's own, so
// that client and server agree about the shapes in control/ops/README.md.

#include "pen_control.h"
#include "pen_test.h"
#include "penstock.h"

#include <unistd.h>

static char dir[100], path[108], output[200];
static struct pen_control *server;
static unsigned pages;

static json_t *entry(int i)
{
	char id[16];

	snprintf(id, sizeof(id), "3Zk%04d", i);
	return json_pack("{s:s,s:s,s:i,s:i,s:b,s:s,s:[{s:s,s:s},{s:s}]}", "queue_name",
		i == 0 ? "active" : "deferred", "queue_id", id, "arrival_time", 1795232580,
		"message_size", 4096, "forced_expire", 0, "sender", i == 1 ? "" : "a@b",
		"recipients", "address", "c@d", "delay_reason", "host x said no\x1b[1m", "address",
		"e@f");
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_control_page p;
	char err[100], next[16];

	(void)ctx;
	assert_int_equal(pen_control_page(req->args, &p, err, sizeof(err)), 0);
	int from = atoi(p.cursor), to = from + (int)p.limit < 700 ? from + (int)p.limit : 700;
	json_t *entries = json_array();
	for (int i = from; i < to; i++)
		json_array_append_new(entries, entry(i));
	snprintf(next, sizeof(next), "%d", to);
	pages++;
	pen_control_done_ok(c, req->token,
		json_pack("{s:o,s:s?}", "entries", entries, "next", to < 700 ? next : NULL));
}

static void on_empty(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	(void)ctx;
	pen_control_done_ok(c, req->token, json_pack("{s:[],s:n}", "entries", "next"));
}

static void on_show(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	const char *id = json_string_value(json_object_get(req->args, "id"));

	(void)ctx;
	if (strcmp(id, "3Zk0001") == 0)
		pen_control_done_ok(c, req->token, entry(1));
	else
		pen_control_done_error(c, req->token, "%s: no such message", id);
}

static json_t *last_args; // of the last queue.apply
static unsigned applies;

static void on_apply(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	json_t *ids = json_object_get(req->args, "ids"), *missing = json_array(), *id;
	bool more = ids == NULL && json_object_get(req->args, "cursor") == NULL;
	size_t i;

	(void)ctx;
	json_decref(last_args);
	last_args = json_deep_copy(req->args);
	applies++;
	json_array_foreach(ids, i, id)
	{
		if (strcmp(json_string_value(id), "gone") == 0)
			json_array_append(missing, id);
	}
	json_int_t n =
		ids != NULL ? (json_int_t)(json_array_size(ids) - json_array_size(missing)) : 40;
	json_t *result = json_pack("{s:I,s:I,s:I,s:I,s:o}", "examined", (json_int_t)100, "messages",
		n, "recipients", n * 2, "done", n, "missing", missing);
	if (more)
		json_object_set_new(result, "next", json_string("A:B"));
	pen_control_done_ok(c, req->token, result);
}

static void on_rows(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	(void)ctx;
	json_decref(last_args);
	last_args = json_deep_copy(req->args);
	pen_control_done_ok(c, req->token,
		json_pack("{s:[{s:s,s:[i,i,i,i]},{s:s,s:[i,i,i,i]},{s:s,s:[i,i,i,i]}]}", "rows",
			"name", "TOTAL", "counts", 1234, 4, 1200, 30, "name", "a.example.test",
			"counts", 1000, 4, 996, 0, "name",
			".a-parent-with-a-long-name-that-has-to-be-cut.example.test", "counts", 234,
			0, 204, 30));
}

static void on_status(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	(void)ctx;
	pen_control_done_ok(c, req->token,
		json_pack("{s:s,s:i,s:{s:i},s:[{s:i}]}", "version", "0.1.0", "uptime", 3661,
			"totals", "accepted", 7, "workers", "connections", 3));
}

static void start(pen_control_fn *list)
{
	const char *base = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/penstock-test-XXXXXX", base != NULL ? base : P_tmpdir);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%.90s/control", dir);
	snprintf(output, sizeof(output), "%s/output", dir);
	struct pen_control_config cfg = {.path = path};
	assert_int_equal(pen_control_new(&cfg, &server), 0);
	pen_control_register(server, "queue.list", list, NULL);
	pen_control_register(server, "queue.show", on_show, NULL);
	pen_control_register(server, "queue.apply", on_apply, NULL);
	pen_control_register(server, "queue.shape", on_rows, NULL);
	pen_control_register(server, "suspend", on_rows, NULL);
	pen_control_register(server, "status", on_status, NULL);
	assert_int_equal(pen_control_start(server), 0);
}

static void stop(void)
{
	client_close();
	pen_control_free(server);
	json_decref(last_args);
	last_args = NULL;
	unlink(output);
	rmdir(dir);
}

// Runs a verb with standard output in a file; returns the text (static).
static const char *run(int (*verb)(struct cli *), bool json, char **argv, int want)
{
	static char text[1 << 20];
	int argc = 0, kept = dup(STDOUT_FILENO);

	while (argv != NULL && argv[argc] != NULL)
		argc++;
	struct cli cli = {.socket = path, .json = json, .argc = argc, .argv = argv};
	fflush(stdout);
	assert_non_null(freopen(output, "w", stdout));
	int status = verb(&cli);
	fflush(stdout);
	dup2(kept, STDOUT_FILENO);
	close(kept);
	assert_int_equal(status, want);
	FILE *f = fopen(output, "r");
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static void the_queue_is_listed_like_mailq_in_pages(void **state)
{
	(void)state;
	setenv("TZ", "UTC", 1);
	pages = 0;
	start(on_list);
	const char *text = run(verb_queue_list, false, NULL, EXIT_OK);
	const char *head =
		"----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n"
		"3Zk0000*              4096 Sat Nov 21 03:43:00 a@b\n";
	assert_memory_equal(text, head, strlen(head));
	assert_non_null(strstr(text, "(host x said no?[1m)\n"));
	assert_non_null(strstr(text, "3Zk0001               4096 Sat Nov 21 03:43:00 "
				     "MAILER-DAEMON\n"));
	assert_non_null(strstr(text, "-- 2800 Kbytes in 700 Requests.\n"));
	assert_int_equal(pages, 2);
	stop();
}

static void json_lists_one_object_per_line(void **state)
{
	(void)state;
	start(on_list);
	const char *text = run(verb_queue_list, true, NULL, EXIT_OK);
	unsigned lines = 0;
	for (const char *p = text; *p != '\0'; lines++) {
		const char *nl = strchr(p, '\n');
		json_t *o = json_loadb(p, (size_t)(nl - p), 0, NULL);
		assert_string_equal(
			json_string_value(json_object_get(o, "sender")), lines == 1 ? "" : "a@b");
		json_decref(o);
		p = nl + 1;
	}
	assert_int_equal(lines, 700);
	stop();
}

static void no_more_is_asked_for_than_the_limit(void **state)
{
	(void)state;
	char *words[] = {(char[]){"--limit"}, (char[]){"620"}, NULL};
	pages = 0;
	start(on_list);
	const char *text = run(verb_queue_list, true, words, EXIT_OK);
	unsigned lines = 0;
	for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	assert_int_equal(lines, 620);
	assert_int_equal(pages, 2);
	stop();
}

// Its rest is asked for on the same connection, before the next page.
static void on_list_in_parts(
	void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	const char *cursor = json_string_value(json_object_get(req->args, "cursor"));
	bool first = cursor == NULL || *cursor == '\0';
	json_t *e = entry(first ? 1 : 2);

	(void)ctx;
	if (first)
		json_object_set_new(e, "more_recipients", json_integer(2));
	pen_control_done_ok(
		c, req->token, json_pack("{s:[o],s:s?}", "entries", e, "next", first ? "1" : NULL));
}

static void a_message_in_parts_is_whole_before_the_next_page(void **state)
{
	(void)state;
	start(on_list_in_parts);
	const char *text = run(verb_queue_list, true, NULL, EXIT_OK);
	const char *nl = strchr(text, '\n');
	json_t *a = json_loadb(text, (size_t)(nl - text), 0, NULL);
	json_t *b = json_loads(nl + 1, JSON_DISABLE_EOF_CHECK, NULL);
	assert_string_equal(json_string_value(json_object_get(a, "queue_id")), "3Zk0001");
	assert_int_equal(json_array_size(json_object_get(a, "recipients")), 4);
	assert_string_equal(json_string_value(json_object_get(b, "queue_id")), "3Zk0002");
	assert_int_equal(json_array_size(json_object_get(b, "recipients")), 2);
	json_decref(a);
	json_decref(b);
	stop();
}

static void an_empty_queue_says_so(void **state)
{
	(void)state;
	start(on_empty);
	assert_string_equal(run(verb_queue_list, false, NULL, EXIT_OK), "Mail queue is empty\n");
	stop();
}

static void refusals_and_missing_messages_give_status_one(void **state)
{
	(void)state;
	char *one[] = {(char[]){"3Zk0001"}, NULL}, *none[] = {(char[]){"nope"}, NULL};
	char *some[] = {(char[]){"a"}, (char[]){"gone"}, (char[]){"b"}, NULL};

	start(on_list);
	assert_non_null(strstr(run(verb_queue_show, false, one, EXIT_OK), "delay_reason"));
	run(verb_queue_show, false, none, EXIT_REFUSED);
	run(verb_queue_show, false, NULL, EXIT_USAGE);
	run(verb_queue_flush, false, NULL, EXIT_REFUSED); // not registered here
	assert_string_equal(
		run(verb_queue_delete, false, some, EXIT_REFUSED), "2 messages deleted\n");
	assert_string_equal(run(verb_queue_delete, true, some, EXIT_REFUSED),
		"{\"deleted\":2,\"missing\":[\"gone\"]}\n");
	assert_string_equal(run(verb_status, false, NULL, EXIT_OK),
		"penstockd 0.1.0, up 01:01:01\ntotals       accepted 7\nworkers 0    connections "
		"3\n");
	stop();
}

static void orders_carry_their_conditions_and_go_on_until_the_end(void **state)
{
	char *delete[] = {(char[]){"--tenant=acme"}, (char[]){"--older-than"}, (char[]){"2h"},
		(char[]){"--in-doubt"}, NULL};
	char *move[] = {(char[]){"--pool"}, (char[]){"bulk"}, (char[]){"--from-pool"},
		(char[]){"slow"}, (char[]){"--dry-run"}, NULL};

	(void)state;
	start(on_list);
	applies = 0;
	assert_string_equal(
		run(verb_queue_delete, false, delete, EXIT_OK), "80 messages deleted\n");
	assert_int_equal(applies, 2);
	json_t *which = json_object_get(last_args, "selector");
	assert_string_equal(json_string_value(json_object_get(last_args, "action")), "delete");
	assert_string_equal(json_string_value(json_object_get(last_args, "cursor")), "A:B");
	assert_string_equal(json_string_value(json_object_get(which, "tenant")), "acme");
	assert_int_equal(json_integer_value(json_object_get(which, "older_than")), 7200);
	assert_true(json_is_true(json_object_get(which, "in_doubt")));
	assert_string_equal(run(verb_queue_move, false, move, EXIT_OK),
		"80 messages with 160 recipients would be moved\n");
	assert_string_equal(json_string_value(json_object_get(last_args, "pool")), "bulk");
	which = json_object_get(last_args, "selector");
	assert_string_equal(json_string_value(json_object_get(which, "pool")), "slow");
	stop();
}

static void nothing_is_asked_of_the_daemon_without_a_choice(void **state)
{
	char *both[] = {(char[]){"ID"}, (char[]){"--tenant"}, (char[]){"a"}, NULL};
	char *age[] = {(char[]){"--older-than"}, (char[]){"1 fortnight"}, NULL};
	char *odd[] = {(char[]){"--frobnicate"}, NULL}, *half[] = {(char[]){"--site"}, NULL};
	char *all[] = {(char[]){"--everything"}, NULL};

	(void)state;
	start(on_list);
	applies = 0;
	run(verb_queue_delete, false, NULL, EXIT_USAGE);
	run(verb_queue_hold, false, both, EXIT_USAGE);
	run(verb_queue_expire, false, age, EXIT_USAGE);
	run(verb_queue_release, false, odd, EXIT_USAGE);
	run(verb_queue_requeue, false, half, EXIT_USAGE);
	run(verb_queue_bounce, false, all, EXIT_USAGE); // no reason
	run(verb_queue_move, false, all, EXIT_USAGE);   // no place
	assert_int_equal(applies, 0);
	run(verb_queue_retry, false, all, EXIT_OK);
	assert_int_equal(applies, 2);
	stop();
}

static void suspensions_carry_time_place_and_reason(void **state)
{
	char *words[] = {(char[]){"tenant"}, (char[]){"acme"}, (char[]){"--for"}, (char[]){"90min"},
		(char[]){"--at"}, (char[]){"google"}, (char[]){"--reason"}, (char[]){"spam"}, NULL};
	char *bad[] = {
		(char[]){"planet"}, (char[]){"mars"}, (char[]){"--reason"}, (char[]){"x"}, NULL};

	(void)state;
	start(on_list);
	run(verb_suspend, true, words, EXIT_OK);
	assert_string_equal(json_string_value(json_object_get(last_args, "scope")), "tenant");
	assert_string_equal(json_string_value(json_object_get(last_args, "name")), "acme");
	assert_string_equal(json_string_value(json_object_get(last_args, "at")), "google");
	assert_int_equal(json_integer_value(json_object_get(last_args, "seconds")), 5400);
	run(verb_suspend, false, bad, EXIT_USAGE);
	stop();
}

// The command's name stands in front, as in main.
static const char *run_named(int (*verb)(struct cli *), char **argv, int want)
{
	return run(verb, false, argv + 1, want);
}

static void qshape_prints_the_columns_of_postfix(void **state)
{
	char *words[] = {(char[]){"qshape"}, (char[]){"-b"}, (char[]){"3"}, (char[]){"-p"},
		(char[]){"deferred"}, NULL};

	(void)state;
	start(on_list);
	assert_string_equal(run_named(verb_qshape, words, 0),
		"                                                                   T  5   10 10+\n"
		"                                                          TOTAL 1234  4 1200  "
		"30\n"
		"                                                 a.example.test 1000  4  996   "
		"0\n"
		"     .a-parent-with-a-long-name-that-has-to-be-cut.example.test  234  0  204  "
		"30\n");
	json_t *which = json_object_get(last_args, "selector");
	assert_string_equal(
		json_string_value(json_object_get(which, "state")), "deferred,scheduled,bouncing");
	assert_int_equal(json_integer_value(json_object_get(last_args, "buckets")), 3);
	stop();
}

static void postsuper_and_postqueue_take_the_letters_of_postfix(void **state)
{
	char *one[] = {(char[]){"postsuper"}, (char[]){"-h"}, (char[]){"a"}, (char[]){"-h"},
		(char[]){"gone"}, NULL};
	char *all[] = {
		(char[]){"postsuper"}, (char[]){"-d"}, (char[]){"ALL"}, (char[]){"deferred"}, NULL};
	char *bad[] = {
		(char[]){"postsuper"}, (char[]){"-d"}, (char[]){"ALL"}, (char[]){"moon"}, NULL};
	char *usage[] = {(char[]){"postqueue"}, NULL},
	     *two[] = {(char[]){"postqueue"}, (char[]){"-p"}, (char[]){"-j"}, NULL};
	char *json[] = {(char[]){"postqueue"}, (char[]){"-j"}, NULL};

	(void)state;
	setenv("TZ", "UTC", 1);
	start(on_list);
	run_named(verb_postsuper, one, 0);
	run_named(verb_postsuper, all, 0);
	json_t *which = json_object_get(last_args, "selector");
	assert_string_equal(
		json_string_value(json_object_get(which, "state")), "deferred,scheduled,bouncing");
	run_named(verb_postsuper, bad, 1);
	run_named(verb_postqueue, usage, 69);
	run_named(verb_postqueue, two, 69);
	const char *text = run_named(verb_postqueue, json, 0);
	const char *first =
		"{\"queue_name\": \"active\", \"queue_id\": \"3Zk0000\", \"arrival_time\": "
		"1795232580, "
		"\"message_size\": 4096, \"forced_expire\": false, \"sender\": \"a@b\", "
		"\"recipients\": "
		"[{\"address\": \"c@d\", \"delay_reason\": \"host x said no\\u001B[1m\"}, "
		"{\"address\": \"e@f\"}]}\n";
	assert_memory_equal(text, first, strlen(first));
	assert_non_null(strstr(text, "\"sender\": \"MAILER-DAEMON\""));
	stop();
}

static void a_missing_daemon_gives_status_three(void **state)
{
	(void)state;
	start(on_list);
	client_close();
	pen_control_free(server);
	run(verb_status, false, NULL, EXIT_UNREACHABLE);
	server = NULL;
	stop();
}

static void a_spool_is_checked_without_a_daemon(void **state)
{
	(void)state;
	char folder[] = "cli-spool-XXXXXX", path_of[64];
	char *none[] = {(char[]){"/no/such/folder"}, NULL},
	     *two[] = {(char[]){"a"}, (char[]){"b"}, NULL};

	assert_non_null(mkdtemp(folder));
	char *arg[] = {folder, NULL};
	start(on_list);
	assert_non_null(strstr(run(verb_spool_check, false, arg, EXIT_OK), ": good, 0 faults"));
	assert_non_null(strstr(run(verb_spool_check, true, arg, EXIT_OK), "\"ok\":true"));
	run(verb_spool_check, false, none, EXIT_REFUSED);
	run(verb_spool_check, false, two, EXIT_USAGE);
	snprintf(path_of, sizeof(path_of), "%s/seg-00000001", folder);
	FILE *f = fopen(path_of, "w");
	for (int i = 0; i < 32768; i++)
		putc('x', f);
	fclose(f);
	const char *text = run(verb_spool_check, false, arg, EXIT_REFUSED);
	assert_non_null(strstr(text, "seg-00000001: offset 0"));
	assert_non_null(strstr(text, "no segment of a spool"));
	unlink(path_of);
	rmdir(folder);
	stop();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_queue_is_listed_like_mailq_in_pages),
		cmocka_unit_test(json_lists_one_object_per_line),
		cmocka_unit_test(a_message_in_parts_is_whole_before_the_next_page),
		cmocka_unit_test(no_more_is_asked_for_than_the_limit),
		cmocka_unit_test(an_empty_queue_says_so),
		cmocka_unit_test(refusals_and_missing_messages_give_status_one),
		cmocka_unit_test(orders_carry_their_conditions_and_go_on_until_the_end),
		cmocka_unit_test(nothing_is_asked_of_the_daemon_without_a_choice),
		cmocka_unit_test(suspensions_carry_time_place_and_reason),
		cmocka_unit_test(qshape_prints_the_columns_of_postfix),
		cmocka_unit_test(postsuper_and_postqueue_take_the_letters_of_postfix),
		cmocka_unit_test(a_missing_daemon_gives_status_three),
		cmocka_unit_test(a_spool_is_checked_without_a_daemon),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
