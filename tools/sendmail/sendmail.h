// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The parts of sendmail: reading the message, finding recipients, submitting.

#include "pen_buf.h"

#include <sysexits.h>

#define RECIPIENTS_MAX 100000

// A list of addresses, owned.
struct addresses {
	char **item;
	size_t n, cap;
};

// False when memory or the limit is out.
bool addresses_add(struct addresses *a, struct pen_span addr);
void addresses_free(struct addresses *a);

// input.c

// Reads until the end of `in`, or a line with only a dot when `dot`. Line ends
// become CRLF; an mbox "From " line at the start is left out. 0 or -errno.
int message_read(int in, bool dot, struct pen_buf *out);
// Adds the addresses of To, Cc and Bcc (or, when there are any Resent- fields,
// of those) and takes the Bcc fields out. 0, or -EINVAL with a sentence.
int message_recipients(struct pen_buf *m, struct addresses *to, char *why, size_t cap);
// Is there a field of this name in the header block?
bool message_has_field(struct pen_span m, const char *name);

// The header block, without the empty line that ends it.
struct pen_span message_header(struct pen_span m);
// Has the header block a field `name` with that value, in any case?
bool message_field_is(struct pen_span m, const char *name, const char *value);
// Puts a complete field on top of the message, which begins with a field.
void message_add_field(struct pen_buf *m, const char *field);

// requests.c

#define ENVID_MAX 100 // RFC 3461 4.4

// FOUND: not asked for, but the message looks like it.
enum request_switch { REQUEST_UNSET, REQUEST_NO, REQUEST_YES, REQUEST_FOUND };

struct requests {
	enum request_switch requiretls, smtputf8;
	char notify[32];           // as in NOTIFY=, "" when not given
	const char *ret;           // as in RET=, NULL
	char envid[ENVID_MAX + 4]; // xtext, ""
	bool verp;
	char verp_delims[4]; // "": the gateway's own
};

enum request_result {
	REQUEST_TAKEN,
	REQUEST_IGNORED, // with a warning in `why`
	REQUEST_WRONG,   // an error of usage, in `why`
};

enum request_result request_option(struct requests *r, const char *text, char *why, size_t cap);
enum request_result request_notify(struct requests *r, const char *text, char *why, size_t cap);
enum request_result request_ret(struct requests *r, const char *text, char *why, size_t cap);
// What follows -X: "V" or "V+="; the log files that Sendmail knows are ignored.
enum request_result request_verp(struct requests *r, const char *text, char *why, size_t cap);
enum request_result request_envid(struct requests *r, const char *text, char *why, size_t cap);

// submit.c

struct submission {
	const char *host, *port;
	const char *sender;
	const struct addresses *to;
	struct pen_span content; // CRLF line ends
	const struct requests *requests;
};

// EX_OK, or another sysexits code with a sentence in `why`. Nothing is sent
// unless every recipient was accepted.
int submit(const struct submission *s, char *why, size_t cap);
