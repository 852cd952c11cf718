// SPDX-License-Identifier: BSD-3-Clause
#include "tlsrpt_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define COMPACT_LEAST (4u << 20)
#define PATH_MAX_HERE 5000

static int make_folder(const char *path)
{
	return mkdir(path, 0700) == 0 || errno == EEXIST ? 0 : -errno;
}

int tlsrpt_store_open(struct tlsrpt_store *s, const char *folder, char *err, size_t cap)
{
	static const char *const below[] = {"", "/outbox", "/sent"};
	char path[PATH_MAX_HERE];

	*s = (struct tlsrpt_store){.fd = -1};
	snprintf(s->folder, sizeof(s->folder), "%s", folder);
	for (size_t i = 0; i < sizeof(below) / sizeof(below[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", folder, below[i]);
		int rc = make_folder(path);
		if (rc != 0) {
			snprintf(err, cap, "TLSRPT: folder %s: %s", path, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

void tlsrpt_store_close(struct tlsrpt_store *s)
{
	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
}

static void journal_path(const struct tlsrpt_store *s, const char *day, char *out)
{
	snprintf(out, PATH_MAX_HERE, "%s/%s.journal", s->folder, day);
}

static int sync_folder(const struct tlsrpt_store *s, const char *below)
{
	char path[PATH_MAX_HERE];
	int rc = 0;

	snprintf(path, sizeof(path), "%s%s", s->folder, below);
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		rc = -errno;
	close(fd);
	return rc;
}

static void read_journal(const char *path, struct tlsrpt_count *into)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t cap = 0;

	if (f == NULL)
		return;
	while (getline(&line, &cap, f) > 0) {
		json_t *more = json_loads(line, 0, NULL);
		if (more == NULL)
			break;
		tlsrpt_count_merge(into, more);
		json_decref(more);
	}
	free(line);
	fclose(f);
}

// The whole day as one line, under the journal's name.
static int write_anew(struct tlsrpt_store *s, json_t *all)
{
	char path[PATH_MAX_HERE], aside[PATH_MAX_HERE + 8];
	int rc = 0;

	journal_path(s, s->day, path);
	snprintf(aside, sizeof(aside), "%s.new", path);
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (json_object_size(all) > 0 &&
		(json_dumpfd(all, fd, JSON_COMPACT) != 0 || write(fd, "\n", 1) != 1))
		rc = -EIO;
	if (rc == 0 && (fsync(fd) != 0 || rename(aside, path) != 0))
		rc = -errno;
	if (rc == 0)
		rc = sync_folder(s, "");
	if (rc != 0) {
		close(fd);
		unlink(aside);
		return rc;
	}
	if (s->fd >= 0)
		close(s->fd);
	s->fd = fd;
	s->written = (uint64_t)lseek(fd, 0, SEEK_END);
	s->compact = s->written * 4 > COMPACT_LEAST ? s->written * 4 : COMPACT_LEAST;
	return 0;
}

int tlsrpt_store_begin_day(struct tlsrpt_store *s, const char *day, struct tlsrpt_count *into)
{
	char path[PATH_MAX_HERE];

	memcpy(s->day, day, sizeof(s->day));
	journal_path(s, day, path);
	read_journal(path, into);
	return write_anew(s, into->days);
}

int tlsrpt_store_append(struct tlsrpt_store *s, json_t *increments, json_t *all)
{
	char *text = json_dumps(increments, JSON_COMPACT);

	if (text == NULL)
		return -ENOMEM;
	size_t n = strlen(text);
	text[n++] = '\n';
	ssize_t put = s->fd >= 0 ? write(s->fd, text, n) : -1;
	int rc = put == (ssize_t)n ? 0 : put < 0 ? -errno : -ENOSPC;
	free(text);
	if (rc == 0 && fdatasync(s->fd) != 0)
		rc = -errno;
	s->written += n;
	// A torn line would hide what follows it: begin again behind a good one.
	if (rc != 0 || s->written > s->compact)
		rc = write_anew(s, all);
	return rc;
}

int tlsrpt_store_remove_day(struct tlsrpt_store *s, const char *day)
{
	char path[PATH_MAX_HERE];

	journal_path(s, day, path);
	return unlink(path) == 0 || errno == ENOENT ? 0 : -errno;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

json_t *tlsrpt_store_days(const struct tlsrpt_store *s)
{
	json_t *out = json_array();
	DIR *d = opendir(s->folder);
	char *name[400];
	size_t n = 0;
	int64_t start;

	for (struct dirent *e; d != NULL && n < 400 && (e = readdir(d)) != NULL;) {
		char day[TLSRPT_DAY_MAX];
		snprintf(day, sizeof(day), "%.10s", e->d_name);
		if (strlen(e->d_name) == 18 && strcmp(e->d_name + 10, ".journal") == 0 &&
			tlsrpt_day_start(day, &start) && (name[n] = strdup(day)) != NULL)
			n++;
	}
	if (d != NULL)
		closedir(d);
	qsort(name, n, sizeof(name[0]), by_text);
	for (size_t i = 0; i < n; i++) {
		json_array_append_new(out, json_string(name[i]));
		free(name[i]);
	}
	return out;
}

// ---- reports

static void report_path(const struct tlsrpt_store *s, const char *box, const char *day,
	const char *domain, char *out)
{
	snprintf(out, PATH_MAX_HERE, "%s/%s/%s.%s", s->folder, box, day, domain);
}

int tlsrpt_store_put(struct tlsrpt_store *s, const char *day, const char *domain, json_t *report)
{
	char path[PATH_MAX_HERE], aside[PATH_MAX_HERE];
	int rc = 0;

	report_path(s, "outbox", day, domain, path);
	snprintf(aside, sizeof(aside), "%s/outbox/.new", s->folder);
	int fd = open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (json_dumpfd(report, fd, JSON_INDENT(2)) != 0)
		rc = -EIO;
	if (rc == 0 && (fsync(fd) != 0 || rename(aside, path) != 0))
		rc = -errno;
	close(fd);
	return rc == 0 ? sync_folder(s, "/outbox") : rc;
}

json_t *tlsrpt_store_get(
	const struct tlsrpt_store *s, const char *box, const char *day, const char *domain)
{
	char path[PATH_MAX_HERE];

	report_path(s, box, day, domain, path);
	return json_load_file(path, 0, NULL);
}

int tlsrpt_store_done(struct tlsrpt_store *s, const char *day, const char *domain, bool sent)
{
	char from[PATH_MAX_HERE], to[PATH_MAX_HERE];

	report_path(s, "outbox", day, domain, from);
	report_path(s, "sent", day, domain, to);
	int rc = sent ? rename(from, to) : unlink(from);
	return rc == 0 ? sync_folder(s, "/outbox") : -errno;
}

void tlsrpt_store_each(const struct tlsrpt_store *s, const char *box,
	void (*fn)(void *ctx, const char *day, const char *domain), void *ctx)
{
	char path[PATH_MAX_HERE], day[TLSRPT_DAY_MAX];
	int64_t start;

	snprintf(path, sizeof(path), "%s/%s", s->folder, box);
	DIR *d = opendir(path);
	for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
		snprintf(day, sizeof(day), "%.10s", e->d_name);
		if (strlen(e->d_name) > 11 && e->d_name[10] == '.' && tlsrpt_day_start(day, &start))
			fn(ctx, day, e->d_name + 11);
	}
	if (d != NULL)
		closedir(d);
}

struct pruning {
	struct tlsrpt_store *s;
	const char *day;
};

static void prune_one(void *ctx, const char *day, const char *domain)
{
	struct pruning *p = ctx;
	char path[PATH_MAX_HERE];

	if (strcmp(day, p->day) >= 0)
		return;
	report_path(p->s, "sent", day, domain, path);
	unlink(path);
}

void tlsrpt_store_prune(struct tlsrpt_store *s, const char *day)
{
	struct pruning p = {s, day};

	tlsrpt_store_each(s, "sent", prune_one, &p);
}
