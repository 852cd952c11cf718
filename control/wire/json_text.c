// SPDX-License-Identifier: BSD-3-Clause
#include "verb_call.h"

#include <stdlib.h>

json_t *bytes_json(struct pen_span s)
{
	json_t *text = json_stringn(s.n > 0 ? (const char *)s.p : "", s.n);

	if (text != NULL)
		return text;
	char *safe = malloc(s.n + 1);
	if (safe == NULL)
		return json_string("");
	for (size_t i = 0; i < s.n; i++)
		safe[i] = s.p[i] >= ' ' && s.p[i] < 0x7f ? (char)s.p[i] : '?';
	text = json_stringn(safe, s.n);
	free(safe);
	return text;
}
