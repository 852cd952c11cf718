// SPDX-License-Identifier: BSD-3-Clause

// Diagnostics: a failed write is reported once, and again when it works; a file
// that cannot be opened again is reported once per attempt.

#include "pen_events.h"

#include "pen_buf.h"
#include "pen_log.h"
#include "pen_time.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

PEN_LOG_TYPE("ops.events");

#define FLUSH_MS 200
#define DEFAULT_BYTES (64u << 20)
#define KEEP_BYTES (1u << 20)

struct pen_events {
	char *path;
	bool sync;
	size_t limit;
	pthread_t thread;

	pthread_mutex_t lock; // for what follows
	pthread_cond_t wake;
	struct pen_buf front;
	bool stop;
	uint64_t records, lost, lost_told;

	pthread_mutex_t writing; // taken before `lock`
	struct pen_buf back;     // being written
	size_t back_at;          // of it, written so far
	int fd;
	bool broken; // the last write failed
	uint64_t bytes, writes, write_errors;
};

// A crash may have cut off the last line.
static int end_last_line(int fd)
{
	struct stat st;
	char last;

	if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size == 0)
		return 0;
	if (pread(fd, &last, 1, st.st_size - 1) != 1 || last == '\n')
		return 0;
	return write(fd, "\n", 1) == 1 ? 0 : -errno;
}

static int open_file(const char *path)
{
	int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	if (fd < 0)
		return -errno;
	int err = end_last_line(fd);
	if (err != 0) {
		close(fd);
		return err;
	}
	return fd;
}

static void note_write(struct pen_events *ev, int err)
{
	if (err != 0) {
		ev->write_errors++;
		if (!ev->broken)
			pen_error("%s: cannot be written: %s: records wait in memory", ev->path,
				strerror(err));
	} else if (ev->broken) {
		pen_notice("%s: is written again", ev->path);
	}
	ev->broken = err != 0;
}

// With `writing` held: as much of `back` as the file takes.
static void write_back(struct pen_events *ev)
{
	while (ev->back_at < ev->back.n) {
		ssize_t w = write(ev->fd, ev->back.p + ev->back_at, ev->back.n - ev->back_at);
		if (w < 0 && errno == EINTR)
			continue;
		note_write(ev, w < 0 ? errno : 0);
		if (w < 0)
			return;
		ev->back_at += (size_t)w;
		ev->bytes += (uint64_t)w;
		ev->writes++;
	}
	pen_buf_reset(&ev->back);
	ev->back_at = 0;
	if (ev->back.cap > KEEP_BYTES)
		pen_buf_fini(&ev->back);
}

static void tell_lost(struct pen_events *ev)
{
	if (ev->lost == ev->lost_told)
		return;
	pen_buf_addf(&ev->front, "{\"type\":\"Lost\",\"timestamp\":%lld,\"records\":%llu}\n",
		(long long)(pen_clock_wall() / PEN_US_PER_S),
		(unsigned long long)(ev->lost - ev->lost_told));
	if (!ev->front.failed)
		ev->lost_told = ev->lost;
	ev->front.failed = false;
}

// With `writing` held. Returns whether something is written now that was not.
static bool flush_locked(struct pen_events *ev)
{
	uint64_t before = ev->bytes;

	if (ev->back.n > 0)
		write_back(ev); // left from an error
	if (ev->back.n > 0)
		return ev->bytes != before;
	pthread_mutex_lock(&ev->lock);
	tell_lost(ev);
	struct pen_buf empty = ev->back;
	ev->back = ev->front;
	ev->front = empty;
	pthread_mutex_unlock(&ev->lock);
	if (ev->back.n > 0)
		write_back(ev);
	return ev->bytes != before;
}

void pen_events_flush(struct pen_events *ev, bool durable)
{
	if (ev == NULL)
		return;
	pthread_mutex_lock(&ev->writing);
	bool wrote = flush_locked(ev);
	if (durable && ev->sync && wrote && fdatasync(ev->fd) != 0 && errno != EINVAL)
		note_write(ev, errno);
	pthread_mutex_unlock(&ev->writing);
}

static void *flusher(void *arg)
{
	struct pen_events *ev = arg;
	struct timespec until;
	sigset_t all;

	sigfillset(&all); // signals are for the main thread
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_mutex_lock(&ev->lock);
	while (!ev->stop) {
		clock_gettime(CLOCK_MONOTONIC, &until);
		until.tv_nsec += FLUSH_MS * 1000000L;
		until.tv_sec += until.tv_nsec / 1000000000;
		until.tv_nsec %= 1000000000;
		if (ev->front.n == 0)
			pthread_cond_wait(&ev->wake, &ev->lock);
		else if (pthread_cond_timedwait(&ev->wake, &ev->lock, &until) == ETIMEDOUT) {
			pthread_mutex_unlock(&ev->lock);
			pen_events_flush(ev, false);
			pthread_mutex_lock(&ev->lock);
		}
	}
	pthread_mutex_unlock(&ev->lock);
	return NULL;
}

int pen_events_open(const struct pen_events_config *cfg, struct pen_events **out)
{
	struct pen_events *ev = calloc(1, sizeof(*ev));
	pthread_condattr_t mono;
	int fd = open_file(cfg->path);

	if (fd < 0 || ev == NULL || (ev->path = strdup(cfg->path)) == NULL) {
		if (fd >= 0)
			close(fd);
		free(ev);
		return fd < 0 ? fd : -ENOMEM;
	}
	ev->fd = fd;
	ev->sync = cfg->sync;
	ev->limit = cfg->buffer_bytes != 0 ? cfg->buffer_bytes : DEFAULT_BYTES;
	pthread_mutex_init(&ev->lock, NULL);
	pthread_mutex_init(&ev->writing, NULL);
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_cond_init(&ev->wake, &mono);
	pthread_condattr_destroy(&mono);
	int err = pthread_create(&ev->thread, NULL, flusher, ev);
	if (err != 0) {
		close(fd);
		free(ev->path);
		free(ev);
		return -err;
	}
	*out = ev;
	return 0;
}

void pen_events_close(struct pen_events *ev)
{
	if (ev == NULL)
		return;
	pthread_mutex_lock(&ev->lock);
	ev->stop = true;
	pthread_cond_signal(&ev->wake);
	pthread_mutex_unlock(&ev->lock);
	pthread_join(ev->thread, NULL);
	pen_events_flush(ev, true);
	if (ev->back.n > 0)
		pen_error("%s: %zu bytes of records could not be written and are lost", ev->path,
			ev->back.n - ev->back_at);
	close(ev->fd);
	pen_buf_fini(&ev->front);
	pen_buf_fini(&ev->back);
	pthread_cond_destroy(&ev->wake);
	pthread_mutex_destroy(&ev->lock);
	pthread_mutex_destroy(&ev->writing);
	free(ev->path);
	free(ev);
}

void pen_events_reopen(struct pen_events *ev)
{
	if (ev == NULL)
		return;
	int fd = open_file(ev->path);
	if (fd < 0) {
		pen_warning("cannot open %s again: %s", ev->path, strerror(-fd));
		return;
	}
	pthread_mutex_lock(&ev->writing);
	flush_locked(ev);
	if (ev->sync)
		fdatasync(ev->fd);
	close(ev->fd);
	ev->fd = fd;
	// The rest of a line that did not fit belongs to the line: it is written whole.
	while (ev->back_at > 0 && ev->back.p[ev->back_at - 1] != '\n')
		ev->back_at--;
	pthread_mutex_unlock(&ev->writing);
}

void pen_events_put(struct pen_events *ev, struct pen_span line)
{
	if (ev == NULL)
		return;
	pthread_mutex_lock(&ev->lock);
	bool was_empty = ev->front.n == 0;
	bool fits = line.n > 0 && ev->front.n + line.n < ev->limit;
	if (fits && pen_buf_reserve(&ev->front, line.n + 1) == 0) {
		pen_buf_add_span(&ev->front, line);
		pen_buf_add(&ev->front, "\n", 1);
		ev->records++;
	} else {
		ev->front.failed = false;
		ev->lost++;
	}
	if (was_empty)
		pthread_cond_signal(&ev->wake);
	pthread_mutex_unlock(&ev->lock);
}

struct pen_events_stats pen_events_stats(struct pen_events *ev)
{
	struct pen_events_stats st = {0};

	if (ev == NULL)
		return st;
	pthread_mutex_lock(&ev->writing);
	pthread_mutex_lock(&ev->lock);
	st = (struct pen_events_stats){.records = ev->records,
		.lost = ev->lost,
		.bytes = ev->bytes,
		.writes = ev->writes,
		.write_errors = ev->write_errors};
	pthread_mutex_unlock(&ev->lock);
	pthread_mutex_unlock(&ev->writing);
	return st;
}
