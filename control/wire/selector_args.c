// SPDX-License-Identifier: BSD-3-Clause
#include "selector_args.h"

#include <stdio.h>

#define AGE_MAX (10LL * 365 * 86400)

// "incoming" is what Postfix calls mail that is due and not yet active.
static bool state_of(struct pen_span word, uint32_t *out)
{
	static const struct {
		const char *word;
		uint32_t state;
	} words[] = {{"active", PEN_STATE_ACTIVE}, {"waiting", PEN_STATE_WAITING},
		{"incoming", PEN_STATE_WAITING}, {"deferred", PEN_STATE_DEFERRED},
		{"hold", PEN_STATE_HOLD}, {"scheduled", PEN_STATE_SCHEDULED},
		{"bouncing", PEN_STATE_BOUNCING}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (pen_span_ieq(word, pen_span_cstr(words[i].word))) {
			*out |= words[i].state;
			return true;
		}
	}
	return false;
}

static bool read_states(const char *text, uint32_t *out, char *err, size_t cap)
{
	struct pen_span rest = pen_span_cstr(text);

	while (rest.n > 0) {
		ptrdiff_t comma = pen_span_find(rest, ',');
		struct pen_span word = comma < 0 ? rest : pen_span(rest.p, (size_t)comma);
		rest = comma < 0 ? pen_span(NULL, 0) : pen_span_from(rest, (size_t)comma + 1);
		if (!state_of(pen_span_trim(word), out)) {
			snprintf(err, cap,
				"state %.64s: give some of active, waiting, deferred, hold, "
				"scheduled and bouncing, with commas",
				text);
			return false;
		}
	}
	if (*out == 0)
		snprintf(err, cap, "state: give a state, such as deferred");
	return *out != 0;
}

static bool read_age(json_t *value, pen_time_us *out, char *err, size_t cap)
{
	json_int_t s = json_is_integer(value) ? json_integer_value(value) : 0;

	if (s < 1 || s > AGE_MAX) {
		snprintf(err, cap, "older_than: give seconds, from 1 to %lld", AGE_MAX);
		return false;
	}
	*out = s * PEN_US_PER_S;
	return true;
}

static bool read_flag(const char *key, json_t *value, bool *out, char *err, size_t cap)
{
	if (!json_is_boolean(value)) {
		snprintf(err, cap, "%s: give true or false", key);
		return false;
	}
	*out = json_is_true(value);
	return true;
}

static struct pen_span *text_slot(struct pen_sched_selector *w, const char *key)
{
	const struct {
		const char *key;
		struct pen_span *slot;
	} slots[] = {{"site", &w->site}, {"domain", &w->domain}, {"tenant", &w->tenant},
		{"campaign", &w->campaign}, {"pool", &w->pool}, {"sender", &w->sender},
		{"recipient", &w->recipient}};

	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		if (strcmp(slots[i].key, key) == 0)
			return slots[i].slot;
	}
	return NULL;
}

static bool read_id(const char *text, uint64_t *out, char *err, size_t cap)
{
	*out = pen_queue_id_parse(pen_span_cstr(text));
	if (*out == 0)
		snprintf(err, cap, "%.64s: no such message in the queue", text);
	return *out != 0;
}

static bool read_member(
	const char *key, json_t *value, struct pen_sched_selector *w, char *err, size_t cap)
{
	const char *text = json_string_value(value);
	struct pen_span *slot = text_slot(w, key);

	if (strcmp(key, "older_than") == 0)
		return read_age(value, &w->older_than, err, cap);
	if (strcmp(key, "in_doubt") == 0)
		return read_flag(key, value, &w->in_doubt, err, cap);
	if (strcmp(key, "everything") == 0)
		return read_flag(key, value, &w->everything, err, cap);
	bool known = slot != NULL || strcmp(key, "id") == 0 || strcmp(key, "state") == 0;
	if (!known) {
		snprintf(err, cap,
			"%.64s: no such condition; there are id, state, site, domain, tenant, "
			"campaign, pool, sender, recipient, older_than, in_doubt and everything",
			key);
		return false;
	}
	if (text == NULL || *text == '\0') {
		snprintf(err, cap, "%s: give a value%s", key,
			strcmp(key, "sender") == 0 ? "; <> is the null sender" : "");
		return false;
	}
	if (strcmp(key, "id") == 0)
		return read_id(text, &w->id, err, cap);
	if (strcmp(key, "state") == 0)
		return read_states(text, &w->states, err, cap);
	*slot = pen_span(text, json_string_length(value));
	return true;
}

bool selector_args_read(json_t *selector, struct selector_args *out, char *err, size_t cap)
{
	struct pen_sched_selector *w = &out->which;
	const char *key;
	json_t *value;

	*out = (struct selector_args){0};
	if (selector == NULL)
		return true;
	if (!json_is_object(selector)) {
		snprintf(err, cap, "selector: give an object");
		return false;
	}
	json_object_foreach(selector, key, value)
	{
		if (!read_member(key, value, w, err, cap))
			return false;
	}
	out->given = w->id != 0 || w->states != 0 || w->site.n > 0 || w->domain.n > 0 ||
		     w->tenant.n > 0 || w->campaign.n > 0 || w->pool.n > 0 || w->sender.n > 0 ||
		     w->recipient.n > 0 || w->older_than > 0 || w->in_doubt || w->everything;
	return true;
}
