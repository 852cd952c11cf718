// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The image (pen_pattern_image.h) of the reply classes and rules that come with
// Penstock, made while it was built: a start and a reload need not compile them,
// unless egress.conf adds rules or the CPU is of another kind.

#include "pen_span.h"

struct pen_span pen_shipped_image(void);
