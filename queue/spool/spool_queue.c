// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"

#include <errno.h>
#include <stdlib.h>

// What callers ask for, on its way to the writer: one buffer, in order.

#define QUEUE_KEEP (16u << 20)
#define CACHE_LINE 64u
#define PREFETCH 4096u // of a message's content; what follows, the processor guesses

struct update_copy {
	struct pen_message_update u;
	bool has_error;
	// nchanges changes, then as much of the error as is used
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
	s->fresh++;
	return p + sizeof(*r);
}

// While a batch is being written, few requests wait for its end together: that
// costs one switch of threads, not one for each. So does a crowd that gathers.
void spool_writer_wake(struct pen_spool *s)
{
	bool enough = s->gathers ? spool_crowd_enough(s->fresh, s->fresh_bytes)
				 : !s->busy || s->fresh_bytes >= SPOOL_EAGER_BYTES;

	if (s->writer_sleeps && (enough || s->stop))
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
	else if (s->stuck || s->held ||
		 (s->queued_bytes > 0 && s->queued_bytes + r.bytes > s->queue_limit))
		err = -EAGAIN;
	if (err == 0 && m->id == 0) {
		m->id = take_id(s, now);
	}
	r.id = m->id;
	if (err == 0 && queue_add(s, &r, 0) == NULL)
		err = -ENOMEM;
	if (err == 0) {
		s->queued_bytes += r.bytes;
		s->fresh_bytes += r.bytes;
		spool_writer_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

int pen_spool_update(
	struct pen_spool *s, const struct pen_message_update *u, pen_spool_done_fn *done, void *ctx)
{
	struct request r = {.done = done, .ctx = ctx};
	size_t more = request_copy_size(u);
	struct pen_message_extra *extra = NULL;
	int err = 0;

	if (u->extra != NULL) {
		extra = malloc(sizeof(*extra));
		if (extra == NULL)
			return -ENOMEM;
		*extra = *u->extra;
	}
	pthread_mutex_lock(&s->lock);
	uint8_t *p = s->stop ? NULL : queue_add(s, &r, more);
	if (p == NULL) {
		err = s->stop ? -ESHUTDOWN : -ENOMEM;
	} else {
		struct update_copy *copy = (struct update_copy *)p;
		size_t changes = u->nchanges * sizeof(struct pen_rcpt_change);

		copy->u = *u;
		copy->has_error = u->last_error != NULL;
		if (u->klass != NULL)
			pen_mail_class_ref(u->klass);
		copy->u.extra = extra;
		extra = NULL;
		s->fresh_bytes += more;
		p += sizeof(*copy);
		if (changes > 0)
			memcpy(p, u->change, changes);
		if (u->last_error != NULL)
			memcpy(p + changes, u->last_error,
				offsetof(struct pen_dsn, text) + u->last_error->text_len + 1u);
		spool_writer_wake(s);
	}
	pthread_mutex_unlock(&s->lock);
	free(extra);
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
		spool_writer_wake(s);
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

static const struct request *behind(const struct request *r, uint64_t *left)
{
	*left -= r->size;
	return *left > 0 ? (const struct request *)((const uint8_t *)r + r->size) : NULL;
}

static void prefetch(const void *p, size_t n)
{
	for (size_t at = 0; at < n; at += CACHE_LINE)
		__builtin_prefetch((const uint8_t *)p + at);
}

// Mail was written by another core: the content of the next, and where the one after has its own.
void spool_request_prefetch(const struct request *r, uint64_t left)
{
	const struct request *next = behind(r, &left);

	if (next == NULL)
		return;
	// Who was answered has his message back.
	if (next->m != NULL && !next->answered)
		prefetch(next->m->content,
			next->m->content_len < PREFETCH ? next->m->content_len : PREFETCH);
	next = behind(next, &left);
	if (next != NULL && next->m != NULL && !next->answered)
		prefetch(next->m, sizeof(*next->m));
}

int spool_request_append(struct pen_spool *s, struct request *r)
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

void spool_request_fini(struct request *r)
{
	if (r->m != NULL || r->sync)
		return;
	struct update_copy *copy = (struct update_copy *)(r + 1);
	pen_mail_class_put(copy->u.klass);
	free((void *)copy->u.extra);
}

void spool_queue_take(struct pen_spool *s)
{
	if (s->taken.n == 0) {
		// Nothing is under way: the buffers change places.
		struct pen_buf empty = s->taken;
		s->taken = s->queue;
		s->queue = empty;
	} else if (s->queue.n > 0) {
		if (pen_buf_reserve(&s->taken, s->queue.n) != 0) {
			s->taken.failed = false; // when more is done
			return;
		}
		pen_buf_add(&s->taken, s->queue.p, s->queue.n);
		pen_buf_reset(&s->queue);
	}
	// After a burst of large updates the memory goes back.
	if (s->queue.cap > QUEUE_KEEP)
		pen_buf_fini(&s->queue);
	s->fresh_bytes = 0;
	s->gathered += s->fresh;
	s->fresh = 0;
}
