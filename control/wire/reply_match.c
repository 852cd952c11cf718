// SPDX-License-Identifier: BSD-3-Clause

// What a refusal means: the scheduler's question to the filter.

#include "pen_gateway.h"

#include "pen_reply_rules.h"
#include "pen_trouble.h"

void pen_match_op(void *ctx, const struct pen_dsn *d, const char *provider, struct pen_span site,
	struct pen_sched_match *out)
{
	struct pen_gateway *g = ctx;
	char reply[PEN_DSN_TEXT_MAX + 32];
	struct pen_reply_match found;

	_Static_assert(PEN_REPLY_RULES_MAX <= sizeof(out->rule) / sizeof(out->rule[0]), "fits");
	*out = (struct pen_sched_match){.klass = PEN_REPLY_CLASS_OTHER};
	if (!pen_failure_is_reply(d)) {
		out->klass = pen_failure_class(d);
		return;
	}
	size_t n = pen_trouble_reply(d, reply, sizeof(reply));
	pen_reply_rules_match(
		g->rules, g->rules_scratch, pen_span(reply, n), provider, site, &found);
	out->klass = found.klass;
	out->greylisted = strcmp(found.klass, PEN_REPLY_CLASS_GREYLISTED) == 0;
	out->nrules = found.nrules;
	memcpy(out->rule, found.rule, found.nrules * sizeof(found.rule[0]));
}
