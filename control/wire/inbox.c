// SPDX-License-Identifier: BSD-3-Clause
#include "pen_inbox.h"

#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void pen_inbox_init(struct pen_inbox *b)
{
	*b = (struct pen_inbox){0};
}

void pen_inbox_post(struct pen_inbox *b, struct pen_call *call)
{
	struct pen_call *head = __atomic_load_n(&b->newest, __ATOMIC_RELAXED);

	do {
		call->next = head;
	} while (!__atomic_compare_exchange_n(
		&b->newest, &head, call, true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED));
	// The owner sets `sleeping` before it looks at `newest` a last time, so
	// either it sees the call or we see that it sleeps.
	if (__atomic_load_n(&b->sleeping, __ATOMIC_SEQ_CST) != 0 &&
		__atomic_exchange_n(&b->sleeping, 0, __ATOMIC_SEQ_CST) != 0)
		syscall(SYS_futex, &b->sleeping, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

uint32_t pen_inbox_run(struct pen_inbox *b)
{
	struct pen_call *list = __atomic_exchange_n(&b->newest, NULL, __ATOMIC_ACQUIRE);
	struct pen_call *ordered = NULL;
	uint32_t n = 0;

	while (list != NULL) { // newest first: turn it round
		struct pen_call *next = list->next;
		list->next = ordered;
		ordered = list;
		list = next;
	}
	while (ordered != NULL) {
		struct pen_call *call = ordered;
		ordered = call->next;
		call->fn(call);
		n++;
	}
	return n;
}

void pen_inbox_wait(struct pen_inbox *b, pen_time_us us)
{
	struct timespec ts = {.tv_sec = us / PEN_US_PER_S, .tv_nsec = us % PEN_US_PER_S * 1000};

	if (us <= 0)
		return;
	__atomic_store_n(&b->sleeping, 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&b->newest, __ATOMIC_SEQ_CST) == NULL)
		syscall(SYS_futex, &b->sleeping, FUTEX_WAIT_PRIVATE, 1, &ts, NULL, 0);
	__atomic_store_n(&b->sleeping, 0, __ATOMIC_SEQ_CST);
}
