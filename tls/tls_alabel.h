// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Presented names in the form that references have: lower case, A-labels.
//
// Threads: no state. Follows: RFC 3492 (Punycode), RFC 5890 2.3.2.1. A U-label is
// in lower case and composed by definition, so that nothing is mapped here: what
// is not, becomes an A-label that matches no reference.

#include "pen_span.h"

#define TLS_NAME_MAX 253

// Writes `raw` (UTF-8, not NUL-terminated) as A-labels into out. False when it
// is not a name: empty, too long, a control character, a space, a NUL, bad UTF-8.
bool tls_alabel(struct pen_span raw, char out[TLS_NAME_MAX + 1]);
