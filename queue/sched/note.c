// SPDX-License-Identifier: BSD-3-Clause
#include "core.h"

#include <stdlib.h>

struct note *note_new(const struct pen_dsn *d, const char *relay, size_t mta_len)
{
	size_t relay_len = strlen(relay);
	struct note *n = malloc(sizeof(*n) + d->text_len + relay_len + 2);

	if (n == NULL)
		return NULL;
	*n = (struct note){
		.refs = 1,
		.klass = d->klass,
		.scope = d->scope,
		.origin = d->origin,
		.stage = d->stage,
		.subject = d->subject,
		.detail = d->detail,
		.reply = d->reply,
		.text_len = d->text_len,
		.relay_len = (uint16_t)relay_len,
		.mta_len = (uint16_t)mta_len,
	};
	memcpy(n->data, d->text, d->text_len);
	n->data[d->text_len] = '\0';
	memcpy(n->data + d->text_len + 1, relay, relay_len + 1);
	return n;
}

struct note *note_get(struct note *n)
{
	if (n != NULL)
		n->refs++;
	return n;
}

void note_put(struct note *n)
{
	if (n != NULL && --n->refs == 0)
		free(n);
}

const char *note_relay(const struct note *n)
{
	return n->data + n->text_len + 1;
}

bool note_is(const struct note *n, const struct pen_dsn *d, const char *relay)
{
	return n->klass == d->klass && n->subject == d->subject && n->detail == d->detail &&
	       n->reply == d->reply && n->stage == d->stage && n->text_len == d->text_len &&
	       memcmp(n->data, d->text, d->text_len) == 0 && strcmp(note_relay(n), relay) == 0;
}

void note_to_dsn(const struct note *n, struct pen_dsn *out)
{
	out->klass = n->klass;
	out->scope = n->scope;
	out->origin = n->origin;
	out->stage = n->stage;
	out->subject = n->subject;
	out->detail = n->detail;
	out->reply = n->reply;
	out->text_len = n->text_len;
	memcpy(out->text, n->data, n->text_len);
	out->text[n->text_len] = '\0';
}
