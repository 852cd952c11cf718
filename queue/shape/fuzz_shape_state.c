// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "pen_shape.h"

// A state of any bytes: it is read, and what is written after it can be read again.

#define WALL ((pen_wall_us)1795219200 * PEN_US_PER_S)
#define NOW ((pen_time_us)1000 * PEN_US_PER_S)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pen_shape *fresh(void)
{
	struct pen_addr source[2] = {pen_addr_ip4(0x0a000001), pen_addr_ip4(0x0a000002)};
	struct pen_shape_config *c = pen_shape_config_plain(source, 2);

	PEN_ASSERT(c != NULL);
	c->defaults.limits.given = PEN_LIMIT_MESSAGE_RATE;
	c->defaults.limits.message_rate = (struct pen_rate){1000, 3600 * PEN_US_PER_S, 1000};
	c->source[0].limits = c->defaults.limits;
	struct pen_shape *sh = pen_shape_new(c, NOW, NOW + WALL);
	PEN_ASSERT(sh != NULL);
	return sh;
}

static void use(struct pen_shape *sh)
{
	struct pen_span mx = PEN_SPAN_LIT("mx.example");
	struct pen_shape_site *s = pen_shape_site_get(sh, PEN_SPAN_LIT("mx.example."), &mx, 1, NOW);
	struct pen_shape_conn c;
	struct pen_shape_block b;
	char text[600];

	PEN_ASSERT(s != NULL);
	if (pen_shape_open(sh, s, 0, PEN_SHAPE_IP4, NOW, &c, &b)) {
		if (pen_shape_send(sh, &c, NULL, 1000, NOW, &b))
			pen_shape_done(sh, &c, NULL, 1000, NOW, true);
		pen_shape_close(sh, &c, NOW, true);
	} else {
		pen_shape_block_text(&b, NOW, NOW + WALL, text, sizeof(text));
	}
	pen_shape_site_put(sh, s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_shape *sh = fresh(), *second = fresh();
	struct pen_buf out = PEN_BUF_INIT;
	uint64_t generation;
	uint32_t bad;

	PEN_ASSERT(pen_shape_load(sh, pen_span(data, size), NOW, NOW + WALL, &bad) == 0);
	if (size % 2 == 0)
		use(sh);
	PEN_ASSERT(pen_shape_save(sh, NOW, NOW + WALL, &out, &generation) == 0);
	pen_shape_saved(sh, generation, NOW);
	use(sh);
	PEN_ASSERT(pen_shape_load(second, pen_buf_span(&out), NOW, NOW + WALL, &bad) == 0);
	PEN_ASSERT(bad == 0);
	use(second);
	pen_shape_free(sh);
	pen_shape_free(second);
	pen_buf_fini(&out);
	return 0;
}
