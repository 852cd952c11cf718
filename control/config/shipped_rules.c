// SPDX-License-Identifier: BSD-3-Clause
#include "pen_egress.h"

const char pen_shipped_rules[] =
#include "shipped_rules.inc"
	;
