// SPDX-License-Identifier: BSD-3-Clause
#include "impair.h"

#include <errno.h>
#include <stdlib.h>

#define ETH_LEN 14

void impair_init(struct impair *im, const struct impair_config *cfg)
{
	*im = (struct impair){.cfg = *cfg};
	if (im->cfg.reorder_hold <= 0)
		im->cfg.reorder_hold = 2 * PEN_US_PER_MS;
	pen_rand_seed(&im->rand, cfg->seed);
}

static bool chance(struct impair *im, double percent)
{
	// 53 bits, so that small percentages stay exact.
	double x = (double)(pen_rand_u64(&im->rand) >> 11) / 9007199254740992.0;

	return x * 100.0 < percent;
}

// Every frame draws the same number of values whatever comes out, so that
// changing one percentage does not move the others.
void impair_decide(struct impair *im, uint32_t len, pen_time_us now, struct impair_plan *plan)
{
	bool lost = chance(im, im->cfg.loss), late = chance(im, im->cfg.reorder);
	bool doubled = chance(im, im->cfg.dup), corrupt = chance(im, im->cfg.corrupt);
	uint64_t hold = 1 + pen_rand_below(&im->rand, (uint64_t)im->cfg.reorder_hold);
	uint64_t bit = pen_rand_u64(&im->rand);

	*plan = (struct impair_plan){0};
	im->frames++;
	if (lost) {
		im->lost++;
		return;
	}
	plan->copies = 1;
	plan->at[0] = now + im->cfg.delay;
	if (late) {
		im->reordered++;
		plan->at[0] += (pen_time_us)hold;
	}
	if (doubled) {
		im->doubled++;
		plan->copies = 2;
		plan->at[1] = plan->at[0];
	}
	if (corrupt && len > ETH_LEN) {
		im->corrupted++;
		plan->corrupt = true;
		plan->corrupt_bit = ETH_LEN * 8 + (uint32_t)(bit % ((len - ETH_LEN) * 8u));
	}
}

int impair_queue_init(struct impair_queue *q, uint32_t cap)
{
	*q = (struct impair_queue){.cap = cap};
	q->heap = calloc(cap, sizeof(*q->heap));
	return q->heap != NULL ? 0 : -ENOMEM;
}

void impair_queue_fini(struct impair_queue *q)
{
	free(q->heap);
	*q = (struct impair_queue){0};
}

static bool sooner(const struct impair_item *a, const struct impair_item *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

static void swap(struct impair_item *a, struct impair_item *b)
{
	struct impair_item t = *a;

	*a = *b;
	*b = t;
}

bool impair_queue_put(struct impair_queue *q, pen_time_us at, void *frame, uint32_t len)
{
	if (q->n == q->cap)
		return false;
	uint32_t i = q->n++;
	q->heap[i] = (struct impair_item){at, q->order++, frame, len};
	while (i > 0 && sooner(&q->heap[i], &q->heap[(i - 1) / 2])) {
		swap(&q->heap[i], &q->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	return true;
}

void *impair_queue_get(struct impair_queue *q, pen_time_us now, uint32_t *len)
{
	if (q->n == 0 || q->heap[0].at > now)
		return NULL;
	void *frame = q->heap[0].frame;
	*len = q->heap[0].len;
	q->heap[0] = q->heap[--q->n];
	for (uint32_t i = 0;;) {
		uint32_t least = i, left = 2 * i + 1;
		for (uint32_t c = left; c <= left + 1 && c < q->n; c++) {
			if (sooner(&q->heap[c], &q->heap[least]))
				least = c;
		}
		if (least == i)
			return frame;
		swap(&q->heap[i], &q->heap[least]);
		i = least;
	}
}

pen_time_us impair_queue_next(const struct impair_queue *q)
{
	return q->n > 0 ? q->heap[0].at : PEN_TIME_NEVER;
}
