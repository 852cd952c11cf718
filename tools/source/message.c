// SPDX-License-Identifier: BSD-3-Clause

// Contents: generated, or the files of a corpus. What all messages share is made
// once, dot-stuffed; each message adds its own header fields.
//
// A corpus file is sent byte for byte, with two fields on top, an empty line
// between when the file does not begin with a field, and with its last line end
// made CRLF. Dots are stuffed behind CRLF only (RFC 5321 4.5.2).

#include "source.h"

#include "pen_buf.h"
#include "pen_content_hash.h"
#include "pen_err.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FIELD_MAX 48 // X-Penstock-Tenant

struct body {
	struct pen_buf plain; // what is hashed behind our own fields
	struct pen_buf wire;  // dot-stuffed, final CRLF, final dot
	bool separate;        // an empty line belongs between
};

struct source_messages {
	const struct source_options *opt;
	struct body *body;
	size_t n, cap;
	char shared[1024]; // generated: fields that all messages have
	size_t shared_n;
};

static void stuff(struct body *b)
{
	const uint8_t *p = b->plain.p;
	size_t n = b->plain.n, from = 0;

	for (size_t i = 0; i < n; i++) {
		bool start = i == 0 || (i >= 2 && p[i - 1] == '\n' && p[i - 2] == '\r');
		if (p[i] != '.' || !start)
			continue;
		pen_buf_add(&b->wire, p + from, i - from);
		pen_buf_add_cstr(&b->wire, ".");
		from = i;
	}
	// The end has to be CRLF.CRLF: a last LF alone gets its CR, a last line
	// without an end gets one.
	size_t end = n;
	bool crlf = n >= 2 && p[n - 1] == '\n' && p[n - 2] == '\r';
	if (!crlf && n > 0 && p[n - 1] == '\n')
		end = n - 1;
	pen_buf_add(&b->wire, p + from, end - from);
	pen_buf_add_cstr(&b->wire, crlf || n == 0 ? ".\r\n" : "\r\n.\r\n");
}

// Does content that begins like this stand on its own behind header fields?
static bool begins_with_field_or_empty(struct pen_span s)
{
	size_t n = 0;

	if (s.n == 0 || s.p[0] == '\n' || (s.p[0] == '\r' && s.n > 1 && s.p[1] == '\n'))
		return true;
	while (n < s.n && s.p[n] > 32 && s.p[n] < 127 && s.p[n] != ':')
		n++;
	return n > 0 && n < s.n && s.p[n] == ':';
}

static struct body *body_new(struct source_messages *m)
{
	if (m->n == m->cap) {
		size_t cap = m->cap != 0 ? m->cap * 2 : 64;
		struct body *p = realloc(m->body, cap * sizeof(*p));
		if (p == NULL)
			pen_fatal("out of memory for the corpus");
		m->body = p;
		m->cap = cap;
	}
	struct body *b = &m->body[m->n++];
	*b = (struct body){0};
	return b;
}

static void load_file(struct source_messages *m, const char *dir, const char *name)
{
	char path[4096], piece[65536];
	size_t n;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	FILE *f = fopen(path, "rb");
	if (f == NULL)
		pen_fatal("cannot read %s: %s", path, strerror(errno));
	struct body *b = body_new(m);
	while ((n = fread(piece, 1, sizeof(piece), f)) > 0)
		pen_buf_add(&b->plain, piece, n);
	if (ferror(f) || b->plain.failed)
		pen_fatal("cannot read %s", path);
	fclose(f);
	b->separate = !begins_with_field_or_empty(pen_buf_span(&b->plain));
	stuff(b);
}

static int eml_only(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return n > 4 && strcmp(e->d_name + n - 4, ".eml") == 0;
}

static void load_corpus(struct source_messages *m, const char *dir)
{
	struct dirent **list;
	int n = scandir(dir, &list, eml_only, alphasort);

	if (n < 0)
		pen_fatal("cannot read the corpus folder %s: %s", dir, strerror(errno));
	for (int i = 0; i < n; i++) {
		load_file(m, dir, list[i]->d_name);
		free(list[i]);
	}
	free(list);
	if (n == 0)
		pen_fatal("the corpus folder %s has no .eml file", dir);
}

// Lines of 78 letters, like smtp-source's payload, `length` bytes with line ends.
static void generate(struct source_messages *m)
{
	struct body *b = body_new(m);
	uint32_t left = m->opt->length;
	char line[80];

	for (uint32_t row = 0; left > 0; row++) {
		uint32_t n = left < 80 ? left : 80;
		for (uint32_t i = 0; i < n; i++)
			line[i] = (char)('a' + (i * 7 + row) % 26);
		if (n >= 2)
			memcpy(line + n - 2, "\r\n", 2);
		pen_buf_add(&b->plain, line, n);
		left -= n;
	}
	stuff(b);
}

static void shared_fields(struct source_messages *m)
{
	char date[64];

	pen_wall_rfc5322(date, sizeof(date), pen_clock_wall());
	int n = snprintf(m->shared, sizeof(m->shared),
		"From: <%s>\r\nTo: <%s>\r\nDate: %s\r\n%s%s%s", m->opt->from, m->opt->to, date,
		m->opt->subject != NULL ? "Subject: " : "",
		m->opt->subject != NULL ? m->opt->subject : "",
		m->opt->subject != NULL ? "\r\n" : "");
	if (n < 0 || (size_t)n >= sizeof(m->shared))
		pen_fatal("the addresses and the subject are too long");
	m->shared_n = (size_t)n;
}

struct source_messages *source_messages_new(const struct source_options *opt)
{
	struct source_messages *m = calloc(1, sizeof(*m));

	if (m == NULL)
		pen_fatal("out of memory");
	m->opt = opt;
	if (opt->corpus != NULL) {
		load_corpus(m, opt->corpus);
	} else {
		generate(m);
		shared_fields(m);
	}
	for (size_t i = 0; i < m->n; i++) {
		if (m->body[i].plain.failed || m->body[i].wire.failed)
			pen_fatal("out of memory for the messages");
	}
	return m;
}

void source_messages_free(struct source_messages *m)
{
	for (size_t i = 0; i < m->n; i++) {
		pen_buf_fini(&m->body[i].plain);
		pen_buf_fini(&m->body[i].wire);
	}
	free(m->body);
	free(m);
}

void source_message_make(struct source_messages *m, uint64_t number, char header[SOURCE_HEADER_MAX],
	struct source_content *out)
{
	static const char hash_name[] = "X-Penstock-Hash: ";
	const struct body *b = &m->body[number % m->n];
	struct pen_content_hash h;
	int id_n, field_n = 0;

	// On top and not hashed: whoever believes the field takes it out.
	if (m->opt->tenants != 0)
		field_n = snprintf(header, FIELD_MAX, "X-Penstock-Tenant: t%llu\r\n",
			(unsigned long long)(number / (m->opt->domains != 0 ? m->opt->domains : 1) %
					     m->opt->tenants));
	header += field_n;
	memcpy(header, m->shared, m->shared_n);
	size_t n = m->shared_n;
	bool generated = m->opt->corpus == NULL;
	if (generated) {
		id_n = snprintf(header + n, SOURCE_HEADER_MAX - FIELD_MAX - n,
			"Message-Id: <%s-%llu@%s>\r\nX-Penstock-Id: %s-%llu\r\n", m->opt->run,
			(unsigned long long)number, m->opt->helo, m->opt->run,
			(unsigned long long)number);
	} else {
		id_n = snprintf(header, SOURCE_HEADER_MAX - FIELD_MAX, "X-Penstock-Id: %s-%llu\r\n",
			m->opt->run, (unsigned long long)number);
	}
	n += (size_t)id_n;
	// The hash field itself is not hashed: its text is put in afterwards.
	size_t hash_at = n + sizeof(hash_name) - 1;
	memcpy(header + n, hash_name, sizeof(hash_name) - 1);
	n = hash_at + PEN_CONTENT_HASH_HEX;
	memcpy(header + n, "\r\n\r\n", 4);
	n += generated || b->separate ? 4 : 2;
	memset(header + hash_at, '0', PEN_CONTENT_HASH_HEX);
	pen_content_hash_init(&h);
	pen_content_hash_feed(&h, header, n);
	pen_content_hash_feed(&h, b->plain.p, b->plain.n);
	pen_content_hash_hex(pen_content_hash_end(&h), header + hash_at);
	out->header_n = n + (size_t)field_n;
	out->rest = pen_buf_span(&b->wire);
	out->size = n + b->plain.n;
}
