// SPDX-License-Identifier: BSD-3-Clause
#include "policy_case.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct case_file {
	FILE *f;
	const char *path;
	unsigned number;
	int part;
	char *held; // the "case" line that ended the one before
	char *text[CASE_LINES_MAX * 2];
	int ntext;
};

struct case_file *case_open(const char *path)
{
	struct case_file *f = calloc(1, sizeof(*f));

	if (f != NULL)
		f->f = fopen(path, "re");
	if (f == NULL || f->f == NULL) {
		perror(path);
		free(f);
		return NULL;
	}
	f->path = path;
	return f;
}

static void drop_text(struct case_file *f)
{
	while (f->ntext > 0)
		free(f->text[--f->ntext]);
}

void case_close(struct case_file *f)
{
	drop_text(f);
	free(f->held);
	fclose(f->f);
	free(f);
}

static void bad_file(const struct case_file *f, const char *why)
{
	fprintf(stderr, "%s:%u: %s\n", f->path, f->number, why);
	exit(2);
}

// The next line with something in it, without its end; NULL at the end.
static char *read_line(struct case_file *f)
{
	char *line = NULL;
	size_t cap = 0;

	while (getline(&line, &cap, f->f) > 0) {
		f->number++;
		line[strcspn(line, "\r\n")] = '\0';
		char *p = line + strspn(line, " \t");
		if (*p != '\0' && *p != '#') {
			char *copy = strdup(p);
			free(line);
			return copy;
		}
	}
	free(line);
	return NULL;
}

// Words are parted by blanks; "..." keeps them.
static int split(char *s, char **word, int most)
{
	int n = 0;

	while (*(s += strspn(s, " \t")) != '\0' && n < most) {
		char *to = s;
		bool quoted = false;
		word[n++] = s;
		for (; *s != '\0' && (quoted || !isblank((unsigned char)*s)); s++) {
			if (*s == '"')
				quoted = !quoted;
			else
				*to++ = *s;
		}
		if (*s != '\0')
			s++;
		*to = '\0';
	}
	return n;
}

static void add_line(struct case_file *f, struct policy_case *c, char *text)
{
	struct case_line *l = &c->line[c->n];
	char *copy = strdup(text);

	if (c->n == CASE_LINES_MAX)
		bad_file(f, "too many lines in a case");
	f->text[f->ntext++] = text;
	f->text[f->ntext++] = copy;
	l->number = f->number;
	l->rest = text + strcspn(text, " \t");
	l->rest += strspn(l->rest, " \t");
	l->n = split(copy, l->word, CASE_WORDS_MAX);
	c->n++;
}

static void begin(struct case_file *f, struct policy_case *c, const char *line)
{
	const char *colon = strchr(line, ':');

	if (colon == NULL || f->part == 0)
		bad_file(f, "a case is \"case ID: title\" below a \"part N\"");
	c->file = f->path;
	c->part = f->part;
	snprintf(c->id, sizeof(c->id), "%.*s", (int)(colon - line) - 5, line + 5);
	snprintf(c->title, sizeof(c->title), "%s", colon + 1 + strspn(colon + 1, " "));
}

bool case_next(struct case_file *f, struct policy_case *c)
{
	char *line = f->held;

	drop_text(f);
	memset(c, 0, sizeof(*c));
	f->held = NULL;
	if (line == NULL)
		line = read_line(f);
	while (line != NULL) {
		if (strncmp(line, "part ", 5) == 0 && c->id[0] == '\0') {
			f->part = atoi(line + 5);
			free(line);
		} else if (strncmp(line, "case ", 5) == 0 && c->id[0] == '\0') {
			begin(f, c, line);
			free(line);
		} else if (strncmp(line, "case ", 5) == 0 || strncmp(line, "part ", 5) == 0) {
			f->held = line;
			return true;
		} else if (c->id[0] == '\0') {
			bad_file(f, "a line outside of a case");
		} else {
			add_line(f, c, line);
		}
		line = read_line(f);
	}
	return c->id[0] != '\0';
}

const char *case_value(const struct case_line *l, const char *key)
{
	size_t n = strlen(key);

	for (int i = 0; i < l->n; i++) {
		if (strncmp(l->word[i], key, n) == 0 && l->word[i][n] == '=')
			return l->word[i] + n + 1;
	}
	return NULL;
}

void case_fail(struct policy_case *c, const char *fmt, ...)
{
	va_list ap;

	if (c->fault[0] != '\0')
		return;
	va_start(ap, fmt);
	vsnprintf(c->fault, sizeof(c->fault), fmt, ap);
	va_end(ap);
}

void case_expect_text(struct policy_case *c, const char *what, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		case_fail(c, "%s is \"%s\", expected \"%s\"", what, got, want);
}
