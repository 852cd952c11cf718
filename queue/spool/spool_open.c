// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_LIMIT_DEFAULT (64u << 20)
#define WAIT_LIMIT_DEFAULT (30 * PEN_US_PER_S)

static void spool_free(struct pen_spool *s)
{
	pen_buf_fini(&s->queue);
	pen_buf_fini(&s->taken);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->prep_wake);
	pthread_cond_destroy(&s->fly_wake);
	pthread_mutex_destroy(&s->lock);
	pthread_mutex_destroy(&s->core_lock);
	free(s);
}

// The writer first: it needs the flusher for what waits.
static void stop_threads(struct pen_spool *s, int started)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (started > 2)
		pthread_join(s->writer, NULL);
	pthread_mutex_lock(&s->lock);
	s->ended = true;
	pthread_cond_signal(&s->prep_wake);
	pthread_cond_signal(&s->fly_wake);
	pthread_mutex_unlock(&s->lock);
	if (started > 1)
		pthread_join(s->flusher, NULL);
	if (started > 0)
		pthread_join(s->preparer, NULL);
}

static int start_threads(struct pen_spool *s, char *error, size_t error_cap)
{
	int started = 0;
	int err = -pthread_create(&s->preparer, NULL, spool_preparer_main, s);

	if (err == 0) {
		started++;
		err = -pthread_create(&s->flusher, NULL, spool_flusher_main, s);
	}
	if (err == 0) {
		started++;
		err = -pthread_create(&s->writer, NULL, spool_writer_main, s);
	}
	if (err != 0) {
		stop_threads(s, started);
		snprintf(error, error_cap, "cannot start the spool's threads: %s", strerror(-err));
	}
	return err;
}

int pen_spool_open(
	const struct pen_spool_config *cfg, struct pen_spool **out, char *error, size_t error_cap)
{
	struct pen_spool *s = calloc(1, sizeof(*s));
	struct pen_spool_config own = *cfg;
	pthread_mutexattr_t spins;
	pthread_condattr_t mono;

	if (s == NULL) {
		snprintf(error, error_cap, "out of memory");
		return -ENOMEM;
	}
	// Held for fractions of a microsecond, by callers on every core: who sleeps at once for
	// that wakes too late, and the flusher is between two writes then.
	pthread_mutexattr_init(&spins);
	pthread_mutexattr_settype(&spins, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&s->lock, &spins);
	pthread_mutexattr_destroy(&spins);
	pthread_mutex_init(&s->core_lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &mono);
	pthread_cond_init(&s->prep_wake, NULL);
	pthread_cond_init(&s->fly_wake, NULL);
	pthread_condattr_destroy(&mono);
	s->queue_limit = cfg->queue_limit_bytes != 0 ? cfg->queue_limit_bytes : QUEUE_LIMIT_DEFAULT;
	s->before_commit = cfg->before_commit;
	s->after_commit = cfg->after_commit;
	s->hook_ctx = cfg->ctx;
	s->wait_limit = cfg->wait_limit_us != 0 ? cfg->wait_limit_us : WAIT_LIMIT_DEFAULT;
	own.prepare_elsewhere = true;
	own.prepare_pace = spool_prepare_pace;
	own.prepare_ctx = s;
	int err = pen_spool_core_open(&own, &s->core, error, error_cap);
	if (err != 0) {
		spool_free(s);
		return err;
	}
	s->last_id = pen_spool_core_next_id(s->core, pen_clock_wall());
	s->more = true;
	err = start_threads(s, error, error_cap);
	if (err != 0) {
		pen_spool_core_close(s->core, false);
		spool_free(s);
		return err;
	}
	*out = s;
	return 0;
}

void pen_spool_close(struct pen_spool *s)
{
	if (s == NULL)
		return;
	stop_threads(s, 3);
	pen_spool_core_close(s->core, true);
	spool_free(s);
}
