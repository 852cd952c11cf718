// SPDX-License-Identifier: BSD-3-Clause
#include "pen_main_cf.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int pen_read_file(const char *path, size_t limit, struct pen_buf *out, struct pen_report *r)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int err = 0;

	if (fd < 0 || fstat(fd, &st) != 0) {
		err = errno;
		pen_report_error(r, path, 0, "cannot be read: %s", strerror(err));
	} else if (!S_ISREG(st.st_mode)) {
		err = EINVAL;
		pen_report_error(r, path, 0, "is not a regular file");
	}
	while (err == 0) {
		if (out->n > limit) {
			err = EFBIG;
			pen_report_error(r, path, 0, "is larger than %zu bytes", limit);
		} else if (pen_buf_reserve(out, 16384) != 0) {
			err = ENOMEM;
			pen_report_error(r, path, 0, "does not fit into memory");
		} else {
			ssize_t n = read(fd, out->p + out->n, 16384);
			if (n == 0)
				break;
			if (n > 0)
				out->n += (size_t)n;
			else if (errno != EINTR) {
				err = errno;
				pen_report_error(r, path, 0, "cannot be read: %s", strerror(err));
			}
		}
	}
	if (fd >= 0)
		close(fd);
	return -err;
}

void pen_logical_lines_init(struct pen_logical_lines *l, struct pen_span text, const char *file,
	size_t limit, struct pen_report *r)
{
	*l = (struct pen_logical_lines){
		.rest = text, .file = file, .report = r, .limit = limit, .text = PEN_BUF_INIT};
}

void pen_logical_lines_fini(struct pen_logical_lines *l)
{
	pen_buf_fini(&l->text);
}

static struct pen_span physical_line(struct pen_span rest)
{
	ptrdiff_t nl = pen_span_find(rest, '\n');

	return nl < 0 ? rest : pen_span(rest.p, (size_t)nl);
}

static void take_line(struct pen_logical_lines *l, struct pen_span line)
{
	l->rest = pen_span_from(l->rest, line.n + 1);
	l->at++;
}

static bool line_continues(struct pen_span line)
{
	return line.n > 0 && (line.p[0] == ' ' || line.p[0] == '\t');
}

static bool line_blank(struct pen_span trimmed)
{
	return trimmed.n == 0 || trimmed.p[0] == '#';
}

// line_add checks one physical line and joins it to the logical one.
static bool line_add(struct pen_logical_lines *l, struct pen_span trimmed)
{
	for (size_t i = 0; i < trimmed.n; i++) {
		if (trimmed.p[i] != '\t' && iscntrl(trimmed.p[i])) {
			pen_report_error(l->report, l->file, l->at,
				"control character 0x%02x: this is not a text file, or it is "
				"damaged",
				trimmed.p[i]);
			// The rest of a binary file would only repeat this.
			if (trimmed.p[i] == '\0')
				l->rest.n = 0;
			return false;
		}
	}
	if (l->text.n + trimmed.n + 1 > l->limit) {
		pen_report_error(l->report, l->file, l->line,
			"logical line is longer than %zu bytes (a line that starts with white "
			"space "
			"continues the line before it)",
			l->limit);
		return false;
	}
	if (l->text.n > 0)
		pen_buf_add(&l->text, " ", 1);
	pen_buf_add_span(&l->text, trimmed);
	if (l->text.failed)
		pen_report_error(l->report, l->file, l->line, "out of memory");
	return !l->text.failed;
}

bool pen_logical_lines_next(struct pen_logical_lines *l)
{
	bool begun = false, good = true;

	pen_buf_reset(&l->text);
	while (l->rest.n > 0) {
		struct pen_span line = physical_line(l->rest);
		struct pen_span trimmed = pen_span_trim(line);

		if (line_blank(trimmed)) {
			take_line(l, line);
			continue;
		}
		if (begun && !line_continues(line)) {
			if (good)
				break;
			begun = false;
			good = true;
			pen_buf_reset(&l->text);
		}
		take_line(l, line);
		if (!begun) {
			begun = true;
			l->line = l->at;
			if (line_continues(line)) {
				pen_report_error(l->report, l->file, l->at,
					"starts with white space but continues no line: \"%.*s\"",
					(int)(trimmed.n < 80 ? trimmed.n : 80),
					(const char *)trimmed.p);
				good = false;
			}
		}
		good = good && line_add(l, trimmed);
	}
	if (!begun || !good)
		return false;
	pen_buf_add(&l->text, "", 1);
	if (l->text.failed)
		return false;
	l->text.n--;
	return true;
}
