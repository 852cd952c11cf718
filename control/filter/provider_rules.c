// SPDX-License-Identifier: BSD-3-Clause

#include "pen_provider_rules.h"

static const char text[] =
#include "provider_rules.inc"
	;

struct pen_span pen_provider_rules_text(void)
{
	return pen_span(text, sizeof(text) - 1);
}
