// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"

#include <time.h>

// Zero-fills segments ahead of need, off the commit path: overwriting written
// blocks is several times faster than extending a file.

#define PACE_US 3000

// Between the megabytes of a segment that nobody waits for, commits go first.
void spool_prepare_pace(void *spool)
{
	struct pen_spool *s = spool;

	pthread_mutex_lock(&s->lock);
	bool wait = s->busy && !s->prep_hurry && !s->stop;
	pthread_mutex_unlock(&s->lock);
	if (wait) {
		struct timespec t = {.tv_nsec = PACE_US * 1000};
		nanosleep(&t, NULL);
	}
}

void *spool_preparer_main(void *arg)
{
	struct pen_spool *s = arg;

	pthread_setname_np(pthread_self(), "spool-prepare");
	pthread_mutex_lock(&s->lock);
	while (!s->ended) {
		if (s->prep_slot == 0) {
			pthread_cond_wait(&s->prep_wake, &s->lock);
			continue;
		}
		uint32_t slot = s->prep_slot;
		pthread_mutex_unlock(&s->lock);
		int err = pen_spool_core_prepare(s->core, slot);
		pthread_mutex_lock(&s->lock);
		s->prep_slot = 0;
		s->prep_done = slot;
		s->prep_err = err;
		if (s->writer_sleeps)
			pthread_cond_signal(&s->wake);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
