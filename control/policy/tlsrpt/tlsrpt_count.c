// SPDX-License-Identifier: BSD-3-Clause
#include "tlsrpt_count.h"

#include "pen_tlsrpt.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int tlsrpt_count_init(struct tlsrpt_count *c)
{
	*c = (struct tlsrpt_count){.days = json_object()};
	return c->days != NULL ? 0 : -ENOMEM;
}

void tlsrpt_count_fini(struct tlsrpt_count *c)
{
	json_decref(c->days);
	c->days = NULL;
}

static json_t *list_json(char *const *list)
{
	json_t *out = json_array();

	for (; list != NULL && *list != NULL; list++)
		json_array_append_new(out, json_string(*list));
	return out;
}

static json_t *policy_json(const struct pen_tls_report *r)
{
	static const char *const types[] = {[PEN_TLSRPT_NO_POLICY] = "no-policy-found",
		[PEN_TLSRPT_TLSA] = "tlsa",
		[PEN_TLSRPT_STS] = "sts"};
	json_t *p = json_pack("{s:s,s:s}", "policy-type", types[r->type], "policy-domain",
		r->policy_domain != NULL ? r->policy_domain : r->domain);

	// A policy that could not be had is empty.
	if (r->type != PEN_TLSRPT_NO_POLICY && r->string != NULL && r->string[0] != NULL)
		json_object_set_new(p, "policy-string", list_json(r->string));
	if (r->type == PEN_TLSRPT_STS && r->mx != NULL && r->mx[0] != NULL)
		json_object_set_new(p, "mx-host", list_json(r->mx));
	return p;
}

static json_t *failure_json(const struct tlsrpt_event *e)
{
	char from[PEN_ADDR_STR_MAX], to[PEN_ADDR_STR_MAX];
	json_t *f = json_pack("{s:s,s:s,s:s,s:i}", "result-type", pen_tlsrpt_result_name(e->result),
		"receiving-mx-hostname", e->policy->host, "receiving-ip",
		pen_addr_str(&e->receiver, to), "failed-session-count", 1);

	if (e->source.family != PEN_FAMILY_NONE)
		json_object_set_new(
			f, "sending-mta-ip", json_string(pen_addr_str(&e->source, from)));
	if (e->reason != NULL)
		json_object_set_new(f, "failure-reason-code", json_string(e->reason));
	return f;
}

// Its text without the count, in a fixed order: equal keys are one entry.
static char *key_of(json_t *o)
{
	json_t *count = json_object_get(o, "failed-session-count");

	json_incref(count);
	json_object_del(o, "failed-session-count");
	char *key = json_dumps(o, JSON_COMPACT | JSON_SORT_KEYS);
	if (count != NULL)
		json_object_set_new(o, "failed-session-count", count);
	return key;
}

void tlsrpt_count_add(struct tlsrpt_count *c, const struct tlsrpt_event *e)
{
	json_t *failures = json_object(), *policy = policy_json(&e->policy->report);
	char *policy_key = policy != NULL ? key_of(policy) : NULL;
	bool ok = e->result == PEN_TLSRPT_SUCCESS;

	if (!ok) {
		json_t *f = failure_json(e);
		char *key = f != NULL ? key_of(f) : NULL;
		if (key != NULL)
			json_object_set_new(failures, key, f);
		else
			json_decref(f);
		free(key);
	}
	json_t *one = json_pack("{s:{s:{s:o,s:i,s:o}}}", e->policy->report.domain,
		policy_key != NULL ? policy_key : "", "policy", policy, "ok", ok, "failures",
		failures);
	free(policy_key);
	if (one == NULL || !tlsrpt_count_merge(c, one))
		c->refused++;
	json_decref(one);
}

// The entry `key` of `o`; made, if there is room.
static json_t *entry(struct tlsrpt_count *c, json_t *o, const char *key, json_t *fresh)
{
	json_t *have = json_object_get(o, key);

	if (have != NULL || c->keys >= PEN_TLSRPT_KEYS_MAX || fresh == NULL) {
		json_decref(fresh);
		return have;
	}
	c->keys++;
	return json_object_set_new(o, key, fresh) == 0 ? fresh : NULL;
}

static void increase(json_t *o, const char *key, json_int_t by)
{
	json_object_set_new(o, key, json_integer(json_integer_value(json_object_get(o, key)) + by));
}

static bool merge_failures(struct tlsrpt_count *c, json_t *into, json_t *more)
{
	const char *key;
	json_t *f;
	bool all = true;

	json_object_foreach(more, key, f)
	{
		json_int_t n = json_integer_value(json_object_get(f, "failed-session-count"));
		if (n <= 0) {
			all = false;
			continue;
		}
		json_t *fresh = json_copy(f);
		json_object_set_new(fresh, "failed-session-count", json_integer(0));
		json_t *to = entry(c, into, key, fresh);
		if (to != NULL)
			increase(to, "failed-session-count", n);
		else
			all = false;
	}
	return all;
}

static bool merge_policies(struct tlsrpt_count *c, json_t *into, json_t *more)
{
	const char *key;
	json_t *p;
	bool all = true;

	json_object_foreach(more, key, p)
	{
		json_t *policy = json_object_get(p, "policy");
		json_int_t ok = json_integer_value(json_object_get(p, "ok"));
		if (!json_is_object(policy) || ok < 0) {
			all = false;
			continue;
		}
		json_t *to = entry(c, into, key,
			json_pack("{s:O,s:i,s:{}}", "policy", policy, "ok", 0, "failures"));
		if (to == NULL) {
			all = false;
			continue;
		}
		increase(to, "ok", ok);
		all &= merge_failures(
			c, json_object_get(to, "failures"), json_object_get(p, "failures"));
	}
	return all;
}

bool tlsrpt_count_merge(struct tlsrpt_count *c, json_t *more)
{
	const char *domain;
	json_t *d;
	bool all = json_is_object(more);

	json_object_foreach(more, domain, d)
	{
		json_t *to = json_is_object(d) ? entry(c, c->days, domain, json_object()) : NULL;
		if (to != NULL)
			all &= merge_policies(c, to, d);
		else
			all = false;
	}
	return all;
}

void tlsrpt_count_sum(json_t *domain, json_int_t *success, json_int_t *failure)
{
	const char *key;
	json_t *p, *f;

	*success = *failure = 0;
	json_object_foreach(domain, key, p)
	{
		const char *inner;
		*success += json_integer_value(json_object_get(p, "ok"));
		json_object_foreach(json_object_get(p, "failures"), inner, f) *failure +=
			json_integer_value(json_object_get(f, "failed-session-count"));
	}
}
