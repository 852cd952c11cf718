// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared between the files of the SMTP server; nobody else includes it.

#include "pen_smtp_server.h"

enum smtp_server_state {
	SERVER_COMMAND, // reading command lines
	SERVER_CONTENT, // between 354 and the final dot
	SERVER_TLS,     // STARTTLS was accepted, tls_up is awaited
	SERVER_AUTH,    // behind a challenge: the next line is the response
	SERVER_CLOSED,
};

// What the owner was asked; decides what its answer changes.
enum smtp_server_asked {
	ASKED_NOTHING,
	ASKED_CONNECT,
	ASKED_EHLO,
	ASKED_HELO,
	ASKED_MAIL,
	ASKED_RCPT,
	ASKED_DATA,
	ASKED_MESSAGE,
	ASKED_AUTH,
};

// Where in the content's lines the next byte stands. Only CRLF makes a line.
enum smtp_content_state {
	CONTENT_BOL,    // at the start of a line
	CONTENT_MID,    // inside a line
	CONTENT_CR,     // behind a CR, which was handed on
	CONTENT_DOT,    // behind a dot at the start, held back
	CONTENT_DOT_CR, // behind dot and CR, both held back
};

// Appends one reply line, counts it, closes on 421.
void smtp_server_say(struct pen_smtp_server *s, const char *text);
void smtp_server_sayf(struct pen_smtp_server *s, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
// The same for a refusal that is not the client's error.
void smtp_server_note(struct pen_smtp_server *s, const char *text);
// Counts an error of the client: too many end the session.
void smtp_server_error(struct pen_smtp_server *s);
// The session is over; what is in `out` may still be sent.
void smtp_server_close(struct pen_smtp_server *s);
// Ends the transaction, telling the owner if there was one.
void smtp_server_reset(struct pen_smtp_server *s);

// Hands the owner's verdict on: `standard` is the answer for PEN_SMTP_OK.
void smtp_server_ask(struct pen_smtp_server *s, enum smtp_server_asked what);
void smtp_server_verdict(struct pen_smtp_server *s, enum pen_smtp_verdict v, const char *standard);

// One command line without its line end.
void smtp_server_command(struct pen_smtp_server *s, struct pen_span line);

// Content bytes; returns how many were used: all, or up to the final dot.
size_t smtp_server_content(struct pen_smtp_server *s, const uint8_t *p, size_t n);

enum smtp_path_status {
	PATH_OK,
	PATH_SYNTAX, // no address where one must be
	PATH_BAD,    // an address that is none
	PATH_UTF8,   // an address that would need SMTPUTF8
};

// smtp_path_parse reads "<address>" or a bare address at the start of `in`.
// *addr is what the brackets hold without a source route, *rest what follows. With
// `utf8` well-formed UTF-8 may stand where letters may (RFC 6531 3.3).
enum smtp_path_status smtp_path_parse(
	struct pen_span in, bool null_ok, bool utf8, struct pen_span *addr, struct pen_span *rest);
// The length of a well-formed character beyond ASCII at the start of s, controls
// (C1) not among them; 0: it is none.
size_t smtp_utf8_char(struct pen_span s);
bool smtp_is_ascii(struct pen_span s);

// smtp_server_params.c: what stands behind the address of MAIL and RCPT. False: a
// reply was given.
bool smtp_mail_params(struct pen_smtp_server *s, struct pen_span rest, struct pen_smtp_mail *m);
bool smtp_rcpt_params(struct pen_smtp_server *s, struct pen_span rest, struct pen_smtp_rcpt *r);
// Takes the next space-separated word off *s; empty at the end.
struct pen_span smtp_next_word(struct pen_span *s);
// REQUIRETLS is on offer at this moment.
bool smtp_offers_requiretls(const struct pen_smtp_server *s);

// smtp_server_auth.c

// AUTH is on offer at this moment.
bool smtp_offers_auth(const struct pen_smtp_server *s);
void smtp_server_auth(struct pen_smtp_server *s, struct pen_span arg);
// A line in the state SERVER_AUTH, and one that was too long.
void smtp_server_auth_line(struct pen_smtp_server *s, struct pen_span line);
void smtp_server_auth_too_long(struct pen_smtp_server *s);
