// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The fields of a header block, one after the other (RFC 5322 2.2, with white space
// before the colon as 4.5.8 has it). Pure.

#include "pen_span.h"

struct header_field {
	struct pen_span whole; // with its continuation lines and line ends
	struct pen_span name;
	struct pen_span value; // trimmed; may have folds inside
};

// Takes the first field off *block; false: it is empty. What is no field has an
// empty name.
bool header_field_next(struct pen_span *block, struct header_field *out);
