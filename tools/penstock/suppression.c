// SPDX-License-Identifier: BSD-3-Clause

// penstock suppression: the list of addresses and domains that get no mail.

#include "penstock.h"

#include "pen_buf.h"
#include "suppression_csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PAGE 1000
#define IMPORT_ENTRIES 400
#define IMPORT_BYTES 48000 // of a request's 64 KiB
#define PROGRESS_US (2 * PEN_US_PER_S)
#define FAULTS_SHOWN 20

struct options {
	const char *tenant, *reason, *source, *format;
	const char *word; // the address or the file
	bool has_tenant, skip_bad;
};

static int usage(const char *what, const char *arg)
{
	fprintf(stderr, "penstock: suppression: %s%s\nTry --help.\n", what, arg);
	return EXIT_USAGE;
}

static bool take_option(struct cli *cli, int *i, const char *name, const char **to)
{
	if (strcmp(cli->argv[*i], name) != 0 || *i + 1 >= cli->argc)
		return false;
	*to = cli->argv[++*i];
	return true;
}

static int parse(struct cli *cli, struct options *o, bool word_needed)
{
	*o = (struct options){0};
	for (int i = 0; i < cli->argc; i++) {
		if (take_option(cli, &i, "--tenant", &o->tenant))
			o->has_tenant = true;
		else if (strcmp(cli->argv[i], "--skip-bad") == 0)
			o->skip_bad = true;
		else if (!take_option(cli, &i, "--reason", &o->reason) &&
			 !take_option(cli, &i, "--source", &o->source) &&
			 !take_option(cli, &i, "--format", &o->format)) {
			if ((cli->argv[i][0] == '-' && cli->argv[i][1] != '\0') || o->word != NULL)
				return usage("unexpected ", cli->argv[i]);
			o->word = cli->argv[i];
		}
	}
	if (o->format != NULL && strcmp(o->format, "csv") != 0 && strcmp(o->format, "json") != 0)
		return usage("--format takes csv or json, not ", o->format);
	if (word_needed && o->word == NULL)
		return usage("an address is missing", "");
	return EXIT_OK;
}

static void set_text(json_t *o, const char *key, const char *value)
{
	json_t *text = value != NULL ? json_string(value) : NULL;

	if (value != NULL)
		json_object_set_new(o, key, text != NULL ? text : json_string("?"));
}

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static void format_time(json_t *entry, char out[32])
{
	time_t t = (time_t)json_integer_value(json_object_get(entry, "since"));
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
}

static void show_entry(FILE *out, json_t *e)
{
	char since[32];

	format_time(e, since);
	put_safe(out, text_of(e, "address"));
	fprintf(out, "  %s since %s", text_of(e, "source"), since);
	if (text_of(e, "tenant")[0] != '\0')
		fprintf(out, "  tenant %s", text_of(e, "tenant"));
	if (text_of(e, "reason")[0] != '\0') {
		fputs("  ", out);
		put_safe(out, text_of(e, "reason"));
	}
	fputc('\n', out);
}

// A verb about one address. `more` adds what only this verb tells; NULL: nothing.
static int ask_about(struct cli *cli, const char *verb, void (*show)(FILE *out, json_t *result),
	void (*more)(json_t *args, const struct options *o))
{
	struct options o;
	int status = parse(cli, &o, true);

	if (status != EXIT_OK)
		return status;
	json_t *args = json_object();
	set_text(args, "address", o.word);
	set_text(args, "tenant", o.tenant);
	if (more != NULL)
		more(args, &o);
	return ask_and_show(cli, verb, args, show);
}

static void set_why(json_t *args, const struct options *o)
{
	set_text(args, "reason", o->reason);
	set_text(args, "source", o->source);
}

static void show_added(FILE *out, json_t *result)
{
	show_entry(out, json_object_get(result, "entry"));
}

int verb_suppression_add(struct cli *cli)
{
	return ask_about(cli, "suppression.add", show_added, set_why);
}

static void show_removed(FILE *out, json_t *result)
{
	put_safe(out, text_of(result, "removed"));
	fputs(" was removed\n", out);
}

int verb_suppression_remove(struct cli *cli)
{
	return ask_about(cli, "suppression.remove", show_removed, NULL);
}

static void show_check(FILE *out, json_t *result)
{
	if (json_is_true(json_object_get(result, "suppressed")))
		show_entry(out, json_object_get(result, "entry"));
	else
		fputs("not suppressed\n", out);
}

int verb_suppression_check(struct cli *cli)
{
	return ask_about(cli, "suppression.check", show_check, NULL);
}

// ---- list and export

static void put_json_line(FILE *out, json_t *e)
{
	json_dumpf(e, out, JSON_COMPACT);
	fputc('\n', out);
}

static void put_csv_line(FILE *out, json_t *e)
{
	struct pen_buf b = PEN_BUF_INIT;
	char since[32];

	format_time(e, since);
	suppression_csv_put(&b, pen_span_cstr(text_of(e, "address")), false);
	suppression_csv_put(&b, pen_span_cstr(text_of(e, "reason")), false);
	suppression_csv_put(&b, pen_span_cstr(text_of(e, "source")), false);
	suppression_csv_put(&b, pen_span_cstr(since), false);
	suppression_csv_put(&b, pen_span_cstr(text_of(e, "tenant")), true);
	fwrite(b.p, 1, b.n, out);
	pen_buf_fini(&b);
}

static int each_entry(
	struct cli *cli, const struct options *o, FILE *out, void (*put)(FILE *out, json_t *e))
{
	char *cursor = strdup("");
	int status = EXIT_OK;
	json_t *result, *e;
	size_t i;

	while (cursor != NULL && status == EXIT_OK) {
		json_t *args = json_pack("{s:i, s:s}", "limit", PAGE, "cursor", cursor);
		free(cursor);
		cursor = NULL;
		if (o->has_tenant)
			set_text(args, "tenant", o->tenant);
		status = client_ask(cli, "suppression.list", args, &result);
		if (status != EXIT_OK)
			break;
		json_array_foreach(json_object_get(result, "entries"), i, e) put(out, e);
		const char *next = json_string_value(json_object_get(result, "next"));
		cursor = next != NULL ? strdup(next) : NULL;
		json_decref(result);
	}
	free(cursor);
	return status;
}

int verb_suppression_list(struct cli *cli)
{
	struct options o;
	int status = parse(cli, &o, false);

	if (status == EXIT_OK && o.word != NULL)
		status = usage("list takes no ", "address");
	return status != EXIT_OK
		       ? status
		       : each_entry(cli, &o, stdout, cli->json ? put_json_line : show_entry);
}

static bool is_json(const struct cli *cli, const struct options *o)
{
	size_t n = o->word != NULL ? strlen(o->word) : 0;

	if (o->format != NULL)
		return strcmp(o->format, "json") == 0;
	return cli->json || (n > 5 && strcmp(o->word + n - 5, ".json") == 0) ||
	       (n > 6 && strcmp(o->word + n - 6, ".jsonl") == 0);
}

int verb_suppression_export(struct cli *cli)
{
	struct options o;
	int status = parse(cli, &o, false);

	if (status != EXIT_OK)
		return status;
	bool to_file = o.word != NULL && strcmp(o.word, "-") != 0;
	FILE *out = to_file ? fopen(o.word, "w") : stdout;
	if (out == NULL) {
		fprintf(stderr, "penstock: %s: %s\n", o.word, strerror(errno));
		return EXIT_REFUSED;
	}
	bool json = is_json(cli, &o);
	if (!json)
		fputs("address,reason,source,since,tenant\n", out);
	status = each_entry(cli, &o, out, json ? put_json_line : put_csv_line);
	bool written = !ferror(out) && fflush(out) == 0;
	if (to_file)
		written = fclose(out) == 0 && written;
	if (!written) {
		fprintf(stderr, "penstock: %s: %s\n", to_file ? o.word : "standard output",
			strerror(errno));
		status = EXIT_REFUSED;
	}
	return status;
}

// ---- import

struct import {
	struct cli *cli;
	const struct options *o;
	const char *file;
	struct suppression_csv csv;
	bool json;
	json_t *entries; // that were not sent yet
	size_t bytes;
	uint64_t line, sent, added, replaced, bad;
	pen_time_us begun, told;
};

static void tell_progress(struct import *im, bool end)
{
	pen_time_us now = pen_clock_mono();

	if (im->cli->json || (!end && now - im->told < PROGRESS_US))
		return;
	im->told = now;
	double s = (double)(now - im->begun) / 1e6;
	fprintf(stderr, "%s: %llu entries in %.1f s (%.0f/s), %llu new, %llu replaced, %llu bad\n",
		im->file, (unsigned long long)im->sent, s, s > 0 ? (double)im->sent / s : 0.0,
		(unsigned long long)im->added, (unsigned long long)im->replaced,
		(unsigned long long)im->bad);
}

static int send_entries(struct import *im, bool commit)
{
	size_t n = json_array_size(im->entries);
	json_t *result;

	if (n == 0 && !commit)
		return EXIT_OK;
	json_t *args = json_pack("{s:o, s:b}", "entries", im->entries, "commit", commit);
	im->entries = json_array();
	im->bytes = 0;
	int status = client_ask(im->cli, "suppression.import", args, &result);
	if (status != EXIT_OK)
		return status;
	im->sent += n;
	im->added += (uint64_t)json_integer_value(json_object_get(result, "added"));
	im->replaced += (uint64_t)json_integer_value(json_object_get(result, "replaced"));
	json_decref(result);
	tell_progress(im, false);
	return EXIT_OK;
}

static bool bad_line(struct import *im, const char *why)
{
	if (im->bad++ < FAULTS_SHOWN)
		fprintf(stderr, "penstock: %s:%llu: %s\n", im->file, (unsigned long long)im->line,
			why);
	return im->o->skip_bad;
}

// The daemon checks again; here it is known which line it was.
static const char *check_entry(json_t *e)
{
	const char *address = json_string_value(json_object_get(e, "address"));

	if (address == NULL || *address == '\0')
		return "there is no address";
	if (address[0] != '.' && strchr(address, '@') == NULL)
		return "accepted is user@domain, @domain or .domain";
	if (strlen(address) > 380)
		return "the address is too long";
	const char *source = json_string_value(json_object_get(e, "source"));
	if (source != NULL && strcasecmp(source, "bounce") != 0 &&
		strcasecmp(source, "complaint") != 0 && strcasecmp(source, "operator") != 0 &&
		strcasecmp(source, "import") != 0)
		return "source: accepted is operator, bounce, complaint or import";
	return NULL;
}

static void set_span(json_t *o, const char *key, struct pen_span s)
{
	json_t *text = s.n > 0 ? json_stringn((const char *)s.p, s.n) : NULL;

	if (text != NULL)
		json_object_set_new(o, key, text);
}

// NULL: nothing in this line, or *why.
static json_t *read_csv(struct import *im, struct pen_span line, const char **why)
{
	struct suppression_record rec;

	if (suppression_csv_line(&im->csv, line, &rec, why) != SUPPRESSION_CSV_RECORD)
		return NULL;
	json_t *e = json_object();
	set_span(e, "address", rec.address);
	set_span(e, "reason", rec.reason);
	set_span(e, "source", rec.source);
	set_span(e, "tenant", rec.tenant);
	if (rec.since != 0)
		json_object_set_new(e, "since", json_integer(rec.since / PEN_US_PER_S));
	return e;
}

static json_t *read_json(struct pen_span line, const char **why)
{
	json_t *e;

	line = pen_span_trim(line);
	if (line.n == 0)
		return NULL;
	e = json_loadb((const char *)line.p, line.n, 0, NULL);
	if (json_is_object(e))
		return e;
	json_decref(e);
	*why = "accepted is one JSON object in each line";
	return NULL;
}

static int take_line(struct import *im, struct pen_span line)
{
	const char *why = NULL;

	im->line++;
	json_t *e = im->json ? read_json(line, &why) : read_csv(im, line, &why);
	if (e != NULL)
		why = check_entry(e);
	if (why != NULL) {
		json_decref(e);
		return bad_line(im, why) ? EXIT_OK : EXIT_REFUSED;
	}
	if (e == NULL)
		return EXIT_OK;
	// Columns go before options, which are for files without them.
	if (im->o->tenant != NULL && json_object_get(e, "tenant") == NULL)
		set_text(e, "tenant", im->o->tenant);
	if (im->o->reason != NULL && json_object_get(e, "reason") == NULL)
		set_text(e, "reason", im->o->reason);
	if (im->o->source != NULL && json_object_get(e, "source") == NULL)
		set_text(e, "source", im->o->source);
	json_array_append_new(im->entries, e);
	im->bytes += line.n + 120;
	if (json_array_size(im->entries) < IMPORT_ENTRIES && im->bytes < IMPORT_BYTES)
		return EXIT_OK;
	return send_entries(im, false);
}

static int import_lines(struct import *im, FILE *in)
{
	int status = EXIT_OK;
	char *line = NULL;
	size_t cap = 0;
	ssize_t n;

	while (status == EXIT_OK && (n = getline(&line, &cap, in)) >= 0)
		status = take_line(im, pen_span(line, (size_t)n));
	free(line);
	// What came before a fault stays, and is said.
	int last = send_entries(im, true);
	return status != EXIT_OK ? status : last;
}

static int import_file(struct import *im)
{
	bool from_file = strcmp(im->file, "-") != 0;
	FILE *in = from_file ? fopen(im->file, "r") : stdin;

	if (in == NULL) {
		fprintf(stderr, "penstock: %s: %s\n", im->file, strerror(errno));
		return EXIT_REFUSED;
	}
	suppression_csv_init(&im->csv);
	im->entries = json_array();
	im->begun = im->told = pen_clock_mono();
	int status = import_lines(im, in);
	json_decref(im->entries);
	if (from_file)
		fclose(in);
	return status;
}

int verb_suppression_import(struct cli *cli)
{
	static struct import im;
	struct options o;
	int status = parse(cli, &o, false);

	if (status != EXIT_OK)
		return status;
	if (o.word == NULL)
		return usage("import wants a file, or - for standard input", "");
	im = (struct import){.cli = cli, .o = &o, .file = o.word, .json = is_json(cli, &o)};
	// --json is about what is printed; a file says by its name what it is.
	if (o.format == NULL && cli->json) {
		size_t n = strlen(o.word);
		im.json = (n > 5 && strcmp(o.word + n - 5, ".json") == 0) ||
			  (n > 6 && strcmp(o.word + n - 6, ".jsonl") == 0);
	}
	status = import_file(&im);
	tell_progress(&im, true);
	if (cli->json) {
		json_t *all = json_pack("{s:I, s:I, s:I, s:I}", "entries", (json_int_t)im.sent,
			"added", (json_int_t)im.added, "replaced", (json_int_t)im.replaced, "bad",
			(json_int_t)im.bad);
		put_json_line(stdout, all);
		json_decref(all);
	}
	return status == EXIT_OK && im.bad > 0 ? EXIT_REFUSED : status;
}
