// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"

#include <errno.h>
#include <string.h>
#include <time.h>

// Three threads: the writer fills a batch while the flusher has the one before
// written and synced, and the preparer makes segments ahead of need. When the
// disk is free, what is there goes, so that the batches are as large as the disk
// is slow. Only where requests come in crowds, a batch waits for a crowd too
// (gather): on a fast disk a flush for every few of them would cost more
// processor time than the mail.

#define TAKEN_KEEP (1u << 20)
#define SLOW_US PEN_US_PER_S // a commit that takes longer is told

void spool_answer(struct pen_spool *s, uint64_t to, int err)
{
	uint64_t released = 0;

	while (s->done_to < to) {
		struct request *r = spool_request_at(s, s->done_to);
		s->done_to += r->size;
		released += r->bytes;
		if (r->answered && r->err == 0 && err == 0) {
			pthread_mutex_lock(&s->core_lock);
			pen_spool_core_take_back(s->core, r->id);
			pthread_mutex_unlock(&s->core_lock);
		}
		int result = r->err != 0 ? r->err : err;
		s->lost |= spool_change_refused(r, result);
		if (r->sync)
			result = s->lost ? -EIO : 0;
		if (r->done != NULL && !r->answered)
			r->done(r->ctx, r->m, result);
		spool_request_fini(r);
	}
	size_t done = (size_t)(s->done_to - s->base);
	if (done == s->taken.n) {
		s->base = s->done_to;
		pen_buf_reset(&s->taken);
	} else if (done > TAKEN_KEEP && done > s->taken.n / 2) {
		s->base = s->done_to;
		pen_buf_consume(&s->taken, done);
	}
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= released;
	pthread_mutex_unlock(&s->lock);
}

// What the flusher has done since the last look.
static void complete_landed(struct pen_spool *s)
{
	struct landing landed[SPOOL_LANDINGS];

	pthread_mutex_lock(&s->lock);
	uint32_t n = s->nlanded;
	memcpy(landed, s->landed, n * sizeof(landed[0]));
	s->nlanded = 0;
	s->seen = s->events;
	if (n > 0)
		s->stuck = false;
	pthread_mutex_unlock(&s->lock);
	s->blocked = false;
	if (n > 0) {
		pthread_mutex_lock(&s->core_lock);
		pen_spool_core_apply(s->core);
		pthread_mutex_unlock(&s->core_lock);
	}
	for (uint32_t i = 0; i < n; i++) {
		if (landed[i].err != 0) {
			spool_hold_batch(s, landed[i].to, landed[i].err);
			continue;
		}
		spool_hold_over(s, landed[i].to);
		spool_answer(s, landed[i].to, 0);
	}
	if (n > 0 && s->after_commit != NULL)
		s->after_commit(s->hook_ctx);
}

// Has the open batch written, unless one is under way.
static void launch(struct pen_spool *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->busy) {
		s->busy = true;
		s->fly_since = pen_clock_mono();
		s->crowd = s->gathered;
		s->gathered = 0;
		pthread_cond_signal(&s->fly_wake);
	}
	pthread_mutex_unlock(&s->lock);
}

// The disk is free: its batch goes before more is appended.
static void let_flusher(struct pen_spool *s)
{
	pthread_mutex_unlock(&s->core_lock);
	for (int i = 0; i < SPOOL_SPINS; i++) {
		if (!__atomic_load_n(&s->flusher_waits, __ATOMIC_RELAXED))
			break;
		SPOOL_PAUSE();
	}
	pthread_mutex_lock(&s->core_lock);
}

static void append_waiting(struct pen_spool *s)
{
	uint64_t end = spool_taken_end(s);

	if (s->hold_at != 0 && pen_clock_mono() < s->hold_at) {
		s->blocked = true;
		return;
	}
	pthread_mutex_lock(&s->core_lock);
	while (s->open_to < end && !s->rewind) {
		struct request *r = spool_request_at(s, s->open_to);
		spool_request_prefetch(r, end - s->open_to);
		if (!r->answered) {
			int err = spool_request_append(s, r);
			if (err == -EAGAIN) {
				s->blocked = true;
				break;
			}
			if (spool_change_refused(r, err) && spool_hold_room(s, err))
				break;
			r->err = err;
		}
		s->open_to += r->size;
		if (__atomic_load_n(&s->flusher_waits, __ATOMIC_RELAXED))
			let_flusher(s);
	}
	bool open = s->open_to > s->flight_to && !s->rewind;
	pthread_mutex_unlock(&s->core_lock);
	if (open)
		launch(s);
}

// The disk has not answered for wait_limit: puts are told so, and taken back if
// they become durable after all. Changes wait on; nobody waits for them.
static void give_up_waiting(struct pen_spool *s)
{
	uint64_t released = 0;

	pthread_mutex_lock(&s->core_lock);
	pthread_mutex_lock(&s->lock);
	bool over = s->nlanded > 0 || !s->flying;
	if (!over) {
		s->stuck = true;
		spool_queue_take(s);
	}
	pthread_mutex_unlock(&s->lock);
	if (over) {
		pthread_mutex_unlock(&s->core_lock);
		return;
	}
	// The open batch is filled again without them.
	pen_spool_core_drop(s->core);
	s->open_to = s->flight_to;
	s->blocked = true;
	uint64_t flight_to = s->flight_to;
	// Answered ones are looked at again under the lock only.
	for (uint64_t at = s->done_to; at < spool_taken_end(s);
		at += spool_request_at(s, at)->size) {
		struct request *r = spool_request_at(s, at);
		if (r->m == NULL || r->answered || (at < flight_to && r->err != 0))
			continue;
		r->answered = true;
		r->err = at < flight_to ? 0 : -ETIMEDOUT;
		released += r->bytes;
		r->bytes = 0;
	}
	pthread_mutex_unlock(&s->core_lock);
	for (uint64_t at = s->done_to; at < spool_taken_end(s);
		at += spool_request_at(s, at)->size) {
		struct request *r = spool_request_at(s, at);
		if (r->answered && r->done != NULL)
			r->done(r->ctx, r->m, -ETIMEDOUT);
		r->done = r->answered ? NULL : r->done;
	}
	if (s->after_commit != NULL)
		s->after_commit(s->hook_ctx);
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= released;
	pthread_mutex_unlock(&s->lock);
}

static void check_slowness(struct pen_spool *s)
{
	pen_time_us now = pen_clock_mono();

	pthread_mutex_lock(&s->lock);
	pen_time_us from = s->fly_since;
	bool busy = s->busy;
	pthread_mutex_unlock(&s->lock);
	if (!busy)
		return;
	if (s->slow_since != from) {
		s->slow_since = from;
		s->slow_at = from + SLOW_US;
	}
	if (now >= s->slow_at) {
		struct pen_spool_problem p = {
			.kind = PEN_SPOOL_SLOW, .file = "", .length = (uint64_t)(now - from)};
		pthread_mutex_lock(&s->core_lock);
		pen_spool_core_report(s->core, &p);
		pthread_mutex_unlock(&s->core_lock);
		s->slow_at = now + (now - from);
	}
	if (now - from >= s->wait_limit && !s->stuck)
		give_up_waiting(s);
}

// When to look again although nobody has signalled; 0: never.
static pen_time_us next_look(const struct pen_spool *s)
{
	if (!s->busy)
		return s->hold_at != 0 && (s->retry_at == 0 || s->hold_at < s->retry_at)
			       ? s->hold_at
			       : s->retry_at;
	pen_time_us at = s->slow_since == s->fly_since ? s->slow_at : s->fly_since + SLOW_US;
	if (!s->stuck && s->fly_since + s->wait_limit < at)
		at = s->fly_since + s->wait_limit;
	return at;
}

static bool has_work(const struct pen_spool *s)
{
	if (s->prep_done != 0 || s->events != s->seen)
		return true;
	if (s->blocked)
		return false;
	if (s->busy)
		return s->fresh_bytes > 0;
	return s->queue.n > 0 || s->stop || s->more;
}

static void wait_for_work(struct pen_spool *s)
{
	bool late = false;

	while (!has_work(s) && !late) {
		pen_time_us at = next_look(s);
		s->writer_sleeps = true;
		if (at == 0) {
			pthread_cond_wait(&s->wake, &s->lock);
		} else {
			struct timespec until = {
				.tv_sec = at / PEN_US_PER_S, .tv_nsec = at % PEN_US_PER_S * 1000};
			late = pthread_cond_timedwait(&s->wake, &s->lock, &until) == ETIMEDOUT;
		}
	}
	s->more |= late && !s->busy;
	s->writer_sleeps = false;
}

// With the lock held: until when what waits is to wait for more; 0: not at all.
static pen_time_us company_until(const struct pen_spool *s, uint32_t had)
{
	struct spool_crowd c = {.last = s->crowd,
		.fresh = s->fresh,
		.fresh_bytes = s->fresh_bytes,
		.flushed = s->fly_since};

	return s->busy || s->stop ? 0 : spool_crowd_wait(&c, had, pen_clock_mono());
}

// Takes the queue, with what comes soon. Who was answered just now comes back
// with the next request, if it has one.
static void gather(struct pen_spool *s)
{
	uint32_t had = 0;

	if (s->blocked)
		return;
	for (pen_time_us at; (at = company_until(s, had)) != 0;) {
		if (s->prep_done != 0 || s->events != s->seen)
			return; // that first
		had = s->fresh;
		struct timespec until = {
			.tv_sec = at / PEN_US_PER_S, .tv_nsec = at % PEN_US_PER_S * 1000};
		s->gathers = s->writer_sleeps = true;
		pthread_cond_timedwait(&s->wake, &s->lock, &until);
		s->gathers = s->writer_sleeps = false;
	}
	spool_queue_take(s);
}

static bool step_due(const struct pen_spool *s)
{
	return !s->failed || pen_clock_mono() >= s->retry_at;
}

// With core_lock held: what the preparer made, and what it is to make next.
static void prepare(struct pen_spool *s, uint32_t prep_done, int prep_err)
{
	if (prep_done != 0) {
		pen_spool_core_prepared(s->core, prep_done, prep_err);
		s->preparing = false;
		if (prep_err != 0) {
			s->failed = true;
			s->retry_at = pen_clock_mono() + SPOOL_RETRY_US;
		}
	}
	if (s->preparing && pen_spool_core_short(s->core)) {
		pthread_mutex_lock(&s->lock);
		s->prep_hurry = true;
		pthread_mutex_unlock(&s->lock);
	}
	uint32_t slot = 0;
	if (!s->preparing && step_due(s))
		slot = pen_spool_core_wanted(s->core);
	if (slot == 0)
		return;
	s->preparing = true;
	pthread_mutex_lock(&s->lock);
	s->prep_slot = slot;
	s->prep_hurry = pen_spool_core_short(s->core);
	pthread_cond_signal(&s->prep_wake);
	pthread_mutex_unlock(&s->lock);
}

// With core_lock held, and no batch open: one bounded step.
static void housekeep(struct pen_spool *s)
{
	int err = 0;

	if (!step_due(s))
		return;
	err = pen_spool_core_step(s->core);
	s->more = err > 0;
	bool full = pen_spool_core_full(s->core);
	// Full, it looks for room every now and then; only an error makes it pause.
	s->failed = err < 0;
	s->retry_at = err < 0 || (full && err == 0) ? pen_clock_mono() + SPOOL_RETRY_US : 0;
	if (full == s->full)
		return;
	pthread_mutex_lock(&s->lock);
	s->full = full;
	pthread_mutex_unlock(&s->lock);
}

// Housekeeping needs the log for itself: the batches in it end first. False:
// requests have to wait for that.
static bool keep_house(struct pen_spool *s, uint32_t prep_done, int prep_err)
{
	pthread_mutex_lock(&s->core_lock);
	prepare(s, prep_done, prep_err);
	if (s->more || (step_due(s) && pen_spool_core_wants_step(s->core)) ||
		pen_spool_core_full(s->core) != s->full ||
		(s->retry_at != 0 && pen_clock_mono() >= s->retry_at))
		s->draining = step_due(s);
	bool quiet = !s->flying && s->open_to == s->flight_to;
	if (s->draining && quiet) {
		housekeep(s);
		s->draining = false;
	}
	bool wait = s->draining;
	bool open = s->open_to > s->flight_to;
	pthread_mutex_unlock(&s->core_lock);
	if (wait && open)
		launch(s);
	return !wait;
}

void *spool_writer_main(void *arg)
{
	struct pen_spool *s = arg;

	pthread_setname_np(pthread_self(), "spool-write");
	for (;;) {
		pthread_mutex_lock(&s->lock);
		wait_for_work(s);
		gather(s);
		bool stop = s->stop && s->queue.n == 0 && !s->busy && s->nlanded == 0;
		uint32_t prep_done = s->prep_done;
		int prep_err = s->prep_err;
		s->prep_done = 0;
		pthread_mutex_unlock(&s->lock);
		if (stop && s->taken.n == 0)
			return NULL;
		complete_landed(s);
		check_slowness(s);
		if (keep_house(s, prep_done, prep_err) && !s->stuck)
			append_waiting(s);
		else
			s->blocked = true;
	}
}
