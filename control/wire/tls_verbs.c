// SPDX-License-Identifier: BSD-3-Clause

// Control verbs about TLS policy: MTA-STS policies and TLSRPT reports.

#include "pen_gateway.h"
#include "probe.h"

#include <stdlib.h>

struct tlsrpt_call {
	struct pen_control *control;
	uint64_t token;
};

// On the reporter's thread.
static void on_reports(void *ctx, json_t *result, const char *error)
{
	struct tlsrpt_call *call = ctx;

	if (error != NULL)
		pen_control_done_error(call->control, call->token, "%s", error);
	else
		pen_control_done_ok(call->control, call->token, result);
	free(call);
}

static struct tlsrpt_call *tlsrpt_call(
	struct pen_gateway *g, struct pen_control *c, const struct pen_control_request *req)
{
	struct tlsrpt_call *call = g->tlsrpt != NULL ? malloc(sizeof(*call)) : NULL;

	if (call == NULL) {
		pen_control_done_error(
			c, req->token, g->tlsrpt == NULL ? "tlsrpt_enable is no" : "out of memory");
		return NULL;
	}
	*call = (struct tlsrpt_call){c, req->token};
	return call;
}

static const char *arg(const struct pen_control_request *req, const char *key)
{
	return json_string_value(json_object_get(req->args, key));
}

static void on_list(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	struct tlsrpt_call *call = tlsrpt_call(g, c, req);

	if (call != NULL)
		pen_tlsrpt_list(g->tlsrpt, on_reports, call);
}

static void on_show(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	struct tlsrpt_call *call;

	if (arg(req, "domain") == NULL) {
		pen_control_done_error(c, req->token, "args.domain: give a domain");
		return;
	}
	call = tlsrpt_call(g, c, req);
	if (call != NULL)
		pen_tlsrpt_show(g->tlsrpt, arg(req, "domain"), arg(req, "day"), on_reports, call);
}

static void on_send(void *ctx, struct pen_control *c, const struct pen_control_request *req)
{
	struct pen_gateway *g = ctx;
	struct tlsrpt_call *call = tlsrpt_call(g, c, req);

	if (call != NULL)
		pen_tlsrpt_send(g->tlsrpt, arg(req, "domain"), arg(req, "day"), on_reports, call);
}

int pen_tls_verbs_register(struct pen_gateway *g)
{
	static const struct {
		const char *verb;
		pen_control_fn *fn;
	} verbs[] = {{"explain", pen_explain_verb}, {"tlsrpt.list", on_list},
		{"tlsrpt.show", on_show}, {"tlsrpt.send", on_send}, {"tls.probe", pen_probe_verb}};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		int err = pen_control_register(g->control, verbs[i].verb, verbs[i].fn, g);
		if (err != 0)
			return err;
	}
	return 0;
}
