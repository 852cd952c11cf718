// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A set of patterns that was compiled before, as bytes.
//
// pen_pattern_set_new loads the image in use instead of compiling when it was made
// of the same patterns by the same Hyperscan for the same kind of CPU; otherwise it
// compiles as if there were none. Whoever writes an image decides what the daemon
// does with a reply, so it comes out of the program itself (pen_shipped_image.h),
// never from a file.
//
// Threads: _use and _record before any other thread makes a set.

#include "pen_buf.h"

// The image that sets may be loaded from from now on; borrowed for ever. One that is
// damaged is never used. Empty: none.
void pen_pattern_image_use(struct pen_span image);
// The image of the next set that is compiled is appended to *into; `into->failed`
// says that memory ran out. Nothing is appended for a set without Hyperscan.
void pen_pattern_image_record(struct pen_buf *into);
// How many sets were loaded so far.
uint64_t pen_pattern_image_uses(void);
