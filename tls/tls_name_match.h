// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Is a name that a certificate presents one that the policy demands?
//
// Threads: no state. Follows: RFC 6125 6.4 with Postfix's rules for ".domain"
// references: any number of labels in front, wildcards included.

#include "pen_tls_policy.h"

// `presented` as tls_alabel wrote it.
bool tls_name_match(const struct pen_tls_name *reference, const char *presented);
