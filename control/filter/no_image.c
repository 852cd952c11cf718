// SPDX-License-Identifier: BSD-3-Clause

// Where what is built cannot be run: no image, everything is compiled at the start.

#include "pen_shipped_image.h"

struct pen_span pen_shipped_image(void)
{
	return pen_span(NULL, 0);
}
