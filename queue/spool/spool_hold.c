// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"

#include "pen_log.h"

#include <errno.h>
#include <string.h>

PEN_LOG_TYPE("queue.spool");

// A change that the disk refuses is not given up: what it says has happened already, and a restart
// that does not know of it sends the mail again.

#define STOP_TRIES 10 // at the end changes are not tried for ever

static bool is_change(const struct request *r)
{
	return r->m == NULL && !r->sync;
}

bool spool_change_refused(const struct request *r, int err)
{
	return is_change(r) && err != 0 && err != -EAGAIN && err != -ENOENT && err != -EMSGSIZE &&
	       err != -EINVAL;
}

static bool has_change(struct pen_spool *s, uint64_t to)
{
	for (uint64_t at = s->done_to; at < to; at += spool_request_at(s, at)->size) {
		const struct request *r = spool_request_at(s, at);
		if (is_change(r) && r->err == 0)
			return true;
	}
	return false;
}

// Mail behind a change that has to wait is told no.
static void refuse_mail(struct pen_spool *s, uint64_t to, int err)
{
	uint64_t released = 0;
	bool told = false;

	for (uint64_t at = s->done_to; at < to; at += spool_request_at(s, at)->size) {
		struct request *r = spool_request_at(s, at);
		if (r->m == NULL)
			continue;
		// Of those that were answered before, none is to be taken back now.
		if (r->err == 0)
			r->err = err;
		released += r->bytes;
		r->bytes = 0;
		if (r->answered)
			continue;
		r->answered = true;
		if (r->done != NULL)
			r->done(r->ctx, r->m, r->err);
		r->done = NULL;
		told = true;
	}
	if (told && s->after_commit != NULL)
		s->after_commit(s->hook_ctx);
	pthread_mutex_lock(&s->lock);
	s->queued_bytes -= released;
	pthread_mutex_unlock(&s->lock);
}

// With those that came before no mail was taken any more.
static void refuse_all_mail(struct pen_spool *s, int err)
{
	pthread_mutex_lock(&s->lock);
	spool_queue_take(s);
	pthread_mutex_unlock(&s->lock);
	refuse_mail(s, spool_taken_end(s), err);
}

static void set_held(struct pen_spool *s, bool held)
{
	pthread_mutex_lock(&s->lock);
	s->held = held;
	pthread_mutex_unlock(&s->lock);
}

// The first changes in `taken` could not be stored: once more at once, then every now and then,
// and no mail is taken meanwhile. Updates of a message stay in their order, as all that follows
// is appended behind them again. False: it is the end, and they were tried often enough.
static bool hold(struct pen_spool *s, int err)
{
	pthread_mutex_lock(&s->lock);
	bool stop = s->stop;
	pthread_mutex_unlock(&s->lock);
	if (stop && s->tries >= STOP_TRIES)
		return false;
	s->hold_at = s->tries++ > 0 ? pen_clock_mono() + SPOOL_RETRY_US : 0;
	if (s->tries == 2) {
		pen_warning("changes of queued mail wait for the disk, and no mail is taken: %s",
			strerror(-err));
		set_held(s, true);
	}
	return true;
}

void spool_hold_over(struct pen_spool *s, uint64_t to)
{
	if (s->tries == 0 || !has_change(s, to))
		return;
	if (s->tries >= 2) {
		pen_notice("the changes of queued mail that waited are stored");
		set_held(s, false);
	}
	s->tries = 0;
	s->hold_at = 0;
}

void spool_hold_batch(struct pen_spool *s, uint64_t to, int err)
{
	bool again = has_change(s, to) && hold(s, err);

	if (again && s->tries >= 2)
		refuse_all_mail(s, err);
	else if (again)
		refuse_mail(s, to, err);
	pthread_mutex_lock(&s->core_lock);
	if (again)
		s->flight_from = s->flight_to = s->open_to = s->done_to;
	s->rewind = false;
	pthread_mutex_unlock(&s->core_lock);
	if (!again)
		spool_answer(s, to, err);
}

bool spool_hold_room(struct pen_spool *s, int err)
{
	s->blocked = true;
	if (s->flying || s->open_to > s->flight_to || s->open_to > s->done_to)
		return true;
	pthread_mutex_unlock(&s->core_lock);
	bool wait = hold(s, err);
	if (wait && s->hold_at == 0)
		s->hold_at = pen_clock_mono() + SPOOL_RETRY_US;
	if (wait && s->tries >= 2)
		refuse_all_mail(s, err);
	pthread_mutex_lock(&s->core_lock);
	s->blocked = wait;
	return wait;
}
