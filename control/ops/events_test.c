// SPDX-License-Identifier: BSD-3-Clause

// The event log's file: order, rotation, cut lines, a full disk; and its records,
// written and read back.

#include "pen_event.h"
#include "pen_event_read.h"
#include "pen_events.h"
#include "pen_test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static char dir[100], path[140];
static char text[1 << 20];

static void begin(void)
{
	const char *base = getenv("TMPDIR");

	snprintf(dir, sizeof(dir), "%s/penstock-test-XXXXXX", base != NULL ? base : P_tmpdir);
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/events", dir);
}

static void end(void)
{
	char old[160];

	snprintf(old, sizeof(old), "%s.1", path);
	unlink(old);
	unlink(path);
	rmdir(dir);
}

static const char *content(const char *file)
{
	FILE *f = fopen(file, "r");

	if (f == NULL)
		return "";
	size_t n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static struct pen_events *open_log(size_t buffer)
{
	struct pen_events_config cfg = {.path = path, .sync = true, .buffer_bytes = buffer};
	struct pen_events *ev;

	assert_int_equal(pen_events_open(&cfg, &ev), 0);
	return ev;
}

static void put(struct pen_events *ev, const char *line)
{
	pen_events_put(ev, pen_span_cstr(line));
}

static void a_flush_writes_all_that_was_put_before(void **state)
{
	(void)state;
	begin();
	struct pen_events *ev = open_log(0);
	put(ev, "{1}");
	put(ev, "{2}");
	pen_events_flush(ev, true);
	assert_string_equal(content(path), "{1}\n{2}\n");
	put(ev, "{3}");
	pen_events_close(ev);
	assert_string_equal(content(path), "{1}\n{2}\n{3}\n");
	end();
}

static void without_a_flush_a_record_is_written_soon(void **state)
{
	(void)state;
	begin();
	struct pen_events *ev = open_log(0);
	put(ev, "{1}");
	for (int i = 0; i < 100 && *content(path) == '\0'; i++)
		usleep(20000);
	assert_string_equal(content(path), "{1}\n");
	pen_events_close(ev);
	end();
}

static void a_line_that_a_crash_cut_off_is_ended(void **state)
{
	(void)state;
	begin();
	FILE *f = fopen(path, "w");
	fputs("{\"type\":\"Deli", f);
	fclose(f);
	struct pen_events *ev = open_log(0);
	put(ev, "{1}");
	pen_events_close(ev);
	assert_string_equal(content(path), "{\"type\":\"Deli\n{1}\n");
	end();
}

static void rotation_loses_nothing_and_parts_at_a_line(void **state)
{
	char old[160];

	(void)state;
	begin();
	snprintf(old, sizeof(old), "%s.1", path);
	struct pen_events *ev = open_log(0);
	put(ev, "{1}");
	assert_int_equal(rename(path, old), 0);
	put(ev, "{2}");
	pen_events_reopen(ev);
	put(ev, "{3}");
	pen_events_close(ev);
	assert_string_equal(content(old), "{1}\n{2}\n");
	assert_string_equal(content(path), "{3}\n");
	end();
}

static void set_file_limit(rlim_t bytes)
{
	struct rlimit r;

	getrlimit(RLIMIT_FSIZE, &r);
	r.rlim_cur = bytes;
	setrlimit(RLIMIT_FSIZE, &r);
}

// A file that may not grow stands for a disk that is full.
static void a_full_disk_keeps_records_until_there_is_room(void **state)
{
	(void)state;
	begin();
	signal(SIGXFSZ, SIG_IGN);
	struct pen_events *ev = open_log(64);
	set_file_limit(6);
	put(ev, "{first}");
	pen_events_flush(ev, true);
	put(ev, "{second}");
	pen_events_flush(ev, true);
	assert_string_equal(content(path), "{first");
	assert_true(pen_events_stats(ev).write_errors > 0);
	for (int i = 0; i < 20; i++)
		put(ev, "{more than the buffer takes}");
	set_file_limit(RLIM_INFINITY);
	pen_events_flush(ev, true);
	pen_events_close(ev);
	const char *all = content(path);
	assert_memory_equal(all, "{first}\n{second}\n", 17);
	assert_non_null(strstr(all, "{\"type\":\"Lost\","));
	assert_non_null(strstr(all, "\"records\":19}\n"));
	end();
}

#define THREADS 4
#define EACH 5000

static void *put_many(void *arg)
{
	char line[60];

	for (int i = 0; i < EACH; i++) {
		snprintf(line, sizeof(line), "{\"type\":\"x\",\"n\":%d}", i);
		put(arg, line);
		if (i % 100 == 0)
			pen_events_flush(arg, false);
	}
	return NULL;
}

static void records_of_many_threads_stay_whole(void **state)
{
	pthread_t t[THREADS];
	struct pen_event_line line;
	const char *why;
	unsigned n = 0;

	(void)state;
	begin();
	struct pen_events *ev = open_log(0);
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&t[i], NULL, put_many, ev), 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	pen_events_close(ev);
	struct pen_span rest = pen_span_cstr(content(path));
	for (; rest.n > 0; n++) {
		ptrdiff_t lf = pen_span_find(rest, '\n');
		assert_true(lf > 0);
		assert_true(pen_event_read(pen_span(rest.p, (size_t)lf), &line, &why));
		rest = pen_span_from(rest, (size_t)lf + 1);
	}
	assert_int_equal(n, THREADS * EACH);
	end();
}

static const char *as_text(struct pen_span s)
{
	assert_true(s.n < sizeof(text));
	memcpy(text, s.p, s.n);
	text[s.n] = 0;
	return text;
}

static void what_is_written_is_read_back(void **state)
{
	struct pen_event e = {0};
	struct pen_event_line line;
	struct pen_span item;
	const char *why;

	(void)state;
	pen_event_begin(&e, "Reception");
	pen_event_cstr(&e, "id", "4bXyz");
	pen_event_text(&e, "sender", PEN_SPAN_LIT("a\"\\\x01\xff\xc3\xa4\x7f@b"));
	pen_event_object(&e, "response");
	pen_event_number(&e, "timestamp", 7);
	pen_event_list(&e, "ids");
	pen_event_close_list(&e);
	pen_event_close(&e);
	pen_event_list(&e, "recipient");
	pen_event_item(&e, PEN_SPAN_LIT("c@d"));
	pen_event_item(&e, PEN_SPAN_LIT("e\"@f"));
	pen_event_close_list(&e);
	pen_event_bool(&e, "in_doubt", true);
	pen_event_number(&e, "timestamp", 1795232580);
	pen_event_number(&e, "recipient_index", 3);
	struct pen_span got = pen_event_end(&e);
	assert_string_equal(as_text(got),
		"{\"type\":\"Reception\",\"id\":\"4bXyz\",\"sender\":\"a\\\"\\\\\\u0001?"
		"\xc3\xa4\\u007f@b\","
		"\"response\":{\"timestamp\":7,\"ids\":[]},\"recipient\":[\"c@d\",\"e\\\"@f\"],"
		"\"in_doubt\":true,\"timestamp\":1795232580,\"recipient_index\":3}");
	assert_true(pen_event_read(got, &line, &why));
	assert_int_equal(line.type, PEN_EVENT_RECEPTION);
	assert_true(pen_span_eq(line.id, PEN_SPAN_LIT("4bXyz")));
	assert_int_equal(line.nrcpt, 2);
	assert_int_equal(line.timestamp, 1795232580);
	assert_true(line.in_doubt && line.has_index && line.index == 3);
	assert_true(pen_event_next(&line.list, &item) && pen_span_eq(item, PEN_SPAN_LIT("c@d")));
	assert_true(pen_event_next(&line.list, &item));
	assert_false(pen_event_next(&line.list, &item));
	pen_event_fini(&e);
}

static void what_is_no_record_is_named(void **state)
{
	static const char *const bad[][2] = {{"", "it is no JSON object"},
		{"[]", "it is no JSON object"}, {"{}", "it has no type"},
		{"{\"type\":\"Start\"", "the object does not end"},
		{"{\"type\":\"Start\"} x", "something follows the object"},
		{"{\"type\":\"Sta", "a string does not end"},
		{"{\"type\":1}", "a string was expected"},
		{"{\"type\" \"x\"}", "a colon was expected"},
		{"{\"type\":\"x\",\"id\":null}", "a string was expected"},
		{"{\"type\":\"x\",\"recipient_index\":-1}", "a number is out of range"},
		{"{\"type\":\"x\",\"recipient_index\":4294967295}", "a number is out of range"},
		{"{\"type\":\"x\",\"timestamp\":99999999999999999999}", "a number is too large"},
		{"{\"type\":\"x\",\"a\":[1,{\"b\":2]}", "a comma or a bracket was expected"},
		{"{\"type\":\"x\",\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]}", "too many levels"},
		{"{\"type\":\"x\",\"ids\":[1]}", "a string was expected"}};
	struct pen_event_line line;
	const char *why;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_false(pen_event_read(pen_span_cstr(bad[i][0]), &line, &why));
		assert_string_equal(why, bad[i][1]);
	}
	assert_true(pen_event_read(
		pen_span_cstr(" { \"a\" : [ {} , [ ] , -1.5e+3, null ] , \"type\" : \"New\" } "),
		&line, &why));
	assert_int_equal(line.type, PEN_EVENT_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_flush_writes_all_that_was_put_before),
		cmocka_unit_test(without_a_flush_a_record_is_written_soon),
		cmocka_unit_test(a_line_that_a_crash_cut_off_is_ended),
		cmocka_unit_test(rotation_loses_nothing_and_parts_at_a_line),
		cmocka_unit_test(a_full_disk_keeps_records_until_there_is_room),
		cmocka_unit_test(records_of_many_threads_stay_whole),
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(what_is_no_record_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
