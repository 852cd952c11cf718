// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Variable envelope return paths: the recipient's address inside the sender's,
// so that a bounce names its recipient by where it arrives.
//
//   owner-list@origin, user@domain, "+="  ->  owner-list+user=domain@origin
//
// Pure functions. Follows: Postfix's VERP_README.

#include "pen_span.h"

#include <stdbool.h>

#define PEN_VERP_MAX 1024 // of the result

// pen_verp_valid: two delimiters, each one of `filter` (verp_delimiter_filter).
bool pen_verp_valid(struct pen_span delims, const char *filter);

// pen_verp_make writes the sender for one recipient. Returns its length; 0: the
// sender is null, or the result would be too long, and the sender stays as it is.
// A local part that is quoted, or has to be then, is quoted as a whole.
size_t pen_verp_make(
	char out[PEN_VERP_MAX], struct pen_span sender, struct pen_span rcpt, const char delims[2]);
