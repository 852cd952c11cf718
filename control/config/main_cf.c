// SPDX-License-Identifier: BSD-3-Clause
#include "pen_main_cf.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#define FILE_MAX (4 * 1024 * 1024)

struct pen_main_cf_def *pen_main_cf_find(const struct pen_main_cf *cf, const char *name)
{
	for (size_t i = 0; i < cf->ndefs; i++) {
		if (strcmp(cf->def[i].name, name) == 0)
			return &cf->def[i];
	}
	return NULL;
}

void pen_main_cf_fini(struct pen_main_cf *cf)
{
	for (size_t i = 0; i < cf->ndefs; i++) {
		free(cf->def[i].name);
		free(cf->def[i].value);
	}
	free(cf->def);
	free(cf->file);
	*cf = (struct pen_main_cf){0};
}

static struct pen_main_cf_def *def_new(struct pen_main_cf *cf, const char *name)
{
	// Grow at each power of two.
	if ((cf->ndefs & (cf->ndefs - 1)) == 0) {
		size_t cap = cf->ndefs == 0 ? 1 : cf->ndefs * 2;
		void *p = realloc(cf->def, cap * sizeof(*cf->def));
		if (p == NULL)
			return NULL;
		cf->def = p;
	}
	struct pen_main_cf_def *d = &cf->def[cf->ndefs];
	*d = (struct pen_main_cf_def){.name = strdup(name)};
	if (d->name == NULL)
		return NULL;
	cf->ndefs++;
	return d;
}

static bool name_check(const char *name, const char *file, unsigned line, struct pen_report *r)
{
	size_t n = strlen(name);

	if (n == 0) {
		pen_report_error(r, file, line, "parameter name is missing before \"=\"");
		return false;
	}
	if (n > PEN_MAIN_CF_NAME_MAX) {
		pen_report_error(r, file, line, "parameter name is longer than %d characters",
			PEN_MAIN_CF_NAME_MAX);
		return false;
	}
	for (size_t i = 0; i < n; i++) {
		if (!isalnum((unsigned char)name[i]) && name[i] != '_') {
			pen_report_error(r, file, line,
				"bad parameter name \"%s\": letters, digits and \"_\" only", name);
			return false;
		}
	}
	return true;
}

// define takes one logical line, which it may write to.
static int define(struct pen_main_cf *cf, char *text, unsigned line, struct pen_report *r)
{
	char *eq = strchr(text, '=');

	if (eq == NULL) {
		pen_report_error(
			r, cf->file, line, "\"%.80s\": expected \"parameter = value\"", text);
		return 0;
	}
	char *end = eq;
	while (end > text && isspace((unsigned char)end[-1]))
		end--;
	*end = '\0';
	const char *value = eq + 1;
	while (isspace((unsigned char)*value))
		value++;
	if (!name_check(text, cf->file, line, r))
		return 0;

	struct pen_main_cf_def *d = pen_main_cf_find(cf, text);
	if (d != NULL) {
		pen_report_warning(
			r, cf->file, line, "%s replaces the value given in line %u", text, d->line);
	} else if (cf->ndefs == PEN_MAIN_CF_DEFS_MAX) {
		pen_report_error(
			r, cf->file, line, "more than %d parameters", PEN_MAIN_CF_DEFS_MAX);
		return -E2BIG;
	} else {
		d = def_new(cf, text);
	}
	char *copy = strdup(value);
	if (d == NULL || copy == NULL) {
		free(copy);
		return -ENOMEM;
	}
	free(d->value);
	d->value = copy;
	d->line = line;
	return 0;
}

int pen_main_cf_parse(
	struct pen_main_cf *cf, struct pen_span text, const char *file, struct pen_report *r)
{
	struct pen_logical_lines lines;
	int err = 0;

	*cf = (struct pen_main_cf){.file = strdup(file)};
	if (cf->file == NULL)
		return -ENOMEM;
	if (text.n >= 3 && memcmp(text.p, "\xef\xbb\xbf", 3) == 0)
		text = pen_span_from(text, 3);
	pen_logical_lines_init(&lines, text, cf->file, PEN_MAIN_CF_VALUE_MAX, r);
	while (err == 0 && pen_logical_lines_next(&lines))
		err = define(cf, (char *)lines.text.p, lines.line, r);
	pen_logical_lines_fini(&lines);
	// A definition without a value is left only when memory ran out.
	if (cf->ndefs > 0 && cf->def[cf->ndefs - 1].value == NULL)
		free(cf->def[--cf->ndefs].name);
	return err == -ENOMEM ? err : 0;
}

int pen_main_cf_read(struct pen_main_cf *cf, const char *file, struct pen_report *r)
{
	struct pen_buf text = PEN_BUF_INIT;
	int err = pen_read_file(file, FILE_MAX, &text, r);

	*cf = (struct pen_main_cf){0};
	if (err == 0)
		err = pen_main_cf_parse(cf, pen_buf_span(&text), file, r);
	pen_buf_fini(&text);
	return err;
}
