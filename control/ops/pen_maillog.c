// SPDX-License-Identifier: BSD-3-Clause

// Diagnostics: a file that cannot be reopened is reported through pen_log once
// per attempt; the old file stays in use. A write that fails loses its lines;
// they are counted and the log says so when it works again.

#include "pen_maillog_format.h"

#include "pen_err.h"
#include "pen_log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

PEN_LOG_TYPE("ops.maillog");

#define FLUSH_MS 200
#define DEFAULT_BYTES (4u << 20)
#define SYSLOG_FACILITY_MAIL 2
#define SYSLOG_SEVERITY_INFO 6

struct pen_maillog {
	char *path, *syslog_path, *name, *host;
	int facility;
	int fd; // writer thread
	pid_t pid;
	pthread_t thread;

	pthread_mutex_t lock;
	pthread_cond_t wake; // for the writer
	pthread_cond_t idle; // for flush
	// Under the lock.
	char *front; // where lines are added
	size_t front_n;
	size_t cap;
	bool stop, urgent, reopen;
	bool writing;
	uint64_t lines, dropped, reported;
	time_t stamp_second;
	char stamp[24];
	size_t stamp_len;

	char *back; // writer thread
	bool raw;
};

static int open_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);

	return fd >= 0 ? fd : -errno;
}

static int open_syslog(const char *path)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0) {
		int err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

static void do_reopen(struct pen_maillog *l)
{
	int fd = l->path != NULL ? open_file(l->path) : open_syslog(l->syslog_path);

	if (fd < 0) {
		pen_warning("cannot open %s again: %s", l->path != NULL ? l->path : l->syslog_path,
			strerror(-fd));
		return;
	}
	if (l->fd >= 0)
		close(l->fd);
	l->fd = fd;
}

static uint64_t count_lines(const char *p, size_t n)
{
	uint64_t lines = 0;

	for (size_t i = 0; i < n; i++)
		lines += p[i] == '\n';
	return lines;
}

// Returns how many lines were lost.
static uint64_t write_file(struct pen_maillog *l, const char *p, size_t n)
{
	while (n > 0) {
		ssize_t w = write(l->fd, p, n);
		if (w < 0 && errno == EINTR)
			continue;
		if (w < 0)
			return count_lines(p, n);
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

// One datagram per line. The socket waits when the log daemon is slow: only
// this thread waits with it.
static uint64_t write_syslog(struct pen_maillog *l, const char *p, size_t n)
{
	uint64_t lost = 0;
	char datagram[PEN_MAILLOG_LINE_MAX + 128];

	while (n > 0) {
		const char *nl = memchr(p, '\n', n);
		size_t len = nl != NULL ? (size_t)(nl - p) : n;
		int m = snprintf(datagram, sizeof(datagram), "<%d>%.*s",
			l->facility * 8 + SYSLOG_SEVERITY_INFO, (int)len, p);
		ssize_t w = -1;
		for (int attempt = 0; attempt < 2 && w < 0; attempt++) {
			if (l->fd >= 0)
				w = send(l->fd, datagram, (size_t)m, MSG_NOSIGNAL);
			if (w < 0) {
				if (l->fd >= 0)
					close(l->fd);
				l->fd = open_syslog(l->syslog_path);
			}
		}
		lost += w < 0;
		size_t used = nl != NULL ? len + 1 : len;
		p += used;
		n -= used;
	}
	return lost;
}

static void deadline_in_ms(struct timespec *ts, unsigned ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_nsec += (long)ms * 1000000;
	ts->tv_sec += ts->tv_nsec / 1000000000;
	ts->tv_nsec %= 1000000000;
}

// Waits, under the lock, until there is a reason to write.
static void wait_for_work(struct pen_maillog *l)
{
	struct timespec until;

	while (!l->stop && !l->urgent && !l->reopen && l->front_n == 0)
		pthread_cond_wait(&l->wake, &l->lock);
	// A short rest collects lines: one write for many.
	deadline_in_ms(&until, FLUSH_MS);
	while (!l->stop && !l->urgent && !l->reopen) {
		if (pthread_cond_timedwait(&l->wake, &l->lock, &until) == ETIMEDOUT)
			break;
	}
}

static size_t prefix(struct pen_maillog *l, char *out, size_t cap, const char *service)
{
	pen_wall_us now = pen_clock_wall();
	time_t second = (time_t)(now / PEN_US_PER_S);

	if (second != l->stamp_second) {
		struct tm tm;
		localtime_r(&second, &tm);
		l->stamp_len = strftime(l->stamp, sizeof(l->stamp), "%b %e %H:%M:%S", &tm);
		l->stamp_second = second;
	}
	// The syslog protocol has the host only between daemons.
	const char *host = l->path != NULL ? l->host : "";
	int n = snprintf(out, cap, "%.*s %s%s%s/%s[%d]: ", (int)l->stamp_len, l->stamp, host,
		*host != '\0' ? " " : "", l->name, service, (int)l->pid);
	return n > 0 && (size_t)n < cap ? (size_t)n : 0;
}

// Under the lock. False: no room.
static bool append(struct pen_maillog *l, const char *service, const char *text, size_t n)
{
	char head[160];
	size_t h = l->raw ? 0 : prefix(l, head, sizeof(head), service);

	if (l->cap - l->front_n < h + n + 1)
		return false;
	char *to = l->front + l->front_n;
	memcpy(to, head, h);
	memcpy(to + h, text, n);
	to[h + n] = '\n';
	l->front_n += h + n + 1;
	return true;
}

static void report_dropped(struct pen_maillog *l)
{
	char text[80];

	if (l->dropped == l->reported)
		return;
	int n = snprintf(text, sizeof(text),
		l->raw ? "{\"type\":\"Lost\",\"records\":%llu}"
		       : "warning: %llu lines of this log were dropped",
		(unsigned long long)(l->dropped - l->reported));
	if (append(l, "maillog", text, (size_t)n))
		l->reported = l->dropped;
}

static void *writer(void *arg)
{
	struct pen_maillog *l = arg;
	sigset_t all;

	sigfillset(&all); // signals are for the main thread
	pthread_sigmask(SIG_BLOCK, &all, NULL);
	pthread_mutex_lock(&l->lock);
	for (;;) {
		wait_for_work(l);
		bool reopen = l->reopen, stop = l->stop;
		size_t n = l->front_n;
		char *full = l->front;
		l->front = l->back;
		l->front_n = 0;
		l->back = full;
		l->reopen = l->urgent = false;
		l->writing = true;
		report_dropped(l);
		pthread_mutex_unlock(&l->lock);
		if (reopen)
			do_reopen(l);
		uint64_t lost = 0;
		if (n > 0)
			lost = l->path != NULL ? write_file(l, full, n) : write_syslog(l, full, n);
		pthread_mutex_lock(&l->lock);
		l->dropped += lost;
		l->writing = false;
		pthread_cond_broadcast(&l->idle);
		if (stop && l->front_n == 0)
			break;
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

static void release(struct pen_maillog *l)
{
	if (l->fd >= 0)
		close(l->fd);
	free(l->path);
	free(l->syslog_path);
	free(l->name);
	free(l->host);
	free(l->front);
	free(l->back);
	free(l);
}

static struct pen_maillog *allocate(const struct pen_maillog_config *cfg)
{
	struct pen_maillog *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return NULL;
	l->fd = -1;
	l->cap = cfg->buffer_bytes != 0 ? cfg->buffer_bytes : DEFAULT_BYTES;
	if (cfg->path != NULL && cfg->path[0] != '\0')
		l->path = strdup(cfg->path);
	l->facility = cfg->facility != 0 ? cfg->facility : SYSLOG_FACILITY_MAIL;
	l->syslog_path = strdup(cfg->syslog_path != NULL ? cfg->syslog_path : "/dev/log");
	l->name = strdup(cfg->name != NULL ? cfg->name : "penstock");
	l->host = strdup(cfg->host != NULL ? cfg->host : "localhost");
	l->front = malloc(l->cap);
	l->back = malloc(l->cap);
	l->pid = getpid();
	l->raw = cfg->raw;
	l->stamp_second = -1;
	bool path_ok = l->path != NULL || cfg->path == NULL || cfg->path[0] == '\0';
	if (!path_ok || !l->syslog_path || !l->name || !l->host || !l->front || !l->back) {
		release(l);
		return NULL;
	}
	return l;
}

int pen_maillog_open(const struct pen_maillog_config *cfg, struct pen_maillog **out)
{
	struct pen_maillog *l = allocate(cfg);
	pthread_condattr_t attr;

	if (l == NULL)
		return -ENOMEM;
	// A log daemon may start later than we do; a file must open now.
	l->fd = l->path != NULL ? open_file(l->path) : open_syslog(l->syslog_path);
	if (l->fd < 0 && l->path != NULL) {
		int err = l->fd;
		release(l);
		return err;
	}
	pthread_mutex_init(&l->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&l->wake, &attr);
	pthread_cond_init(&l->idle, &attr);
	pthread_condattr_destroy(&attr);
	int err = pthread_create(&l->thread, NULL, writer, l);
	if (err != 0) {
		release(l);
		return -err;
	}
	*out = l;
	return 0;
}

void pen_maillog_close(struct pen_maillog *l)
{
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->stop = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->wake);
	pthread_cond_destroy(&l->idle);
	release(l);
}

void pen_maillog_reopen(struct pen_maillog *l)
{
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	l->reopen = true;
	pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

void pen_maillog_flush(struct pen_maillog *l)
{
	if (l == NULL)
		return;
	pthread_mutex_lock(&l->lock);
	while (l->front_n > 0 || l->writing || l->reopen) {
		l->urgent = true;
		pthread_cond_signal(&l->wake);
		pthread_cond_wait(&l->idle, &l->lock);
	}
	pthread_mutex_unlock(&l->lock);
}

struct pen_maillog_stats pen_maillog_stats(struct pen_maillog *l)
{
	pthread_mutex_lock(&l->lock);
	struct pen_maillog_stats s = {l->lines, l->dropped};
	pthread_mutex_unlock(&l->lock);
	return s;
}

static void put(struct pen_maillog *l, const char *service, const char *text, size_t n)
{
	pthread_mutex_lock(&l->lock);
	bool was_empty = l->front_n == 0;
	if (append(l, service, text, n))
		l->lines++;
	else
		l->dropped++;
	// Once per batch, and early when the buffer fills faster than the rest lasts.
	if (l->front_n > l->cap / 2 && !l->urgent) {
		l->urgent = true;
		was_empty = true;
	}
	if (was_empty)
		pthread_cond_signal(&l->wake);
	pthread_mutex_unlock(&l->lock);
}

void pen_maillog_put(struct pen_maillog *l, const char *service, const struct pen_logline *b)
{
	put(l, service, b->text, b->n);
}

void pen_maillog_record(struct pen_maillog *l, const char *text, size_t n)
{
	put(l, "", text, n);
}
