// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The header fields that say how a message may travel: Require-TLS-ESMTP
// (REQUIRETLS over a hop that does not know the extension) and TLS-Required
// (RFC 8689 5).
//
// One pass over the header block of the message itself; what attachments and
// forwarded messages say is none of our business. Values may be folded.

#include "pen_span.h"

struct tls_headers {
	bool require;            // Require-TLS-ESMTP: yes
	bool optional;           // TLS-Required: no
	struct pen_span unknown; // of a TLS-Required that says something else; in the block
	bool has_unknown;
};

// `block` is a header block with CRLF line ends, without the empty line.
void tls_headers_scan(struct pen_span block, struct tls_headers *out);
