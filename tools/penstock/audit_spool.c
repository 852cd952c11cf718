// SPDX-License-Identifier: BSD-3-Clause
#include "audit_spool.h"

#include "pen_spool_check.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

static void on_message(void *ctx, const struct pen_spool_seen *s)
{
	const struct pen_message *m = s->m;

	// What has ended is in the event log alone; its space may be used again.
	for (uint32_t i = 0; !s->ended && i < m->nrcpt; i++)
		book_spooled(ctx, m->id, i, (enum pen_fate)m->rcpt[i].fate, m->rcpt[i].doubts > 0,
			false);
}

int audit_spool_read(const char *directory, struct book *book, char *error, size_t cap)
{
	struct pen_spool_check_config cfg = {
		.directory = directory, .ctx = book, .on_message = on_message};
	struct pen_spool_check found;
	struct stat st;

	if (stat(directory, &st) != 0) {
		int err = errno;
		snprintf(error, cap, "%s: %s", directory, strerror(err));
		return -err;
	}
	int err = pen_spool_check(&cfg, &found, error, cap);
	if (err == 0 && found.online) {
		snprintf(error, cap,
			"%s: a daemon has this spool: leave --offline and --spool away", directory);
		return -EBUSY;
	}
	return err;
}
