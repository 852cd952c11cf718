// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The TXT record _smtp._tls.<domain> that asks for TLS reports (RFC 8460 3).
//
// Pure functions over hostile bytes.

#include "pen_span.h"

#define PEN_TLSRPT_RUA_MAX 8
#define PEN_TLSRPT_URI_MAX 1024

struct pen_tlsrpt_rua {
	uint32_t n;
	struct {
		bool https; // else mailto
		// mailto: the address, percent-decoded; https: the URI as it stands.
		char uri[PEN_TLSRPT_URI_MAX];
	} to[PEN_TLSRPT_RUA_MAX];
};

// From all TXT records of the name: true when exactly one begins with
// "v=TLSRPTv1" and has at least one usable address. Fields may stand in any
// order behind the version; unknown ones and unusable addresses are passed over.
bool pen_tlsrpt_record(const struct pen_span *txt, uint32_t n, struct pen_tlsrpt_rua *out);
