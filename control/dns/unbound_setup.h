// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Makes the libunbound context that the dns_* parameters ask for.

#include "pen_params.h"

struct event_base;
struct ub_ctx;

// unbound_setup returns a context ready for ub_resolve_event on `base`, or NULL
// with one sentence in err. ub_ctx_delete frees it, before the base.
struct ub_ctx *unbound_setup(
	const struct pen_params *params, struct event_base *base, char *err, size_t cap);
