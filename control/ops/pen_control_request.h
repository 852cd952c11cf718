// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One line of the control protocol, read: pure, and fuzzed.

#include "pen_span.h"

#include <jansson.h>

// pen_control_request_parse accepts one JSON object with "verb" (a string of
// 1..64 letters, digits, '.', '-', '_') and, if present, "args" (an object);
// other members are refused, as is nesting beyond PEN_CONTROL_DEPTH_MAX.
// 0: *root owns everything, *verb and *args are borrowed from it (args may be
// NULL). -EINVAL: a sentence in `err`, nothing to free.
int pen_control_request_parse(struct pen_span line, json_t **root, const char **verb, json_t **args,
	char *err, size_t cap);
