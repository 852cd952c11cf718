// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_smtp_reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// The first byte chooses the size of the pieces.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_reply r;
	struct pen_dsn d;

	if (size < 1)
		return 0;
	size_t step = data[0] % 64 + 1u;
	pen_reply_init(&r);
	for (size_t at = 1; at < size;) {
		size_t used, piece = size - at < step ? size - at : step;
		enum pen_reply_status st = pen_reply_feed(&r, data + at, piece, &used);
		PEN_ASSERT(used <= piece);
		PEN_ASSERT(st == PEN_REPLY_BAD || used > 0);
		PEN_ASSERT(r.text_len <= PEN_REPLY_TEXT_MAX && r.text[r.text_len] == '\0');
		PEN_ASSERT(r.line_len < sizeof(r.line) && r.lines <= 256);
		at += used;
		if (st == PEN_REPLY_BAD)
			break;
		if (st == PEN_REPLY_DONE) {
			pen_reply_to_dsn(&r, PEN_SCOPE_MESSAGE, PEN_STAGE_DOT, &d);
			PEN_ASSERT(d.text_len < PEN_DSN_TEXT_MAX && d.reply / 100 >= 2);
		}
	}
	return 0;
}
