// SPDX-License-Identifier: BSD-3-Clause
#include "pen_ucl.h"

#include "pen_buf.h"

#include <ctype.h>
#include <stdlib.h>

struct parser {
	struct pen_span in;
	unsigned line;
	const char *file;
	struct pen_report *report;
	size_t nodes;
};

static bool parse_members(struct parser *p, struct pen_ucl_node *object, bool braced, int depth);
static bool parse_value(struct parser *p, struct pen_ucl_node *n, int depth);

static bool fault(const struct parser *p, const char *what)
{
	pen_report_error(p->report, p->file, p->line, "%s", what);
	return false;
}

static void take(struct parser *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p->line += p->in.p[i] == '\n';
	p->in = pen_span_from(p->in, n);
}

static bool at(const struct parser *p, uint8_t c)
{
	return p->in.n > 0 && p->in.p[0] == c;
}

static bool skip_comment(struct parser *p)
{
	unsigned start = p->line;
	int depth = 0;

	do {
		if (p->in.n < 2) {
			p->line = start;
			return fault(p, "\"/*\" without \"*/\"");
		}
		if (p->in.p[0] == '/' && p->in.p[1] == '*') {
			depth++;
			take(p, 2);
		} else if (p->in.p[0] == '*' && p->in.p[1] == '/') {
			depth--;
			take(p, 2);
		} else {
			take(p, 1);
		}
	} while (depth > 0);
	return true;
}

static bool skip_space(struct parser *p)
{
	while (p->in.n > 0) {
		if (isspace(p->in.p[0])) {
			take(p, 1);
		} else if (p->in.p[0] == '#') {
			ptrdiff_t nl = pen_span_find(p->in, '\n');
			take(p, nl < 0 ? p->in.n : (size_t)nl);
		} else if (p->in.n > 1 && p->in.p[0] == '/' && p->in.p[1] == '*') {
			if (!skip_comment(p))
				return false;
		} else {
			break;
		}
	}
	return true;
}

void pen_ucl_free(struct pen_ucl_node *n)
{
	if (n == NULL)
		return;
	for (struct pen_ucl_node *c = n->child, *next; c != NULL; c = next) {
		next = c->next;
		pen_ucl_free(c);
	}
	free(n->key);
	free(n->text);
	free(n);
}

// node_new appends a child to `up`; it takes over key.
static struct pen_ucl_node *node_new(
	struct parser *p, struct pen_ucl_node *up, char *key, enum pen_ucl_type type)
{
	struct pen_ucl_node *n = NULL;

	if (++p->nodes <= PEN_UCL_NODES_MAX)
		n = calloc(1, sizeof(*n));
	if (n == NULL) {
		free(key);
		fault(p, "the file has too many values");
		return NULL;
	}
	*n = (struct pen_ucl_node){.type = type, .line = p->line, .key = key};
	if (up == NULL)
		return n;
	if (up->last_child != NULL)
		up->last_child->next = n;
	else
		up->child = n;
	up->last_child = n;
	return n;
}

static bool add_utf8(struct pen_buf *out, struct pen_span hex)
{
	unsigned c = 0;

	for (size_t i = 0; i < 4; i++) {
		if (i >= hex.n || !isxdigit(hex.p[i]))
			return false;
		c = c * 16 +
		    (unsigned)(isdigit(hex.p[i]) ? hex.p[i] - '0' : tolower(hex.p[i]) - 'a' + 10);
	}
	if (c == 0 || (c >= 0xd800 && c <= 0xdfff))
		return false;
	uint8_t u[3] = {(uint8_t)(0xe0 | c >> 12), (uint8_t)(0x80 | (c >> 6 & 0x3f)),
		(uint8_t)(0x80 | (c & 0x3f))};
	if (c < 0x80) {
		u[2] = (uint8_t)c;
		pen_buf_add(out, u + 2, 1);
	} else if (c < 0x800) {
		u[1] = (uint8_t)(0xc0 | c >> 6);
		pen_buf_add(out, u + 1, 2);
	} else {
		pen_buf_add(out, u, 3);
	}
	return true;
}

// parse_escape takes what follows a backslash. A pattern keeps its own escapes.
static bool parse_escape(struct parser *p, bool pattern, struct pen_buf *out)
{
	static const char from[] = "\"\\/bfnrt";
	static const char to[] = "\"\\/\b\f\n\r\t";

	if (p->in.n == 0)
		return fault(p, "the file ends inside a quoted text");
	if (pattern && !at(p, '"') && !at(p, '\\')) {
		pen_buf_add(out, "\\", 1);
		return true;
	}
	const char *hit = memchr(from, p->in.p[0], sizeof(from) - 1);
	if (hit != NULL) {
		pen_buf_add(out, &to[hit - from], 1);
		take(p, 1);
		return true;
	}
	if (at(p, 'u') && add_utf8(out, pen_span_from(p->in, 1))) {
		take(p, 5);
		return true;
	}
	return fault(p, "unknown escape in a quoted text: accepted are "
			"\\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\uXXXX");
}

static char *parse_quoted(struct parser *p)
{
	struct pen_buf out = PEN_BUF_INIT;
	uint8_t quote = p->in.p[0];
	unsigned start = p->line;
	bool ok = true;

	take(p, 1);
	bool pattern = at(p, '/');
	while (ok && p->in.n > 0 && p->in.p[0] != quote) {
		uint8_t c = p->in.p[0];
		if (c == '\0' || (c == '\n' && quote == '"')) {
			ok = fault(p, c == '\0' ? "NUL byte in a quoted text"
						: "a quoted text ends in the line it begins");
		} else if (c == '\\' && quote == '"') {
			take(p, 1);
			ok = parse_escape(p, pattern, &out);
		} else {
			pen_buf_add(&out, &c, 1);
			take(p, 1);
		}
	}
	if (ok && p->in.n == 0) {
		p->line = start;
		ok = fault(p, "a quoted text has no closing quote");
	}
	if (ok)
		take(p, 1);
	pen_buf_add(&out, "", 1);
	if (ok && !out.failed)
		return (char *)out.p;
	pen_buf_fini(&out);
	return NULL;
}

static bool is_word(uint8_t c, bool key)
{
	if (c <= ' ' || c == 0x7f || strchr("{}[],;#\"'", c) != NULL)
		return false;
	return !key || (c != '=' && c != ':');
}

static char *parse_word(struct parser *p, bool key)
{
	size_t n = 0;

	if (at(p, '"') || at(p, '\''))
		return parse_quoted(p);
	while (n < p->in.n && is_word(p->in.p[n], key))
		n++;
	if (n == 0) {
		fault(p, key ? "expected a key" : "expected a value");
		return NULL;
	}
	char *word = strndup((const char *)p->in.p, n);
	take(p, n);
	return word;
}

static bool parse_array(struct parser *p, struct pen_ucl_node *array, int depth)
{
	take(p, 1);
	for (;;) {
		if (!skip_space(p))
			return false;
		if (at(p, ']')) {
			take(p, 1);
			return true;
		}
		if (p->in.n == 0) {
			p->line = array->line;
			return fault(p, "\"[\" without \"]\"");
		}
		struct pen_ucl_node *n = node_new(p, array, NULL, PEN_UCL_WORD);
		if (n == NULL || !parse_value(p, n, depth + 1) || !skip_space(p))
			return false;
		if (at(p, ',') || at(p, ';'))
			take(p, 1);
		else if (!at(p, ']') && p->in.n > 0)
			return fault(p, "expected \",\" or \"]\" in an array");
	}
}

static bool parse_value(struct parser *p, struct pen_ucl_node *n, int depth)
{
	if (depth > PEN_UCL_DEPTH_MAX)
		return fault(p, "too many levels of brackets");
	n->line = p->line;
	if (at(p, '{')) {
		n->type = PEN_UCL_OBJECT;
		take(p, 1);
		return parse_members(p, n, true, depth + 1);
	}
	if (at(p, '[')) {
		n->type = PEN_UCL_ARRAY;
		return parse_array(p, n, depth);
	}
	n->type = at(p, '"') || at(p, '\'') ? PEN_UCL_STRING : PEN_UCL_WORD;
	n->text = parse_word(p, false);
	return n->text != NULL;
}

// end_value wants ";", ",", a closing brace or a new line after a value; what ends with a
// brace of its own needs none.
static bool end_value(struct parser *p, const struct pen_ucl_node *n, unsigned line)
{
	if (!skip_space(p))
		return false;
	if (at(p, ';') || at(p, ',')) {
		take(p, 1);
		return true;
	}
	if (p->in.n == 0 || at(p, '}') || p->line > line || n->type == PEN_UCL_OBJECT)
		return true;
	return fault(p, "expected \";\" or a new line after the value (put a text with spaces or "
			"commas in quotes)");
}

// parse_member takes "key = value", "key { }" or "key name { }".
static bool parse_member(struct parser *p, struct pen_ucl_node *object, int depth)
{
	char *key = parse_word(p, true);

	if (key == NULL)
		return false;
	struct pen_ucl_node *n = node_new(p, object, key, PEN_UCL_WORD);
	if (n == NULL || !skip_space(p))
		return false;
	bool sign = at(p, '=') || at(p, ':');
	if (sign) {
		take(p, 1);
		if (!skip_space(p))
			return false;
	}
	if (p->in.n == 0)
		return fault(p, "expected a value after the last key");
	if (sign || at(p, '{') || at(p, '[')) {
		if (!parse_value(p, n, depth))
			return false;
		return end_value(p, n, p->line);
	}
	unsigned line = p->line;
	bool quoted = at(p, '"') || at(p, '\'');
	char *word = parse_word(p, false);
	if (word == NULL || !skip_space(p)) {
		free(word);
		return false;
	}
	if (!at(p, '{')) {
		n->type = quoted ? PEN_UCL_STRING : PEN_UCL_WORD;
		n->line = line;
		n->text = word;
		return end_value(p, n, line);
	}
	n->type = PEN_UCL_OBJECT;
	n->line = line;
	struct pen_ucl_node *named = node_new(p, n, word, PEN_UCL_OBJECT);
	return named != NULL && parse_value(p, named, depth + 1) && end_value(p, n, p->line);
}

static bool parse_members(struct parser *p, struct pen_ucl_node *object, bool braced, int depth)
{
	for (;;) {
		if (!skip_space(p))
			return false;
		if (p->in.n == 0) {
			p->line = braced ? object->line : p->line;
			return !braced || fault(p, "\"{\" without \"}\"");
		}
		if (at(p, '}')) {
			if (!braced)
				return fault(p, "\"}\" without \"{\"");
			take(p, 1);
			return true;
		}
		if (!parse_member(p, object, depth))
			return false;
	}
}

struct pen_ucl_node *pen_ucl_parse(struct pen_span text, const char *file, struct pen_report *r)
{
	struct parser p = {.in = text, .line = 1, .file = file, .report = r};
	struct pen_ucl_node *root = node_new(&p, NULL, NULL, PEN_UCL_OBJECT);
	unsigned errors = r->errors;

	if (root == NULL)
		return NULL;
	// A file may be written as one JSON object.
	bool ok = skip_space(&p);
	if (ok && at(&p, '{')) {
		ok = parse_value(&p, root, 0) && skip_space(&p);
		if (ok && p.in.n > 0)
			ok = fault(&p, "text after the closing \"}\"");
	} else if (ok) {
		ok = parse_members(&p, root, false, 0);
	}
	if (ok)
		return root;
	if (r->errors == errors)
		fault(&p, "out of memory");
	pen_ucl_free(root);
	return NULL;
}

const char *pen_ucl_type_name(enum pen_ucl_type type)
{
	static const char *const names[] = {"a text", "a word", "an array", "an object"};

	return names[type];
}

bool pen_ucl_number(const struct pen_ucl_node *n, uint64_t *out)
{
	static const struct {
		const char *suffix;
		uint64_t by;
	} units[] = {{"", 1}, {"k", 1000}, {"m", 1000000}, {"g", 1000000000}, {"kb", 1u << 10},
		{"mb", 1u << 20}, {"gb", 1u << 30}};
	const char *s = n->text;
	uint64_t v = 0;

	if (n->type != PEN_UCL_WORD || !isdigit((unsigned char)*s))
		return false;
	for (; isdigit((unsigned char)*s); s++) {
		if (v > UINT64_MAX / 100)
			return false;
		v = v * 10 + (uint64_t)(*s - '0');
	}
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (strcasecmp(s, units[i].suffix) == 0)
			return !__builtin_mul_overflow(v, units[i].by, out);
	}
	return false;
}

bool pen_ucl_bool(const struct pen_ucl_node *n, bool *out)
{
	static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};

	for (size_t i = 0; n->type == PEN_UCL_WORD && i < 6; i++) {
		if (strcasecmp(n->text, words[i]) == 0) {
			*out = i % 2 == 1;
			return true;
		}
	}
	return false;
}
