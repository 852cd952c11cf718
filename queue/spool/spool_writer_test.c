// SPDX-License-Identifier: BSD-3-Clause

// The writer thread on a real folder, with several producers.

#include "pen_log.h"
#include "pen_spool.h"
#include "pen_test.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <unistd.h>

#define PRODUCERS 4
#define EACH 1500u

static char folder[] = "spool-test-XXXXXX";

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

struct run {
	struct pen_spool *spool;
	unsigned durable, changed, removed, failed, busy; // atomics
	unsigned found, found_content;
};

static void add(unsigned *n)
{
	__atomic_fetch_add(n, 1, __ATOMIC_ACQ_REL);
}

static unsigned get(unsigned *n)
{
	return __atomic_load_n(n, __ATOMIC_ACQUIRE);
}

static void on_update(void *ctx, struct pen_message *m, int err)
{
	struct run *r = ctx;

	assert_null(m);
	add(err == 0 ? &r->changed : &r->failed);
}

static void on_durable(void *ctx, struct pen_message *m, int err)
{
	struct run *r = ctx;
	struct pen_dsn error;
	struct pen_rcpt_change change = {.index = 0, .fate = PEN_FATE_DELIVERED, .attempts = 1};
	struct pen_message_update u = {
		.id = m->id, .next_attempt = 17, .nchanges = 1, .change = &change};

	if (err != 0) {
		add(&r->failed);
		pen_message_free(m);
		return;
	}
	// Two of three end here; the others are deferred.
	pen_dsn_set(&error, 4, 2, 2, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT, "full");
	u.removed = m->arrival % 3 != 0;
	if (!u.removed) {
		change.fate = PEN_FATE_QUEUED;
		u.last_error = &error;
	}
	add(u.removed ? &r->removed : &r->durable);
	assert_int_equal(pen_spool_update(r->spool, &u, on_update, r), 0);
	pen_message_free(m);
}

static struct pen_message *message(unsigned n, uint32_t len)
{
	struct pen_span rcpt = PEN_SPAN_LIT("a@example.net");
	uint8_t *content = malloc(len);

	memset(content, (int)('a' + n % 26), len);
	return pen_message_new(PEN_SPAN_LIT("s@example.org"), &rcpt, 1, content, len, n, 0);
}

static void *produce(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < EACH; i++) {
		struct pen_message *m = message(i, 100 + i % 5000);
		int err;
		while ((err = pen_spool_put(r->spool, m, on_durable, r)) == -EAGAIN) {
			add(&r->busy);
			sched_yield();
		}
		assert_int_equal(err, 0);
	}
	return NULL;
}

static void on_found(void *ctx, struct pen_message *m)
{
	struct run *r = ctx;

	assert_int_equal(m->arrival % 3, 0);
	assert_int_equal(m->next_attempt, 17);
	assert_int_equal(m->rcpt[0].attempts, 1);
	assert_string_equal(m->last_error->text, "full");
	r->found++;
	pen_message_free(m);
}

static void many_producers_share_commits_and_lose_nothing(void **state)
{
	(void)state;
	struct run r = {0};
	struct pen_spool_config cfg = {.directory = folder,
		.segment_bytes = 1u << 20,
		.queue_limit_bytes = 200000,
		.ctx = &r,
		.on_message = on_found};
	struct pen_spool_stats st;
	struct pen_spool *second;
	char error[256];
	pthread_t threads[PRODUCERS];

	assert_int_equal(pen_spool_open(&cfg, &r.spool, error, sizeof(error)), 0);
	assert_int_equal(pen_spool_open(&cfg, &second, error, sizeof(error)), -EWOULDBLOCK);
	assert_non_null(strstr(error, folder));
	for (int i = 0; i < PRODUCERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, produce, &r), 0);
	for (int i = 0; i < PRODUCERS; i++)
		pthread_join(threads[i], NULL);
	while (get(&r.changed) + get(&r.failed) < PRODUCERS * EACH)
		sched_yield();
	assert_int_equal(get(&r.failed), 0);
	assert_int_equal(get(&r.durable), PRODUCERS * EACH / 3);
	pen_spool_stats(r.spool, &st);
	assert_int_equal(st.counters.puts, PRODUCERS * EACH);
	assert_int_equal(st.live, r.durable);
	assert_true(st.counters.commits < st.counters.puts / 2);
	pen_spool_close(r.spool);
	assert_int_equal(pen_spool_open(&cfg, &r.spool, error, sizeof(error)), 0);
	assert_int_equal(r.found, r.durable);
	pen_spool_close(r.spool);
}

static struct pen_message *loaded[PRODUCERS * EACH];
static unsigned nloaded;

static void on_load(void *ctx, struct pen_message *m)
{
	(void)ctx;
	loaded[nloaded++] = m;
}

static void *read_all(void *arg)
{
	struct run *r = arg;

	for (unsigned i = 0; i < nloaded; i++) {
		struct pen_message *m = loaded[i];
		assert_int_equal(pen_spool_read(r->spool, m), 0);
		assert_int_equal(m->content[m->content_len - 1], 'a' + m->arrival % 26);
		free(m->content);
		m->content = NULL;
	}
	return NULL;
}

static void on_churn(void *ctx, struct pen_message *m, int err)
{
	struct run *r = ctx;
	struct pen_message_update u = {.id = m->id, .removed = true};

	if (err != 0 || pen_spool_update(r->spool, &u, on_update, r) != 0)
		add(&r->failed);
	pen_message_free(m);
}

static void readers_find_mail_while_it_is_moved(void **state)
{
	(void)state;
	struct run r = {0};
	struct pen_spool_config cfg = {
		.directory = folder, .segment_bytes = 1u << 20, .ctx = &r, .on_message = on_load};
	struct pen_spool_stats st;
	char error[256];
	pthread_t reader;
	unsigned sent = 0;

	assert_int_equal(pen_spool_open(&cfg, &r.spool, error, sizeof(error)), 0);
	assert_true(nloaded > 0);
	assert_int_equal(pthread_create(&reader, NULL, read_all, &r), 0);
	// Short-lived mail makes the log long; what lives on has to move.
	for (; sent < 20000; sent++) {
		struct pen_message *m = message(sent, 4000);
		while (pen_spool_put(r.spool, m, on_churn, &r) == -EAGAIN)
			sched_yield();
	}
	pthread_join(reader, NULL);
	while (get(&r.changed) + get(&r.failed) < sent)
		sched_yield();
	read_all(&r);
	pen_spool_stats(r.spool, &st);
	assert_int_equal(r.failed, 0);
	assert_true(st.counters.relocated > 0);
	assert_int_equal(st.live, nloaded);
	pen_spool_close(r.spool);
	for (unsigned i = 0; i < nloaded; i++)
		pen_message_free(loaded[i]);
}

struct order {
	unsigned puts, at_sync, synced;
};

static void on_put(void *ctx, struct pen_message *m, int err)
{
	struct order *o = ctx;

	assert_int_equal(err, 0);
	add(&o->puts);
	pen_message_free(m);
}

static void on_sync(void *ctx, struct pen_message *m, int err)
{
	struct order *o = ctx;

	assert_null(m);
	assert_int_equal(err, 0);
	o->at_sync = get(&o->puts);
	add(&o->synced);
}

static void a_sync_ends_after_everything_that_was_asked_before(void **state)
{
	(void)state;
	struct order o = {0};
	struct pen_spool_config cfg = {.directory = folder, .segment_bytes = 1u << 20};
	struct pen_spool *s;
	char error[256];

	assert_int_equal(pen_spool_open(&cfg, &s, error, sizeof(error)), 0);
	for (unsigned i = 1; i <= 50; i++) {
		assert_int_equal(pen_spool_put(s, message(i, 3000), on_put, &o), 0);
		assert_int_equal(pen_spool_sync(s, on_sync, &o), 0);
		while (get(&o.synced) < i)
			sched_yield();
		assert_int_equal(o.at_sync, i);
	}
	pen_spool_close(s);
}

static int make_folder(void **state)
{
	(void)state;
	return mkdtemp(folder) != NULL ? 0 : -1;
}

static int remove_folder(void **state)
{
	char path[512];
	DIR *d = opendir(folder);

	(void)state;
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		unlink(path);
	}
	if (d != NULL)
		closedir(d);
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(many_producers_share_commits_and_lose_nothing),
		cmocka_unit_test(readers_find_mail_while_it_is_moved),
		cmocka_unit_test(a_sync_ends_after_everything_that_was_asked_before),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
