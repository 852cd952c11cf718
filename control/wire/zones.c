// SPDX-License-Identifier: BSD-3-Clause
#include "zones.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX (256 * 1024) // the largest has 4 KB

struct known {
	struct known *next;
	char name[PEN_ZONE_NAME_MAX + 1];
	struct pen_zone zone; // points behind this struct
	uint8_t bytes[];
};

struct pen_zones {
	struct known *first; // the last one used stands in front
	char folder[];
};

struct pen_zones *pen_zones_new(const char *folder)
{
	size_t n = strlen(folder) + 1;
	struct pen_zones *z = malloc(sizeof(*z) + n);

	if (z != NULL) {
		z->first = NULL;
		memcpy(z->folder, folder, n);
	}
	return z;
}

void pen_zones_free(struct pen_zones *z)
{
	if (z == NULL)
		return;
	while (z->first != NULL) {
		struct known *k = z->first;
		z->first = k->next;
		free(k);
	}
	free(z);
}

static struct known *read_zone(FILE *f, size_t size)
{
	struct known *k = malloc(sizeof(*k) + size);

	if (k == NULL || fread(k->bytes, 1, size, f) != size ||
		pen_zone_parse(&k->zone, pen_span(k->bytes, size)) != 0) {
		free(k);
		return NULL;
	}
	return k;
}

static struct known *load(const struct pen_zones *z, const char *name)
{
	char path[1024];
	struct known *k = NULL;
	struct stat st;

	int n = snprintf(path, sizeof(path), "%s/%s", z->folder, name);
	FILE *f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "rbe") : NULL;
	if (f == NULL)
		return NULL;
	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_MAX)
		k = read_zone(f, (size_t)st.st_size);
	fclose(f);
	if (k != NULL)
		snprintf(k->name, sizeof(k->name), "%s", name);
	return k;
}

bool pen_zones_at(
	struct pen_zones *z, const char *name, pen_wall_us at, int32_t *offset, pen_wall_us *until)
{
	struct known **i = &z->first;

	if (!pen_zone_name_valid(pen_span_cstr(name)))
		return false;
	while (*i != NULL && strcmp((*i)->name, name) != 0)
		i = &(*i)->next;
	struct known *k = *i;
	if (k != NULL)
		*i = k->next;
	else
		k = load(z, name);
	if (k == NULL)
		return false;
	k->next = z->first;
	z->first = k;
	pen_zone_at(&k->zone, at, offset, until);
	return true;
}
