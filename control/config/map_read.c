// SPDX-License-Identifier: BSD-3-Clause
#include "map_priv.h"

#include "pen_main_cf.h"
#include "pen_params.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define QUOTE MAP_QUOTE

bool map_add_reported(struct pen_map *m, struct pen_span key, struct pen_span value,
	const char *file, const char *head, unsigned line, struct pen_report *r)
{
	switch (map_add(m, key, value, line)) {
	case MAP_DUPLICATE:
		pen_report_warning(r, file, line,
			"%s\"%.*s\" is there already: the first value is kept", head, QUOTE(key));
		return true;
	case MAP_FULL:
		pen_report_error(r, file, line, "%stable is too large (%u entries are possible)",
			head, PEN_MAP_ENTRIES_MAX);
		return false;
	default:
		return true;
	}
}

// split_line cuts "key value"; a key with spaces stands in double quotes.
static bool split_line(struct pen_span text, struct pen_span *key, struct pen_span *value)
{
	size_t n = 0;

	if (text.n > 0 && text.p[0] == '"') {
		ptrdiff_t end = pen_span_find(pen_span_from(text, 1), '"');
		if (end < 0)
			return false;
		*key = pen_span(text.p + 1, (size_t)end);
		n = (size_t)end + 2;
		if (n < text.n && !isspace(text.p[n]))
			return false;
	} else {
		while (n < text.n && !isspace(text.p[n]))
			n++;
		*key = pen_span(text.p, n);
	}
	*value = pen_span_trim(pen_span_from(text, n));
	return key->n > 0 && value->n > 0;
}

bool map_read_texthash(struct pen_map *m, struct pen_span text, struct pen_report *r)
{
	struct pen_logical_lines lines;
	struct pen_span key, value;
	unsigned errors = r->errors;
	bool room = true;

	pen_logical_lines_init(&lines, text, m->file, PEN_MAIN_CF_VALUE_MAX, r);
	while (room && pen_logical_lines_next(&lines)) {
		struct pen_span line = pen_buf_span(&lines.text);
		if (!split_line(line, &key, &value)) {
			pen_report_error(r, m->file, lines.line,
				"\"%.*s\": expected a key, white space and a value", QUOTE(line));
			continue;
		}
		if (key.n > 1 && key.p[key.n - 1] == ':')
			pen_report_warning(r, m->file, lines.line,
				"key \"%.*s\" ends in \":\": tables have \"key value\", without a "
				"colon",
				QUOTE(key));
		room = map_add_reported(m, key, value, m->file, "", lines.line, r);
	}
	pen_logical_lines_fini(&lines);
	return r->errors == errors;
}

bool map_read_rules(struct pen_map *m, struct pen_span text, struct pen_report *r)
{
	struct map_rules rules = {.m = m, .file = m->file, .head = "", .r = r};
	struct pen_logical_lines lines;
	unsigned errors = r->errors;

	pen_logical_lines_init(&lines, text, m->file, PEN_MAIN_CF_VALUE_MAX, r);
	while (!rules.failed && pen_logical_lines_next(&lines))
		map_rules_line(&rules, pen_buf_span(&lines.text), lines.line);
	pen_logical_lines_fini(&lines);
	map_rules_end(&rules);
	return r->errors == errors;
}

// take_inline takes one "key = value" or "{ key = value }" from *rest.
static bool take_inline(struct pen_span *rest, struct pen_span *item)
{
	while (rest->n > 0 && (rest->p[0] == ',' || isspace(rest->p[0])))
		*rest = pen_span_from(*rest, 1);
	if (rest->n == 0)
		return false;
	if (rest->p[0] == '{') {
		int depth = 0;
		for (size_t i = 0; i < rest->n; i++) {
			depth += rest->p[i] == '{' ? 1 : rest->p[i] == '}' ? -1 : 0;
			if (depth == 0) {
				*item = pen_span_trim(pen_span(rest->p + 1, i - 1));
				*rest = pen_span_from(*rest, i + 1);
				return true;
			}
		}
	}
	// Without braces an item ends at white space, but "key = value" may have
	// spaces around the sign.
	size_t n = 0;
	while (n < rest->n && rest->p[n] != ',' && rest->p[n] != '=' && !isspace(rest->p[n]))
		n++;
	while (n < rest->n && isspace(rest->p[n]))
		n++;
	if (n < rest->n && rest->p[n] == '=') {
		n++;
		while (n < rest->n && isspace(rest->p[n]))
			n++;
	}
	while (n < rest->n && rest->p[n] != ',' && !isspace(rest->p[n]))
		n++;
	*item = pen_span_trim(pen_span(rest->p, n));
	*rest = pen_span_from(*rest, n);
	return true;
}

bool map_read_inline(struct pen_map *m, struct pen_span text, const struct pen_map_where *where,
	struct pen_report *r)
{
	struct pen_span item;
	unsigned errors = r->errors;
	bool room = true;

	while (room && take_inline(&text, &item)) {
		ptrdiff_t eq = pen_span_find(item, '=');
		struct pen_span key = pen_span_trim(pen_span(item.p, eq > 0 ? (size_t)eq : 0));
		struct pen_span value = pen_span_trim(pen_span_from(item, (size_t)(eq + 1)));
		if (eq <= 0 || key.n == 0 || item.p[0] == '{') {
			pen_report_error(r, where->file, where->line,
				"%s: inline: \"%.*s\": expected key = value (in braces when the "
				"value "
				"has spaces)",
				where->param, QUOTE(item));
			continue;
		}
		room = map_add_reported(m, key, value, where->file, "", where->line, r);
	}
	return r->errors == errors;
}

bool map_read_inline_rules(struct pen_map *m, struct pen_span text,
	const struct pen_map_where *where, struct pen_report *r)
{
	char head[160];
	struct map_rules rules = {.m = m, .file = where->file, .head = head, .r = r};
	struct pen_span item;
	unsigned errors = r->errors;

	snprintf(head, sizeof(head), "%.100s: %.*s: ", where->param, (int)strcspn(m->name, ":"),
		m->name);
	while (!rules.failed && pen_list_next(&text, &item)) {
		if (item.n < 2 || item.p[0] != '{' || item.p[item.n - 1] != '}')
			pen_report_error(r, where->file, where->line,
				"%s\"%.*s\": expected each rule in braces", head, QUOTE(item));
		else
			map_rules_line(&rules, pen_span_trim(pen_span(item.p + 1, item.n - 2)),
				where->line);
	}
	map_rules_end(&rules);
	return r->errors == errors;
}

static struct pen_map *open_file(const char *type, struct pen_span path,
	const struct pen_map_where *where, struct pen_report *r)
{
	struct pen_buf text = PEN_BUF_INIT;
	char *file = strndup((const char *)path.p, path.n);
	struct pen_map *m = NULL;

	if (path.n == 0 || path.p[0] != '/')
		pen_report_error(r, where->file, where->line,
			"%s: %s:%.*s: accepted is an absolute path, such as $config_directory/NAME",
			where->param, type, QUOTE(path));
	else if (file != NULL && pen_read_file(file, PEN_MAP_FILE_MAX, &text, r) == 0)
		m = pen_map_parse(type, pen_buf_span(&text), file, r);
	pen_buf_fini(&text);
	free(file);
	return m;
}

// Types that read a file or text; MAP_STATIC for no such type.
static enum map_type type_of(struct pen_span type)
{
	static const struct {
		const char *name;
		enum map_type type;
	} types[] = {{"texthash", MAP_HASH}, {"cidr", MAP_CIDR}, {"pcre", MAP_PCRE},
		{"regexp", MAP_REGEXP}};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		if (pen_span_eq(type, pen_span_cstr(types[i].name)))
			return types[i].type;
	}
	return MAP_STATIC;
}

struct pen_map *pen_map_parse(
	const char *type, struct pen_span text, const char *file, struct pen_report *r)
{
	enum map_type kind = type_of(pen_span_cstr(type));
	struct pen_buf name = PEN_BUF_INIT;

	pen_buf_addf(&name, "%s:%s", type, file);
	struct pen_map *m = map_new(kind, pen_buf_span(&name), file);
	pen_buf_fini(&name);
	if (m == NULL) {
		pen_report_error(r, file, 0, "out of memory");
		return NULL;
	}
	if (kind == MAP_HASH ? map_read_texthash(m, text, r) : map_read_rules(m, text, r))
		return m;
	pen_map_free(m);
	return NULL;
}

// Postfix's other table types, with what to write instead.
static const char *other_type(struct pen_span type)
{
	static const char *const indexed[] = {"hash", "btree", "lmdb", "cdb", "dbm"};

	for (size_t i = 0; i < sizeof(indexed) / sizeof(indexed[0]); i++) {
		if (pen_span_ieq(type, pen_span_cstr(indexed[i])))
			return ": write texthash: and the path of the text file";
	}
	return "";
}

static bool in_braces(struct pen_span arg)
{
	return arg.n >= 2 && arg.p[0] == '{' && arg.p[arg.n - 1] == '}';
}

static const char *braced_form(enum map_type type)
{
	switch (type) {
	case MAP_STATIC:
		return "static:value or static:{some text}";
	case MAP_HASH:
		return "inline:{ key = value, { key = some text } }";
	default:
		return "a path, or rules: {{ rule }, { rule }}";
	}
}

static struct pen_map *open_braced(struct pen_span spec, struct pen_span arg,
	const struct pen_map_where *where, struct pen_report *r, enum map_type type)
{
	bool braces = in_braces(arg), fixed = type == MAP_STATIC, ok = false;
	struct pen_span in = braces ? pen_span_trim(pen_span(arg.p + 1, arg.n - 2)) : arg;
	struct pen_map *m = map_new(type, spec, NULL);

	if (m == NULL)
		pen_report_error(r, where->file, where->line, "%s: out of memory", where->param);
	else if (fixed ? arg.n == 0 : !braces)
		pen_report_error(r, where->file, where->line, "%s: %.*s: accepted is %s",
			where->param, QUOTE(spec), braced_form(type));
	else if (fixed)
		ok = map_add(m, PEN_SPAN_LIT("*"), in, where->line) == MAP_ADDED;
	else if (type == MAP_HASH)
		ok = map_read_inline(m, in, where, r);
	else
		ok = map_read_inline_rules(m, in, where, r);
	if (ok)
		return m;
	pen_map_free(m);
	return NULL;
}

struct pen_map *map_open(
	struct pen_span spec, const struct pen_map_where *where, bool plain, struct pen_report *r)
{
	ptrdiff_t colon = pen_span_find(spec, ':');
	struct pen_span type = pen_span(spec.p, colon > 0 ? (size_t)colon : 0);
	struct pen_span arg = pen_span_trim(pen_span_from(spec, (size_t)(colon + 1)));
	enum map_type kind = type.n > 0 ? type_of(type) : MAP_STATIC;
	bool pattern = kind == MAP_PCRE || kind == MAP_REGEXP;

	if (kind != MAP_STATIC && !(pattern && plain)) {
		char name[16];
		snprintf(name, sizeof(name), "%.*s", PEN_SPAN_ARG(type));
		if (kind != MAP_HASH && in_braces(arg))
			return open_braced(spec, arg, where, r, kind);
		return open_file(name, arg, where, r);
	}
	if (pen_span_eq(type, PEN_SPAN_LIT("inline")))
		return open_braced(spec, arg, where, r, MAP_HASH);
	if (pen_span_eq(type, PEN_SPAN_LIT("static")))
		return open_braced(spec, arg, where, r, MAP_STATIC);
	if (pen_span_eq(type, PEN_SPAN_LIT("fail")) && !plain) {
		struct pen_map *m = map_new(MAP_FAIL, spec, NULL);
		if (m == NULL)
			pen_report_error(
				r, where->file, where->line, "%s: out of memory", where->param);
		return m;
	}
	pen_report_error(r, where->file, where->line,
		"%s: table \"%.*s\": accepted types are inline:, texthash:, cidr:%s and static:%s",
		where->param, QUOTE(spec),
		plain ? "" : ", pcre:, regexp:, fail:", other_type(type));
	return NULL;
}

struct pen_map *pen_map_open(
	struct pen_span spec, const struct pen_map_where *where, struct pen_report *r)
{
	return map_open(spec, where, false, r);
}
