// SPDX-License-Identifier: BSD-3-Clause

// Cases about one pure function: "function NAME" and its lines.

#include "policy_case.h"

#include "pen_message.h"
#include "pen_requiretls.h"
#include "pen_smtp_reply.h"
#include "pen_sts.h"
#include "pen_trouble.h"
#include "tls_alabel.h"
#include "tls_name_match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- REQUIRETLS policy lists: "list TABLES", "find DOMAIN RESULT"

static void check_requiretls(
	struct policy_case *c, const struct pen_requiretls_list *list, const struct case_line *l)
{
	struct pen_requiretls_result r;

	pen_requiretls_find(list, pen_span_cstr(l->word[1]), &r);
	const char *got = r.failed ? "error" : pen_requiretls_name(r.level);
	if (strcmp(got, l->word[2]) != 0)
		case_fail(c, "%s is %s, expected %s", l->word[1], got, l->word[2]);
}

static void run_requiretls(struct policy_case *c)
{
	static const struct pen_map_where where = {"main.cf", 1, "smtp_requiretls_policy"};
	struct pen_report report = {0};
	struct pen_requiretls_list *list = NULL;

	for (int i = 0; i < c->n; i++) {
		struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "list") == 0)
			list = pen_requiretls_list_new(l->rest, &where, &report);
		if (strcmp(l->word[0], "find") != 0)
			continue;
		if (list == NULL)
			case_fail(c, "the list is refused");
		else if (l->n == 3)
			check_requiretls(c, list, l);
	}
	pen_requiretls_list_free(list);
}

// ---- MTA-STS

static void run_pattern(struct policy_case *c)
{
	for (int i = 0; i < c->n; i++) {
		struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "match") != 0 || l->n != 4)
			continue;
		bool got = pen_sts_pattern_match(l->word[1], l->word[2]);
		if (got != (strcmp(l->word[3], "yes") == 0))
			case_fail(c, "%s and %s: %s", l->word[1], l->word[2],
				got ? "a match" : "no match");
	}
}

static const char *wanted(const struct policy_case *c)
{
	for (int i = 0; i < c->n; i++) {
		if (strcmp(c->line[i].word[0], "want") == 0 && c->line[i].n > 1)
			return c->line[i].word[1];
	}
	return "";
}

static void run_record(struct policy_case *c)
{
	struct pen_span txt[8];
	char id[PEN_STS_ID_MAX + 1] = "";
	uint32_t n = 0;

	for (int i = 0; i < c->n && n < 8; i++) {
		if (strcmp(c->line[i].word[0], "txt") == 0)
			txt[n++] = pen_span_cstr(c->line[i].word[1]);
	}
	case_expect_text(c, "the id", pen_sts_record(txt, n, id) ? id : "none", wanted(c));
}

static void run_body(struct policy_case *c)
{
	static const char *const modes[] = {[PEN_STS_NONE] = "none",
		[PEN_STS_TESTING] = "testing",
		[PEN_STS_ENFORCE] = "enforce"};
	struct pen_sts_policy p;
	char body[4096] = "";

	for (int i = 0; i < c->n; i++) {
		if (strcmp(c->line[i].word[0], "body") == 0)
			snprintf(body + strlen(body), sizeof(body) - strlen(body), "%s\r\n",
				c->line[i].rest);
	}
	const char *wrong = pen_sts_parse(pen_span_cstr(body), &p);
	case_expect_text(c, "the mode", wrong != NULL ? "invalid" : modes[p.mode], wanted(c));
	if (wrong == NULL)
		pen_sts_policy_fini(&p);
}

// ---- a message's demand: "flags requiretls tls-optional"

static void run_demand(struct policy_case *c)
{
	static const char *const names[] = {[PEN_DEMAND_NONE] = "none",
		[PEN_DEMAND_REQUIRETLS] = "requiretls",
		[PEN_DEMAND_NOT_REQUIRED] = "tls-optional"};
	uint32_t flags = 0;

	for (int i = 0; i < c->n; i++) {
		for (int k = 1; strcmp(c->line[i].word[0], "flags") == 0 && k < c->line[i].n; k++)
			flags |= strcmp(c->line[i].word[k], "requiretls") == 0
					 ? PEN_MESSAGE_REQUIRETLS
					 : PEN_MESSAGE_TLS_OPTIONAL;
	}
	case_expect_text(c, "the demand", names[pen_message_demand(flags)], wanted(c));
}

// ---- names of certificates: "match REFERENCE PRESENTED yes|no"

static void run_name(struct policy_case *c)
{
	char presented[TLS_NAME_MAX + 1];

	for (int i = 0; i < c->n; i++) {
		struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "match") != 0 || l->n != 4)
			continue;
		bool domain = l->word[1][0] == '.';
		struct pen_tls_name reference = {domain, l->word[1] + domain};
		bool got = tls_alabel(pen_span_cstr(l->word[2]), presented) &&
			   tls_name_match(&reference, presented);
		if (got != (strcmp(l->word[3], "yes") == 0))
			case_fail(c, "%s and %s: %s", l->word[1], l->word[2],
				got ? "a match" : "no match");
	}
}

// ---- a server's reply to a recipient: "say TEXT", "want sent|deferred|bounced STATUS"

static void run_reply(struct policy_case *c)
{
	static const char *const verdicts[] = {[PEN_VERDICT_DELIVERED] = "sent",
		[PEN_VERDICT_RETRY] = "deferred",
		[PEN_VERDICT_BOUNCE] = "bounced"};
	struct pen_reply reply;
	struct pen_dsn d = {0};
	char line[1024], status[32];
	size_t used;

	for (int i = 0; i < c->n; i++) {
		struct case_line *l = &c->line[i];
		if (strcmp(l->word[0], "say") == 0) {
			snprintf(line, sizeof(line), "%s\r\n", l->rest);
			pen_reply_init(&reply);
			if (pen_reply_feed(&reply, (const uint8_t *)line, strlen(line), &used) !=
				PEN_REPLY_DONE)
				case_fail(c, "the reply is none");
			pen_reply_to_dsn(&reply, PEN_SCOPE_RECIPIENT, PEN_STAGE_RCPT, &d);
		} else if (strcmp(l->word[0], "want") == 0 && l->n == 3) {
			snprintf(status, sizeof(status), "%u.%u.%u", d.klass, d.subject, d.detail);
			case_expect_text(c, "the status", status, l->word[2]);
			case_expect_text(c, "the outcome",
				verdicts[pen_trouble_judge(&d, PEN_TROUBLE_DELIVERY, false)],
				l->word[1]);
		}
	}
}

bool case_function(struct policy_case *c)
{
	static const struct {
		const char *name;
		void (*run)(struct policy_case *c);
	} functions[] = {{"requiretls", run_requiretls}, {"sts-pattern", run_pattern},
		{"sts-record", run_record}, {"sts-body", run_body}, {"demand", run_demand},
		{"name", run_name}, {"reply", run_reply}};
	const struct case_line *l = &c->line[0];

	if (c->n == 0 || strcmp(l->word[0], "function") != 0 || l->n < 2)
		return false;
	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		if (strcmp(functions[i].name, l->word[1]) == 0) {
			functions[i].run(c);
			return true;
		}
	}
	case_fail(c, "no function %s", l->word[1]);
	return true;
}
