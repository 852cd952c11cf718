// SPDX-License-Identifier: BSD-3-Clause

// header_checks on what submission received: the table's verdict becomes the
// client's answer, a changed header block, and lines in the mail log.

#include "pen_gateway.h"
#include "pen_header_checks.h"

#include <stdio.h>
#include <stdlib.h>

struct loop_state {
	struct pen_header_scratch *scratch;
	struct pen_header_verdict verdict;
};

struct pen_header_hook {
	struct pen_header_checks *checks;
	uint32_t loops;
	struct loop_state loop[];
};

// "pcre:/file" or "regexp:/file".
static bool split_spec(const char *spec, enum pen_rule_syntax *syntax, const char **file)
{
	if (strncmp(spec, "pcre:", 5) == 0) {
		*syntax = PEN_RULES_PCRE;
		*file = spec + 5;
	} else if (strncmp(spec, "regexp:", 7) == 0) {
		*syntax = PEN_RULES_REGEXP;
		*file = spec + 7;
	} else {
		return false;
	}
	return **file != '\0';
}

struct pen_header_hook *pen_header_hook_new(
	const char *spec, uint32_t loops, char *err, size_t err_cap)
{
	enum pen_rule_syntax syntax;
	const char *file;

	if (!split_spec(spec, &syntax, &file)) {
		snprintf(err, err_cap,
			"header_checks = %s: give one table as pcre:/path or regexp:/path", spec);
		return NULL;
	}
	struct pen_header_hook *h = calloc(1, sizeof(*h) + loops * sizeof(h->loop[0]));
	if (h == NULL) {
		snprintf(err, err_cap, "out of memory");
		return NULL;
	}
	h->loops = loops;
	h->checks = pen_header_checks_load(file, syntax, err, err_cap);
	for (uint32_t i = 0; h->checks != NULL && i < loops; i++) {
		h->loop[i].scratch = pen_header_scratch_new(h->checks);
		if (h->loop[i].scratch == NULL) {
			snprintf(err, err_cap, "out of memory for the scratch of header_checks");
			pen_header_hook_free(h);
			return NULL;
		}
	}
	if (h->checks == NULL) {
		free(h);
		return NULL;
	}
	return h;
}

void pen_header_hook_free(struct pen_header_hook *h)
{
	if (h == NULL)
		return;
	for (uint32_t i = 0; i < h->loops; i++) {
		pen_header_scratch_free(h->loop[i].scratch);
		pen_header_verdict_fini(&h->loop[i].verdict);
	}
	pen_header_checks_free(h->checks);
	free(h);
}

// Postfix's cleanup line: "warning: header Subject: x from unknown[ip]; from=<s>
// to=<r> proto=ESMTP helo=<h>: text".
static void log_decision(struct pen_gateway *g, const struct pen_submission_mail *mail,
	const struct pen_header_decision *d)
{
	char ip[PEN_ADDR_STR_MAX];
	struct pen_span header = pen_span_trim(d->header);
	const char *word =
		d->action == PEN_HEADER_WARN ? "warning" : pen_header_action_name(d->action);

	if (header.n > 200)
		header.n = 200;
	pen_maillog_line(g->maillog, "cleanup",
		"%s: %s: header %.*s from unknown[%s]; from=<%.*s> to=<%.*s> proto=%s "
		"helo=<%.*s>%s%.*s",
		mail->queue_id, word, PEN_SPAN_ARG(header), pen_addr_str(&mail->client, ip),
		PEN_SPAN_ARG(mail->sender), PEN_SPAN_ARG(mail->rcpt),
		mail->esmtp ? "ESMTP" : "SMTP", PEN_SPAN_ARG(mail->helo), d->text.n > 0 ? ": " : "",
		PEN_SPAN_ARG(d->text));
}

static void reply_text(const struct pen_dsn *d, char *out, size_t cap)
{
	snprintf(out, cap, "%u %u.%u.%u %s", d->reply, d->klass, d->subject, d->detail, d->text);
}

static void run(struct pen_gateway *g, struct pen_header_hook *h, uint32_t loop,
	const struct pen_submission_mail *mail, struct pen_span headers,
	struct pen_submission_verdict *v)
{
	struct loop_state *st = &h->loop[loop];
	struct pen_header_verdict *found = &st->verdict;

	if (pen_header_checks_apply(h->checks, st->scratch, headers, found) != 0) {
		// A filter that cannot run must not let mail through unseen.
		v->action = PEN_SUBMISSION_REJECT;
		snprintf(v->text, sizeof(v->text), "451 4.3.0 Error: queue file write error");
		return;
	}
	for (size_t i = 0; i < found->n; i++)
		log_decision(g, mail, &found->list[i]);
	if (found->reject.klass != 0) {
		v->action = PEN_SUBMISSION_REJECT;
		reply_text(&found->reject, v->text, sizeof(v->text));
	} else if (found->discard) {
		v->action = PEN_SUBMISSION_DISCARD;
	} else {
		v->action = found->hold ? PEN_SUBMISSION_HOLD : PEN_SUBMISSION_ACCEPT;
		v->replaced = pen_header_verdict_changes(found);
		if (v->replaced)
			pen_header_verdict_rewrite(found, headers, &v->headers);
	}
}

void pen_header_hook_run(struct pen_gateway *g, uint32_t loop,
	const struct pen_submission_mail *mail, struct pen_span headers,
	struct pen_submission_verdict *v)
{
	struct pen_live *live = pen_live_get(g); // a reload may bring other checks

	if (live->headers != NULL)
		run(g, live->headers, loop, mail, headers, v);
	pen_live_put(g, live);
}
