// SPDX-License-Identifier: BSD-3-Clause

// `penstock explain`: the whole way of a recipient's mail, without mail. Routing
// is done on the control thread over the tables in use; the lookups are those of
// a delivery, and the answer is given from the resolver's thread.

#include "pen_gateway.h"

#include "pen_hop_json.h"

#include <stdio.h>
#include <stdlib.h>

struct explain {
	struct pen_gateway *g;
	struct pen_live *live;
	struct pen_control *control;
	uint64_t token;
	json_t *result;
};

static json_t *sources_json(const struct pen_gateway *g)
{
	const struct pen_dataplane_config *dp = &g->boot->egress.dataplane;
	json_t *list = json_array();
	char addr[PEN_ADDR_STR_MAX];

	for (uint32_t i = 0; i < dp->nsources && i < 16; i++) {
		const struct pen_source_config *s = &dp->source[i];
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s}", "name", s->name, "address",
				pen_addr_str(&s->addr, addr), "helo",
				s->helo[0] != '\0' ? s->helo : g->boot->params.smtp_helo_name));
	}
	return json_pack("{s:i,s:o}", "count", (int)dp->nsources, "first", list);
}

static json_t *limits_json(const struct pen_live *live)
{
	const struct pen_params *p = &live->config->params;

	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "connections_per_site",
		(json_int_t)p->default_destination_concurrency_limit, "initial_connections",
		(json_int_t)p->initial_destination_concurrency, "recipients_per_delivery",
		(json_int_t)p->default_destination_recipient_limit, "messages_per_connection",
		(json_int_t)p->smtp_connection_reuse_count_limit, "addresses_per_attempt",
		(json_int_t)p->smtp_mx_address_limit);
}

// On the resolver's thread.
static void on_answer(void *ctx, struct pen_hop_answer *a)
{
	struct explain *e = ctx;
	struct pen_tls_rules rules = {
		.plain_retry = e->live->config->params.smtp_tls_fallback_delay == 0};

	json_object_set_new(e->result, "hop", pen_hop_json(a, &rules));
	json_object_set_new(e->result, "sources", sources_json(e->g));
	json_object_set_new(e->result, "limits", limits_json(e->live));
	pen_control_done_ok(e->control, e->token, e->result);
	pen_hop_answer_free(a);
	pen_live_put(e->g, e->live);
	free(e);
}

static json_t *route_json(const struct pen_route *r)
{
	static const char *const kinds[] = {[PEN_ROUTE_SMTP] = "smtp",
		[PEN_ROUTE_LMTP] = "lmtp",
		[PEN_ROUTE_DISCARD] = "discard",
		[PEN_ROUTE_FAIL] = "error"};
	char status[32];

	snprintf(status, sizeof(status), "%u.%u.%u", r->dsn.klass, r->dsn.subject, r->dsn.detail);
	if (r->kind == PEN_ROUTE_SMTP || r->kind == PEN_ROUTE_LMTP)
		return json_pack("{s:s,s:s}", "transport", kinds[r->kind], "nexthop", r->nexthop);
	return json_pack("{s:s,s:s,s:s}", "transport", kinds[r->kind], "status", status, "text",
		r->dsn.text);
}

static enum pen_tls_demand demand_of(const json_t *args)
{
	if (json_is_true(json_object_get(args, "requiretls")))
		return PEN_DEMAND_REQUIRETLS;
	return json_is_true(json_object_get(args, "tls_optional")) ? PEN_DEMAND_NOT_REQUIRED
								   : PEN_DEMAND_NONE;
}

void pen_explain_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	json_t *address = json_object_get(req->args, "address");
	struct pen_route route;

	if (!json_is_string(address) || json_string_length(address) == 0) {
		pen_control_done_error(c, req->token, "args.address: give a recipient");
		return;
	}
	struct pen_live *live = pen_live_get(g);
	pen_route_find(&live->routing,
		pen_span(json_string_value(address), json_string_length(address)), &route);
	json_t *result = json_pack("{s:O,s:o}", "address", address, "route", route_json(&route));
	json_t *sender = json_object_get(req->args, "sender");
	if (json_is_string(sender))
		json_object_set(result, "sender", sender);
	if (route.kind != PEN_ROUTE_SMTP && route.kind != PEN_ROUTE_LMTP) {
		pen_control_done_ok(c, req->token, result);
		pen_live_put(g, live);
		return;
	}
	struct explain *e = malloc(sizeof(*e));
	struct pen_hop_question q = {
		.nexthop = pen_span_cstr(route.nexthop),
		.demand = demand_of(req->args),
		.lmtp = route.kind == PEN_ROUTE_LMTP,
		.relay = strcmp(route.nexthop, live->relayhost) == 0,
	};
	if (e != NULL)
		*e = (struct explain){g, live, c, req->token, result};
	if (e == NULL || pen_hop_lookup(&g->hop, &q, on_answer, e) != 0) {
		free(e);
		pen_live_put(g, live);
		json_decref(result);
		pen_control_done_error(c, req->token, "too many lookups are waiting: try again");
	}
}
