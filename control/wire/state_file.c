// SPDX-License-Identifier: BSD-3-Clause
#include "state_file.h"

#include "pen_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#define TRAILER "# xxh64 "
#define TRAILER_LEN (sizeof(TRAILER) - 1 + 16 + 1)

static void write_trailer(char trailer[TRAILER_LEN + 1], struct pen_span text)
{
	snprintf(trailer, TRAILER_LEN + 1, TRAILER "%016" PRIx64 "\n",
		(uint64_t)XXH64(text.n > 0 ? text.p : (const uint8_t *)"", text.n, 0));
}

int pen_state_file_write(const char *dir, const char *name, struct pen_span text)
{
	char fresh[256], trailer[TRAILER_LEN + 1];
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (at < 0)
		return -errno;
	snprintf(fresh, sizeof(fresh), "%s.new", name);
	write_trailer(trailer, text);
	const struct pen_span part[] = {text, pen_span_cstr(trailer)};
	int err = pen_file_replace(at, name, fresh, part, 2);
	if (err == 0 && fsync(at) != 0)
		err = -errno;
	close(at);
	return err;
}

static int read_all(int fd, struct pen_buf *out)
{
	uint8_t piece[65536];

	for (;;) {
		ssize_t n = read(fd, piece, sizeof(piece));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		if (out->n + (size_t)n > PEN_STATE_FILE_MAX)
			return -EBADMSG;
		pen_buf_add(out, piece, (size_t)n);
		if (out->failed)
			return -ENOMEM;
	}
}

// Takes the checksum off the end; false: it is not that of the rest.
static bool check(struct pen_buf *text, size_t from)
{
	char trailer[TRAILER_LEN + 1];
	size_t n = text->n - from;

	if (n < TRAILER_LEN)
		return false;
	n -= TRAILER_LEN;
	write_trailer(trailer, pen_span(text->p + from, n));
	if (memcmp(text->p + from + n, trailer, TRAILER_LEN) != 0)
		return false;
	text->n = from + n;
	return true;
}

static void set_aside(int at, const char *name, char *kept, size_t cap)
{
	struct stat st;

	kept[0] = '\0';
	if (mkdirat(at, "corrupt", 0700) != 0 && errno != EEXIST)
		return;
	for (int i = 1; i < 1000; i++) {
		snprintf(kept, cap, "corrupt/%s.%d", name, i);
		if (fstatat(at, kept, &st, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		if (renameat(at, name, at, kept) == 0)
			return;
		break;
	}
	kept[0] = '\0';
}

int pen_state_file_read(
	const char *dir, const char *name, struct pen_buf *out, char *kept, size_t cap)
{
	int at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t from = out->n;

	if (at < 0)
		return -errno;
	int fd = openat(at, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	int err = fd < 0 ? -errno : read_all(fd, out);
	if (err == 0 && !check(out, from))
		err = -EBADMSG;
	if (err == -EBADMSG)
		set_aside(at, name, kept, cap);
	if (err != 0)
		out->n = from;
	if (fd >= 0)
		close(fd);
	close(at);
	return err;
}
