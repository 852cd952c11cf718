// SPDX-License-Identifier: BSD-3-Clause
#include "pen_control_request.h"

#include "pen_control.h"

#include <errno.h>
#include <stdio.h>

// Nesting is bounded before jansson recurses over it.
static bool too_deep(struct pen_span s)
{
	int depth = 0;
	bool string = false;

	for (size_t i = 0; i < s.n; i++) {
		uint8_t c = s.p[i];
		if (string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				string = false;
		} else if (c == '"') {
			string = true;
		} else if (c == '{' || c == '[') {
			if (++depth > PEN_CONTROL_DEPTH_MAX)
				return true;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return false;
}

static bool verb_ok(const char *v, size_t n)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789.-_";

	return n > 0 && n <= 64 && strspn(v, allowed) == n;
}

static const char *check(json_t *root, const char **verb, json_t **args)
{
	const char *key;
	json_t *value;

	if (!json_is_object(root))
		return "a request is a JSON object";
	json_object_foreach(root, key, value)
	{
		if (strcmp(key, "verb") == 0) {
			if (!json_is_string(value) ||
				!verb_ok(json_string_value(value), json_string_length(value)))
				return "\"verb\" must be a word";
			*verb = json_string_value(value);
		} else if (strcmp(key, "args") == 0) {
			if (!json_is_object(value))
				return "\"args\" must be an object";
			*args = value;
		} else {
			return "a request has only \"verb\" and \"args\"";
		}
	}
	return *verb != NULL ? NULL : "a request needs a \"verb\"";
}

int pen_control_request_parse(struct pen_span line, json_t **root, const char **verb, json_t **args,
	char *err, size_t cap)
{
	json_error_t je;

	*verb = NULL;
	*args = NULL;
	*root = NULL;
	if (too_deep(line)) {
		snprintf(err, cap, "the request is nested too deeply");
		return -EINVAL;
	}
	json_t *r = json_loadb((const char *)line.p, line.n, JSON_REJECT_DUPLICATES, &je);
	if (r == NULL) {
		snprintf(err, cap, "not JSON at byte %d", je.position);
		return -EINVAL;
	}
	const char *why = check(r, verb, args);
	if (why != NULL) {
		snprintf(err, cap, "%s", why);
		json_decref(r);
		*verb = NULL;
		*args = NULL;
		return -EINVAL;
	}
	*root = r;
	return 0;
}

int pen_control_page(json_t *args, struct pen_control_page *out, char *err, size_t cap)
{
	json_t *limit = json_object_get(args, "limit");
	json_t *cursor = json_object_get(args, "cursor");

	out->limit = 100;
	out->cursor = "";
	if (limit != NULL) {
		json_int_t v = json_integer_value(limit);
		if (!json_is_integer(limit) || v < 1 || v > 1000) {
			snprintf(err, cap, "\"limit\" must be a number from 1 to 1000");
			return -EINVAL;
		}
		out->limit = (uint32_t)v;
	}
	if (cursor != NULL && !json_is_null(cursor)) {
		if (!json_is_string(cursor) || json_string_length(cursor) > 128) {
			snprintf(err, cap, "\"cursor\" must be what an answer gave as \"next\"");
			return -EINVAL;
		}
		out->cursor = json_string_value(cursor);
	}
	return 0;
}
