// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A hop's answer as JSON, for `penstock explain`: what was looked up, what was
// decided by which rule, and what would follow in a session. README.md has the
// shape.

#include "pen_hop.h"
#include "pen_tls_session.h"

#include <jansson.h>

// A new reference, NULL when out of memory.
json_t *pen_hop_json(const struct pen_hop_answer *a, const struct pen_tls_rules *rules);
