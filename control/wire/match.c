// SPDX-License-Identifier: BSD-3-Clause

// Names of classes are kept once, in a list that only grows: the scheduler, the
// log and readers of the counts may hold on to them while rules come and go.

#include "pen_match.h"

#include "pen_trouble.h"

#include <ctype.h>
#include <stdlib.h>

#define CLASSES_MAX 2048

_Static_assert(
	PEN_REPLY_RULES_MAX == sizeof(((struct pen_sched_match *)0)->rule) / sizeof(uint32_t),
	"the scheduler has room for what one reply can match");

struct pen_match_set {
	struct pen_reply_rules *rules;
	struct pen_pattern_scratch *scratch;
	uint32_t n;
	// Names by the rules' ids: the set's own copies until it is in use, then those
	// of the list.
	char **name;
	bool in_use;
};

struct pen_match {
	struct pen_match_set *set;
	uint32_t n; // names so far; written last
	struct pen_counter_desc desc[CLASSES_MAX];
	uint64_t count[CLASSES_MAX];
};

// ---- sets

struct pen_match_set *pen_match_set_new(struct pen_reply_rules *rules)
{
	struct pen_match_set *set = calloc(1, sizeof(*set));

	if (set == NULL) {
		pen_reply_rules_free(rules);
		return NULL;
	}
	set->rules = rules;
	set->n = pen_reply_class_count(rules);
	set->scratch = pen_reply_rules_scratch(rules);
	set->name = calloc(set->n, sizeof(*set->name));
	bool ok = set->scratch != NULL && set->name != NULL;
	for (uint32_t i = 0; ok && i < set->n; i++)
		ok = (set->name[i] = strdup(pen_reply_class_name(rules, i))) != NULL;
	if (ok)
		return set;
	pen_match_set_free(set);
	return NULL;
}

void pen_match_set_free(struct pen_match_set *set)
{
	if (set == NULL)
		return;
	for (uint32_t i = 0; set->name != NULL && !set->in_use && i < set->n; i++)
		free(set->name[i]);
	free(set->name);
	pen_pattern_scratch_free(set->scratch);
	pen_reply_rules_free(set->rules);
	free(set);
}

// ---- the list of names

// The name that is kept for `name`, which is taken over. When the list is full, it
// is "other".
static char *keep(struct pen_match *m, char *name)
{
	for (uint32_t i = 0; i < m->n; i++) {
		if (strcmp(m->desc[i].name, name) == 0) {
			free(name);
			return (char *)m->desc[i].name;
		}
	}
	if (m->n == CLASSES_MAX) {
		free(name);
		return (char *)m->desc[0].name;
	}
	m->desc[m->n] = (struct pen_counter_desc){name, "recipients' failures of this class"};
	__atomic_store_n(&m->n, m->n + 1, __ATOMIC_RELEASE);
	return name;
}

struct pen_match_set *pen_match_replace(struct pen_match *m, struct pen_match_set *set)
{
	struct pen_match_set *before = m->set;

	for (uint32_t i = 0; i < set->n; i++)
		set->name[i] = keep(m, set->name[i]);
	set->in_use = true;
	m->set = set;
	return before;
}

struct pen_match *pen_match_new(struct pen_match_set *set)
{
	struct pen_match *m = calloc(1, sizeof(*m));

	if (m == NULL)
		pen_match_set_free(set);
	else
		pen_match_replace(m, set);
	return m;
}

void pen_match_free(struct pen_match *m)
{
	if (m == NULL)
		return;
	pen_match_set_free(m->set);
	for (uint32_t i = 0; i < m->n; i++)
		free((char *)m->desc[i].name);
	free(m);
}

// ---- questions

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
		pen_reply_rules_match(m->set->rules, m->set->scratch, text, provider, site, &found);
	else
		found.klass_id =
			(uint16_t)pen_reply_class_find(m->set->rules, pen_failure_class(d));
	const char *klass = m->set->name[found.klass_id];
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
