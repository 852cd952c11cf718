// SPDX-License-Identifier: BSD-3-Clause
#include "daemon_setup.h"

#include "pen_err.h"
#include "pen_gateway.h"
#include "pen_log.h"

#include <errno.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

PEN_LOG_TYPE("control.main");

static void print_fault(void *ctx, const struct pen_report_entry *e)
{
	char line[2048];

	(void)ctx;
	fprintf(stderr, "penstockd: %s\n", pen_report_format(e, line, sizeof(line)));
}

struct pen_config *daemon_load_config(const char *directory)
{
	struct pen_report report = {.fn = print_fault};

	return pen_gateway_load(directory, &report);
}

static const struct passwd *owner_entry(const char *owner)
{
	if (*owner == '\0' || geteuid() != 0)
		return NULL;
	const struct passwd *pw = getpwnam(owner);
	if (pw == NULL)
		pen_fatal(
			"mail_owner = %s: there is no such user: create it (useradd --system %s), "
			"or leave mail_owner empty to stay who started penstockd",
			owner, owner);
	return pw;
}

static void make_folder(const char *param, const char *path, mode_t mode, const struct passwd *pw)
{
	char parent[4096];

	snprintf(parent, sizeof(parent), "%s", path);
	if (mkdir(path, mode) != 0 && errno == ENOENT) {
		mkdir(dirname(parent), 0755);
		mkdir(path, mode);
	}
	struct stat st;
	if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
		pen_fatal("%s: the folder %s cannot be made: %s", param, path, strerror(errno));
	if (pw != NULL && st.st_uid != pw->pw_uid && chown(path, pw->pw_uid, pw->pw_gid) != 0)
		pen_fatal("%s: the folder %s cannot be given to %s: %s", param, path, pw->pw_name,
			strerror(errno));
}

void daemon_make_folders(const struct pen_params *p)
{
	const struct passwd *pw = owner_entry(p->mail_owner);
	char copy[4096];

	make_folder("queue_directory", p->queue_directory, 0700, pw);
	snprintf(copy, sizeof(copy), "%s", p->control_socket);
	const char *folder = dirname(copy);
	// A shared folder such as /run stays as it is.
	if (access(folder, F_OK) != 0)
		make_folder("control_socket", folder, 0755, pw);
}

static void give(const char *param, const char *path, const struct passwd *pw)
{
	if (*path != '\0' && chown(path, pw->pw_uid, pw->pw_gid) != 0)
		pen_fatal("%s = %s cannot be given to %s: %s", param, path, pw->pw_name,
			strerror(errno));
}

void daemon_drop_privileges(const struct pen_params *p)
{
	const char *owner = p->mail_owner;
	const struct passwd *pw = owner_entry(owner);

	if (pw == NULL)
		return;
	give("maillog_file", p->maillog_file, pw);
	give("event_log_file", p->event_log_file, pw);
	give("control_socket", p->control_socket, pw);
	if (initgroups(pw->pw_name, pw->pw_gid) != 0 || setgid(pw->pw_gid) != 0 ||
		setuid(pw->pw_uid) != 0 || setuid(0) == 0)
		pen_fatal("mail_owner = %s: privileges cannot be dropped: %s", owner,
			strerror(errno));
}

void daemon_note(void *ctx, const char *line)
{
	(void)ctx;
	pen_notice("%s", line);
}

void daemon_spool_problem(void *ctx, const struct pen_spool_problem *p)
{
	(void)ctx;
	switch (p->kind) {
	case PEN_SPOOL_TORN:
		pen_notice(
			"%s: an unfinished write of %llu bytes at offset %llu was dropped: it was "
			"never acknowledged",
			p->file, (unsigned long long)p->length, (unsigned long long)p->offset);
		return;
	case PEN_SPOOL_CORRUPT:
		pen_warning("%s: %llu damaged bytes at offset %llu%s%s", p->file,
			(unsigned long long)p->length, (unsigned long long)p->offset,
			p->kept != NULL ? " were set aside in " : "",
			p->kept != NULL ? p->kept : "");
		return;
	case PEN_SPOOL_IO:
		pen_error("%s: offset %llu: %s", p->file, (unsigned long long)p->offset,
			strerror(-p->err));
		return;
	case PEN_SPOOL_NEWER:
	case PEN_SPOOL_FULL:
	case PEN_SPOOL_ROOM:
	case PEN_SPOOL_SLOW:
		return; // the spool's own lines say it
	}
}

static void maillog_sink(
	void *ctx, const struct pen_log_type *type, enum pen_log_level level, const char *line)
{
	if (level >= PEN_LOG_WARNING)
		fprintf(stderr, "penstockd: %s: %s: %s\n", pen_log_level_name(level), type->name,
			line);
	pen_maillog_line(
		ctx, "penstockd", "%s: %s: %s", pen_log_level_name(level), type->name, line);
}

void daemon_log_to(struct pen_maillog *l)
{
	pen_log_set_sink(l != NULL ? maillog_sink : NULL, l);
}
