// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

// Reading what state.c wrote. It may come from anywhere: a line is good or skipped.

#define COUNT_MAX ((uint64_t)1 << 50)
#define WORDS_MAX 96

// ---- what a state says of what exists only later

static struct restored *restored_find(struct pen_shape *sh, struct pen_span key)
{
	uint64_t hash = shape_hash(sh->seed, key);

	for (struct hent *e = shape_htab_chain(&sh->restored, hash); e != NULL; e = e->next) {
		struct restored *r = container(e, struct restored, hent);
		if (e->hash == hash && pen_span_ieq(pen_span_cstr(r->key), key))
			return r;
	}
	return NULL;
}

static void restored_remove(struct pen_shape *sh, struct restored *r)
{
	shape_htab_remove(&sh->restored, &r->hent);
	free(r->key);
	free(r);
}

void shape_meter_restore(struct pen_shape *sh, struct meter *l, bool fresh)
{
	struct pen_buf key = PEN_BUF_INIT;

	if (!l->longish) {
		pen_time_us known = fresh ? sh->loaded_at : sh->now;
		if (known != PEN_TIME_NEVER && known + l->rate.period > sh->now)
			pen_meter_past(&l->m, &l->rate, sh->now, known, PEN_METER_FULL);
		return;
	}
	if (sh->loaded_at == PEN_TIME_NEVER)
		return;
	struct restored *r = NULL;
	if (sh->restored.n > 0) {
		shape_state_key(sh, &key, l->node, shape_state_limit(l));
		r = restored_find(sh, pen_buf_span(&key));
		if (key.failed) // not to be known: as if all was used
			pen_meter_fill(&l->m, &l->rate, sh->now);
		pen_buf_fini(&key);
	}
	bool lost = sh->lost_at != PEN_TIME_NEVER && sh->lost_at + l->rate.period > sh->now;
	if (r == NULL && !lost && sh->loaded_at + l->rate.period <= sh->now)
		return;
	// On disk nothing is reserved for it from now on.
	l->res.left = l->res.next = 0;
	sh->low = true;
	if (r == NULL) {
		pen_meter_past(&l->m, &l->rate, sh->now, lost ? sh->lost_at : sh->loaded_at,
			lost ? l->rate.count : shape_chunk(l->rate.count));
		return;
	}
	for (uint32_t i = 0; i < r->n; i++) {
		if (r->e[i].ended + l->rate.period > sh->now)
			pen_meter_past(&l->m, &l->rate, sh->now, r->e[i].ended, r->e[i].n);
	}
	restored_remove(sh, r);
}

static int64_t day_of(pen_wall_us t)
{
	return t >= 0 ? t / SHAPE_DAY : -1;
}

void shape_warm_restore(struct pen_shape *sh, struct at_node *a)
{
	struct pen_buf key = PEN_BUF_INIT;
	int64_t day = day_of(sh->now + sh->offset);
	uint64_t cap;

	a->day = day;
	bool capped = shape_warm_cap(sh, a, &cap);
	a->res.next = capped ? shape_chunk(cap) : 0;
	a->res.left = sh->confirmed ? a->res.next : 0;
	if (sh->loaded_at == PEN_TIME_NEVER)
		return;
	struct pen_span where = a->at_provider ? pen_span_cstr(((struct provider *)a->where)->name)
					       : pen_shape_site_name(a->where);
	shape_state_word(&key, shape_node_name(sh, &a->node));
	shape_state_word(&key, where);
	struct restored *r = restored_find(sh, pen_buf_span(&key));
	pen_buf_fini(&key);
	if (r == NULL && day_of(sh->loaded_at + sh->offset) != day)
		return;
	a->res.left = a->res.next = 0;
	sh->low = true;
	if (r == NULL) {
		bool lost =
			sh->lost_at != PEN_TIME_NEVER && day_of(sh->lost_at + sh->offset) == day;
		a->used = !capped ? 0 : lost ? cap : shape_chunk(cap);
		return;
	}
	if (r->e[0].ended == day)
		a->used = r->e[0].n;
	restored_remove(sh, r);
}

void shape_restored_sweep(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->restored.mask; i++) {
		struct hent *next;
		for (struct hent *e = sh->restored.bucket[i]; e != NULL; e = next) {
			struct restored *r = container(e, struct restored, hent);
			bool live = r->period == 0 && r->e[0].ended >= day_of(sh->now + sh->offset);
			next = e->next;
			for (uint32_t k = 0; r->period != 0 && k < r->n; k++)
				live = live || r->e[k].ended + r->period > sh->now;
			if (!live)
				restored_remove(sh, r);
		}
	}
	for (uint32_t i = 0; i <= sh->due_effects.mask; i++) {
		struct hent *next;
		for (struct hent *e = sh->due_effects.bucket[i]; e != NULL; e = next) {
			struct pending_effect *p = container(e, struct pending_effect, hent);
			next = e->next;
			if (p->ends > sh->now)
				continue;
			shape_htab_remove(&sh->due_effects, &p->hent);
			free(p->name);
			free(p);
		}
	}
}

void shape_restored_free(struct pen_shape *sh)
{
	for (uint32_t i = 0; i <= sh->restored.mask; i++) {
		while (sh->restored.bucket[i] != NULL)
			restored_remove(
				sh, container(sh->restored.bucket[i], struct restored, hent));
	}
	for (uint32_t i = 0; i <= sh->due_effects.mask; i++) {
		while (sh->due_effects.bucket[i] != NULL) {
			struct pending_effect *p =
				container(sh->due_effects.bucket[i], struct pending_effect, hent);
			shape_htab_remove(&sh->due_effects, &p->hent);
			free(p->name);
			free(p);
		}
	}
}

static void effect_start(
	struct pen_shape *sh, struct pen_shape_node *n, const struct pending_effect *p)
{
	if (p->ends <= sh->now)
		return;
	if (p->backoff)
		shape_node_calm(sh, n, p->ends, p->line, p->shipped);
	else
		shape_effect_set(sh, n, &p->limits, p->line, p->shipped, p->ends);
}

void shape_effects_restore(struct pen_shape *sh, struct pen_shape_node *n)
{
	struct pen_span name = shape_node_name(sh, n);
	uint64_t hash = shape_hash(sh->seed + n->kind, name);
	struct hent *next;

	if (sh->due_effects.n == 0)
		return;
	for (struct hent *e = shape_htab_chain(&sh->due_effects, hash); e != NULL; e = next) {
		struct pending_effect *p = container(e, struct pending_effect, hent);
		next = e->next;
		if (e->hash != hash || p->kind != n->kind ||
			!pen_span_ieq(pen_span_cstr(p->name), name))
			continue;
		shape_htab_remove(&sh->due_effects, &p->hent);
		effect_start(sh, n, p);
		free(p->name);
		free(p);
	}
}

// ---- loading

static int hex_value(uint8_t c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

// In place; false: not as add_word writes it.
static bool decode(char *word, size_t *n)
{
	size_t out = 0;

	if (strcmp(word, "-") == 0) {
		*word = '\0';
		*n = 0;
		return true;
	}
	for (size_t i = 0; word[i] != '\0'; i++) {
		if (word[i] != '%') {
			word[out++] = word[i];
			continue;
		}
		int hi = hex_value((uint8_t)word[i + 1]);
		int lo = hi < 0 ? -1 : hex_value((uint8_t)word[i + 2]);
		if (lo < 0 || (hi == 0 && lo == 0))
			return false;
		word[out++] = (char)(hi << 4 | lo);
		i += 2;
	}
	word[out] = '\0';
	*n = out;
	return true;
}

struct line {
	char *w[WORDS_MAX];
	uint32_t n;
};

static bool number(const char *word, int64_t least, int64_t most, int64_t *out)
{
	char *end;

	if (!isdigit((unsigned char)word[0]) && word[0] != '-')
		return false;
	errno = 0;
	long long v = strtoll(word, &end, 10);
	if (errno != 0 || *end != '\0' || v < least || v > most)
		return false;
	*out = v;
	return true;
}

static int index_of(const char *const *list, size_t n, const char *word)
{
	for (size_t i = 0; i < n; i++) {
		if (list[i] != NULL && strcmp(list[i], word) == 0)
			return (int)i;
	}
	return -1;
}

static struct restored *restored_new(
	struct pen_shape *sh, const struct line *l, uint32_t first, uint32_t nkey, uint32_t entries)
{
	struct pen_buf key = PEN_BUF_INIT;

	for (uint32_t i = first; i < first + nkey; i++)
		pen_buf_addf(&key, " %s", l->w[i]);
	pen_buf_add(&key, "", 1);
	struct restored *r = calloc(1, sizeof(*r) + entries * sizeof(r->e[0]));
	if (key.failed || r == NULL) {
		pen_buf_fini(&key);
		free(r);
		return NULL;
	}
	struct pen_span name = pen_span(key.p, key.n - 1);
	struct restored *old = restored_find(sh, name);
	if (old != NULL)
		restored_remove(sh, old);
	r->key = (char *)key.p;
	r->hent.hash = shape_hash(sh->seed, name);
	shape_htab_put(&sh->restored, &r->hent);
	return r;
}

struct loader {
	struct pen_shape *sh;
	pen_time_us elapsed; // since it was saved
};

static bool load_slot(struct loader *ld, char *word, pen_time_us *ended, uint64_t *n)
{
	int64_t age = 0, count;
	char *colon = strchr(word, ':');

	if (word[0] == '+') {
		if (!number(word + 1, 0, COUNT_MAX, &count))
			return false;
		*ended = ld->sh->now;
	} else {
		if (colon == NULL)
			return false;
		*colon = '\0';
		if (!number(word, 0, AGE_MAX, &age) || !number(colon + 1, 0, COUNT_MAX, &count))
			return false;
		*ended = ld->sh->now - ld->elapsed - age;
	}
	*n = (uint64_t)count;
	return true;
}

static bool load_meter(struct loader *ld, struct line *l)
{
	int64_t period;

	if (l->n < 6 || !number(l->w[1], PEN_US_PER_S, AGE_MAX, &period))
		return false;
	pen_time_us ended[WORDS_MAX];
	uint64_t count[WORDS_MAX];
	uint32_t n = l->n - 6;
	for (uint32_t i = 0; i < n; i++) {
		if (!load_slot(ld, l->w[6 + i], &ended[i], &count[i]))
			return false;
	}
	struct restored *r = restored_new(ld->sh, l, 2, 4, n);
	if (r == NULL)
		return false;
	r->period = period;
	r->n = n;
	for (uint32_t i = 0; i < n; i++) {
		r->e[i].ended = ended[i];
		r->e[i].n = count[i];
	}
	return true;
}

static bool load_warmup(struct loader *ld, struct line *l)
{
	int64_t day, count;

	if (l->n != 5 || !number(l->w[3], -1, 10000000, &day) ||
		!number(l->w[4], 0, COUNT_MAX, &count))
		return false;
	struct restored *r = restored_new(ld->sh, l, 1, 2, 1);
	if (r == NULL)
		return false;
	r->n = 1;
	r->e[0].ended = day;
	r->e[0].n = (uint64_t)count;
	return true;
}

#define WALL_MAX ((int64_t)1 << 60)

static bool load_suspension(struct loader *ld, struct line *l)
{
	size_t n[4];
	int64_t until;

	if (l->n != 8)
		return false;
	int scope = index_of(shape_state_scopes, PEN_SUSPEND_SCOPES, l->w[1]);
	bool rule = strcmp(l->w[5], "rule") == 0;
	if (scope < 0 || !number(l->w[4], 0, WALL_MAX, &until) ||
		(!rule && strcmp(l->w[5], "operator") != 0) || !decode(l->w[2], &n[0]) ||
		!decode(l->w[3], &n[1]) || !decode(l->w[6], &n[2]) || !decode(l->w[7], &n[3]) ||
		n[0] == 0)
		return false;
	struct pen_suspension s = {.scope = (enum pen_suspend_scope)scope,
		.name = pen_span(l->w[2], n[0]),
		.at = pen_span(l->w[3], n[1]),
		.by = pen_span(l->w[6], n[2]),
		.reason = pen_span(l->w[7], n[3]),
		.until = until};
	if (until != 0 && until - ld->sh->offset <= ld->sh->now)
		return true; // over
	return shape_suspend(ld->sh, &s, rule) != NULL;
}

static bool load_limits(struct line *l, struct pen_limits *out)
{
	struct pen_rate *rate[3] = {&out->connection_rate, &out->message_rate, &out->byte_rate};
	int64_t v[5];
	const char *why;
	size_t at, n;

	if (l->n != 14 || !number(l->w[6], 0, 127, &v[0]) ||
		!number(l->w[7], 0, UINT32_MAX, &v[1]) || !number(l->w[11], 0, UINT32_MAX, &v[2]) ||
		!number(l->w[12], 0, UINT32_MAX, &v[3]) || !number(l->w[13], 0, WALL_MAX, &v[4]))
		return false;
	for (unsigned i = 0; i < 3; i++) {
		if (!decode(l->w[8 + i], &n) ||
			!pen_rate_parse(pen_span(l->w[8 + i], n), rate[i], &why, &at))
			return false;
	}
	out->given = (uint32_t)v[0];
	out->connections = (uint32_t)v[1];
	out->connection_messages = (uint32_t)v[2];
	out->recipients = (uint32_t)v[3];
	out->connection_time = v[4];
	return true;
}

static bool load_effect(struct loader *ld, struct line *l, bool backoff)
{
	struct pending_effect p = {.backoff = backoff};
	int64_t until, line, shipped;
	size_t n;

	if (l->n < 6)
		return false;
	int kind = index_of(shape_state_kinds, 2, l->w[1]);
	if (kind < 0 || !decode(l->w[2], &n) || n == 0 || !number(l->w[3], 1, WALL_MAX, &until) ||
		!number(l->w[4], 0, UINT32_MAX, &line) || !number(l->w[5], 0, 1, &shipped) ||
		(backoff && l->n != 6) || (!backoff && !load_limits(l, &p.limits)))
		return false;
	p.kind = (uint8_t)kind;
	p.ends = until - ld->sh->offset;
	p.line = (uint32_t)line;
	p.shipped = shipped != 0;
	if (p.ends <= ld->sh->now)
		return true;
	struct provider *pr = kind == PEN_HELD_PROVIDER
				      ? shape_provider_get(ld->sh, pen_span(l->w[2], n), false)
				      : NULL;
	if (pr != NULL) {
		effect_start(ld->sh, &pr->node, &p);
		return true;
	}
	struct pending_effect *e = malloc(sizeof(*e));
	if (e == NULL)
		return false;
	*e = p;
	e->name = strdup(l->w[2]);
	if (e->name == NULL) {
		free(e);
		return false;
	}
	e->hent.hash = shape_hash(ld->sh->seed + p.kind, pen_span(l->w[2], n));
	shape_htab_put(&ld->sh->due_effects, &e->hent);
	return true;
}

static bool load_lost(struct loader *ld, struct line *l)
{
	int64_t age;

	if (l->n != 2 || !number(l->w[1], 0, AGE_MAX, &age))
		return false;
	ld->sh->lost_at = ld->sh->now - age - ld->elapsed;
	return true;
}

static bool load_line(struct loader *ld, struct line *l)
{
	const char *verb = l->w[0];

	if (strcmp(verb, "meter") == 0)
		return load_meter(ld, l);
	if (strcmp(verb, "warmup") == 0)
		return load_warmup(ld, l);
	if (strcmp(verb, "suspend") == 0)
		return load_suspension(ld, l);
	if (strcmp(verb, "lost") == 0)
		return load_lost(ld, l);
	if (strcmp(verb, "backoff") == 0)
		return load_effect(ld, l, true);
	return strcmp(verb, "limit") == 0 && load_effect(ld, l, false);
}

static bool split(char *text, struct line *l)
{
	l->n = 0;
	for (char *at = text; *at != '\0';) {
		if (l->n == WORDS_MAX || *at == ' ')
			return false;
		l->w[l->n++] = at;
		at += strcspn(at, " ");
		if (*at == ' ')
			*at++ = '\0';
	}
	return l->n > 0;
}

static void restore_node(struct pen_shape *sh, struct pen_shape_node *n)
{
	for (unsigned m = 0; m < METERS; m++) {
		if (n->lim[m] != NULL)
			shape_meter_restore(sh, n->lim[m], true);
	}
}

// What pen_shape_new has made already.
static void restore_nodes(struct pen_shape *sh)
{
	for (uint32_t i = 0; i < sh->cfg->nsources; i++)
		restore_node(sh, &sh->source[i].node);
	for (uint32_t i = 0; i < sh->cfg->npools; i++)
		restore_node(sh, &sh->pool[i].node);
	for (uint32_t i = 0; i <= sh->providers.mask; i++) {
		for (struct hent *e = sh->providers.bucket[i]; e != NULL; e = e->next)
			restore_node(sh, &container(e, struct provider, hent)->node);
	}
}

int pen_shape_load(struct pen_shape *sh, struct pen_span text, pen_time_us now, pen_wall_us wall,
	uint32_t *bad)
{
	char *copy = malloc(text.n + 1);
	struct loader ld = {.sh = sh};
	struct line l;
	int64_t saved = wall;

	*bad = 0;
	if (copy == NULL)
		return -ENOMEM;
	shape_clock(sh, now);
	sh->offset = wall - sh->now;
	sh->loaded_at = sh->now;
	if (text.n == 0)
		sh->lost_at = sh->now;
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	bool first = true;
	for (char *at = copy, *end = copy + text.n; at < end;) {
		char *eol = memchr(at, '\n', (size_t)(end - at));
		if (eol == NULL)
			eol = end;
		*eol = '\0';
		bool good = strlen(at) == (size_t)(eol - at) && split(at, &l);
		if (first) {
			good = good && l.n == 3 && strcmp(l.w[0], "penstock-shape") == 0 &&
			       strcmp(l.w[1], "1") == 0 && number(l.w[2], 0, WALL_MAX, &saved);
			// A clock that went back, or far ahead, says nothing.
			if (good && wall > saved)
				ld.elapsed = wall - saved < AGE_MAX ? wall - saved : AGE_MAX;
			first = false;
			if (!good) { // of another version: nothing of it can be read
				++*bad;
				sh->lost_at = sh->now;
				break;
			}
		} else {
			*bad += !(good && load_line(&ld, &l));
		}
		at = eol + 1;
	}
	free(copy);
	restore_nodes(sh);
	sh->dirty = true;
	return 0;
}
