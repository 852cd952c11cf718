// SPDX-License-Identifier: BSD-3-Clause
#include "pen_suppression.h"
#include "pen_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct store {
	char folder[64];
	struct pen_suppression *s;
};

static void reopen(struct store *t, size_t map)
{
	char err[300] = "";

	pen_suppression_close(t->s);
	if (pen_suppression_open(t->folder, map, &t->s, err, sizeof(err)) != 0)
		fail_msg("%s", err);
}

static void setup(struct store *t, size_t map)
{
	*t = (struct store){.folder = "/tmp/pen-suppression-XXXXXX"};
	assert_non_null(mkdtemp(t->folder));
	strcat(t->folder, "/list");
	reopen(t, map);
}

static void teardown(struct store *t)
{
	char path[100];

	pen_suppression_close(t->s);
	snprintf(path, sizeof(path), "%s/data.mdb", t->folder);
	unlink(path);
	snprintf(path, sizeof(path), "%s/lock.mdb", t->folder);
	unlink(path);
	rmdir(t->folder);
	*strrchr(t->folder, '/') = '\0';
	rmdir(t->folder);
}

static int put(struct store *t, const char *tenant, const char *address, const char *reason)
{
	char kept[PEN_SUPPRESSION_ADDRESS_MAX + 1];

	assert_null(pen_suppression_address(kept, pen_span_cstr(address)));
	return pen_suppression_put(
		t->s, &(struct pen_suppression_entry){.tenant = pen_span_cstr(tenant),
			      .address = pen_span_cstr(kept),
			      .source = PEN_SUPPRESSION_BOUNCE,
			      .since = 1795232580000000,
			      .reason = pen_span_cstr(reason)});
}

// "tenant: reason", or "".
static const char *find(struct store *t, const char *tenant, const char *rcpt)
{
	static char text[300];
	struct pen_suppression_hit hit;

	if (!pen_suppression_find(t->s, pen_span_cstr(tenant), pen_span_cstr(rcpt), &hit))
		return "";
	assert_int_equal(hit.source, PEN_SUPPRESSION_BOUNCE);
	assert_int_equal(hit.since, 1795232580000000);
	snprintf(text, sizeof(text), "%s%s", hit.of_tenant ? "own: " : "", hit.reason);
	return text;
}

static void an_address_a_domain_and_subdomains_are_found(void **state)
{
	struct store t;

	(void)state;
	setup(&t, 0);
	assert_string_equal(find(&t, "", "bob@x.example"), "");
	assert_int_equal(put(&t, "", "Bob@X.example", "address"), 0);
	assert_int_equal(put(&t, "", "@y.example", "domain"), 0);
	assert_int_equal(put(&t, "", ".z.example", "below"), 0);
	assert_int_equal(put(&t, "",
				 "@b\xc3\xbc"
				 "cher.example",
				 "umlaut"),
		0);
	assert_string_equal(find(&t, "", "bOB@x.EXAMPLE"), "address");
	assert_string_equal(find(&t, "any", "bob@x.example"), "address");
	assert_string_equal(find(&t, "", "eve@x.example"), "");
	assert_string_equal(find(&t, "", "eve@y.example"), "domain");
	assert_string_equal(find(&t, "", "eve@a.y.example"), "");
	assert_string_equal(find(&t, "", "eve@z.example"), "");
	assert_string_equal(find(&t, "", "eve@a.b.z.example"), "below");
	assert_string_equal(find(&t, "", "eve@xn--bcher-kva.example"), "umlaut");
	assert_string_equal(find(&t, "",
				    "eve@B\xc3\x9c"
				    "CHER.example"),
		"umlaut");
	assert_string_equal(find(&t, "", "bob"), "");
	assert_string_equal(find(&t, "", ""), "");
	teardown(&t);
}

static void a_tenants_list_is_its_own_and_goes_first(void **state)
{
	struct store t;

	(void)state;
	setup(&t, 0);
	put(&t, "acme", "bob@x.example", "acme's");
	put(&t, "", "bob@x.example", "everybody's");
	put(&t, "acme", "eve@x.example", "acme's");
	assert_string_equal(find(&t, "acme", "bob@x.example"), "own: acme's");
	assert_string_equal(find(&t, "globex", "bob@x.example"), "everybody's");
	assert_string_equal(find(&t, "globex", "eve@x.example"), "");
	assert_string_equal(find(&t, "acm", "eve@x.example"), "");
	teardown(&t);
}

static void changes_are_still_there_after_reopening(void **state)
{
	struct store t;

	(void)state;
	setup(&t, 0);
	put(&t, "", "bob@x.example", "first");
	put(&t, "", "bob@x.example", "second");
	put(&t, "", "eve@x.example", "");
	assert_int_equal(pen_suppression_count(t.s), 2);
	reopen(&t, 0);
	assert_string_equal(find(&t, "", "bob@x.example"), "second");
	assert_int_equal(
		pen_suppression_remove(t.s, PEN_SPAN_LIT(""), PEN_SPAN_LIT("bob@x.example")), 0);
	assert_int_equal(
		pen_suppression_remove(t.s, PEN_SPAN_LIT(""), PEN_SPAN_LIT("bob@x.example")),
		-ENOENT);
	reopen(&t, 0);
	assert_string_equal(find(&t, "", "bob@x.example"), "");
	assert_int_equal(pen_suppression_count(t.s), 1);
	// A batch that is dropped leaves nothing.
	struct pen_suppression_entry e = {
		.address = PEN_SPAN_LIT("q@x.example"), .source = PEN_SUPPRESSION_BOUNCE};
	bool fresh;
	assert_int_equal(pen_suppression_batch_begin(t.s), 0);
	assert_int_equal(pen_suppression_batch_put(t.s, &e, &fresh), 0);
	assert_true(fresh);
	assert_int_equal(pen_suppression_batch_put(t.s, &e, &fresh), 0);
	assert_false(fresh);
	pen_suppression_batch_drop(t.s);
	assert_int_equal(pen_suppression_count(t.s), 1);
	teardown(&t);
}

static bool add_to_text(void *ctx, const struct pen_suppression_entry *e)
{
	char *text = ctx;
	size_t n = strlen(text);

	snprintf(
		text + n, 200 - n, "%.*s/%.*s ", PEN_SPAN_ARG(e->tenant), PEN_SPAN_ARG(e->address));
	return strlen(text) < 60;
}

static void lists_come_in_order_and_in_pieces(void **state)
{
	struct pen_span acme = PEN_SPAN_LIT("acme"), nobody = PEN_SPAN_LIT("aaaa");
	struct store t;
	char text[200] = "";

	(void)state;
	setup(&t, 0);
	put(&t, "acme", "b@x.example", "");
	put(&t, "", "c@x.example", "");
	put(&t, "acme", "a@x.example", "");
	put(&t, "acmes", "a@x.example", "");
	assert_int_equal(pen_suppression_list(t.s, NULL, NULL, add_to_text, text), 0);
	assert_string_equal(
		text, "/c@x.example acme/a@x.example acme/b@x.example acmes/a@x.example ");
	text[0] = '\0';
	assert_int_equal(pen_suppression_list(t.s, &acme, NULL, add_to_text, text), 0);
	assert_string_equal(text, "acme/a@x.example acme/b@x.example ");
	text[0] = '\0';
	struct pen_suppression_entry after = {
		.tenant = acme, .address = PEN_SPAN_LIT("a@x.example")};
	assert_int_equal(pen_suppression_list(t.s, &acme, &after, add_to_text, text), 0);
	assert_string_equal(text, "acme/b@x.example ");
	text[0] = '\0';
	assert_int_equal(pen_suppression_list(t.s, &nobody, NULL, add_to_text, text), 0);
	assert_string_equal(text, "");
	teardown(&t);
}

static void what_is_no_address_is_told(void **state)
{
	char out[PEN_SUPPRESSION_ADDRESS_MAX + 1], longer[500];

	(void)state;
	assert_non_null(pen_suppression_address(out, PEN_SPAN_LIT("")));
	assert_non_null(pen_suppression_address(out, PEN_SPAN_LIT("bob")));
	assert_non_null(pen_suppression_address(out, PEN_SPAN_LIT("bob@")));
	assert_non_null(pen_suppression_address(out, PEN_SPAN_LIT("bob@x y")));
	assert_non_null(pen_suppression_address(out, PEN_SPAN_LIT("b\nob@x")));
	memset(longer, 'x', sizeof(longer));
	memcpy(longer + sizeof(longer) - 4, "@x.y", 4);
	assert_non_null(pen_suppression_address(out, pen_span(longer, sizeof(longer))));
	assert_null(pen_suppression_address(out, PEN_SPAN_LIT("Bob@[192.0.2.1]")));
	assert_string_equal(out, "bob@[192.0.2.1]");
}

struct reader {
	struct store *t;
	bool stop; // atomic
	uint64_t looked;
};

static void *read_always(void *arg)
{
	struct reader *r = arg;
	struct pen_suppression_hit hit;

	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		assert_true(pen_suppression_find(
			r->t->s, PEN_SPAN_LIT("acme"), PEN_SPAN_LIT("always@x.example"), &hit));
		r->looked++;
	}
	return NULL;
}

static void the_map_grows_while_others_read(void **state)
{
	struct reader r[3];
	pthread_t thread[3];
	struct store t;
	char address[64];
	bool fresh;

	(void)state;
	setup(&t, 1 << 20);
	put(&t, "", "always@x.example", "");
	for (int i = 0; i < 3; i++) {
		r[i] = (struct reader){.t = &t};
		pthread_create(&thread[i], NULL, read_always, &r[i]);
	}
	for (int batch = 0; batch < 30; batch++) { // several times what the map had
		assert_int_equal(pen_suppression_batch_begin(t.s), 0);
		for (int i = 0; i < 1000; i++) {
			snprintf(address, sizeof(address), "u%d.%d@x.example", batch, i);
			assert_int_equal(
				pen_suppression_batch_put(t.s,
					&(struct pen_suppression_entry){
						.address = pen_span_cstr(address),
						.reason = PEN_SPAN_LIT("a reason of some length, "
								       "so that pages fill up")},
					&fresh),
				0);
			assert_true(fresh);
		}
		assert_int_equal(pen_suppression_batch_commit(t.s), 0);
	}
	for (int i = 0; i < 3; i++) {
		__atomic_store_n(&r[i].stop, true, __ATOMIC_RELAXED);
		pthread_join(thread[i], NULL);
		assert_true(r[i].looked > 0);
	}
	assert_int_equal(pen_suppression_count(t.s), 30001);
	reopen(&t, 1 << 20); // smaller than the file: the file wins
	assert_int_equal(pen_suppression_count(t.s), 30001);
	teardown(&t);
}

static void a_folder_that_cannot_be_made_is_named(void **state)
{
	struct pen_suppression *s;
	char err[300];

	(void)state;
	assert_int_equal(
		pen_suppression_open("/nonexistent/list", 0, &s, err, sizeof(err)), -ENOENT);
	assert_string_equal(err, "/nonexistent/list: the suppression list cannot be made: No such "
				 "file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_a_domain_and_subdomains_are_found),
		cmocka_unit_test(a_tenants_list_is_its_own_and_goes_first),
		cmocka_unit_test(changes_are_still_there_after_reopening),
		cmocka_unit_test(lists_come_in_order_and_in_pieces),
		cmocka_unit_test(what_is_no_address_is_told),
		cmocka_unit_test(the_map_grows_while_others_read),
		cmocka_unit_test(a_folder_that_cannot_be_made_is_named),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
