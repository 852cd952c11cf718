// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is in a spool that no daemon has open, for the audit.

#include "audit_book.h"

// 0, or -errno with a sentence in `error`.
int audit_spool_read(const char *directory, struct book *book, char *error, size_t cap);
