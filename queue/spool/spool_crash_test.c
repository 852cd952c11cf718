// SPDX-License-Identifier: BSD-3-Clause

// A model of what callers were told, against what recovery finds after crashes
// at arbitrary operations of a simulated disk.

#include "pen_disk_sim.h"
#include "pen_log.h"
#include "pen_spool_check.h"
#include "pen_spool_core.h"
#include "pen_test.h"

#include <errno.h>

#define MESSAGES 600
#define RCPTS 4
#define MAYBES 24

// A value that was acknowledged, and those that may have reached the medium
// since without anybody having been told.
struct value {
	uint64_t acked;
	uint64_t maybe[MAYBES];
	unsigned nmaybe;
};

enum fate_of_put {
	NOT_PUT,
	PUT_ACKED,
	PUT_MAYBE,    // failed or crashed before its commit returned
	REMOVE_MAYBE, // present, and its removal may have happened
	GONE,         // removal acknowledged, or a failed put that was taken back
};

struct model {
	uint64_t id;
	enum fate_of_put is;
	uint32_t nrcpt, content_len;
	struct value rcpt[RCPTS]; // rcpt_value
	struct value klass;       // number of its tenant
	struct value next;        // next_attempt
	struct value flags;
	struct value error; // detail of last_error
	bool pending_put, pending_removal;
	bool seen, checked;
	const char *why; // it is gone
};

struct world {
	struct pen_rand rand;
	struct pen_disk *disk;
	struct pen_spool_config cfg;
	struct pen_spool_core *core;
	struct model m[MESSAGES];
	unsigned n;
	pen_wall_us now;
	bool corruption_expected;
	unsigned corrupt, torn, lost;
	uint64_t recovered, crashes, acked, moved, freed, abandoned;
};

static uint64_t rcpt_value(uint8_t fate, uint8_t doubts, uint16_t attempts)
{
	return (uint64_t)fate << 32 | (uint64_t)doubts << 16 | attempts;
}

// A class for each number; 0: none.
static const struct pen_mail_class *class_of(unsigned n)
{
	char name[16];

	snprintf(name, sizeof(name), "t%u", n);
	return pen_mail_class_get(n != 0 ? pen_span_cstr(name) : PEN_SPAN_LIT(""), PEN_SPAN_LIT(""),
		PEN_SPAN_LIT(""), PEN_PRIORITY_NORMAL);
}

static uint64_t class_number(const struct pen_mail_class *k)
{
	return k->tenant.n > 0 ? strtoull((const char *)k->tenant.p + 1, NULL, 10) : 0;
}

static void quiet(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	(void)ctx, (void)type, (void)level, (void)line;
}

static void value_set(struct value *v, uint64_t x)
{
	v->acked = x;
	v->nmaybe = 0;
}

static void value_maybe(struct value *v, uint64_t x)
{
	assert_true(v->nmaybe < MAYBES);
	v->maybe[v->nmaybe++] = x;
}

// The pending values became durable: the last one counts.
static void value_commit(struct value *v, unsigned *pending)
{
	if (*pending > 0)
		value_set(v, v->maybe[v->nmaybe - 1]);
	*pending = 0;
}

static bool value_ok(const struct value *v, uint64_t x)
{
	if (v->acked == x)
		return true;
	for (unsigned i = 0; i < v->nmaybe; i++) {
		if (v->maybe[i] == x)
			return true;
	}
	return false;
}

// What each message's values have pending in the open batch.
static struct pending {
	unsigned rcpt[RCPTS], next, flags, error, klass;
} pending[MESSAGES];

static struct model *model_find(struct world *w, uint64_t id)
{
	for (unsigned i = 0; i < w->n; i++) {
		if (w->m[i].id == id)
			return &w->m[i];
	}
	return NULL;
}

static uint8_t content_byte(uint64_t id, uint32_t at)
{
	uint64_t x = (id + at / 8) * 0x9e3779b97f4a7c15ull;
	return (uint8_t)(x >> (at % 8 * 8));
}

static void check_message(struct world *w, struct model *m, struct pen_message *got)
{
	assert_int_equal(got->nrcpt, m->nrcpt);
	assert_int_equal(got->content_len, m->content_len);
	assert_true(value_ok(&m->next, (uint64_t)got->next_attempt));
	assert_true(value_ok(&m->flags, got->flags));
	assert_true(value_ok(&m->klass, class_number(got->klass)));
	assert_true(value_ok(&m->error, got->last_error != NULL ? got->last_error->detail : 0));
	for (uint32_t i = 0; i < got->nrcpt; i++) {
		uint64_t x =
			rcpt_value(got->rcpt[i].fate, got->rcpt[i].doubts, got->rcpt[i].attempts);
		char addr[64];
		snprintf(addr, sizeof(addr), "r%u-%llx@example.net", i, (unsigned long long)m->id);
		assert_true(pen_span_eq(pen_recipient_addr(&got->rcpt[i]), pen_span_cstr(addr)));
		assert_true(value_ok(&m->rcpt[i], x));
	}
	(void)w;
}

static void check_content(struct world *w, struct pen_message *got)
{
	assert_null(got->content);
	int err = pen_spool_core_read(w->core, got);
	if (w->corruption_expected && err == -EBADMSG)
		return;
	assert_int_equal(err, 0);
	for (uint32_t i = 0; i < got->content_len; i++) {
		if (got->content[i] != content_byte(got->id, i))
			fail_msg("message %llu differs at byte %u", (unsigned long long)got->id, i);
	}
}

static struct pen_message *found[MESSAGES];
static unsigned nfound;

static void on_message(void *ctx, struct pen_message *got)
{
	struct world *w = ctx;
	struct model *m = model_find(w, got->id);

	assert_non_null(m); // never put
	assert_false(m->seen);
	if (!w->corruption_expected && m->is == GONE)
		fail_msg("message %llu is back: %s", (unsigned long long)m->id, m->why);
	assert_int_not_equal(m->is, NOT_PUT);
	m->seen = true;
	if (!w->corruption_expected)
		check_message(w, m, got);
	// What was found is what counts from here on.
	for (uint32_t i = 0; i < got->nrcpt; i++)
		value_set(&m->rcpt[i],
			rcpt_value(got->rcpt[i].fate, got->rcpt[i].doubts, got->rcpt[i].attempts));
	value_set(&m->klass, class_number(got->klass));
	value_set(&m->next, (uint64_t)got->next_attempt);
	value_set(&m->flags, got->flags);
	value_set(&m->error, got->last_error != NULL ? got->last_error->detail : 0);
	m->is = PUT_ACKED;
	found[nfound++] = got;
}

static void on_problem(void *ctx, const struct pen_spool_problem *p)
{
	struct world *w = ctx;

	if (p->kind == PEN_SPOOL_CORRUPT) {
		if (!w->corruption_expected)
			fail_msg("corruption reported in %s at %llu+%llu", p->file,
				(unsigned long long)p->offset, (unsigned long long)p->length);
		w->corrupt++;
	} else if (p->kind == PEN_SPOOL_TORN) {
		w->torn++;
	}
}

static void world_open(struct world *w)
{
	char error[256];

	// Ids that never became durable may be given out again unless time passes.
	w->now += 1000000;
	memset(pending, 0, sizeof(pending));
	nfound = 0;
	for (unsigned i = 0; i < w->n; i++)
		w->m[i].seen = false;
	w->cfg.seed = pen_rand_u64(&w->rand) | 1;
	int err = pen_spool_core_open(&w->cfg, &w->core, error, sizeof(error));
	if (err != 0)
		fail_msg("open: %s", error);
	for (unsigned i = 0; i < nfound; i++) {
		check_content(w, found[i]);
		pen_message_free(found[i]);
	}
	w->recovered += nfound;
	for (unsigned i = 0; i < w->n; i++) {
		struct model *m = &w->m[i];
		if (m->is == PUT_ACKED && !m->seen) {
			if (!w->corruption_expected)
				fail_msg("message %llu was acknowledged and is lost",
					(unsigned long long)m->id);
			w->lost++;
		}
		if (!m->seen && m->is != GONE) {
			m->is = GONE;
			m->why = "an earlier recovery had not found it";
		}
		m->pending_put = m->pending_removal = false;
	}
}

static void world_init(struct world *w, uint64_t seed, uint64_t segment, unsigned segments)
{
	memset(w, 0, sizeof(*w));
	pen_rand_seed(&w->rand, seed);
	w->disk = pen_disk_sim_new(seed + 1);
	w->now = 1790000000000000;
	w->cfg = (struct pen_spool_config){.disk = w->disk,
		.segment_bytes = segment,
		.max_bytes = segment * segments,
		.batch_bytes = 16384,
		.ahead_segments = 1,
		.ctx = w,
		.on_message = on_message,
		.on_problem = on_problem};
	world_open(w);
}

// In one step, or in three with the next batch begun meanwhile, which is taken
// back when the first one fails.
static int commit_somehow(struct world *w)
{
	struct pen_span rcpt = PEN_SPAN_LIT("next@example.net");
	bool dropped;

	if (pen_rand_below(&w->rand, 3) != 0)
		return pen_spool_core_commit(w->core);
	int n = pen_spool_core_begin(w->core);
	if (n <= 0)
		return n;
	struct pen_message *m = pen_message_new(
		PEN_SPAN_LIT("s@example.org"), &rcpt, 1, calloc(1, 100), 100, w->now, 0);
	m->id = pen_spool_core_next_id(w->core, w->now);
	int put = pen_spool_core_put(w->core, m);
	int err = pen_spool_core_end(w->core, pen_spool_core_write(w->core), &dropped);
	assert_true(!dropped || put == 0);
	assert_int_equal(pen_spool_core_dirty(w->core), put == 0 && !dropped);
	pen_spool_core_drop(w->core);
	pen_message_free(m);
	return err;
}

static void world_commit(struct world *w)
{
	int err = commit_somehow(w);

	for (unsigned i = 0; i < w->n; i++) {
		struct model *m = &w->m[i];
		if (err == 0) {
			if (m->pending_put)
				m->is = PUT_ACKED;
			for (unsigned k = 0; k < RCPTS; k++)
				value_commit(&m->rcpt[k], &pending[i].rcpt[k]);
			value_commit(&m->next, &pending[i].next);
			value_commit(&m->flags, &pending[i].flags);
			value_commit(&m->error, &pending[i].error);
			value_commit(&m->klass, &pending[i].klass);
			if (m->pending_removal) {
				m->is = GONE;
				m->why = "its removal was acknowledged";
			}
			w->acked++;
		} else if (m->pending_removal && m->is == PUT_ACKED) {
			m->is = REMOVE_MAYBE;
		}
		m->pending_put = m->pending_removal = false;
		memset(&pending[i], 0, sizeof(pending[i]));
	}
}

static void do_put(struct world *w)
{
	if (w->n == MESSAGES)
		return;
	struct model *m = &w->m[w->n];
	char addr[RCPTS][64];
	struct pen_span rcpts[RCPTS];

	memset(m, 0, sizeof(*m));
	w->now += (pen_wall_us)pen_rand_below(&w->rand, 1000);
	m->id = pen_spool_core_next_id(w->core, w->now);
	m->nrcpt = 1 + (uint32_t)pen_rand_below(&w->rand, RCPTS);
	m->content_len =
		(uint32_t)pen_rand_below(&w->rand, pen_rand_below(&w->rand, 4) == 0 ? 9000 : 1500);
	for (uint32_t i = 0; i < m->nrcpt; i++) {
		snprintf(addr[i], sizeof(addr[i]), "r%u-%llx@example.net", i,
			(unsigned long long)m->id);
		rcpts[i] = pen_span_cstr(addr[i]);
	}
	uint8_t *content = malloc(m->content_len + 1);
	for (uint32_t i = 0; i < m->content_len; i++)
		content[i] = content_byte(m->id, i);
	struct pen_message *msg = pen_message_new(PEN_SPAN_LIT("s@example.org"), rcpts, m->nrcpt,
		content, m->content_len, w->now, PEN_MESSAGE_8BIT);
	msg->id = m->id;
	unsigned tenant = (unsigned)pen_rand_below(&w->rand, 3);
	msg->klass = class_of(tenant);
	int err = pen_spool_core_put(w->core, msg);
	if (err == -EAGAIN) {
		world_commit(w);
		err = pen_spool_core_put(w->core, msg);
	}
	if (err == 0) {
		value_set(&m->next, (uint64_t)w->now);
		value_set(&m->flags, PEN_MESSAGE_8BIT);
		value_set(&m->klass, tenant);
		m->is = PUT_MAYBE;
		m->pending_put = true;
		w->n++;
	} else {
		assert_int_not_equal(err, -EAGAIN);
	}
	pen_message_free(msg);
}

static struct model *pick(struct world *w)
{
	for (int tries = 0; w->n > 0 && tries < 20; tries++) {
		struct model *m = &w->m[pen_rand_below(&w->rand, w->n)];
		if ((m->is == PUT_ACKED || m->is == REMOVE_MAYBE || m->pending_put) &&
			!m->pending_removal)
			return m;
	}
	return NULL;
}

static int update_once(struct world *w, const struct pen_message_update *u)
{
	int err = pen_spool_core_update(w->core, u);

	if (err != -EAGAIN)
		return err;
	world_commit(w);
	return pen_spool_core_update(w->core, u);
}

static void do_update(struct world *w)
{
	struct model *m = pick(w);
	if (m == NULL)
		return;
	struct pending *p = &pending[m - w->m];
	struct pen_rcpt_change change[RCPTS];
	struct pen_dsn error;
	struct pen_message_update u = {.id = m->id,
		.next_attempt = w->now + (pen_wall_us)pen_rand_below(&w->rand, 1u << 30),
		.flags = (uint32_t)pen_rand_below(&w->rand, 8),
		.change = change};

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (pen_rand_below(&w->rand, 2) == 0)
			change[u.nchanges++] = (struct pen_rcpt_change){.index = i,
				.fate = (uint8_t)pen_rand_below(&w->rand, 5),
				.doubts = (uint8_t)(pen_rand_below(&w->rand, 4) == 0),
				.attempts = (uint16_t)pen_rand_below(&w->rand, 60000)};
	}
	unsigned detail = 0;
	if (pen_rand_below(&w->rand, 2) == 0) {
		detail = 1 + (unsigned)pen_rand_below(&w->rand, 900);
		pen_dsn_set(&error, 4, 4, detail, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL,
			PEN_STAGE_CONNECT, "deferral %u of a test", detail);
		u.last_error = &error;
	}
	if (m->next.nmaybe >= MAYBES - 1)
		return;
	unsigned tenant = (unsigned)pen_rand_below(&w->rand, 4);
	if (pen_rand_below(&w->rand, 4) == 0)
		u.klass = class_of(tenant);
	int err = update_once(w, &u);
	pen_mail_class_put(u.klass);
	if (err != 0)
		return;
	if (u.klass != NULL) {
		value_maybe(&m->klass, tenant);
		p->klass++;
	}
	value_maybe(&m->next, (uint64_t)u.next_attempt);
	value_maybe(&m->flags, u.flags);
	p->next++;
	p->flags++;
	if (u.last_error != NULL) {
		value_maybe(&m->error, detail);
		p->error++;
	}
	for (uint32_t i = 0; i < u.nchanges; i++) {
		value_maybe(&m->rcpt[change[i].index],
			rcpt_value(change[i].fate, change[i].doubts, change[i].attempts));
		p->rcpt[change[i].index]++;
	}
}

static void do_remove(struct world *w)
{
	struct model *m = pick(w);

	if (m == NULL)
		return;
	struct pen_message_update u = {.id = m->id, .removed = true};
	if (update_once(w, &u) == 0)
		m->pending_removal = true;
}

static void do_step(struct world *w)
{
	world_commit(w);
	int err = pen_spool_core_step(w->core);
	if (err < 0 || pen_disk_sim_crashed(w->disk))
		return;
	// Housekeeping that went well has taken back the puts that had failed.
	if (err == 0) {
		for (unsigned i = 0; i < w->n; i++) {
			if (w->m[i].is != PUT_MAYBE)
				continue;
			w->m[i].is = GONE;
			w->m[i].why = "its put had failed and was taken back";
		}
	}
}

static void world_act(struct world *w, unsigned remove_weight)
{
	switch (pen_rand_below(&w->rand, 8 + remove_weight)) {
	case 0:
	case 1:
	case 2:
		do_put(w);
		break;
	case 3:
	case 4:
		do_update(w);
		break;
	case 5:
	case 6:
		world_commit(w);
		break;
	case 7:
		do_step(w);
		break;
	default:
		do_remove(w);
	}
}

static void world_close(struct world *w, bool clean)
{
	struct pen_spool_stats st;

	pen_spool_core_stats(w->core, &st);
	w->moved += st.counters.relocated;
	w->freed += st.counters.segments_freed;
	w->abandoned += st.counters.segments_abandoned;
	pen_spool_core_close(w->core, clean);
}

static void on_fault(void *ctx, const struct pen_spool_fault *f)
{
	struct world *w = ctx;

	// A footer whose sync failed may be anything.
	if (pen_disk_sim_counts(w->disk)->syncs_failed > 0 && strstr(f->what, "the footer is damaged"))
		return;
	fail_msg("%s: offset %llu, message %llu: %s", f->file, (unsigned long long)f->offset,
		(unsigned long long)f->id, f->what);
}

static void on_seen(void *ctx, const struct pen_spool_seen *s)
{
	struct world *w = ctx;
	struct model *m = model_find(w, s->m->id);

	if (m == NULL || s->ended)
		return;
	m->checked = true;
	for (uint32_t i = 0; i < s->m->nrcpt; i++) {
		const struct pen_recipient *r = &s->m->rcpt[i];
		assert_true(value_ok(&m->rcpt[i], rcpt_value(r->fate, r->doubts, r->attempts)));
	}
}

// What a crash leaves is no damage, and has everything that was acknowledged.
static void world_check(struct world *w)
{
	struct pen_spool_check_config cfg = {
		.disk = w->disk, .ctx = w, .on_fault = on_fault, .on_message = on_seen};
	struct pen_spool_check out;
	char error[256];

	for (unsigned i = 0; i < w->n; i++)
		w->m[i].checked = false;
	assert_int_equal(pen_spool_check(&cfg, &out, error, sizeof(error)), 0);
	assert_false(out.online);
	for (unsigned i = 0; i < w->n; i++) {
		if (w->m[i].is == PUT_ACKED && !w->m[i].checked)
			fail_msg("the check does not see message %llu",
				(unsigned long long)w->m[i].id);
	}
}

// Runs until the power fails, restarts, checks; forgets what is gone for good.
static void world_life(struct world *w)
{
	struct model keep[MESSAGES];
	unsigned n = 0;
	uint64_t style = pen_rand_below(&w->rand, 8);

	pen_disk_sim_crash_after(w->disk, 1 + pen_rand_below(&w->rand, style == 0 ? 10 : 250));
	for (unsigned i = 0; i < 1500 && !pen_disk_sim_crashed(w->disk); i++)
		world_act(w, (unsigned)(1 + style % 4));
	bool crashed = pen_disk_sim_crashed(w->disk);
	if (crashed)
		w->crashes++;
	else
		world_commit(w);
	world_close(w, !crashed);
	pen_disk_sim_restart(w->disk);
	struct pen_disk_sim_faults faults = *pen_disk_sim_faults(w->disk);
	*pen_disk_sim_faults(w->disk) = (struct pen_disk_sim_faults){0};
	world_check(w);
	world_open(w);
	*pen_disk_sim_faults(w->disk) = faults;
	// Messages that ended long ago must stay ended: keep a good part of them.
	for (unsigned i = 0; i < w->n; i++) {
		if (w->m[i].is == PUT_ACKED || pen_rand_below(&w->rand, 100) < 60)
			keep[n++] = w->m[i];
	}
	memcpy(w->m, keep, n * sizeof(keep[0]));
	w->n = n;
}

static void crash_many(unsigned worlds, unsigned lives, bool faulty, uint64_t seed)
{
	static struct world w;
	uint64_t crashes = 0, recovered = 0, moved = 0, freed = 0, abandoned = 0, torn = 0;

	for (unsigned i = 0; i < worlds; i++) {
		world_init(&w, seed + i, 65536, 14 + (unsigned)(i % 20));
		if (faulty) {
			struct pen_disk_sim_faults *f = pen_disk_sim_faults(w.disk);
			f->sync_eio_ppm = 30000;
			f->write_eio_ppm = 20000;
			f->short_write_ppm = 100000;
			if (i % 3 == 0)
				f->capacity = 65536 * 16;
		}
		for (unsigned k = 0; k < lives; k++)
			world_life(&w);
		crashes += w.crashes;
		recovered += w.recovered;
		moved += w.moved;
		freed += w.freed;
		abandoned += w.abandoned;
		torn += w.torn;
		world_close(&w, true);
		pen_disk_free(w.disk);
	}
	fprintf(stderr,
		"%llu crashes, %llu messages recovered, %llu moved, %llu segments freed, %llu "
		"abandoned, %llu torn tails\n",
		(unsigned long long)crashes, (unsigned long long)recovered,
		(unsigned long long)moved, (unsigned long long)freed, (unsigned long long)abandoned,
		(unsigned long long)torn);
	assert_true(crashes > worlds);
	assert_true(moved > 0 && freed > 0 && torn > 0);
	assert_true(!faulty || abandoned > 0);
}

static void a_crash_loses_nothing_acknowledged(void **state)
{
	(void)state;
	crash_many(60, 40, false, pen_test_seed());
}

static void a_crash_on_a_failing_disk_loses_nothing_acknowledged(void **state)
{
	(void)state;
	crash_many(60, 40, true, pen_test_seed() + 1000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_crash_loses_nothing_acknowledged),
		cmocka_unit_test(a_crash_on_a_failing_disk_loses_nothing_acknowledged),
	};
	pen_log_set_sink(quiet, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
