// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Names as DNS records and policy files may have them.

#include "pen_span.h"

#define STS_NAME_MAX 253

// sts_name_read writes a host name of A-labels in lower case: letters, digits
// and inner hyphens, labels of 1 to 63, no final dot. False: it is none.
bool sts_name_read(struct pen_span text, char out[STS_NAME_MAX + 1]);
// sts_domain_read does the same for a domain that mail goes to: DNS allows "_"
// there, and one final dot is dropped.
bool sts_domain_read(struct pen_span text, char out[STS_NAME_MAX + 1]);
// sts_key_ok: is it the name of a field (RFC 8461, sts-ext-name)?
bool sts_key_ok(struct pen_span key);
