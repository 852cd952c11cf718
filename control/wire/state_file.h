// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A small file that must be whole or absent: what the last run knew.
//
// It is written under another name, synced, and renamed, and the folder is synced; its last line
// is a checksum of the rest. A file that does not check out is moved to "corrupt" in the same
// folder.
//
// Threads: any, one at a time for one file.

#include "pen_buf.h"

#define PEN_STATE_FILE_MAX (64u << 20)

// 0 or -errno: then the old file is as it was.
int pen_state_file_write(const char *dir, const char *name, struct pen_span text);
// Appends the text to *out. 0; -ENOENT; -EBADMSG: it was damaged and is set aside, `kept` says
// where ("" when that failed, too); or another -errno.
int pen_state_file_read(
	const char *dir, const char *name, struct pen_buf *out, char *kept, size_t cap);
