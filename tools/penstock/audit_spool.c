// SPDX-License-Identifier: BSD-3-Clause
#include "audit_spool.h"

#include "pen_spool_core.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static void on_message(void *ctx, struct pen_message *m)
{
	for (uint32_t i = 0; i < m->nrcpt; i++)
		book_spooled(ctx, m->id, i, (enum pen_fate)m->rcpt[i].fate, m->rcpt[i].doubts > 0,
			false);
	pen_message_free(m);
}

int audit_spool_read(const char *directory, struct book *book, char *error, size_t cap)
{
	struct pen_spool_config cfg = {
		.directory = directory, .ctx = book, .on_message = on_message};
	struct pen_spool_core *core;
	struct stat st;

	if (stat(directory, &st) != 0) {
		int err = errno;
		snprintf(error, cap, "%s: %s", directory, strerror(err));
		return -err;
	}
	int err = pen_spool_core_open(&cfg, &core, error, cap);
	if (err == 0)
		pen_spool_core_close(core, false);
	return err;
}
