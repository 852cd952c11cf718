// SPDX-License-Identifier: BSD-3-Clause
#include "core.h"

#include <stdlib.h>

struct job *job_new(struct entry *e, struct nexthop *nh, uint32_t cap)
{
	// Not sizeof: its padding holds the first recipient, and most have only one.
	struct job *j = malloc(offsetof(struct job, rcpt) + cap * sizeof(j->rcpt[0]));

	PEN_ASSERT(cap > 0);
	if (j == NULL)
		return NULL;
	*j = (struct job){.entry = e, .nexthop = nh, .state = JOB_NEW};
	nh->njobs++;
	return j;
}

bool job_strip(struct job *j)
{
	uint32_t left = 0;

	for (uint32_t i = 0; i < j->nrcpt; i++) {
		if (j->entry->m->rcpt[j->rcpt[i]].due != DUE_ORDERED)
			j->rcpt[left++] = j->rcpt[i];
	}
	j->nrcpt = (uint16_t)left;
	return left > 0;
}

void job_link(struct entry *e, struct job *j)
{
	j->sibling = e->jobs;
	j->sibling_at = &e->jobs;
	if (j->sibling != NULL)
		j->sibling->sibling_at = &j->sibling;
	e->jobs = j;
}

void job_free(struct pen_sched *s, struct job *j)
{
	switch (j->state) {
	case JOB_RESOLVING:
		nexthop_take(s, j->nexthop, &j->ware);
		break;
	case JOB_READY:
		flow_take(s, ware_flow(&j->ware), &j->ware);
		break;
	}
	*j->sibling_at = j->sibling;
	if (j->sibling != NULL)
		j->sibling->sibling_at = j->sibling_at;
	j->nexthop->njobs--;
	free(j);
}

void job_finish(struct pen_sched *s, struct job *j, struct result *r)
{
	struct entry *e = j->entry;

	for (uint32_t i = 0; i < j->nrcpt; i++)
		result_apply(s, e, j->rcpt[i], r);
	result_fini(r);
	job_free(s, j);
	entry_check(s, e);
}

bool job_split(struct pen_sched *s, struct job *j, uint16_t n)
{
	struct job *more = job_new(j->entry, j->nexthop, (uint32_t)j->nrcpt - n);

	if (more == NULL)
		return false;
	job_link(j->entry, more);
	more->nrcpt = (uint16_t)(j->nrcpt - n);
	memcpy(more->rcpt, &j->rcpt[n], more->nrcpt * sizeof(more->rcpt[0]));
	j->nrcpt = n;
	more->front = true;
	flow_add_job(s, ware_flow(&j->ware), more);
	return true;
}

void job_suspend(struct pen_sched *s, struct job *j, struct site *site)
{
	char text[PEN_TROUBLE_TEXT_MAX] = "";
	struct pen_dsn why, d;
	struct result r = {.dsn = &d, .source = PEN_TROUBLE_LEASE, .site = site};

	pen_dsn_set(
		&why, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE, "no reason kept");
	if (site->why != NULL)
		pen_note_to_dsn(site->why, &why);
	pen_trouble_text(
		&why, site->why != NULL ? pen_note_relay(site->why) : "", text, sizeof(text));
	pen_dsn_set(&d, 4, why.subject, why.detail, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL,
		PEN_STAGE_NONE, "delivery temporarily suspended: %s", text);
	job_finish(s, j, &r);
}
