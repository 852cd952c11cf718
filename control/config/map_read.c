// SPDX-License-Identifier: BSD-3-Clause
#include "map_priv.h"

#include "pen_main_cf.h"
#include "pen_params.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

// How much of a faulty line a report quotes.
#define QUOTE(s) (int)((s).n < 80 ? (s).n : 80), (const char *)(s).p

static bool add_reported(struct pen_map *m, struct pen_span key, struct pen_span value,
	const char *file, unsigned line, struct pen_report *r)
{
	switch (map_add(m, key, value, line)) {
	case MAP_DUPLICATE:
		pen_report_warning(r, file, line,
			"\"%.*s\" is there already: the first value is kept", QUOTE(key));
		return true;
	case MAP_FULL:
		pen_report_error(r, file, line, "table is too large (%u entries are possible)",
			PEN_MAP_ENTRIES_MAX);
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
		room = add_reported(m, key, value, m->file, lines.line, r);
	}
	pen_logical_lines_fini(&lines);
	return r->errors == errors;
}

bool map_read_cidr(struct pen_map *m, struct pen_span text, struct pen_report *r)
{
	struct pen_logical_lines lines;
	struct pen_span key, value;
	unsigned errors = r->errors;
	bool room = true;

	pen_logical_lines_init(&lines, text, m->file, PEN_MAIN_CF_VALUE_MAX, r);
	while (room && pen_logical_lines_next(&lines)) {
		struct pen_span line = pen_buf_span(&lines.text), net;
		struct pen_cidr block;
		bool split = split_line(line, &key, &value);
		bool negated = split && key.p[0] == '!';
		net = split ? pen_span_from(key, negated ? 1 : 0) : key;
		if (!split || pen_net_parse(&block, net) != 0) {
			pen_report_error(r, m->file, lines.line,
				"\"%.*s\": expected a network with host bits zero (10.0.0.0/8), "
				"white "
				"space and a value",
				QUOTE(line));
			continue;
		}
		room = add_reported(m, key, value, m->file, lines.line, r);
		if (room) {
			m->entry[m->n - 1].net = block;
			m->entry[m->n - 1].negated = negated;
		}
	}
	pen_logical_lines_fini(&lines);
	return r->errors == errors;
}

// take_inline takes one "key = value" or "{ key = value }" from *rest.
static bool take_inline(struct pen_span *rest, struct pen_span *item)
{
	*rest = pen_span_trim(*rest);
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
		if (eq <= 0 || key.n == 0 || value.n == 0 || item.p[0] == '{') {
			pen_report_error(r, where->file, where->line,
				"%s: inline: \"%.*s\": expected key = value (in braces when the "
				"value "
				"has spaces)",
				where->param, QUOTE(item));
			continue;
		}
		room = add_reported(m, key, value, where->file, where->line, r);
	}
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

struct pen_map *pen_map_parse(
	const char *type, struct pen_span text, const char *file, struct pen_report *r)
{
	bool cidr = strcmp(type, "cidr") == 0;
	struct pen_buf name = PEN_BUF_INIT;

	pen_buf_addf(&name, "%s:%s", type, file);
	struct pen_map *m = map_new(cidr ? MAP_CIDR : MAP_HASH, pen_buf_span(&name), file);
	pen_buf_fini(&name);
	if (m == NULL) {
		pen_report_error(r, file, 0, "out of memory");
		return NULL;
	}
	if (cidr ? map_read_cidr(m, text, r) : map_read_texthash(m, text, r))
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

static struct pen_map *open_braced(struct pen_span spec, struct pen_span arg,
	const struct pen_map_where *where, struct pen_report *r, bool fixed)
{
	bool braces = arg.n >= 2 && arg.p[0] == '{' && arg.p[arg.n - 1] == '}';
	struct pen_span in = braces ? pen_span_trim(pen_span(arg.p + 1, arg.n - 2)) : arg;
	struct pen_map *m = map_new(fixed ? MAP_STATIC : MAP_HASH, spec, NULL);

	if (m == NULL) {
		pen_report_error(r, where->file, where->line, "%s: out of memory", where->param);
	} else if (fixed ? in.n == 0 : !braces) {
		pen_report_error(r, where->file, where->line, "%s: %.*s: accepted is %s",
			where->param, QUOTE(spec),
			fixed ? "static:value or static:{some text}"
			      : "inline:{ key = value, { key = some text } }");
	} else if (fixed ? map_add(m, PEN_SPAN_LIT("*"), in, where->line) == MAP_ADDED
			 : map_read_inline(m, in, where, r)) {
		return m;
	}
	pen_map_free(m);
	return NULL;
}

struct pen_map *pen_map_open(
	struct pen_span spec, const struct pen_map_where *where, struct pen_report *r)
{
	ptrdiff_t colon = pen_span_find(spec, ':');
	struct pen_span type = pen_span(spec.p, colon > 0 ? (size_t)colon : 0);
	struct pen_span arg = pen_span_trim(pen_span_from(spec, (size_t)(colon + 1)));

	if (type.n > 0 && pen_span_eq(type, PEN_SPAN_LIT("texthash")))
		return open_file("texthash", arg, where, r);
	if (type.n > 0 && pen_span_eq(type, PEN_SPAN_LIT("cidr")))
		return open_file("cidr", arg, where, r);
	if (type.n > 0 && pen_span_eq(type, PEN_SPAN_LIT("inline")))
		return open_braced(spec, arg, where, r, false);
	if (type.n > 0 && pen_span_eq(type, PEN_SPAN_LIT("static")))
		return open_braced(spec, arg, where, r, true);
	pen_report_error(r, where->file, where->line,
		"%s: table \"%.*s\": accepted types are inline:, texthash:, cidr: and static:%s",
		where->param, QUOTE(spec), other_type(type));
	return NULL;
}
