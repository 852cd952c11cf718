// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A cached policy as the bytes of a file: a few header lines, the policy's own
// lines, and a checksum over both. A file that is not exactly what was written
// is no policy: half of an mx list would turn mail away.

#include "pen_buf.h"
#include "pen_sts.h"

#define STS_FILE_MAX (PEN_STS_BODY_MAX + 1024)

// Appends the file to `out` (check out->failed).
void sts_file_encode(struct pen_buf *out, const struct pen_sts_policy *p, pen_wall_us fetched);
// NULL, or why the bytes are no cached policy. `fetched` is in whole seconds.
const char *sts_file_decode(
	struct pen_span bytes, struct pen_sts_policy *out, pen_wall_us *fetched);
