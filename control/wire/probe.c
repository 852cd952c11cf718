// SPDX-License-Identifier: BSD-3-Clause
#include "probe.h"

#include "peer_chain.h"
#include "pen_gateway.h"

#include <stdio.h>
#include <stdlib.h>

#define PROBE_TIMEOUT (10 * PEN_US_PER_S)

struct probe {
	struct pen_lease lease; // first: what the worker sees; its site is NULL
	struct pen_call call;
	struct pen_gateway *g;
	struct pen_control *control;
	uint64_t token;
	struct pen_hop_answer *answer;
	struct pen_peer_chain chain;
	json_t *result;
	bool again; // the second connection, which may resume the session
};

static void probe_free(struct probe *p)
{
	pen_hop_answer_free(p->answer);
	free(p);
}

static void refuse(struct probe *p, const char *text)
{
	pen_control_done_error(p->control, p->token, "%s", text);
	json_decref(p->result);
	probe_free(p);
}

static const struct pen_source_config *source_of(
	const struct pen_gateway *g, enum pen_family family)
{
	const struct pen_dataplane_config *dp = &g->boot->egress.dataplane;

	for (uint32_t i = 0; i < dp->nsources; i++) {
		if (dp->source[i].addr.family == family)
			return &dp->source[i];
	}
	return NULL;
}

static const char *helo_of(const struct pen_gateway *g, const struct pen_source_config *s)
{
	return s != NULL && s->helo[0] != '\0' ? s->helo : g->boot->params.smtp_helo_name;
}

static void fill_lease(struct probe *p)
{
	struct pen_gateway *g = p->g;
	const struct pen_dns_hosts *hosts = p->answer->hosts;
	const struct pen_source_config *four = source_of(g, PEN_FAMILY_IP4),
				       *six = source_of(g, PEN_FAMILY_IP6);
	struct pen_lease *l = &p->lease;

	memset(l, 0, sizeof(*l));
	l->rules = &g->smtp_rules;
	if (four != NULL)
		l->source = four->addr;
	if (six != NULL)
		l->source6 = six->addr;
	l->helo = helo_of(g, four);
	l->helo6 = helo_of(g, six);
	l->timeouts = pen_params_timeouts(&g->config->params);
	l->timeouts.idle = PROBE_TIMEOUT;
	l->chain = &p->chain;
	for (uint32_t i = 0; i < hosts->nhosts; i++) {
		struct pen_lease_host *h = &l->host[l->nhosts++];
		h->tls = p->answer->name[p->answer->name_of[i]].policy;
		h->name = h->tls->host;
		h->addr = hosts->host[i].addr;
		h->port = hosts->host[i].port;
	}
	p->chain.n = p->chain.used = 0;
}

static bool send_command(struct probe *p, uint32_t type)
{
	return pen_worker_send(pen_dataplane_worker(p->g->dataplane, 0),
		(struct pen_ring_msg){.type = type, .p = &p->lease});
}

// On the queue thread.
static void open_probe(struct pen_call *call)
{
	struct probe *p = (struct probe *)((uint8_t *)call - offsetof(struct probe, call));

	if (!p->g->queue_runs || p->g->stopping) {
		refuse(p, "the daemon is stopping");
		return;
	}
	fill_lease(p);
	if (p->g->probes >= PROBES_MAX || !send_command(p, PEN_CMD_LEASE_OPEN))
		refuse(p, "too many probes are under way: try again");
	else
		p->g->probes++;
}

// On the resolver's thread.
static void on_answer(void *ctx, struct pen_hop_answer *answer)
{
	struct probe *p = ctx;
	char text[PEN_DSN_TEXT_MAX];

	p->answer = answer;
	if (!pen_dsn_ok(&answer->status)) {
		snprintf(text, sizeof(text), "%s", answer->status.text);
		refuse(p, text);
		return;
	}
	// Sessions are resumed within this probe only: the first connection of it has
	// to show certificates, and mail shall not resume what a probe began.
	for (uint32_t i = 0; i < answer->nnames; i++)
		answer->name[i].policy->identity ^= (uint64_t)pen_clock_mono() << 1 | 1;
	pen_inbox_post(&p->g->inbox, &p->call);
}

static json_t *session_json(const struct probe *p)
{
	const struct pen_lease *l = &p->lease;
	const struct pen_lease_host *h = &l->host[l->host_used];
	char addr[PEN_ADDR_STR_MAX], field[PEN_TLS_FIELD_MAX], status[32];
	bool tls = l->tls || l->tls_protocol[0] != '\0';

	pen_tls_field_str(&l->tls_field, field);
	snprintf(status, sizeof(status), "%u.%u.%u", l->result.klass, l->result.subject,
		l->result.detail);
	json_t *o = json_pack("{s:s,s:s,s:i,s:b,s:b,s:s,s:s,s:s}", "host", h->name, "address",
		pen_addr_str(&h->addr, addr), "port", h->port, "usable", l->ready, "encrypted", tls,
		"level", pen_tls_level_name(h->tls->level), "tls", field, "rule",
		h->tls->rule != NULL ? h->tls->rule : "");
	if (tls) {
		json_object_set_new(o, "match", json_string(pen_tls_word(h->tls, &l->tls_peer)));
		json_object_set_new(o, "protocol", json_string(l->tls_protocol));
		json_object_set_new(o, "cipher", json_string(l->tls_cipher));
		json_object_set_new(o, "bits", json_integer(l->tls_bits));
		json_object_set_new(o, "resumed", json_boolean(l->tls_peer.resumed));
		if (l->tls_peer.reason != NULL)
			json_object_set_new(o, "reason", json_string(l->tls_peer.reason));
	}
	if (!l->ready) {
		json_object_set_new(o, "status", json_string(status));
		json_object_set_new(o, "text", json_string(l->result.text));
	}
	return o;
}

static void ended(struct probe *p)
{
	p->g->probes--;
	json_t *session = session_json(p);
	if (!p->again) {
		json_object_set_new(session, "chain", peer_chain_json(&p->chain));
		json_object_set_new(p->result, "session", session);
		p->again = p->lease.ready && p->lease.tls;
		if (p->again) {
			open_probe(&p->call);
			return;
		}
	} else {
		json_object_set_new(p->result, "second", session);
	}
	pen_control_done_ok(p->control, p->token, p->result);
	probe_free(p);
}

bool pen_probe_event(struct pen_gateway *g, const struct pen_ring_msg *m)
{
	(void)g;
	if (m->type != PEN_EVENT_LEASE_READY && m->type != PEN_EVENT_LEASE_ENDED)
		return false;
	struct pen_lease *l = m->p;
	if (l->site != NULL)
		return false;
	struct probe *p = (struct probe *)l;
	if (m->type == PEN_EVENT_LEASE_READY)
		send_command(p, PEN_CMD_LEASE_CLOSE); // else its idle time ends it
	else
		ended(p);
	return true;
}

void pen_probe_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	const char *host = json_string_value(json_object_get(req->args, "host"));
	struct pen_hop_question q = {
		.nexthop = pen_span_cstr(host),
		.demand = json_is_true(json_object_get(req->args, "requiretls"))
				  ? PEN_DEMAND_REQUIRETLS
				  : PEN_DEMAND_NONE,
	};

	if (host == NULL || *host == '\0') {
		pen_control_done_error(
			c, req->token, "args.host: give a domain, [host] or [host]:port");
		return;
	}
	struct probe *p = calloc(1, sizeof(*p));
	if (p != NULL) {
		p->call.fn = open_probe;
		p->g = g;
		p->control = c;
		p->token = req->token;
		p->result = json_pack("{s:s}", "destination", host);
	}
	if (p == NULL || pen_hop_lookup(&g->hop, &q, on_answer, p) != 0) {
		if (p != NULL)
			json_decref(p->result);
		free(p);
		pen_control_done_error(c, req->token, "too many lookups are waiting: try again");
	}
}
