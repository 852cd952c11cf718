// SPDX-License-Identifier: BSD-3-Clause

// Any reply has a class.

#include "pen_reply_class.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pen_reply_classes *classes;
	static struct pen_pattern_scratch *scratch;
	char err[200];

	if (classes == NULL) {
		classes = pen_reply_classes_load(NULL, err, sizeof(err));
		if (classes == NULL)
			abort();
		scratch = pen_reply_scratch_new(classes);
	}
	if (pen_reply_classify(classes, scratch, pen_span(data, size))[0] == '\0')
		abort();
	return 0;
}
