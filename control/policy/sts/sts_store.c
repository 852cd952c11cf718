// SPDX-License-Identifier: BSD-3-Clause

// File names are domains: letters, digits, "-", "_" and ".", never with a "."
// in front, so "+new" (the file being written) and "+bad" are no domains.
//
// Diagnostics: warns about each bad file and each change that failed; a
// directory that cannot be had is refused by sts_store_open.

#include "sts_store.h"

#include "pen_counter.h"
#include "pen_file.h"
#include "pen_log.h"
#include "sts_name.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

PEN_LOG_TYPE("control.sts");

#define NEW_FILE "+new"
#define BAD_DIR "+bad"

struct change {
	struct change *next;
	struct pen_buf bytes; // empty: remove the file
	char name[STS_NAME_MAX + 1];
};

struct sts_store {
	int dir;
	uint64_t *errors;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct change *head, *tail;
	uint32_t waiting;
	uint32_t dropped; // not counted yet
	bool stop;
};

static int remove_file(const struct sts_store *s, const struct change *c)
{
	return unlinkat(s->dir, c->name, 0) == 0 || errno == ENOENT ? 0 : -errno;
}

static void change_make(struct sts_store *s, struct change *c)
{
	struct pen_span bytes = pen_buf_span(&c->bytes);
	int err = bytes.n > 0 ? pen_file_replace(s->dir, c->name, NEW_FILE, &bytes, 1)
			      : remove_file(s, c);

	if (err != 0) {
		PEN_COUNT(*s->errors);
		pen_warning("mta-sts/%s: %s: %s", c->name,
			c->bytes.n > 0 ? "cannot write" : "cannot remove", strerror(-err));
	}
	pen_buf_fini(&c->bytes);
	free(c);
}

static void *store_main(void *arg)
{
	struct sts_store *s = arg;
	sigset_t all;

	// Signals are for the thread that waits for them.
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, NULL);
	pthread_setname_np(pthread_self(), "pen-sts");
	pthread_mutex_lock(&s->lock);
	for (;;) {
		while (s->head == NULL && !s->stop)
			pthread_cond_wait(&s->wake, &s->lock);
		struct change *c = s->head;
		bool last = c == NULL || c->next == NULL;
		if (c == NULL)
			break;
		s->head = c->next;
		s->waiting--;
		PEN_COUNT_N(*s->errors, s->dropped);
		s->dropped = 0;
		pthread_mutex_unlock(&s->lock);
		change_make(s, c);
		// The names too, once for all that came together.
		if (last && fsync(s->dir) != 0)
			pen_warning("mta-sts: fsync: %s", strerror(errno));
		pthread_mutex_lock(&s->lock);
	}
	pthread_mutex_unlock(&s->lock);
	return NULL;
}

static int open_dir(const char *dir)
{
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return -errno;
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 ? fd : -errno;
}

struct sts_store *sts_store_open(const char *dir, uint64_t *errors, char *err, size_t cap)
{
	struct sts_store *s = calloc(1, sizeof(*s));
	int fd = open_dir(dir);

	if (s == NULL || fd < 0) {
		snprintf(err, cap, "%s: %s", dir, s == NULL ? "out of memory" : strerror(-fd));
		if (fd >= 0)
			close(fd);
		free(s);
		return NULL;
	}
	s->dir = fd;
	s->errors = errors;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->wake, NULL);
	return s;
}

static void set_aside(const struct sts_store *s, const char *name, const char *why)
{
	char to[sizeof(BAD_DIR) + 1 + NAME_MAX + 1];

	pen_warning("mta-sts/%s: %s; moved to mta-sts/" BAD_DIR, name, why);
	snprintf(to, sizeof(to), BAD_DIR "/%s", name);
	if (mkdirat(s->dir, BAD_DIR, 0700) != 0 && errno != EEXIST)
		pen_warning("mta-sts/" BAD_DIR ": %s", strerror(errno));
	else if (renameat(s->dir, name, s->dir, to) != 0)
		pen_warning("mta-sts/%s: cannot move: %s", name, strerror(errno));
}

// read_file: 0 or -errno; a file that is too long is read one byte too far.
static int read_file(const struct sts_store *s, const char *name, uint8_t *buf, size_t *n)
{
	int fd = openat(s->dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t got = 1;

	if (fd < 0)
		return -errno;
	for (*n = 0; *n < STS_FILE_MAX + 1 && got > 0; *n += (size_t)got) {
		got = read(fd, buf + *n, STS_FILE_MAX + 1 - *n);
		if (got < 0) {
			int err = -errno;
			close(fd);
			return err;
		}
	}
	close(fd);
	return 0;
}

// load_file: NULL, or why it is set aside.
static const char *load_file(
	const struct sts_store *s, const char *name, uint8_t *buf, sts_store_load_fn *fn, void *ctx)
{
	struct pen_sts_policy p;
	pen_wall_us fetched;
	size_t n = 0;
	int err = read_file(s, name, buf, &n);

	if (err != 0)
		return strerror(-err);
	const char *wrong = sts_file_decode(pen_span(buf, n), &p, &fetched);
	if (wrong != NULL)
		return wrong;
	if (strcmp(p.domain, name) != 0) {
		pen_sts_policy_fini(&p);
		return "the policy of another domain";
	}
	fn(ctx, &p, fetched);
	return NULL;
}

uint64_t sts_store_load(struct sts_store *s, sts_store_load_fn *fn, void *ctx)
{
	uint8_t *buf = malloc(STS_FILE_MAX + 1);
	int fd = openat(s->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t bad = 0;

	for (const struct dirent *e; buf != NULL && d != NULL && (e = readdir(d)) != NULL;) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
			strcmp(e->d_name, BAD_DIR) == 0 || strcmp(e->d_name, NEW_FILE) == 0)
			continue;
		const char *wrong = load_file(s, e->d_name, buf, fn, ctx);
		if (wrong != NULL) {
			set_aside(s, e->d_name, wrong);
			bad++;
		}
	}
	if (buf == NULL || d == NULL)
		pen_warning("mta-sts: cannot read the cache: %s", strerror(errno));
	if (d != NULL)
		closedir(d);
	else if (fd >= 0)
		close(fd);
	free(buf);
	return bad;
}

static void change_queue(struct sts_store *s, struct change *c)
{
	pthread_mutex_lock(&s->lock);
	// The thread starts with the first change.
	if (!s->started && pthread_create(&s->thread, NULL, store_main, s) == 0)
		s->started = true;
	bool taken = s->started && s->waiting < STS_STORE_QUEUE;
	if (taken) {
		s->waiting++;
		if (s->head == NULL)
			s->head = c;
		else
			s->tail->next = c;
		s->tail = c;
		pthread_cond_signal(&s->wake);
	} else {
		s->dropped++;
	}
	pthread_mutex_unlock(&s->lock);
	if (!taken) {
		pen_buf_fini(&c->bytes);
		free(c);
	}
}

// change_new: NULL also for what is no domain.
static struct change *change_new(const char *domain)
{
	struct change *c = calloc(1, sizeof(*c));

	if (c != NULL && sts_domain_read(pen_span_cstr(domain), c->name))
		return c;
	free(c);
	return NULL;
}

void sts_store_write(struct sts_store *s, const struct pen_sts_policy *p, pen_wall_us fetched)
{
	struct change *c = change_new(p->domain);

	if (c == NULL)
		return;
	sts_file_encode(&c->bytes, p, fetched);
	if (c->bytes.failed) {
		pen_buf_fini(&c->bytes);
		free(c);
		return;
	}
	change_queue(s, c);
}

void sts_store_remove(struct sts_store *s, const char *domain)
{
	struct change *c = change_new(domain);

	if (c != NULL)
		change_queue(s, c);
}

void sts_store_close(struct sts_store *s)
{
	if (s == NULL)
		return;
	pthread_mutex_lock(&s->lock);
	s->stop = true;
	pthread_cond_signal(&s->wake);
	pthread_mutex_unlock(&s->lock);
	if (s->started)
		pthread_join(s->thread, NULL);
	close(s->dir);
	pthread_cond_destroy(&s->wake);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
