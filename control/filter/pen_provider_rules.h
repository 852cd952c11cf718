// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The automation rules that come with Penstock, for large providers.
//
// Text in the syntax of egress.conf: `provider NAME { mx = [...]; rule { ... } }`,
// no limits. control/config reads it before the operator's file unless that says
// shipped_rules = no.

#include "pen_span.h"

#define PEN_PROVIDER_RULES_NAME "built-in provider rules" // stands for the file in messages

// A static text.
struct pen_span pen_provider_rules_text(void);
