// SPDX-License-Identifier: BSD-3-Clause
#include "spool_writer.h"

// The flusher keeps the disk busy: when a batch is on it, the one that has
// filled meanwhile goes next, before anybody is told about the first.

// The writer, which appends, lets go of the lock as soon as it sees the flag; a
// mutex alone would let it have the lock again and again.
static void lock_core(struct pen_spool *s)
{
	__atomic_store_n(&s->flusher_waits, true, __ATOMIC_RELAXED);
	for (int i = 0; i < SPOOL_SPINS; i++) {
		if (pthread_mutex_trylock(&s->core_lock) == 0)
			goto out;
		SPOOL_PAUSE();
	}
	pthread_mutex_lock(&s->core_lock);
out:
	__atomic_store_n(&s->flusher_waits, false, __ATOMIC_RELAXED);
}

// With core_lock held: takes the open batch. 1: it has to be written.
static int take_off(struct pen_spool *s, struct landing *landing)
{
	int n = pen_spool_core_begin(s->core);

	s->flying = n == 1;
	s->flight_from = s->flight_to;
	s->flight_to = s->open_to;
	if (n != 1) { // nothing that needs the disk, or no memory
		*landing = (struct landing){s->open_to, n};
		s->rewind = n < 0;
		s->flight_from = s->open_to;
	}
	return n;
}

static void land(struct pen_spool *s, int err, struct landing *landing)
{
	bool dropped;

	err = pen_spool_core_end(s->core, err, &dropped);
	*landing = (struct landing){s->flight_to, err};
	if (dropped)
		s->open_to = s->flight_to; // to be appended again
	s->rewind = err != 0;
	s->flying = false;
	s->flight_from = s->flight_to;
}

// With s->lock held.
static void tell_writer(struct pen_spool *s, const struct landing *landing, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		s->landed[s->nlanded++] = landing[i];
	s->events++;
	s->fly_since = pen_clock_mono();
	if (s->writer_sleeps)
		pthread_cond_signal(&s->wake);
}

// Writes batch after batch, until there is none. Called and returns with s->lock
// held.
static void fly(struct pen_spool *s)
{
	struct landing landing[2];
	uint32_t n = 0;
	bool room = true;

	pthread_mutex_unlock(&s->lock);
	pthread_mutex_lock(&s->core_lock);
	bool flying = take_off(s, &landing[n]) == 1;
	n += !flying;
	for (;;) {
		pthread_mutex_unlock(&s->core_lock);
		pthread_mutex_lock(&s->lock);
		tell_writer(s, landing, n);
		room = s->nlanded + 4 <= SPOOL_LANDINGS;
		s->busy = flying;
		if (!flying)
			return;
		pthread_mutex_unlock(&s->lock);
		if (s->before_commit != NULL)
			s->before_commit(s->hook_ctx);
		int err = pen_spool_core_write(s->core);
		lock_core(s);
		n = 0;
		land(s, err, &landing[n++]);
		flying = false;
		if (s->open_to > s->flight_to && !s->draining && !s->rewind && room) {
			flying = take_off(s, &landing[n]) == 1;
			n += !flying;
		}
	}
}

void *spool_flusher_main(void *arg)
{
	struct pen_spool *s = arg;

	pthread_setname_np(pthread_self(), "spool-flush");
	pthread_mutex_lock(&s->lock);
	while (!s->ended) {
		if (s->busy)
			fly(s);
		else
			pthread_cond_wait(&s->fly_wake, &s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}
