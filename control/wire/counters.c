// SPDX-License-Identifier: BSD-3-Clause

// `penstock counters`: every named counter of the daemon, summed over workers.
//
// On the control thread: counters have one writer each and may be read at any
// time.

#include "pen_gateway.h"

#include "pen_sched_admin.h"
#include "pen_tls_profile.h"

static void add_set(void *ctx, const struct pen_counter_set *set)
{
	json_t *all = ctx, *group = json_object_get(all, set->group);

	if (group == NULL) {
		group = json_object();
		json_object_set_new(all, set->group, group);
	}
	for (uint32_t i = 0; i < set->n; i++) {
		const char *name = set->desc[i].name;
		json_int_t before = json_integer_value(json_object_get(group, name));
		json_object_set_new(group, name,
			json_integer(before + (json_int_t)pen_counter_read(&set->value[i])));
	}
}

static void add(json_t *all, struct pen_counter_set set)
{
	add_set(all, &set);
}

void pen_counters_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	json_t *all = json_object();

	if (g->dns == NULL) { // the daemon is still starting
		json_decref(all);
		pen_control_done_error(c, req->token, "the daemon is starting");
		return;
	}
	for (uint32_t i = 0; i < pen_dataplane_workers(g->dataplane); i++) {
		pen_worker_counters(pen_dataplane_worker(g->dataplane, i), add_set, all);
		add(all, pen_tls_counters_of(i));
	}
	add(all, pen_dns_counters_of(g->dns));
	add(all, pen_match_counters_of(g->match));
	add(all, pen_sched_dead_hosts_counters(g->sched));
	if (g->sts != NULL)
		add(all, pen_sts_counters_of(g->sts));
	if (g->tlsrpt != NULL)
		add(all, pen_tlsrpt_counters_of(g->tlsrpt));
	pen_control_done_ok(c, req->token, all);
}
