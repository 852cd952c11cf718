// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Small files that are whole or as they were, for threads that may wait for the disk.

#include "pen_span.h"

// Replaces `name` in the folder that `at` is open on: writes the parts, one after the
// other, under the name `fresh`, syncs and renames. A link of that name is not
// followed; what a crash left there is overwritten. 0, or -errno: then `name` is as it
// was and `fresh` is gone. The folder is not synced: after a crash the old file may be
// there again until the caller did (once for many files).
int pen_file_replace(
	int at, const char *name, const char *fresh, const struct pen_span *part, size_t nparts);
