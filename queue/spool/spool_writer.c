// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"


#include <errno.h>
#include <string.h>
#include <time.h>

// Three threads: the writer fills a batch while the flusher has the one before
// written and synced, and the preparer makes segments ahead of need. The writer
// never waits for more requests to come: when the disk is free, what is there
// goes, so that the batches are as large as the disk is slow.

#define TAKEN_KEEP (1u << 20)
#define RETRY_US (PEN_US_PER_S / 5) // between attempts at housekeeping that failed
#define SLOW_US PEN_US_PER_S        // a commit that takes longer is told

static struct request *request_at(struct pen_spool *s, size_t at)
{
	return (struct request *)(s->taken.p + at);
}

// Answers the requests before `to`. What a put that had waited too long left on
// the disk is taken back.
static void complete(struct pen_spool *s, size_t to, int err)
{
	uint64_t released = 0;

	for (size_t at = s->done_to; at < to;) {
		struct request *r = request_at(s, at);
		at += r->size;
		released += r->bytes;
		if (r->answered && r->err == 0 && err == 0)
			pen_spool_core_take_back(s->core, r->id);
		if (r->done != NULL && !r->answered)
			r->done(r->ctx, r->m, r->err != 0 ? r->err : err);
		spool_request_fini(r);
	}
	s->done_to = to;
	if (s->done_to == s->taken.n) {
		pen_buf_reset(&s->taken);
		s->done_to = s->flight_to = s->open_to = 0;
	} else if (s->done_to > TAKEN_KEEP && s->done_to > s->taken.n / 2) {
		pen_buf_consume(&s->taken, s->done_to);
		s->flight_to -= s->done_to < s->flight_to ? s->done_to : s->flight_to;
		s->open_to -= s->done_to;
		s->done_to = 0;
	}
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= released;
	pthread_mutex_unlock(&s->lock);
}

// Has the open batch written. Requests that need no disk are answered at once.
static void launch(struct pen_spool *s)
{
	int n = pen_spool_core_begin(s->core);

	if (n != 1) {
		complete(s, s->open_to, n);
		return;
	}
	s->flight_to = s->open_to;
	s->fly_since = pen_clock_mono();
	s->slow_at = s->fly_since + SLOW_US;
	pthread_mutex_lock(&s->lock);
	s->flying = s->fly = true;
	s->flown = false;
	pthread_cond_signal(&s->fly_wake);
	pthread_mutex_unlock(&s->lock);
}

static bool flight_over(struct pen_spool *s)
{
	return s->flying && __atomic_load_n(&s->flown, __ATOMIC_ACQUIRE);
}

static void land(struct pen_spool *s)
{
	bool dropped;
	int err = pen_spool_core_end(s->core, s->fly_err, &dropped);

	pthread_mutex_lock(&s->lock);
	s->flying = s->flown = s->stuck = false;
	pthread_mutex_unlock(&s->lock);
	s->blocked = false;
	if (dropped)
		s->open_to = s->flight_to;
	complete(s, s->flight_to, err);
}

static void append_waiting(struct pen_spool *s)
{
	while (s->open_to < s->taken.n && !s->blocked) {
		struct request *r = request_at(s, s->open_to);
		if (!r->answered) {
			int err = spool_request_append(s, r);
			if (err == -EAGAIN && s->flying) {
				s->blocked = true;
				return;
			}
			if (err == -EAGAIN && pen_spool_core_dirty(s->core)) {
				launch(s);
				continue;
			}
			r->err = err;
		}
		s->open_to += r->size;
		if (flight_over(s))
			return;
	}
}

// The disk has not answered for wait_limit: puts are told so, and taken back if
// they become durable after all. Changes wait on; nobody waits for them.
static void give_up_waiting(struct pen_spool *s)
{
	uint64_t released = 0;

	pthread_mutex_lock(&s->lock);
	s->stuck = true;
	spool_queue_take(s);
	pthread_mutex_unlock(&s->lock);
	// The open batch is filled again without them.
	pen_spool_core_drop(s->core);
	s->open_to = s->flight_to;
	for (size_t at = s->done_to; at < s->taken.n;) {
		struct request *r = request_at(s, at);
		if (r->m != NULL && !r->answered && r->err == 0) {
			r->answered = true;
			if (at >= s->flight_to)
				r->err = -ETIMEDOUT;
			released += r->bytes;
			r->bytes = 0;
			if (r->done != NULL)
				r->done(r->ctx, r->m, -ETIMEDOUT);
		}
		at += r->size;
	}
	s->blocked = true;
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= released;
	pthread_mutex_unlock(&s->lock);
}

static void check_slowness(struct pen_spool *s)
{
	pen_time_us now = pen_clock_mono(), since = now - s->fly_since;

	if (now >= s->slow_at) {
		struct pen_spool_problem p = {
			.kind = PEN_SPOOL_SLOW, .file = "", .length = (uint64_t)since};
		pen_spool_core_report(s->core, &p);
		s->slow_at = now + since;
	}
	if (since >= s->wait_limit && !s->stuck)
		give_up_waiting(s);
}

// When to look again although nobody has signalled; 0: never.
static pen_time_us next_look(const struct pen_spool *s)
{
	pen_time_us at = s->retry_at;

	if (s->flying) {
		at = s->slow_at;
		if (!s->stuck && s->fly_since + s->wait_limit < at)
			at = s->fly_since + s->wait_limit;
	}
	return at;
}

static bool has_work(const struct pen_spool *s)
{
	if (s->prep_done != 0)
		return true;
	if (s->flying)
		return s->flown || (s->fresh_bytes > 0 && !s->blocked);
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
	s->more |= late && !s->flying;
	s->writer_sleeps = false;
}

static bool step_due(const struct pen_spool *s)
{
	return s->retry_at == 0 || pen_clock_mono() >= s->retry_at;
}

// What the preparer made, and what it is to make next.
static void prepare(struct pen_spool *s, uint32_t prep_done, int prep_err)
{
	if (prep_done != 0) {
		pen_spool_core_prepared(s->core, prep_done, prep_err);
		s->preparing = false;
		if (prep_err != 0)
			s->retry_at = pen_clock_mono() + RETRY_US;
	}
	uint32_t slot = 0;
	if (!s->preparing && step_due(s))
		slot = pen_spool_core_wanted(s->core);
	if (slot == 0)
		return;
	s->preparing = true;
	pthread_mutex_lock(&s->lock);
	s->prep_slot = slot;
	pthread_cond_signal(&s->prep_wake);
	pthread_mutex_unlock(&s->lock);
}

// One bounded step, with no batch open.
static void housekeep(struct pen_spool *s)
{
	bool due = step_due(s);
	int err = 0;

	s->draining = false;
	if (due) {
		err = pen_spool_core_step(s->core);
		s->more = err > 0;
	}
	bool full = pen_spool_core_full(s->core);
	if (err < 0 || full)
		s->retry_at = due ? pen_clock_mono() + RETRY_US : s->retry_at;
	else if (due)
		s->retry_at = 0;
	if (full == s->full)
		return;
	pthread_mutex_lock(&s->lock);
	s->full = full;
	pthread_mutex_unlock(&s->lock);
}

// Whatever can be done now; the disk goes first.
static void turn(struct pen_spool *s)
{
	if (flight_over(s))
		land(s);
	else if (s->flying)
		check_slowness(s);
	if (!s->flying && !s->draining && step_due(s) && pen_spool_core_wants_step(s->core))
		s->draining = true;
	if (!s->flying && s->open_to > s->done_to)
		launch(s);
	if (s->draining && s->flying) {
		s->blocked = true;
	} else {
		if (s->draining)
			housekeep(s);
		append_waiting(s);
	}
	if (!s->flying && s->open_to > s->done_to)
		launch(s);
	if (!s->flying)
		housekeep(s);
}

void *spool_writer_main(void *arg)
{
	struct pen_spool *s = arg;

	for (;;) {
		pthread_mutex_lock(&s->lock);
		if (s->open_to == s->taken.n || s->blocked)
			wait_for_work(s);
		if (!s->blocked)
			spool_queue_take(s);
		bool stop = s->stop && s->queue.n == 0;
		uint32_t prep_done = s->prep_done;
		int prep_err = s->prep_err;
		s->prep_done = 0;
		pthread_mutex_unlock(&s->lock);
		if (stop && !s->flying && s->taken.n == 0)
			return NULL;
		prepare(s, prep_done, prep_err);
		turn(s);
	}
}

void *spool_flusher_main(void *arg)
{
	struct pen_spool *s = arg;

	pthread_mutex_lock(&s->lock);
	for (;;) {
		if (s->fly) {
			s->fly = false;
			pthread_mutex_unlock(&s->lock);
			int err = pen_spool_core_write(s->core);
			pthread_mutex_lock(&s->lock);
			s->fly_err = err;
			__atomic_store_n(&s->flown, true, __ATOMIC_RELEASE);
			if (s->writer_sleeps)
				pthread_cond_signal(&s->wake);
		} else if (s->ended) {
			break;
		} else {
			pthread_cond_wait(&s->fly_wake, &s->lock);
		}
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

// Zero-fills segments ahead of need, off the commit path: overwriting written
// blocks is several times faster than extending a file.
void *spool_preparer_main(void *arg)
{
	struct pen_spool *s = arg;

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
