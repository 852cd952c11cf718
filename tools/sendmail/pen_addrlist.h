// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Addresses out of a header field (RFC 5322 3.4, with the obsolete forms): To,
// Cc, Bcc.
//
// Understood: display names, quoted strings, comments (nested), groups, angle
// addresses with an obsolete route, domain literals, folding, empty elements, and
// white space or comments around the parts of an address.
// An address comes out as SMTP wants it: without comments and white space,
// quoted where it was quoted. Syntax beyond that (is the domain good?) is the
// server's business.
//
// Memory: one address at a time, at most PEN_ADDRLIST_MAX bytes.

#include "pen_span.h"

#define PEN_ADDRLIST_MAX 512

typedef void pen_addrlist_fn(void *ctx, struct pen_span addr);

// pen_addrlist_parse calls fn for each address of text. 0, or -EINVAL with a
// sentence in *why; addresses before the fault were given already.
int pen_addrlist_parse(struct pen_span text, pen_addrlist_fn *fn, void *ctx, const char **why);
