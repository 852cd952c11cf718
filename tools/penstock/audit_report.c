// SPDX-License-Identifier: BSD-3-Clause
#include "audit_report.h"

#include "penstock.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define OFFSET_BITS 48

uint64_t audit_where(unsigned file, uint64_t offset)
{
	return (uint64_t)(file + 1) << OFFSET_BITS | offset;
}

static const char *const fates[] = {[PEN_FATE_QUEUED] = "queued",
	[PEN_FATE_DELIVERED] = "delivered",
	[PEN_FATE_BOUNCED] = "bounced",
	[PEN_FATE_EXPIRED] = "expired",
	[PEN_FATE_DELETED] = "deleted"};

// The record itself, read again.
static json_t *record_at(struct audit_report *r, uint64_t where)
{
	unsigned file = (unsigned)(where >> OFFSET_BITS) - 1;
	uint64_t offset = where & ((1ull << OFFSET_BITS) - 1);
	char *line = NULL;
	size_t cap = 0;
	json_t *o = NULL;

	if (where == 0 || file >= r->nfiles)
		return NULL;
	FILE *f = r->file[file].f;
	off_t was = ftello(f);
	if (fseeko(f, (off_t)offset, SEEK_SET) == 0) {
		ssize_t n = getline(&line, &cap, f);
		if (n > 0)
			o = json_loadb(line, (size_t)n, 0, NULL);
	}
	fseeko(f, was, SEEK_SET);
	free(line);
	return o;
}

// Of a record, what tells one session from another.
static json_t *detail(struct audit_report *r, uint64_t where)
{
	static const char *const keys[] = {"type", "timestamp", "recipient", "peer_address",
		"source_address", "egress_source", "response", "by", "num_attempts"};
	json_t *o = record_at(r, where), *out = json_object();
	unsigned file = (unsigned)(where >> OFFSET_BITS) - 1;

	if (file < r->nfiles)
		json_object_set_new(out, "file", json_string(r->file[file].name));
	for (size_t i = 0; o != NULL && i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_t *v = json_object_get(o, keys[i]);
		if (v != NULL && !json_is_array(v))
			json_object_set(out, keys[i], v);
	}
	json_decref(o);
	return out;
}

void audit_note(void *ctx, enum book_fault fault, uint64_t id, uint32_t index, enum pen_fate fate,
	enum pen_fate earlier_fate, uint64_t where, uint64_t earlier)
{
	struct audit_report *r = ctx;
	char text[PEN_QUEUE_ID_MAX];

	if (r->told[fault]++ >= r->limit)
		return;
	pen_queue_id_format(id, text);
	json_t *o = json_pack("{s:s,s:s,s:I,s:s,s:s}", "fault", book_fault_word(fault), "id", text,
		"recipient_index", (json_int_t)index, "fate", fates[fate], "recorded_fate",
		fates[earlier_fate]);
	if (earlier != 0)
		json_object_set_new(o, "record", detail(r, earlier));
	if (where != 0)
		json_object_set_new(o, "second_record", detail(r, where));
	json_array_append_new(r->named, o);
}

static uint64_t ends(const struct book_totals *t)
{
	return t->queued + t->in_doubt + t->delivered + t->bounced + t->expired + t->deleted;
}

bool audit_balanced(const struct audit_report *r, const struct book_totals *t)
{
	for (unsigned i = 0; i < BOOK_FAULTS; i++) {
		if (i != BOOK_REPEATED && t->fault[i] > 0)
			return false;
	}
	return t->accepted == ends(t) && r->lost_records == 0;
}

static const char *text_of(json_t *o, const char *a, const char *b)
{
	json_t *v = json_object_get(o, a);
	const char *s = json_string_value(b != NULL ? json_object_get(v, b) : v);

	return s != NULL ? s : "";
}

static void show_record(FILE *out, json_t *o)
{
	time_t t = (time_t)json_integer_value(json_object_get(o, "timestamp"));
	char stamp[40];
	struct tm tm;

	if (json_object_get(o, "type") == NULL)
		return;
	localtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(out, "    %s %s", stamp, text_of(o, "type", NULL));
	if (*text_of(o, "recipient", NULL) != '\0') {
		fputs(" to=<", out);
		put_safe(out, text_of(o, "recipient", NULL));
		fputc('>', out);
	}
	if (*text_of(o, "peer_address", "name") != '\0') {
		fputs(" relay=", out);
		put_safe(out, text_of(o, "peer_address", "name"));
		fprintf(out, "[%s]", text_of(o, "peer_address", "addr"));
	}
	if (*text_of(o, "source_address", "address") != '\0')
		fprintf(out, " from %s", text_of(o, "source_address", "address"));
	if (*text_of(o, "by", NULL) != '\0')
		fprintf(out, " by %s", text_of(o, "by", NULL));
	if (*text_of(o, "response", "content") != '\0') {
		fputs(" (", out);
		put_safe(out, text_of(o, "response", "content"));
		fputc(')', out);
	}
	fputc('\n', out);
}

static const char *sentence(const char *fault)
{
	static const struct {
		const char *fault, *text;
	} all[] = {{"lost", "LOST: accepted, without a fate, and not in the spool"},
		{"duplicate", "DUPLICATE: delivered twice"}, {"two fates", "has two fates"},
		{"no reception", "was never accepted by the records"},
		{"still queued", "has its fate, and is still queued in the spool"},
		{"no record", "is finished in the spool, and no record says so"},
		{"repeated after a crash", "was repeated after a crash"}};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		if (strcmp(all[i].fault, fault) == 0)
			return all[i].text;
	}
	return fault;
}

static void show_named(FILE *out, json_t *o)
{
	fprintf(out, "%s recipient %lld: %s (%s", text_of(o, "id", NULL),
		(long long)json_integer_value(json_object_get(o, "recipient_index")),
		sentence(text_of(o, "fault", NULL)), text_of(o, "recorded_fate", NULL));
	if (strcmp(text_of(o, "fate", NULL), text_of(o, "recorded_fate", NULL)) != 0)
		fprintf(out, ", then %s", text_of(o, "fate", NULL));
	fputs(")\n", out);
	show_record(out, json_object_get(o, "record"));
	show_record(out, json_object_get(o, "second_record"));
}

static void line(FILE *out, const char *sign, const char *name, uint64_t n)
{
	fprintf(out, "%s %-12s %12llu\n", sign, name, (unsigned long long)n);
}

void audit_show(FILE *out, const struct audit_report *r, const struct book_totals *t)
{
	json_t *o;
	size_t i;

	json_array_foreach(r->named, i, o) show_named(out, o);
	if (json_array_size(r->named) > 0)
		fputc('\n', out);
	line(out, " ", "accepted", t->accepted);
	line(out, "=", "queued", t->queued);
	line(out, "+", "in doubt", t->in_doubt);
	line(out, "+", "delivered", t->delivered);
	line(out, "+", "bounced", t->bounced);
	line(out, "+", "expired", t->expired);
	line(out, "+", "deleted", t->deleted);
	for (unsigned k = 0; k < BOOK_FAULTS; k++) {
		if (t->fault[k] > 0)
			fprintf(out, "%s %s: %llu\n", k == BOOK_REPEATED ? " " : "!",
				book_fault_word((enum book_fault)k),
				(unsigned long long)t->fault[k]);
	}
	if (t->before_log > 0)
		fprintf(out, "  %llu of them were accepted before the event log begins\n",
			(unsigned long long)t->before_log);
	if (t->unconfirmed > 0)
		fprintf(out,
			"  %llu recipients were received and never confirmed to their clients\n",
			(unsigned long long)t->unconfirmed);
	if (t->crashes > 0)
		fprintf(out, "  the daemon crashed %llu times\n", (unsigned long long)t->crashes);
	if (r->lost_records > 0)
		fprintf(out, "! %llu event records were lost\n",
			(unsigned long long)r->lost_records);
	for (unsigned k = 0; k < r->nfiles; k++) {
		if (r->file[k].bad > 0)
			fprintf(out, "  %s: %llu of %llu lines cannot be read\n", r->file[k].name,
				(unsigned long long)r->file[k].bad,
				(unsigned long long)r->file[k].lines);
	}
	fputs(audit_balanced(r, t) ? "balanced\n" : "NOT BALANCED\n", out);
}

json_t *audit_json(const struct audit_report *r, const struct book_totals *t)
{
	json_t *faults = json_object(), *files = json_array();

	for (unsigned k = 0; k < BOOK_FAULTS; k++)
		json_object_set_new(faults, book_fault_word((enum book_fault)k),
			json_integer((json_int_t)t->fault[k]));
	for (unsigned k = 0; k < r->nfiles; k++)
		json_array_append_new(files, json_pack("{s:s,s:I,s:I}", "name", r->file[k].name,
						     "lines", (json_int_t)r->file[k].lines,
						     "unreadable", (json_int_t)r->file[k].bad));
	return json_pack(
		"{s:b,s:{s:I,s:I,s:I,s:I,s:I,s:I,s:I},s:o,s:O,s:I,s:I,s:I,s:I,s:I,s:I,s:o}",
		"balanced", audit_balanced(r, t), "totals", "accepted", (json_int_t)t->accepted,
		"queued", (json_int_t)t->queued, "in_doubt", (json_int_t)t->in_doubt, "delivered",
		(json_int_t)t->delivered, "bounced", (json_int_t)t->bounced, "expired",
		(json_int_t)t->expired, "deleted", (json_int_t)t->deleted, "faults", faults,
		"records", r->named, "before_log", (json_int_t)t->before_log, "unconfirmed",
		(json_int_t)t->unconfirmed, "crashes", (json_int_t)t->crashes, "deferrals",
		(json_int_t)t->deferrals, "doubtful_attempts", (json_int_t)t->doubts,
		"lost_records", (json_int_t)r->lost_records, "files", files);
}
