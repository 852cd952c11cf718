// SPDX-License-Identifier: BSD-3-Clause

// Compiling a set. PCRE2 goes first: it defines the syntax, and its messages
// have positions. Then each pattern finds the strongest role that Hyperscan
// gives it, and all of Hyperscan's share one database.
//
// PCRE2's JIT is not used: the oracle test caught 10.42's missing a match of an
// atomic group that the interpreter finds, and PCRE2 only ever runs on hits.

#include "pattern_internal.h"

#include "pen_buf.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

__attribute__((format(printf, 3, 4))) static void say(char *err, size_t cap, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err, cap, fmt, ap);
	va_end(ap);
}

static uint32_t pcre_options(unsigned flags)
{
	uint32_t o = 0;

	o |= flags & PEN_PATTERN_CASELESS ? PCRE2_CASELESS : 0;
	if (flags & PEN_PATTERN_LITERAL)
		return o | PCRE2_LITERAL;
	o |= flags & PEN_PATTERN_MULTILINE ? PCRE2_MULTILINE : 0;
	o |= flags & PEN_PATTERN_DOTALL ? PCRE2_DOTALL : 0;
	o |= flags & PEN_PATTERN_EXTENDED ? PCRE2_EXTENDED : 0;
	o |= flags & PEN_PATTERN_ANCHORED ? PCRE2_ANCHORED : 0;
	o |= flags & PEN_PATTERN_DOLLAR_END ? PCRE2_DOLLAR_ENDONLY : 0;
	o |= flags & PEN_PATTERN_UNGREEDY ? PCRE2_UNGREEDY : 0;
	return o | PCRE2_NEVER_UTF | PCRE2_NEVER_BACKSLASH_C;
}

static bool compile_pcre(struct pattern *out, const struct pen_pattern *p, char *err, size_t cap)
{
	PCRE2_SIZE at;
	int code;

	if (p->text.n > PEN_PATTERN_TEXT_MAX) {
		say(err, cap, "%s:%u: the pattern has %zu bytes, the limit is %d", p->file, p->line,
			p->text.n, PEN_PATTERN_TEXT_MAX);
		return false;
	}
	out->code = pcre2_compile(p->text.p, p->text.n, pcre_options(p->flags), &code, &at, NULL);
	if (out->code == NULL) {
		PCRE2_UCHAR why[160];

		pcre2_get_error_message(code, why, sizeof(why));
		say(err, cap, "%s:%u: %s at position %zu of pattern \"%.*s\"", p->file, p->line,
			(char *)why, (size_t)at + 1, PEN_SPAN_ARG(p->text));
		return false;
	}
	pcre2_pattern_info(out->code, PCRE2_INFO_CAPTURECOUNT, &out->groups);
	return true;
}

// The pattern as Hyperscan gets it: a C string without the flags that
// Hyperscan has no word for. Never fewer matches than PCRE2's.
static char *hs_text(const struct pen_pattern *p)
{
	struct pen_buf b = PEN_BUF_INIT;

	if (p->flags & PEN_PATTERN_LITERAL) {
		for (size_t i = 0; i < p->text.n; i++)
			pen_buf_addf(&b, "\\x%02x", p->text.p[i]);
	} else {
		const char *open = "", *close = "";

		if (p->flags & PEN_PATTERN_ANCHORED) {
			open = "\\A(?:";
			// A newline, because an extended pattern may end in a comment.
			close = p->flags & PEN_PATTERN_EXTENDED ? "\n)" : ")";
		}
		pen_buf_add_cstr(&b, p->flags & PEN_PATTERN_EXTENDED ? "(?x)" : "");
		pen_buf_add_cstr(&b, open);
		pen_buf_add_span(&b, p->text);
		pen_buf_add_cstr(&b, close);
	}
	pen_buf_add(&b, "", 1);
	if (b.failed) {
		pen_buf_fini(&b);
		return NULL;
	}
	return (char *)b.p;
}

static unsigned hs_flags(const struct pen_pattern *p)
{
	unsigned f = HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY;

	f |= p->flags & PEN_PATTERN_CASELESS ? HS_FLAG_CASELESS : 0;
	if (p->flags & PEN_PATTERN_LITERAL)
		return f;
	f |= p->flags & PEN_PATTERN_MULTILINE ? HS_FLAG_MULTILINE : 0;
	f |= p->flags & PEN_PATTERN_DOTALL ? HS_FLAG_DOTALL : 0;
	return f;
}

// Everything the compiling thread touches; freed by whoever is done last.
struct job {
	size_t n;
	char **text;
	unsigned *flags;
	enum pen_pattern_engine *engine;
	hs_database_t *db;
	bool ok;
	char err[256];

	pthread_mutex_t lock;
	pthread_cond_t cond;
	bool done, abandoned;
};

static void job_free(struct job *j)
{
	for (size_t i = 0; j->text != NULL && i < j->n; i++)
		free(j->text[i]);
	free(j->text);
	free(j->flags);
	free(j->engine);
	if (j->db != NULL)
		hs_free_database(j->db);
	pthread_mutex_destroy(&j->lock);
	pthread_cond_destroy(&j->cond);
	free(j);
}

static struct job *job_new(const struct pen_pattern *p, size_t n)
{
	struct job *j = calloc(1, sizeof(*j));

	if (j == NULL)
		return NULL;
	pthread_mutex_init(&j->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&j->cond, &attr);
	pthread_condattr_destroy(&attr);
	j->n = n;
	j->text = calloc(n + 1, sizeof(*j->text));
	j->flags = calloc(n + 1, sizeof(*j->flags));
	j->engine = calloc(n + 1, sizeof(*j->engine));
	bool ok = j->text != NULL && j->flags != NULL && j->engine != NULL;
	for (size_t i = 0; ok && i < n; i++) {
		j->text[i] = hs_text(&p[i]);
		j->flags[i] = hs_flags(&p[i]);
		ok = j->text[i] != NULL;
		// Hyperscan has no such $, and would stop at a NUL.
		if (p[i].flags & PEN_PATTERN_DOLLAR_END && pen_span_find(p[i].text, '$') >= 0)
			j->engine[i] = PEN_ENGINE_PREFILTER;
		if ((p[i].flags & PEN_PATTERN_LITERAL) == 0 && pen_span_find(p[i].text, 0) >= 0)
			j->engine[i] = PEN_ENGINE_PCRE2;
	}
	if (!ok) {
		job_free(j);
		return NULL;
	}
	return j;
}

static bool hs_accepts(const char *text, unsigned flags)
{
	hs_expr_info_t *info = NULL;
	hs_compile_error_t *error = NULL;
	bool ok = hs_expression_info(text, flags, &info, &error) == HS_SUCCESS;

	free(info);
	if (error != NULL)
		hs_free_compile_error(error);
	return ok;
}

static void choose_engine(struct job *j, size_t i)
{
	if (j->engine[i] == PEN_ENGINE_HYPERSCAN && !hs_accepts(j->text[i], j->flags[i]))
		j->engine[i] = PEN_ENGINE_PREFILTER;
	if (j->engine[i] == PEN_ENGINE_PREFILTER &&
		!hs_accepts(j->text[i], j->flags[i] | HS_FLAG_PREFILTER))
		j->engine[i] = PEN_ENGINE_PCRE2;
}

// Compiles the patterns that are not PCRE2's alone. Returns the pattern that
// Hyperscan refuses after all (some limits only show here), or -1 when it is
// over: j->ok and j->err say how.
static ptrdiff_t compile_once(struct job *j)
{
	const char **text = calloc(j->n + 1, sizeof(*text));
	unsigned *flags = calloc(j->n + 1, sizeof(*flags)), *id = calloc(j->n + 1, sizeof(*id));
	hs_compile_error_t *error = NULL;
	ptrdiff_t refused = -1;
	unsigned n = 0;

	if (text == NULL || flags == NULL || id == NULL) {
		say(j->err, sizeof(j->err), "out of memory");
		goto out;
	}
	for (size_t i = 0; i < j->n; i++) {
		if (j->engine[i] == PEN_ENGINE_PCRE2)
			continue;
		text[n] = j->text[i];
		flags[n] = j->flags[i];
		if (j->engine[i] == PEN_ENGINE_PREFILTER)
			flags[n] |= HS_FLAG_PREFILTER;
		id[n++] = (unsigned)i;
	}
	if (n == 0) {
		j->ok = true;
		goto out;
	}
	if (hs_compile_multi(text, flags, id, n, HS_MODE_BLOCK, NULL, &j->db, &error) == HS_SUCCESS)
		j->ok = true;
	else if (error->expression >= 0)
		refused = id[error->expression];
	else
		say(j->err, sizeof(j->err), "%s", error->message);
out:
	if (error != NULL)
		hs_free_compile_error(error);
	free(text);
	free(flags);
	free(id);
	return refused;
}

static void *job_run(void *arg)
{
	struct job *j = arg;
	ptrdiff_t refused;

	for (size_t i = 0; i < j->n; i++)
		choose_engine(j, i);
	while ((refused = compile_once(j)) >= 0)
		j->engine[refused]++; // the next weaker engine; ends at PCRE2

	pthread_mutex_lock(&j->lock);
	j->done = true;
	bool abandoned = j->abandoned;
	pthread_cond_signal(&j->cond);
	pthread_mutex_unlock(&j->lock);
	if (abandoned)
		job_free(j);
	return NULL;
}

// True when the job ended in time; otherwise its thread frees it.
static bool job_wait(struct job *j, pthread_t thread, pen_time_us limit)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += limit / PEN_US_PER_S;
	until.tv_nsec += limit % PEN_US_PER_S * 1000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	pthread_mutex_lock(&j->lock);
	while (!j->done && pthread_cond_timedwait(&j->cond, &j->lock, &until) != ETIMEDOUT)
		;
	bool done = j->done;
	j->abandoned = !done;
	pthread_mutex_unlock(&j->lock);
	if (done)
		pthread_join(thread, NULL);
	else
		pthread_detach(thread);
	return done;
}

// A job that is done, well or not; NULL with *err set.
static struct job *compile(const struct pen_pattern *p, size_t n, const char *file,
	pen_time_us limit, char *err, size_t cap)
{
	struct job *j = job_new(p, n);
	pthread_t thread;

	if (j != NULL && pattern_image_take(p, n, j->engine, &j->db)) {
		j->ok = true;
		return j;
	}
	if (j == NULL || pthread_create(&thread, NULL, job_run, j) != 0) {
		say(err, cap, "%s: no memory or thread to compile the patterns", file);
		if (j != NULL)
			job_free(j);
		return NULL;
	}
	if (!job_wait(j, thread, limit)) {
		say(err, cap, "%s: compiling %zu patterns took longer than %.1f s: simplify them",
			file, n, (double)limit / (double)PEN_US_PER_S);
		return NULL;
	}
	if (j->db != NULL)
		pattern_image_put(p, n, j->engine, j->db);
	return j;
}

static bool compile_hs(struct pen_pattern_set *set, const struct pen_pattern *p, pen_time_us limit,
	char *err, size_t cap)
{
	const char *file = set->n > 0 ? p[0].file : "";
	struct job *j = compile(p, set->n, file, limit, err, cap);

	if (j == NULL)
		return false;
	bool ok = j->ok;
	if (!ok)
		say(err, cap, "%s: the patterns do not compile together: %s", file, j->err);
	for (size_t i = 0; i < set->n; i++) {
		set->pattern[i].engine = j->engine[i];
		if (j->engine[i] == PEN_ENGINE_PCRE2)
			set->always[i / 64] |= 1ull << (i % 64);
	}
	set->db = j->db;
	j->db = NULL;
	job_free(j);
	if (ok && set->db != NULL && hs_alloc_scratch(set->db, &set->scratch) != HS_SUCCESS) {
		say(err, cap, "%s: out of memory", file);
		return false;
	}
	return ok;
}

struct pen_pattern_set *pen_pattern_set_new(const struct pen_pattern *patterns, size_t n,
	pen_time_us time_limit, char *err, size_t err_cap)
{
	struct pen_pattern_set *set = calloc(1, sizeof(*set));

	if (n > PEN_PATTERN_MAX) {
		say(err, err_cap, "%s: %zu patterns, the limit is %d", patterns[0].file, n,
			PEN_PATTERN_MAX);
		free(set);
		return NULL;
	}
	if (set != NULL) {
		set->words = n / 64 + 1;
		set->pattern = calloc(n + 1, sizeof(*set->pattern));
		set->always = calloc(set->words, sizeof(*set->always));
	}
	if (set == NULL || set->pattern == NULL || set->always == NULL) {
		say(err, err_cap, "out of memory");
		pen_pattern_set_free(set);
		return NULL;
	}
	for (size_t i = 0; i < n; i++, set->n++) {
		if (!compile_pcre(&set->pattern[i], &patterns[i], err, err_cap)) {
			pen_pattern_set_free(set);
			return NULL;
		}
	}
	if (!compile_hs(set, patterns, time_limit, err, err_cap)) {
		pen_pattern_set_free(set);
		return NULL;
	}
	return set;
}

void pen_pattern_set_free(struct pen_pattern_set *set)
{
	if (set == NULL)
		return;
	for (size_t i = 0; i < set->n; i++)
		pcre2_code_free(set->pattern[i].code);
	free(set->pattern);
	free(set->always);
	if (set->scratch != NULL)
		hs_free_scratch(set->scratch);
	if (set->db != NULL)
		hs_free_database(set->db);
	free(set);
}

size_t pen_pattern_set_count(const struct pen_pattern_set *set)
{
	return set->n;
}

enum pen_pattern_engine pen_pattern_set_engine(const struct pen_pattern_set *set, size_t i)
{
	return set->pattern[i].engine;
}

size_t pen_pattern_set_groups(const struct pen_pattern_set *set, size_t i)
{
	return set->pattern[i].groups;
}
