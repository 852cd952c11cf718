// SPDX-License-Identifier: BSD-3-Clause

// A client's content, in pieces, through the header scan, our additions and the
// fields about TLS. The first byte chooses the size of pieces.

#include "content.h"
#include "pen_err.h"
#include "tls_headers.h"

#include <stdlib.h>

#define OWN "Received: from x\r\n\tby y; z\r\n"
#define YES "Require-TLS-ESMTP: yes\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void scan(const struct content *c, struct tls_headers *h)
{
	struct pen_span block = content_header(c);
	uint8_t *exact = malloc(block.n); // ASan sees what reads beyond it

	PEN_ASSERT(block.n >= sizeof(OWN) - 1 && block.n <= c->n);
	memcpy(exact, block.p, block.n);
	tls_headers_scan(pen_span(exact, block.n), h);
	if (h->unknown.n > 0)
		PEN_ASSERT(h->unknown.p >= exact && h->unknown.p + h->unknown.n <= exact + block.n);
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct content_budget budget = {.max = 1 << 20};
	struct tls_headers h;
	struct content c;

	if (size < 1)
		return 0;
	size_t step = 1u + data[0];
	content_begin(&c, &budget, PEN_SPAN_LIT(OWN), 0);
	c.add_message_id = PEN_SPAN_LIT("Message-Id: <x@y>\r\n");
	c.add_date = PEN_SPAN_LIT("Date: now\r\n");
	for (size_t at = 1; at < size; at += step)
		content_add(&c, pen_span(data + at, step < size - at ? step : size - at));
	content_end(&c);
	if (c.err == 0) {
		PEN_ASSERT(!c.in_header && c.n >= 2 && c.p[c.n - 1] == '\n');
		size_t body = c.n - c.header_end;
		// The block is closed by an empty line, or the message is at its end.
		struct pen_span rest = pen_span(c.p + c.header_end, body);
		PEN_ASSERT(body == 0 || rest.p[0] == '\n' ||
			   pen_span_istarts(rest, PEN_SPAN_LIT("\r\n")));
		scan(&c, &h);
		content_append_field(&c, PEN_SPAN_LIT(YES));
		PEN_ASSERT(c.err != 0 || c.n - c.header_end == body);
		scan(&c, &h);
		PEN_ASSERT(c.err != 0 || h.require);
	}
	content_reset(&c);
	PEN_ASSERT(budget.used == 0);
	return 0;
}
