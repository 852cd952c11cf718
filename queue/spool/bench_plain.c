// SPDX-License-Identifier: BSD-3-Clause
#include "bench_plain.h"

#include "pen_err.h"
#include "pen_time.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void plain_fill(struct plain *r, const char *name)
{
	uint8_t *p = pen_disk_alloc(1u << 20);

	r->d->ops->remove(r->d, name);
	if (p == NULL || r->d->ops->open(r->d, name, PEN_DISK_CREATE | PEN_DISK_DIRECT,
				 &r->f[r->files]) != 0)
		pen_fatal("cannot make %s", name);
	memset(p, 'x', 1u << 20);
	for (uint64_t off = 0; off < PLAIN_BYTES; off += 1u << 20)
		pen_disk_write(r->d, r->f[r->files], p, 1u << 20, off);
	r->d->ops->datasync(r->d, r->f[r->files++]);
	free(p);
}

static void plain_name(uint32_t i, char out[16])
{
	snprintf(out, 16, "plain-%u", i);
}

void plain_open(struct plain *r, const char *dir, uint32_t files)
{
	char error[256], name[16];

	memset(r, 0, sizeof(*r));
	if (pen_disk_posix_new(dir, &r->d, error, sizeof(error)) != 0)
		pen_fatal("%s", error);
	for (uint32_t i = 0; i < files && i < PLAIN_FILES; i++) {
		plain_name(i, name);
		plain_fill(r, name);
	}
}

double plain_rate(struct plain *r, uint64_t total, uint64_t batch)
{
	uint64_t done = 0;
	uint8_t *p = pen_disk_alloc(batch);

	memset(p, 'y', batch);
	pen_time_us start = pen_clock_mono();
	for (; done < total; done += batch, r->off += batch) {
		if (r->off + batch > PLAIN_BYTES) {
			r->off = 0;
			r->at = (r->at + 1) % r->files;
		}
		if (pen_disk_write(r->d, r->f[r->at], p, batch, r->off) != 0 ||
			r->d->ops->datasync(r->d, r->f[r->at]) != 0)
			pen_fatal("cannot write the plain files");
	}
	free(p);
	return (double)done / ((double)(pen_clock_mono() - start) / 1e6);
}

void plain_close(struct plain *r)
{
	char name[16];

	while (r->files > 0) {
		r->d->ops->close(r->d, r->f[--r->files]);
		plain_name(r->files, name);
		r->d->ops->remove(r->d, name);
	}
	pen_disk_free(r->d);
}
