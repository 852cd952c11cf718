// SPDX-License-Identifier: BSD-3-Clause
#include "pen_spool.h"

#include "pen_buf.h"
#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

PEN_LOG_TYPE("queue.spool");

#define QUEUE_LIMIT_DEFAULT (64u << 20)
#define QUEUE_KEEP (16u << 20)
#define RETRY_US (PEN_US_PER_S / 5) // between attempts at housekeeping that failed

// In the queue: this, and for an update a copy of it behind.
struct request {
	struct pen_message *m; // NULL: an update, or nothing but the completion
	pen_spool_done_fn *done;
	void *ctx;
	uint32_t size;  // of all of it, a multiple of 8
	uint32_t bytes; // counted against the limit
	int err;        // refused when it was appended
	bool sync;      // pen_spool_sync
};

struct update_copy {
	struct pen_message_update u;
	bool has_error;
	// nchanges changes, then as much of the error as is used
};

struct pen_spool {
	struct pen_spool_core *core; // writer; read and stats: any thread
	uint64_t queue_limit;
	void (*before_commit)(void *ctx);
	void (*after_commit)(void *ctx);
	void *hook_ctx;

	pthread_mutex_t lock;
	pthread_cond_t wake;      // the writer
	pthread_cond_t prep_wake; // the preparer
	struct pen_buf queue;     // requests that wait
	uint64_t queued_bytes;    // of messages, waiting or being written
	uint64_t last_id;
	uint32_t prep_slot; // to prepare; 0 none
	uint32_t prep_done; // prepared, with prep_err; 0 none
	int prep_err;
	bool stop;          // no more requests
	bool full;          // writer: wo
	bool writer_sleeps; // writer: wo

	pthread_t writer, preparer;

	// The writer's own: the requests it has taken, and which are in the batch.
	struct pen_buf taken;
	size_t batch_from;
	bool preparing;
	bool more;            // housekeeping has more to do at once
	pen_time_us retry_at; // or after an error, then; 0: nothing waits
};

static size_t request_copy_size(const struct pen_message_update *u)
{
	size_t n = sizeof(struct update_copy) + u->nchanges * sizeof(struct pen_rcpt_change);

	if (u->last_error != NULL)
		n += offsetof(struct pen_dsn, text) + u->last_error->text_len + 1u;
	return (n + 7) & ~(size_t)7;
}

// With the lock held: appends a request with `more` bytes behind it.
static uint8_t *queue_add(struct pen_spool *s, const struct request *r, size_t more)
{
	size_t size = sizeof(*r) + more;

	if (pen_buf_reserve(&s->queue, size) != 0) {
		s->queue.failed = false; // a later request may be luckier
		return NULL;
	}
	uint8_t *p = s->queue.p + s->queue.n;
	memcpy(p, r, sizeof(*r));
	((struct request *)p)->size = (uint32_t)size;
	s->queue.n += size;
	return p + sizeof(*r);
}

static void queue_wake(struct pen_spool *s)
{
	if (s->writer_sleeps)
		pthread_cond_signal(&s->wake);
}

// With the lock held. Ids follow the time, and never go back with it.
static uint64_t take_id(struct pen_spool *s, uint64_t now)
{
	s->last_id = now > s->last_id ? now : s->last_id + 1;
	return s->last_id;
}

uint64_t pen_spool_next_id(struct pen_spool *s)
{
	uint64_t now = (uint64_t)pen_clock_wall();

	pthread_mutex_lock(&s->lock);
	uint64_t id = take_id(s, now);
	pthread_mutex_unlock(&s->lock);
	return id;
}

int pen_spool_put(struct pen_spool *s, struct pen_message *m, pen_spool_done_fn *done, void *ctx)
{
	uint64_t bytes = (uint64_t)m->content_len + sizeof(*m) +
			 (uint64_t)m->nrcpt * sizeof(struct pen_recipient);
	struct request r = {.m = m, .done = done, .ctx = ctx};
	uint64_t now = (uint64_t)pen_clock_wall();
	int err = 0;

	r.bytes = bytes < UINT32_MAX ? (uint32_t)bytes : UINT32_MAX;
	pthread_mutex_lock(&s->lock);
	// One message may always wait, however large.
	if (s->stop)
		err = -ESHUTDOWN;
	else if (s->full)
		err = -ENOSPC;
	else if (s->queued_bytes > 0 && s->queued_bytes + r.bytes > s->queue_limit)
		err = -EAGAIN;
	if (err == 0 && m->id == 0) {
		pen_message_set_id(m, take_id(s, now));
	}
	if (err == 0 && queue_add(s, &r, 0) == NULL)
		err = -ENOMEM;
	if (err == 0) {
		s->queued_bytes += r.bytes;
		queue_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int pen_spool_update(
	struct pen_spool *s, const struct pen_message_update *u, pen_spool_done_fn *done, void *ctx)
{
	struct request r = {.done = done, .ctx = ctx};
	size_t more = request_copy_size(u);
	int err = 0;

	pthread_mutex_lock(&s->lock);
	uint8_t *p = s->stop ? NULL : queue_add(s, &r, more);
	if (p == NULL) {
		err = s->stop ? -ESHUTDOWN : -ENOMEM;
	} else {
		struct update_copy *copy = (struct update_copy *)p;
		size_t changes = u->nchanges * sizeof(struct pen_rcpt_change);

		copy->u = *u;
		copy->has_error = u->last_error != NULL;
		p += sizeof(*copy);
		if (changes > 0)
			memcpy(p, u->change, changes);
		if (u->last_error != NULL)
			memcpy(p + changes, u->last_error,
				offsetof(struct pen_dsn, text) + u->last_error->text_len + 1u);
		queue_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int pen_spool_sync(struct pen_spool *s, pen_spool_done_fn *done, void *ctx)
{
	struct request r = {.done = done, .ctx = ctx, .sync = true};
	int err = 0;

	pthread_mutex_lock(&s->lock);
	if (s->stop)
		err = -ESHUTDOWN;
	else if (queue_add(s, &r, 0) == NULL)
		err = -ENOMEM;
	else
		queue_wake(s);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int pen_spool_read(struct pen_spool *s, struct pen_message *m)
{
	return pen_spool_core_read(s->core, m);
}

void pen_spool_stats(struct pen_spool *s, struct pen_spool_stats *out)
{
	pen_spool_core_stats(s->core, out);
	pthread_mutex_lock(&s->lock);
	out->full = s->full;
	pthread_mutex_unlock(&s->lock);
}

static struct request *request_at(struct pen_spool *s, size_t at)
{
	return (struct request *)(s->taken.p + at);
}

static int request_append(struct pen_spool *s, struct request *r)
{
	struct pen_dsn error;

	if (r->sync)
		return 0;
	if (r->m != NULL)
		return pen_spool_core_put(s->core, r->m);
	struct update_copy *copy = (struct update_copy *)(r + 1);
	uint8_t *p = (uint8_t *)(copy + 1);
	size_t changes = copy->u.nchanges * sizeof(struct pen_rcpt_change);
	copy->u.change = (struct pen_rcpt_change *)p;
	copy->u.last_error = NULL;
	if (copy->has_error) {
		// The copy is shorter than the struct: complete it.
		size_t used = r->size - sizeof(*r) - sizeof(*copy) - changes;
		memset(&error, 0, sizeof(error));
		memcpy(&error, p + changes, used < sizeof(error) ? used : sizeof(error));
		copy->u.last_error = &error;
	}
	return pen_spool_core_update(s->core, &copy->u);
}

// Commits the batch and completes the requests from batch_from up to `to`.
static void commit_until(struct pen_spool *s, size_t to)
{
	uint64_t released = 0;
	if (s->before_commit != NULL && to > s->batch_from)
		s->before_commit(s->hook_ctx);
	int err = pen_spool_core_commit(s->core);

	for (size_t at = s->batch_from; at < to;) {
		struct request *r = request_at(s, at);
		at += r->size;
		released += r->bytes;
		if (r->done != NULL)
			r->done(r->ctx, r->m, r->err != 0 ? r->err : err);
	}
	if (s->after_commit != NULL && to > s->batch_from)
		s->after_commit(s->hook_ctx);
	s->batch_from = to;
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= released;
	pthread_mutex_unlock(&s->lock);
}

static void serve_taken(struct pen_spool *s)
{
	s->batch_from = 0;
	for (size_t at = 0; at < s->taken.n;) {
		struct request *r = request_at(s, at);

		r->err = request_append(s, r);
		if (r->err == -EAGAIN) {
			commit_until(s, at);
			r->err = request_append(s, r);
		}
		at += r->size;
	}
	commit_until(s, s->taken.n);
	pen_buf_reset(&s->taken);
	// After a burst of large updates the memory goes back.
	if (s->taken.cap > QUEUE_KEEP)
		pen_buf_fini(&s->taken);
}

static void wait_for_work(struct pen_spool *s)
{
	while (s->queue.n == 0 && !s->stop && s->prep_done == 0 && !s->more) {
		s->writer_sleeps = true;
		if (s->retry_at == 0) {
			pthread_cond_wait(&s->wake, &s->lock);
		} else {
			struct timespec until = {.tv_sec = s->retry_at / PEN_US_PER_S,
				.tv_nsec = s->retry_at % PEN_US_PER_S * 1000};
			if (pthread_cond_timedwait(&s->wake, &s->lock, &until) == ETIMEDOUT)
				s->more = true;
		}
	}
	s->writer_sleeps = false;
}

// One bounded step of housekeeping; what the preparer made comes first.
static void housekeep(struct pen_spool *s, uint32_t prep_done, int prep_err)
{
	bool due = s->retry_at == 0 || pen_clock_mono() >= s->retry_at;
	int err = 0;

	if (prep_done != 0) {
		pen_spool_core_prepared(s->core, prep_done, prep_err);
		s->preparing = false;
		err = prep_err;
	}
	uint32_t slot = 0;
	if (due) {
		if (!s->preparing && err == 0)
			slot = pen_spool_core_wanted(s->core);
		int step = pen_spool_core_step(s->core);
		s->more = step > 0;
		err = step < 0 ? step : err;
	}
	bool full = pen_spool_core_full(s->core);
	if (err != 0 || full)
		s->retry_at = due || err != 0 ? pen_clock_mono() + RETRY_US : s->retry_at;
	else if (due)
		s->retry_at = 0;
	if (slot == 0 && full == s->full)
		return;
	pthread_mutex_lock(&s->lock);
	if (full != s->full)
		pen_notice(
			"the spool %s", full ? "is full: no new mail is taken" : "has room again");
	s->full = full;
	if (slot != 0) {
		s->preparing = true;
		s->prep_slot = slot;
		pthread_cond_signal(&s->prep_wake);
	}
	pthread_mutex_unlock(&s->lock);
}

static void *writer_main(void *arg)
{
	struct pen_spool *s = arg;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		wait_for_work(s);
		struct pen_buf empty = s->taken;
		s->taken = s->queue;
		s->queue = empty;
		bool stop = s->stop;
		uint32_t prep_done = s->prep_done;
		int prep_err = s->prep_err;
		s->prep_done = 0;
		pthread_mutex_unlock(&s->lock);
		if (s->taken.n > 0)
			serve_taken(s);
		else if (stop)
			return NULL;
		housekeep(s, prep_done, prep_err);
	}
}

// Zero-fills segments ahead of need, off the commit path: overwriting written
// blocks is several times faster than extending a file.
static void *preparer_main(void *arg)
{
	struct pen_spool *s = arg;

	pthread_mutex_lock(&s->lock);
	while (!s->stop) {
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
		queue_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static void spool_free(struct pen_spool *s)
{
	pen_buf_fini(&s->queue);
	pen_buf_fini(&s->taken);
	pthread_cond_destroy(&s->wake);
	pthread_cond_destroy(&s->prep_wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void stop_threads(struct pen_spool *s, bool writer)
{
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_cond_signal(&s->prep_wake);
	pthread_mutex_unlock(&s->lock);
	pthread_join(s->preparer, NULL);
	if (writer)
		pthread_join(s->writer, NULL);
}

static int start_threads(struct pen_spool *s, char *error, size_t error_cap)
{
	int err = -pthread_create(&s->preparer, NULL, preparer_main, s);

	if (err == 0) {
		err = -pthread_create(&s->writer, NULL, writer_main, s);
		if (err != 0)
			stop_threads(s, false);
	}
	if (err != 0)
		snprintf(error, error_cap, "cannot start the spool's threads: %s", strerror(-err));
	return err;
}

int pen_spool_open(
	const struct pen_spool_config *cfg, struct pen_spool **out, char *error, size_t error_cap)
{
	struct pen_spool *s = calloc(1, sizeof(*s));
	struct pen_spool_config own = *cfg;
	pthread_condattr_t mono;

	if (s == NULL) {
		snprintf(error, error_cap, "out of memory");
		return -ENOMEM;
	}
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&s->wake, &mono);
	pthread_cond_init(&s->prep_wake, NULL);
	pthread_condattr_destroy(&mono);
	s->queue_limit = cfg->queue_limit_bytes != 0 ? cfg->queue_limit_bytes : QUEUE_LIMIT_DEFAULT;
	own.prepare_elsewhere = true;
	s->before_commit = cfg->before_commit;
	s->after_commit = cfg->after_commit;
	s->hook_ctx = cfg->ctx;
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
	stop_threads(s, true);
	pen_spool_core_close(s->core, true);
	spool_free(s);
}
