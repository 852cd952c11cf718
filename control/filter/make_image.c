// SPDX-License-Identifier: BSD-3-Clause

// While Penstock is built: compiles the patterns that come with it, as a daemon with
// an egress.conf without rules would, and writes their image as the C source of
// pen_shipped_image.h.

#include "pen_egress.h"
#include "pen_pattern_image.h"
#include "pen_reply_rules.h"

#include <stdio.h>
#include <stdlib.h>

static const char egress_conf[] = "port p0 { device = \"net_null0\"; prefix = 24 }\n"
				  "source s0 { port = p0; address = \"192.0.2.1\" }\n";

static void print_entry(void *ctx, const struct pen_report_entry *e)
{
	char line[300];

	(void)ctx;
	fprintf(stderr, "%s\n", pen_report_format(e, line, sizeof(line)));
}

static bool make(struct pen_buf *image)
{
	struct pen_report report = {.fn = print_entry};
	struct pen_reply_rules *rules = NULL;
	struct pen_egress egress;
	char err[300] = "";

	pen_pattern_image_record(image);
	if (pen_egress_parse(&egress, pen_span_cstr(egress_conf), "egress.conf", &report) == 0)
		rules = pen_reply_rules_new(NULL, "egress.conf", egress.shape, err, sizeof(err));
	bool ok = rules != NULL && !image->failed;
	if (!ok)
		fprintf(stderr, "make_image: %s\n", err);
	pen_reply_rules_free(rules);
	pen_egress_fini(&egress);
	return ok;
}

static bool write_source(const char *file, const struct pen_buf *image)
{
	FILE *f = fopen(file, "we");

	if (f == NULL)
		return false;
	fputs("#include \"pen_shipped_image.h\"\n\nstatic const unsigned char image[] = {", f);
	for (size_t i = 0; i < image->n; i++)
		fprintf(f, "%s%u,", i % 32 == 0 ? "\n" : "", image->p[i]);
	fputs("\n};\n\nstruct pen_span pen_shipped_image(void)\n{\n"
	      "\treturn pen_span(image, sizeof(image));\n}\n",
		f);
	bool ok = ferror(f) == 0;
	return fclose(f) == 0 && ok;
}

int main(int argc, char **argv)
{
	struct pen_buf image = PEN_BUF_INIT;

	if (argc != 2) {
		fputs("usage: make_image FILE.c\n", stderr);
		return 2;
	}
	bool ok = make(&image);
	if (ok && !write_source(argv[1], &image)) {
		perror(argv[1]);
		ok = false;
	}
	pen_buf_fini(&image);
	return ok ? 0 : 1;
}
