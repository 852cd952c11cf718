// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Domains with letters beyond ASCII, and the form that the DNS knows them by.
//
// Pure functions. RFCs: 5890 to 5893 (IDNA2008), UTS 46 non-transitional mapping.

#include "pen_span.h"

#define PEN_IDN_NAME_MAX 254 // text of the longest domain, with NUL

// pen_idn_needed: there is a byte beyond ASCII.
bool pen_idn_needed(struct pen_span domain);
// pen_idn_to_ascii writes the domain in lower case with A-labels and without a
// final dot; one that is ASCII already is only put in lower case. NULL, or what
// is wrong in a few words (out is then ""). Whether the result can be a host
// name is not looked at.
const char *pen_idn_to_ascii(char out[PEN_IDN_NAME_MAX], struct pen_span domain);
