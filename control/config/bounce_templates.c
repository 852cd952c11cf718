// SPDX-License-Identifier: BSD-3-Clause
#include "pen_bounce_templates.h"

#include "pen_buf.h"

#include <stdio.h>
#include <stdlib.h>

#define FILE_MAX (1u << 20)
#define LINE_WIDTH 998 // RFC 5322 2.1.1

struct pen_bounce_templates {
	struct pen_dsn_templates out;
	char *text[4][5]; // what `out` points to, and the one without a use
};

enum { CHARSET, FROM, SUBJECT, POSTMASTER_SUBJECT, TEXT };

static const char *const template_names[] = {
	"failure_template", "delay_template", "success_template", "verify_template"};
static const char *const field_names[] = {"Charset", "From", "Subject", "Postmaster-Subject"};

struct parser {
	struct pen_bounce_templates *t;
	struct pen_span rest;
	unsigned at; // lines read
	const char *file;
	const struct pen_params *params;
	struct pen_report *r;
	char value[64]; // of name_hours and its like
};

static bool next_line(struct parser *p, struct pen_span *line)
{
	if (p->rest.n == 0)
		return false;
	ptrdiff_t lf = pen_span_find(p->rest, '\n');
	*line = lf >= 0 ? pen_span(p->rest.p, (size_t)lf) : p->rest;
	p->rest = pen_span_from(p->rest, line->n + 1);
	if (line->n > 0 && line->p[line->n - 1] == '\r')
		line->n--;
	p->at++;
	return true;
}

static bool is_ascii(const char *s)
{
	for (; *s != '\0'; s++) {
		if ((unsigned char)*s > 127)
			return false;
	}
	return true;
}

// ---- $name

// "delay_warning_time_hours": the parameter's name without its unit, and the unit.
static pen_time_us unit_of(const char *name, size_t *base)
{
	static const struct {
		const char *suffix;
		pen_time_us us;
	} units[] = {{"_seconds", PEN_US_PER_S}, {"_minutes", 60 * PEN_US_PER_S},
		{"_hours", 3600 * PEN_US_PER_S}, {"_days", 86400 * PEN_US_PER_S},
		{"_weeks", 604800 * PEN_US_PER_S}};
	size_t n = strlen(name);

	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		size_t k = strlen(units[i].suffix);
		if (n > k && strcmp(name + n - k, units[i].suffix) == 0) {
			*base = n - k;
			return units[i].us;
		}
	}
	return 0;
}

static const char *find_time(struct parser *p, const char *name)
{
	size_t base;
	pen_time_us unit = unit_of(name, &base);

	for (size_t i = 0; unit != 0 && i < pen_param_count; i++) {
		const struct pen_param_desc *d = &pen_param_table[i];
		pen_time_us us;
		if (d->type != PEN_PARAM_DURATION || strlen(d->name) != base ||
			strncmp(d->name, name, base) != 0)
			continue;
		memcpy(&us, (const char *)p->params + d->offset, sizeof(us));
		snprintf(p->value, sizeof(p->value), "%lld", (long long)((us + unit - 1) / unit));
		return p->value;
	}
	return NULL;
}

static const char *find_value(void *ctx, const char *name)
{
	struct parser *p = ctx;

	for (size_t i = 0; i < pen_param_count; i++) {
		// Expanded already: a $ in it would be one of its text.
		if (strcmp(pen_param_table[i].name, name) == 0)
			return p->params->expanded[i] != NULL ? p->params->expanded[i] : "";
	}
	return find_time(p, name);
}

static bool add_text_line(struct parser *p, struct pen_span line, struct pen_buf *text)
{
	struct pen_main_cf_scope scope = {find_value, p, p->file, p->at, p->r};
	char *copy = strndup((const char *)line.p, line.n);
	size_t before = text->n;

	bool ok = copy != NULL && pen_main_cf_expand(&scope, NULL, copy, text);
	if (ok && text->n - before > LINE_WIDTH) {
		pen_report_error(p->r, p->file, p->at,
			"the line has %zu bytes with its parameters: accepted is %d",
			text->n - before, LINE_WIDTH);
		ok = false;
	}
	free(copy);
	pen_buf_add_cstr(text, "\r\n");
	return ok;
}

// ---- templates

static int index_of(struct pen_span word, const char *const *names, size_t n, bool fold)
{
	for (size_t i = 0; i < n; i++) {
		struct pen_span name = pen_span_cstr(names[i]);
		if (fold ? pen_span_ieq(word, name) : pen_span_eq(word, name))
			return (int)i;
	}
	return -1;
}

static void take_field(struct parser *p, char **slot, struct pen_span line)
{
	ptrdiff_t colon = pen_span_find(line, ':');
	int n = line.n < 80 ? (int)line.n : 80;

	if (colon <= 0) {
		pen_report_error(p->r, p->file, p->at,
			"%.*s: accepted is \"Name: value\", or an empty line before the text", n,
			(const char *)line.p);
		return;
	}
	struct pen_span name = pen_span_trim(pen_span(line.p, (size_t)colon));
	struct pen_span value = pen_span_trim(pen_span_from(line, (size_t)colon + 1));
	int i = index_of(name, field_names, 4, true);
	if (i < 0) {
		pen_report_error(p->r, p->file, p->at,
			"%.*s: accepted is Charset, From, Subject or Postmaster-Subject", n,
			(const char *)line.p);
		return;
	}
	free(slot[i]);
	slot[i] = strndup((const char *)value.p, value.n);
	for (const char *c = slot[i]; c != NULL && *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || (unsigned char)*c > '~') {
			// A header has no other characters outside of encoded words.
			pen_report_error(p->r, p->file, p->at,
				"%s: accepted is printable ASCII, with encoded words (RFC 2047) "
				"for the rest",
				field_names[i]);
			return;
		}
	}
}

static void check_charset(struct parser *p, char *const *slot, unsigned line)
{
	const char *charset = slot[CHARSET] != NULL ? slot[CHARSET] : "us-ascii";

	if (slot[TEXT] != NULL && strcasecmp(charset, "us-ascii") == 0 && !is_ascii(slot[TEXT]))
		pen_report_error(p->r, p->file, line,
			"the text is beyond ASCII: give a field \"Charset: utf-8\", or the one "
			"that it is in");
	for (const char *c = charset; *c != '\0'; c++) {
		if (strchr(" ;\"\\()<>@,:/[]?=", *c) != NULL) {
			pen_report_error(p->r, p->file, line,
				"Charset: %.60s: accepted is a name such as utf-8", charset);
			return;
		}
	}
}

// From the line behind "name = <<WORD" to the one that is WORD.
static void take_template(struct parser *p, char **slot, struct pen_span word)
{
	struct pen_buf text = PEN_BUF_INIT;
	struct pen_span line;
	unsigned begun = p->at;
	bool body = false, ended = false;

	while (!ended && next_line(p, &line)) {
		ended = pen_span_eq(line, word);
		if (ended)
			break;
		if (body)
			add_text_line(p, line, &text);
		else if (pen_span_trim(line).n == 0)
			body = true;
		else
			take_field(p, slot, line);
	}
	if (!ended)
		pen_report_error(p->r, p->file, begun, "there is no line \"%.*s\" that ends it",
			PEN_SPAN_ARG(word));
	else if (text.n == 0)
		pen_report_error(p->r, p->file, begun,
			"it has no text: accepted are fields, an empty line, and text");
	pen_buf_add(&text, "", 1);
	free(slot[TEXT]);
	slot[TEXT] = text.failed || text.n == 1 ? NULL : strdup((const char *)text.p);
	pen_buf_fini(&text);
	check_charset(p, slot, begun);
}

// "name = <<WORD"
static void take_start(struct parser *p, struct pen_span line)
{
	ptrdiff_t equals = pen_span_find(line, '=');
	struct pen_span name = line, word = pen_span(NULL, 0);

	if (equals >= 0) {
		name = pen_span_trim(pen_span(line.p, (size_t)equals));
		word = pen_span_trim(pen_span_from(line, (size_t)equals + 1));
	}
	int i = index_of(name, template_names, 4, false);
	bool here = pen_span_istarts(word, PEN_SPAN_LIT("<<"));
	word = here ? pen_span_trim(pen_span_from(word, 2)) : word;
	if (i < 0 || !here || word.n == 0) {
		pen_report_error(p->r, p->file, p->at,
			"%.*s: accepted is failure_template, delay_template, success_template or "
			"verify_template, followed by = <<EOF",
			(int)(line.n < 80 ? line.n : 80), (const char *)line.p);
		return;
	}
	take_template(p, p->t->text[i], word);
}

static void point(struct pen_dsn_template *to, char *const *slot)
{
	*to = (struct pen_dsn_template){.charset = slot[CHARSET],
		.from = slot[FROM],
		.subject = slot[SUBJECT],
		.postmaster_subject = slot[POSTMASTER_SUBJECT],
		.text = slot[TEXT]};
}

struct pen_bounce_templates *pen_bounce_templates_parse(struct pen_span text, const char *file,
	const struct pen_params *params, struct pen_report *r)
{
	struct pen_bounce_templates *t = calloc(1, sizeof(*t));
	struct parser p = {.t = t, .rest = text, .file = file, .params = params, .r = r};
	unsigned errors = r->errors;
	struct pen_span line;

	if (t == NULL) {
		pen_report_error(r, file, 0, "out of memory");
		return NULL;
	}
	while (next_line(&p, &line)) {
		line = pen_span_trim(line);
		if (line.n > 0 && line.p[0] != '#')
			take_start(&p, line);
	}
	point(&t->out.failure, t->text[0]);
	point(&t->out.delay, t->text[1]);
	point(&t->out.success, t->text[2]);
	if (r->errors == errors)
		return t;
	pen_bounce_templates_free(t);
	return NULL;
}

struct pen_bounce_templates *pen_bounce_templates_read(
	const char *file, const struct pen_params *params, struct pen_report *r)
{
	struct pen_bounce_templates *t = NULL;
	struct pen_buf text = PEN_BUF_INIT;

	if (pen_read_file(file, FILE_MAX, &text, r) == 0)
		t = pen_bounce_templates_parse(pen_buf_span(&text), file, params, r);
	pen_buf_fini(&text);
	return t;
}

void pen_bounce_templates_free(struct pen_bounce_templates *t)
{
	if (t == NULL)
		return;
	for (size_t i = 0; i < 4; i++) {
		for (size_t k = 0; k < 5; k++)
			free(t->text[i][k]);
	}
	free(t);
}

const struct pen_dsn_templates *pen_bounce_templates_get(const struct pen_bounce_templates *t)
{
	return t != NULL ? &t->out : NULL;
}
