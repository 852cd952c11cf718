// SPDX-License-Identifier: BSD-3-Clause
#include "penstock.h"

#include <time.h>

static const char *text_of(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s != NULL ? s : "";
}

static long long number_of(json_t *o, const char *key)
{
	return (long long)json_number_value(json_object_get(o, key));
}

// Bytes from the network end up on a terminal.
void put_safe(FILE *out, const char *s)
{
	for (; *s != '\0'; s++)
		fputc((unsigned char)*s >= ' ' && *s != 0x7f ? *s : '?', out);
}

static void put_scalar(FILE *out, json_t *v)
{
	if (json_is_string(v))
		put_safe(out, json_string_value(v));
	else if (json_is_integer(v))
		fprintf(out, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		fprintf(out, "%.2f", json_real_value(v));
	else
		fputs(json_is_true(v) ? "yes" : "no", out);
}

static void put_group(FILE *out, const char *name, json_t *group)
{
	const char *key;
	json_t *v;

	fprintf(out, "%-12s", name);
	json_object_foreach(group, key, v)
	{
		if (json_is_object(v) || json_is_array(v))
			continue;
		fprintf(out, " %s ", key);
		put_scalar(out, v);
	}
	fputc('\n', out);
}

static void put_uptime(FILE *out, long long s)
{
	if (s >= 86400)
		fprintf(out, "%lldd ", s / 86400);
	fprintf(out, "%02lld:%02lld:%02lld", s / 3600 % 24, s / 60 % 60, s % 60);
}

void show_status(FILE *out, json_t *r)
{
	const char *key;
	json_t *v, *item;
	size_t i;
	char name[64];

	fputs("penstockd ", out);
	put_safe(out, text_of(r, "version"));
	fputs(", up ", out);
	put_uptime(out, number_of(r, "uptime"));
	fputs(json_is_false(json_object_get(r, "accepting")) ? ", REFUSES NEW MAIL\n" : "\n", out);
	json_array_foreach(json_object_get(r, "attention"), i, item)
	{
		fputs("! ", out);
		put_safe(out, json_string_value(item));
		fputc('\n', out);
	}
	json_object_foreach(r, key, v)
	{
		if (json_is_object(v) && json_object_size(v) > 0)
			put_group(out, key, v);
		if (!json_is_array(v))
			continue;
		json_array_foreach(v, i, item)
		{
			snprintf(name, sizeof(name), "%.20s %zu", key, i);
			if (json_is_object(item))
				put_group(out, name, item);
		}
	}
}

void show_counters(FILE *out, json_t *r)
{
	const char *group, *name;
	json_t *g, *v;

	json_object_foreach(r, group, g)
	{
		json_object_foreach(g, name, v) fprintf(
			out, "%-14s %-28s %lld\n", group, name, (long long)json_integer_value(v));
	}
}

void show_queue_header(FILE *out)
{
	fputs("----Queue ID----- --Size-- ---Arrival Time---- --Sender/Recipient------\n", out);
}

static void put_recipients(FILE *out, json_t *list)
{
	json_t *r;
	size_t i;

	// A reason stands before all recipients that share it.
	const char *last = NULL;
	json_array_foreach(list, i, r)
	{
		const char *reason = json_string_value(json_object_get(r, "delay_reason"));
		if (reason != NULL && (last == NULL || strcmp(reason, last) != 0)) {
			int pad = 76 - (int)strlen(reason);
			fprintf(out, "%*s(", pad > 0 ? pad : 0, "");
			put_safe(out, reason);
			fputs(")\n", out);
		}
		last = reason;
		fprintf(out, "%47s", "");
		put_safe(out, text_of(r, "address"));
		fputc('\n', out);
	}
}

void show_queue_entry(FILE *out, json_t *e)
{
	const char *queue = text_of(e, "queue_name");
	bool expired = json_is_true(json_object_get(e, "forced_expire"));
	char mark = strcmp(queue, "active") == 0 ? '*'
		    : strcmp(queue, "hold") == 0 ? '!'
		    : expired                    ? '#'
						 : ' ';
	time_t t = (time_t)number_of(e, "arrival_time");
	char id[64], stamp[40];
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(stamp, sizeof(stamp), "%a %b %e %H:%M:%S", &tm);
	snprintf(id, sizeof(id), "%.40s%c", text_of(e, "queue_id"), mark);
	fprintf(out, "%-17s %8lld %19.19s ", id, number_of(e, "message_size"), stamp);
	const char *sender = text_of(e, "sender");
	put_safe(out, *sender != '\0' ? sender : "MAILER-DAEMON");
	fputc('\n', out);
	put_recipients(out, json_object_get(e, "recipients"));
	fputc('\n', out);
}

void show_queue_footer(FILE *out, uint64_t messages, uint64_t bytes)
{
	if (messages == 0) {
		fputs("Mail queue is empty\n", out);
		return;
	}
	fprintf(out, "-- %llu Kbytes in %llu Request%s.\n", (unsigned long long)(bytes / 1024),
		(unsigned long long)messages, messages == 1 ? "" : "s");
}

void show_message(FILE *out, json_t *m)
{
	const char *key;
	json_t *v, *r;
	size_t i;

	json_object_foreach(m, key, v)
	{
		if (json_is_object(v) || json_is_array(v))
			continue;
		fprintf(out, "%-16s ", key);
		put_scalar(out, v);
		fputc('\n', out);
	}
	json_array_foreach(json_object_get(m, "recipients"), i, r)
	{
		fputs("recipient        ", out);
		put_safe(out, text_of(r, "address"));
		json_object_foreach(r, key, v)
		{
			if (strcmp(key, "address") == 0)
				continue;
			fprintf(out, "\n    %-12s ", key);
			put_scalar(out, v);
		}
		fputc('\n', out);
	}
}
