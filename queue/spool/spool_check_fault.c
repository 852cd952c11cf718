// SPDX-License-Identifier: BSD-3-Clause
#include "spool_check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void spool_check_fault(
	struct check *k, uint64_t offset, uint64_t length, uint64_t id, const char *fmt, ...)
{
	va_list ap;

	if (k->nheld == k->cap_held) {
		uint32_t cap = k->cap_held != 0 ? k->cap_held * 2 : 64;
		struct held *p = realloc(k->held, cap * sizeof(*p));
		if (p == NULL) {
			k->err = -ENOMEM;
			return;
		}
		k->held = p;
		k->cap_held = cap;
	}
	struct held *h = &k->held[k->nheld++];
	*h = (struct held){.offset = offset, .length = length, .id = id};
	va_start(ap, fmt);
	vsnprintf(h->what, sizeof(h->what), fmt, ap);
	va_end(ap);
}

void spool_check_tell(struct check *k, const char *file)
{
	for (uint32_t i = 0; i < k->nheld; i++) {
		struct pen_spool_fault f = {.file = file,
			.offset = k->held[i].offset,
			.length = k->held[i].length,
			.id = k->held[i].id,
			.what = k->held[i].what};
		k->out->faults++;
		if (k->cfg->on_fault != NULL)
			k->cfg->on_fault(k->cfg->ctx, &f);
	}
	k->nheld = 0;
}
