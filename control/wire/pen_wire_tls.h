// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Gives the dataplane's sessions the TLS streams of tls/: the two folders do
// not know each other, so the table of functions is filled in here. The
// gateway, penstock-sink and benchmarks use the same adapter.
//
// Memory: the config (and the strings it points to) must outlive the dataplane.

#include "pen_session_tls.h"
#include "pen_tls.h"

// Fills *out so that each worker makes its own context from cfg. 0 or -EIO.
int pen_wire_tls_init(struct pen_session_tls *out, const struct pen_tls_ctx_config *cfg);
