// SPDX-License-Identifier: BSD-3-Clause

// penstock audit: the event log and the spool against each other.
//
// With a running daemon the picture of the queue comes first, page by page, and
// the event log after it: records that are younger than the picture cannot
// accuse it. What would be lost is asked for once more, by its id.

#include "audit_report.h"
#include "audit_spool.h"
#include "opts.h"
#include "pen_event_read.h"
#include "pen_tool_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 1000
#define SUSPECTS_MAX 10000
#define SLACK_S 300 // between a message's id and the record of its reception

struct audit {
	struct cli *cli;
	struct book *book;
	struct audit_report report;
	struct audit_file file[FILES_MAX];
	bool online;
	double next_progress;
	struct {
		uint64_t id;
		uint32_t index;
	} * suspect;
	unsigned nsuspects;
};

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void progress(struct audit *a, const char *what, uint64_t n)
{
	bool terminal = isatty(STDERR_FILENO);
	double now = seconds();

	if (a->next_progress == 0)
		a->next_progress = now + 2;
	if (now < a->next_progress)
		return;
	a->next_progress = now + (terminal ? 0.5 : 10);
	fprintf(stderr, "%spenstock: audit: %s %llu, %llu recipients%s", terminal ? "\r" : "", what,
		(unsigned long long)n, (unsigned long long)book_recipients(a->book),
		terminal ? " " : "\n");
}

// ---- the event log

static enum pen_fate fate_of(enum pen_event_type type)
{
	switch (type) {
	case PEN_EVENT_DELIVERY:
		return PEN_FATE_DELIVERED;
	case PEN_EVENT_BOUNCE:
	case PEN_EVENT_ADMIN_BOUNCE:
		return PEN_FATE_BOUNCED;
	case PEN_EVENT_EXPIRATION:
		return PEN_FATE_EXPIRED;
	case PEN_EVENT_ADMIN_DELETE:
	case PEN_EVENT_SUPPRESSED:
		return PEN_FATE_DELETED;
	default:
		return PEN_FATE_QUEUED;
	}
}

static void take_commit(struct audit *a, struct pen_span list)
{
	struct pen_span item;

	while (pen_event_next(&list, &item)) {
		uint64_t id = pen_queue_id_parse(item);
		if (id != 0)
			book_committed(a->book, id);
	}
}

// False: the line says nothing that can be used.
static bool take_line(struct audit *a, struct pen_span text, uint64_t where)
{
	struct pen_event_line e;
	const char *why;

	if (!pen_event_read(text, &e, &why))
		return false;
	uint64_t id = e.id.n > 0 ? pen_queue_id_parse(e.id) : 0;
	switch (e.type) {
	case PEN_EVENT_OTHER:
		return true;
	case PEN_EVENT_START:
		book_start(a->book);
		return true;
	case PEN_EVENT_STOP:
		book_stop(a->book);
		return true;
	case PEN_EVENT_LOST:
		a->report.lost_records += e.records;
		return true;
	case PEN_EVENT_COMMIT:
		take_commit(a, e.list);
		return true;
	case PEN_EVENT_RECEPTION:
		if (id != 0)
			book_received(a->book, id, e.nrcpt, where);
		return id != 0;
	case PEN_EVENT_SUPPRESSED:
		if (id != 0 && e.has_index)
			book_fate(a->book, id, e.index, PEN_FATE_DELETED, where);
		return true;
	case PEN_EVENT_TRANSIENT:
		book_deferred(a->book, e.in_doubt);
		return true;
	default:
		if (id != 0 && e.has_index)
			book_fate(a->book, id, e.index, fate_of(e.type), where);
		return id != 0 && e.has_index;
	}
}

// From where it was read to before on to its end.
static void read_file(struct audit *a, unsigned k)
{
	struct audit_file *f = &a->file[k];
	char *line = NULL;
	size_t cap = 0;

	fseeko(f->f, (off_t)f->size, SEEK_SET);
	for (ssize_t n; (n = getline(&line, &cap, f->f)) > 0;) {
		bool whole = line[n - 1] == '\n';
		if (!whole && a->online && k + 1 == a->report.nfiles)
			break; // it is being written
		if (f->size >= f->mark)
			book_late(a->book);
		f->lines++;
		if (!take_line(a, pen_span(line, (size_t)n - whole), audit_where(k, f->size)))
			f->bad++;
		f->size += (uint64_t)n;
		if ((f->lines & 0x3fff) == 0)
			progress(a, "records", f->lines);
	}
	free(line);
}

// The time of the first record that has one.
static void look_at_begin(struct audit_file *f)
{
	struct pen_event_line e;
	const char *why;
	char *line = NULL;
	size_t cap = 0;

	for (ssize_t n; f->first == 0 && (n = getline(&line, &cap, f->f)) > 0;) {
		bool whole = line[n - 1] == '\n';
		if (pen_event_read(pen_span(line, (size_t)n - whole), &e, &why) &&
			e.timestamp > 0) {
			f->first = e.timestamp;
			f->begins_with_start = e.type == PEN_EVENT_START;
		}
	}
	free(line);
}

static bool add_file(struct audit *a, const char *name, bool must)
{
	struct audit_file *f = &a->file[a->report.nfiles];

	if (a->report.nfiles == FILES_MAX)
		return false;
	*f = (struct audit_file){.name = strdup(name), .f = fopen(name, "re"), .mark = UINT64_MAX};
	if (f->name == NULL || f->f == NULL) {
		if (must)
			fprintf(stderr, "penstock: audit: %s: %s\n", name, strerror(errno));
		free(f->name);
		return !must;
	}
	setvbuf(f->f, NULL, _IOFBF, 1 << 20);
	look_at_begin(f);
	a->report.nfiles++;
	return true;
}

static int by_time(const void *x, const void *y)
{
	const struct audit_file *a = x, *b = y;

	return a->first < b->first ? -1 : a->first > b->first;
}

static bool open_files(struct audit *a, json_t *names, const char *own)
{
	char rotated[4200];
	json_t *name;
	size_t i;

	json_array_foreach(names, i, name)
	{
		if (!add_file(a, json_string_value(name), true))
			return false;
	}
	if (json_array_size(names) == 0) {
		// What logrotate left and did not compress: FILE.1, FILE.2...
		for (unsigned n = 1; n < FILES_MAX; n++) {
			snprintf(rotated, sizeof(rotated), "%s.%u", own, n);
			if (access(rotated, R_OK) != 0)
				break;
			add_file(a, rotated, false);
		}
		if (!add_file(a, own, true))
			return false;
	}
	qsort(a->file, a->report.nfiles, sizeof(a->file[0]), by_time);
	const struct audit_file *first = &a->file[0];
	if (first->first > 0)
		book_begins(a->book,
			(uint64_t)(first->first + (first->begins_with_start ? 0 : SLACK_S)) *
				PEN_US_PER_S);
	return true;
}

// ---- a running daemon

static bool is_busy(json_t *m)
{
	return json_is_true(json_array_get(m, 2));
}

static void take_message(struct audit *a, json_t *m)
{
	const char *id_text = json_string_value(json_array_get(m, 0));
	const char *fates = json_string_value(json_array_get(m, 1));
	uint64_t id = id_text != NULL ? pen_queue_id_parse(pen_span_cstr(id_text)) : 0;

	for (uint32_t i = 0; id != 0 && fates != NULL && fates[i] != '\0'; i++) {
		char c = fates[i];
		enum pen_fate fate = c == 'd'   ? PEN_FATE_DELIVERED
				     : c == 'b' ? PEN_FATE_BOUNCED
				     : c == 'e' ? PEN_FATE_EXPIRED
				     : c == 'x' ? PEN_FATE_DELETED
						: PEN_FATE_QUEUED;
		book_spooled(a->book, id, i, fate, c == 'u', is_busy(m));
	}
}

static int read_queue(struct audit *a)
{
	char *cursor = strdup("");
	int status = EXIT_OK;
	uint64_t pages = 0;

	while (cursor != NULL && status == EXIT_OK) {
		json_t *result, *m;
		size_t i;
		status = client_ask(
			a->cli, "audit.page", json_pack("{s:s}", "cursor", cursor), &result);
		free(cursor);
		cursor = NULL;
		if (status != EXIT_OK)
			break;
		json_array_foreach(json_object_get(result, "messages"), i, m) take_message(a, m);
		const char *next = json_string_value(json_object_get(result, "next"));
		if (next != NULL)
			cursor = strdup(next);
		json_decref(result);
		progress(a, "pages of the queue", ++pages);
	}
	free(cursor);
	return status;
}

static int flush_log(struct audit *a, json_t **result)
{
	return client_ask(a->cli, "audit.flush", json_object(), result);
}

static void note_suspect(void *ctx, uint64_t id, uint32_t index)
{
	struct audit *a = ctx;

	if (a->nsuspects == SUSPECTS_MAX)
		return;
	a->suspect[a->nsuspects].id = id;
	a->suspect[a->nsuspects++].index = index;
}

// A message between the spool and the queue, or one that got its end meanwhile.
static int ask_again(struct audit *a)
{
	char id[PEN_QUEUE_ID_MAX];
	json_t *result;

	a->suspect = calloc(SUSPECTS_MAX, sizeof(*a->suspect));
	if (a->suspect == NULL)
		return EXIT_REFUSED;
	book_suspects(a->book, note_suspect, a);
	for (unsigned i = 0; i < a->nsuspects; i++) {
		pen_queue_id_format(a->suspect[i].id, id);
		int status =
			client_try(a->cli, "queue.show", json_pack("{s:s}", "id", id), &result);
		if (status == EXIT_UNREACHABLE)
			return status;
		if (status == EXIT_OK)
			book_spooled(a->book, a->suspect[i].id, a->suspect[i].index,
				PEN_FATE_QUEUED, false, true);
		json_decref(result);
	}
	int status = a->nsuspects > 0 ? flush_log(a, &result) : EXIT_OK;
	if (status == EXIT_OK && a->nsuspects > 0) {
		json_decref(result);
		read_file(a, a->report.nfiles - 1);
	}
	return status;
}

static void mark_file(struct audit *a, const char *own)
{
	struct audit_file *f = &a->file[a->report.nfiles - 1];
	struct stat st, live;

	if (fstat(fileno(f->f), &st) == 0 && stat(own, &live) == 0 && st.st_ino == live.st_ino)
		f->mark = (uint64_t)st.st_size;
}

static int run_online(struct audit *a, json_t *events)
{
	json_t *flushed;
	int status = flush_log(a, &flushed);

	if (status != EXIT_OK)
		return status;
	const char *own = json_string_value(json_object_get(flushed, "event_log_file"));
	if (own == NULL || !open_files(a, events, own)) {
		json_decref(flushed);
		return EXIT_REFUSED;
	}
	mark_file(a, own);
	json_decref(flushed);
	status = read_queue(a);
	if (status == EXIT_OK)
		status = flush_log(a, &flushed);
	if (status != EXIT_OK)
		return status;
	json_decref(flushed);
	for (unsigned k = 0; k < a->report.nfiles; k++)
		read_file(a, k);
	return ask_again(a);
}

// ---- without one

static int run_offline(struct audit *a, json_t *events, const char *spool)
{
	struct pen_params p;
	char error[512];
	int status = EXIT_OK;

	if (pen_tool_params(a->cli->directory, &p) != 0) {
		pen_params_fini(&p);
		return EXIT_REFUSED;
	}
	if (json_array_size(events) == 0 && *p.event_log_file == '\0') {
		fputs("penstock: audit: event_log_file is empty in main.cf: give --events FILE\n",
			stderr);
		status = EXIT_REFUSED;
	} else if (!open_files(a, events, p.event_log_file)) {
		status = EXIT_REFUSED;
	} else if (audit_spool_read(spool != NULL ? spool : p.queue_directory, a->book, error,
			   sizeof(error)) != 0) {
		fprintf(stderr, "penstock: audit: %s\n", error);
		status = EXIT_REFUSED;
	}
	pen_params_fini(&p);
	for (unsigned k = 0; status == EXIT_OK && k < a->report.nfiles; k++)
		read_file(a, k);
	return status;
}

static int finish(struct audit *a)
{
	struct book_totals totals;

	if (book_failed(a->book)) {
		fputs("penstock: audit: out of memory\n", stderr);
		return EXIT_REFUSED;
	}
	book_balance(a->book, !a->online, &totals);
	if (seconds() > a->next_progress - 1 && a->next_progress > 0 && isatty(STDERR_FILENO))
		fputc('\n', stderr);
	if (a->cli->json) {
		json_t *o = audit_json(&a->report, &totals);
		json_dumpf(o, stdout, JSON_COMPACT);
		putchar('\n');
		json_decref(o);
	} else {
		audit_show(stdout, &a->report, &totals);
	}
	return audit_balanced(&a->report, &totals) ? EXIT_OK : EXIT_REFUSED;
}

static int run(struct cli *cli, json_t *args)
{
	json_t *limit = json_object_get(args, "limit"), *events = json_object_get(args, "events");
	const char *spool = json_string_value(json_object_get(args, "spool"));
	struct audit *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return EXIT_REFUSED;
	a->cli = cli;
	a->report.file = a->file;
	a->report.limit = limit != NULL ? (unsigned)json_integer_value(limit) : 20;
	a->report.named = json_array();
	a->book = book_new(audit_note, &a->report);
	a->online = spool == NULL && !json_is_true(json_object_get(args, "offline"));
	int status = EXIT_REFUSED;
	if (a->book != NULL)
		status = a->online ? run_online(a, events) : run_offline(a, events, spool);
	if (status == EXIT_OK)
		status = finish(a);
	for (unsigned k = 0; k < a->report.nfiles; k++) {
		fclose(a->file[k].f);
		free(a->file[k].name);
	}
	json_decref(a->report.named);
	book_free(a->book);
	free(a->suspect);
	free(a);
	return status;
}

int verb_audit(struct cli *cli)
{
	static const struct opt own[] = {{"--offline", OPT_FLAG, "offline"},
		{"--spool", OPT_TEXT, "spool"}, {"--events", OPT_LIST, "events"},
		{"--limit", OPT_NUMBER, "limit"}, {NULL, OPT_FLAG, NULL}};
	static const struct opt *const tables[] = {own, NULL};
	json_t *args = json_object();
	int status = EXIT_USAGE;

	if (opts_parse(cli, "audit", tables, args)) {
		// --events a b c: the words behind are files, too.
		json_t *events = json_object_get(args, "events");
		for (int i = 0; i < cli->argc && events != NULL; i++)
			json_array_append_new(events, json_string(cli->argv[i]));
		status = cli->argc == 0 || events != NULL
				 ? run(cli, args)
				 : opts_usage("audit", "%s: takes no word", cli->argv[0]);
	}
	json_decref(args);
	return status;
}
