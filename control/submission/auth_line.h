// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A line of Dovecot's authentication server, in its protocol for clients (version 1, any
// minor): fields separated by tabs, values escaped with \001.
//
// Pure. Spans point into the line.

#include "pen_span.h"

#define AUTH_LINE_MAX 16384 // without the line feed, as the protocol says
#define AUTH_USER_MAX 255
#define AUTH_REASON_MAX 200
#define AUTH_MECHANISM_MAX 20 // RFC 4422 3.1

enum auth_line_kind {
	AUTH_LINE_VERSION, // major
	AUTH_LINE_MECH,    // mechanism, traits
	AUTH_LINE_DONE,    // the handshake is over
	AUTH_LINE_CONT,    // id, challenge
	AUTH_LINE_OK,      // id, user
	AUTH_LINE_FAIL,    // id, user, reason, temporary
	AUTH_LINE_OTHER,   // SPID, CUID, COOKIE, and what later versions bring
};

struct auth_line {
	enum auth_line_kind kind;
	uint32_t id;
	uint32_t major;
	struct pen_span mechanism; // printable ASCII without blanks
	uint32_t traits;           // PEN_SASL_
	struct pen_span challenge; // base64
	// Empty: not given, or (OK) longer than AUTH_USER_MAX or with control bytes, so that
	// it cannot be used.
	char user[AUTH_USER_MAX + 1];
	char reason[AUTH_REASON_MAX + 1]; // cut; control bytes are '?'
	bool temporary;                   // the server's fault, not the client's
};

// False: a line of a kind that the protocol knows, without what such a line has to have.
bool auth_line_parse(struct pen_span line, struct auth_line *out);
