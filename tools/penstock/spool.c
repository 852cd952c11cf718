// SPDX-License-Identifier: BSD-3-Clause

// spool check: verifies the spool by itself; needs no daemon.

#include "penstock.h"

#include "pen_config.h"
#include "pen_spool_check.h"
#include "pen_time.h"

#include <stdlib.h>
#include <unistd.h>

#define PROGRESS_AFTER (2 * PEN_US_PER_S)
#define PROGRESS_EVERY (PEN_US_PER_S / 5)
#define FAULTS_LISTED 1000 // in JSON; all are counted

struct checking {
	bool json, shown;
	json_t *list;
	pen_time_us start, next;
};

static void clear_progress(struct checking *c)
{
	if (c->shown)
		fprintf(stderr, "\r%*s\r", 60, "");
	c->shown = false;
}

static void on_fault(void *ctx, const struct pen_spool_fault *f)
{
	struct checking *c = ctx;
	char id[PEN_QUEUE_ID_MAX] = "";

	if (f->id != 0)
		pen_queue_id_format(f->id, id);
	if (!c->json) {
		clear_progress(c);
		printf("%s: offset %llu, %llu bytes%s%s: %s\n", f->file,
			(unsigned long long)f->offset, (unsigned long long)f->length,
			f->id != 0 ? ", message " : "", id, f->what);
		return;
	}
	if (json_array_size(c->list) >= FAULTS_LISTED)
		return;
	json_t *one = json_pack("{s:s,s:I,s:I,s:s}", "file", f->file, "offset",
		(json_int_t)f->offset, "length", (json_int_t)f->length, "what", f->what);
	if (f->id != 0)
		json_object_set_new(one, "queue_id", json_string(id));
	json_array_append_new(c->list, one);
}

static void on_progress(void *ctx, uint64_t done, uint64_t total)
{
	struct checking *c = ctx;
	pen_time_us now = pen_clock_mono();

	if (now < c->next || total == 0)
		return;
	c->next = now + PROGRESS_EVERY;
	c->shown = true;
	fprintf(stderr, "\r%llu of %llu MB, %llu%%", (unsigned long long)(done >> 20),
		(unsigned long long)(total >> 20), (unsigned long long)(100 * done / total));
	fflush(stderr);
}

static const char *const fate_names[] = {"queued", "delivered", "bounced", "expired", "deleted"};

static json_t *fates_json(const uint64_t fates[PEN_FATE_DELETED + 1], uint64_t in_doubt)
{
	json_t *o = json_object();

	for (int i = 0; i <= PEN_FATE_DELETED; i++)
		json_object_set_new(o, fate_names[i], json_integer((json_int_t)fates[i]));
	json_object_set_new(o, "in_doubt", json_integer((json_int_t)in_doubt));
	return o;
}

static void show_json(const struct checking *c, const char *dir, const struct pen_spool_check *r)
{
	const struct pen_spool_totals *t = &r->totals;
	json_t *all = json_pack("{s:b,s:s,s:b,s:I,s:I,s:O}", "ok", r->faults == 0, "directory", dir,
		"online", r->online, "faults", (json_int_t)r->faults, "unfinished",
		(json_int_t)r->torn, "problems", c->list);

	json_object_update_new(
		all, json_pack("{s:i,s:i,s:i,s:i,s:I,s:I,s:I,s:I}", "segments", (int)r->segments,
			     "verified", (int)r->checked, "unused", (int)r->fresh, "skipped",
			     (int)r->skipped, "bytes", (json_int_t)r->bytes, "batches",
			     (json_int_t)r->batches, "records", (json_int_t)r->records, "footers",
			     (json_int_t)r->footers));
	json_object_set_new(all, "messages",
		json_pack("{s:I,s:I,s:I}", "live", (json_int_t)t->live, "ended",
			(json_int_t)t->ended, "taken_back", (json_int_t)t->taken_back));
	json_object_set_new(all, "recipients", fates_json(t->recipients, t->in_doubt));
	json_dumpf(all, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(all);
}

static void show_text(const char *dir, const struct pen_spool_check *r)
{
	const struct pen_spool_totals *t = &r->totals;

	if (r->online)
		printf("%s is in use by a running daemon: only what is closed was verified\n", dir);
	printf("%s: %s, %llu faults\n", dir, r->faults == 0 ? "good" : "damaged",
		(unsigned long long)r->faults);
	printf("segments     %u: %u verified, %u unused, %u skipped; %llu MB\n", r->segments,
		r->checked, r->fresh, r->skipped, (unsigned long long)(r->bytes >> 20));
	printf("records      %llu in %llu batches, %llu footers, %llu unfinished ends\n",
		(unsigned long long)r->records, (unsigned long long)r->batches,
		(unsigned long long)r->footers, (unsigned long long)r->torn);
	printf("messages     %llu live, %llu ended\n", (unsigned long long)t->live,
		(unsigned long long)t->ended);
	printf("recipients  ");
	for (int i = 0; i <= PEN_FATE_DELETED; i++)
		printf(" %llu %s%s", (unsigned long long)t->recipients[i], fate_names[i],
			i < PEN_FATE_DELETED ? "," : "");
	printf("; %llu in doubt\n", (unsigned long long)t->in_doubt);
}

// queue_directory of main.cf, to be freed; NULL after a message.
static char *configured(const struct cli *cli)
{
	struct pen_report r = {.fn = NULL};
	struct pen_config *c = pen_config_load(cli->directory, &r);
	char *dir = c != NULL ? strdup(c->params.queue_directory) : NULL;

	pen_config_free(c);
	if (dir == NULL)
		fprintf(stderr,
			"penstock: %s/main.cf cannot be read: name the spool's folder instead\n",
			cli->directory);
	return dir;
}

int verb_spool_check(struct cli *cli)
{
	struct checking c = {.json = cli->json, .start = pen_clock_mono()};
	struct pen_spool_check_config cfg = {.ctx = &c, .on_fault = on_fault};
	struct pen_spool_check out;
	char error[512];

	if (cli->argc > 1) {
		fprintf(stderr, "penstock: spool check takes at most one folder\nTry --help.\n");
		return EXIT_USAGE;
	}
	char *dir = cli->argc == 1 ? strdup(cli->argv[0]) : configured(cli);
	if (dir == NULL)
		return EXIT_REFUSED;
	cfg.directory = dir;
	c.next = c.start + PROGRESS_AFTER;
	if (isatty(STDERR_FILENO))
		cfg.on_progress = on_progress;
	c.list = json_array();
	int err = pen_spool_check(&cfg, &out, error, sizeof(error));
	clear_progress(&c);
	if (err != 0)
		fprintf(stderr, "penstock: %s\n", error);
	else if (cli->json)
		show_json(&c, dir, &out);
	else
		show_text(dir, &out);
	json_decref(c.list);
	free(dir);
	return err == 0 && out.faults == 0 ? EXIT_OK : EXIT_REFUSED;
}
