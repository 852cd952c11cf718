// SPDX-License-Identifier: BSD-3-Clause
#include "tally.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_BITS 65536u
#define CHUNKS (TALLY_NUMBER_MAX / CHUNK_BITS)

struct tally_run {
	char name[64];
	uint64_t *chunk[CHUNKS];
};

static struct tally_run *find_run(struct tally *t, const char *name)
{
	for (uint32_t i = 0; i < t->nruns; i++) {
		if (strcmp(t->run[i]->name, name) == 0)
			return t->run[i];
	}
	if (t->nruns == TALLY_RUNS_MAX || strlen(name) >= sizeof(t->run[0]->name))
		return NULL;
	struct tally_run *r = calloc(1, sizeof(*r));
	if (r == NULL)
		return NULL;
	strcpy(r->name, name);
	t->run[t->nruns++] = r;
	return r;
}

enum tally_result tally_add(struct tally *t, const char *name, uint64_t n)
{
	struct tally_run *r = n < TALLY_NUMBER_MAX ? find_run(t, name) : NULL;

	if (r == NULL)
		return TALLY_FULL;
	uint64_t **chunk = &r->chunk[n / CHUNK_BITS];
	if (*chunk == NULL)
		*chunk = calloc(CHUNK_BITS / 64, sizeof(uint64_t));
	if (*chunk == NULL)
		return TALLY_FULL;
	uint64_t *word = &(*chunk)[n % CHUNK_BITS / 64], bit = 1ull << (n % 64);
	if ((*word & bit) != 0)
		return TALLY_SEEN;
	*word |= bit;
	return TALLY_NEW;
}

void tally_fini(struct tally *t)
{
	for (uint32_t i = 0; i < t->nruns; i++) {
		for (uint64_t c = 0; c < CHUNKS; c++)
			free(t->run[i]->chunk[c]);
		free(t->run[i]);
	}
	t->nruns = 0;
}
