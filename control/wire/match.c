// SPDX-License-Identifier: BSD-3-Clause

// Names of classes are kept once, in a list that only grows: the scheduler, the
// log and readers of the counts may hold on to them while rules come and go.

#include "pen_match.h"

#include "pen_trouble.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define CLASSES_MAX 2048

_Static_assert(
	PEN_REPLY_RULES_MAX == sizeof(((struct pen_sched_match *)0)->rule) / sizeof(uint32_t),
	"the scheduler has room for what one reply can match");

struct pen_match {
	struct pen_reply_rules *rules;
	struct pen_pattern_scratch *scratch;
	const char **by_id; // names of the rules' classes
	uint32_t n;         // names so far; written last
	struct pen_counter_desc desc[CLASSES_MAX];
	uint64_t count[CLASSES_MAX];
};

// The name that is kept for `name`. NULL: no memory, or too many.
static const char *keep(struct pen_match *m, const char *name)
{
	for (uint32_t i = 0; i < m->n; i++) {
		if (strcmp(m->desc[i].name, name) == 0)
			return m->desc[i].name;
	}
	char *copy = m->n < CLASSES_MAX ? strdup(name) : NULL;
	if (copy == NULL)
		return NULL;
	m->desc[m->n] = (struct pen_counter_desc){copy, "recipients' failures of this class"};
	__atomic_store_n(&m->n, m->n + 1, __ATOMIC_RELEASE);
	return copy;
}

int pen_match_replace(struct pen_match *m, struct pen_reply_rules *rules)
{
	uint32_t n = pen_reply_class_count(rules);
	const char **by_id = calloc(n, sizeof(*by_id));
	struct pen_pattern_scratch *scratch = pen_reply_rules_scratch(rules);
	bool ok = by_id != NULL && scratch != NULL;

	for (uint32_t i = 0; ok && i < n; i++)
		ok = (by_id[i] = keep(m, pen_reply_class_name(rules, i))) != NULL;
	if (!ok) {
		pen_pattern_scratch_free(scratch);
		pen_reply_rules_free(rules);
		free(by_id);
		return -ENOMEM;
	}
	pen_pattern_scratch_free(m->scratch);
	pen_reply_rules_free(m->rules);
	free(m->by_id);
	m->scratch = scratch;
	m->rules = rules;
	m->by_id = by_id;
	return 0;
}

struct pen_match *pen_match_new(struct pen_reply_rules *rules)
{
	struct pen_match *m = calloc(1, sizeof(*m));

	if (m == NULL) {
		pen_reply_rules_free(rules);
		return NULL;
	}
	if (pen_match_replace(m, rules) == 0)
		return m;
	pen_match_free(m);
	return NULL;
}

void pen_match_free(struct pen_match *m)
{
	if (m == NULL)
		return;
	pen_pattern_scratch_free(m->scratch);
	pen_reply_rules_free(m->rules);
	for (uint32_t i = 0; i < m->n; i++)
		free((char *)m->desc[i].name);
	free(m->by_id);
	free(m);
}

// "delivery temporarily suspended: host mx[192.0.2.1] said: 421 4.7.0 slow down": a
// reply that came before, in a sentence of ours. Empty: there is none.
static struct pen_span quoted_reply(const struct pen_dsn *d)
{
	static const char *const lead_ins[] = {"] said: ", "] refused to talk to me: "};

	for (size_t i = 0; i < sizeof(lead_ins) / sizeof(lead_ins[0]); i++) {
		const char *at = strstr(d->text, lead_ins[i]);
		if (at == NULL)
			continue;
		at += strlen(lead_ins[i]);
		if ((at[0] == '4' || at[0] == '5') && isdigit((unsigned char)at[1]) &&
			isdigit((unsigned char)at[2]))
			return pen_span_cstr(at);
	}
	return pen_span("", 0);
}

const char *pen_match_ask(struct pen_match *m, const struct pen_dsn *d, const char *provider,
	struct pen_span site, struct pen_sched_match *out)
{
	char reply[PEN_DSN_TEXT_MAX + 32];
	struct pen_reply_match found = {0};
	struct pen_span text = quoted_reply(d);
	bool said = pen_failure_is_reply(d);

	if (said)
		text = pen_span(reply, pen_trouble_reply(d, reply, sizeof(reply)));
	if (text.n > 0)
		pen_reply_rules_match(m->rules, m->scratch, text, provider, site, &found);
	else
		found.klass_id = (uint16_t)pen_reply_class_find(m->rules, pen_failure_class(d));
	const char *klass = m->by_id[found.klass_id];
	if (out == NULL)
		return klass;
	*out = (struct pen_sched_match){
		.klass = klass, .greylisted = strcmp(klass, PEN_REPLY_CLASS_GREYLISTED) == 0};
	if (said) {
		out->nrules = found.nrules;
		memcpy(out->rule, found.rule, found.nrules * sizeof(found.rule[0]));
	}
	return klass;
}

void pen_match_count(struct pen_match *m, const char *klass)
{
	for (uint32_t i = 0; i < m->n; i++) {
		if (m->desc[i].name == klass || strcmp(m->desc[i].name, klass) == 0) {
			PEN_COUNT(m->count[i]);
			return;
		}
	}
}

struct pen_counter_set pen_match_counters_of(const struct pen_match *m)
{
	return (struct pen_counter_set){
		"failures", m->desc, m->count, __atomic_load_n(&m->n, __ATOMIC_ACQUIRE)};
}
