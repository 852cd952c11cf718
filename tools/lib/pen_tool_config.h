// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// main.cf as the tools read it: only to find the daemon. Faults are the daemon's
// business; a tool takes what can be read and defaults for the rest.

#include "pen_params.h"

#define PEN_TOOL_CONFIG_DIR "/etc/penstock"

// pen_tool_params fills p from DIR/main.cf, or with defaults when there is none.
// 0 or -ENOMEM. pen_params_fini is due in every case.
int pen_tool_params(const char *directory, struct pen_params *p);
