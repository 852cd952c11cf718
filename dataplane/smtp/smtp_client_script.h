// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Runs the SMTP client against a scripted server (tests only).
//
// A script is a list of lines, each a letter, ": " and its argument:
//   S text   the server sends text and CRLF ("S- text": without CRLF)
//   C text   the client's next line, without CRLF
//   E text   the next event; a '*' at the end stands for the rest:
//              ready tls=0 size=0 | starttls | end 4.4.2 text
//              done NAME tried=1 dot=2 use=1, then for each recipient
//              rcpt 5.1.1 R text       (scope: R, M, S)
//   D name nrcpt flags content   offers a delivery (flags: 8 or -), wakes
//   T secs   time goes on, then a tick     L secs   asserts the time left
//   W wake   Q close   X eof   K dot acknowledged
//   U TLS is up, with the certificate that V described (a good one at first)
//   V words  of: none, trusted, matched, unusable; F text  TLS failed
//   B text   asserts the tls= field     A end|retry|passed  asserts how it ended
//   M text   asserts what a report says of the host: "validation-failure reason"
//   H hold   output is not pulled any more   P n   pulls one piece of <= n
//   G go     output is pulled again
//   N        nothing else was sent   R a result is on disk (hold_dots)
// When the script ends, everything that was sent and reported must have been
// asked for, every delivery taken must be reported once, and the session over.

#include "pen_smtp_client.h"

struct smtp_script_options {
	enum pen_tls_level tls;
	uint32_t max_messages;
	pen_time_us max_age;
	bool hold_dots;
	bool lmtp, smtputf8, wrapper, plain, plain_retry, no_engine;
	bool block_early, keep_5xx_greeting;
	enum pen_requiretls requiretls;
	uint32_t discard;
	const char *helo;    // "me.example"
	const char *nexthop; // in the policy
	// Of each delivery: ENVID, and for its recipients in turn ORCPT and NOTIFY.
	const char *envid, *orcpt;
	enum pen_dsn_ret ret;
	uint8_t notify[2];
};

void smtp_script_run(const char *name, const struct smtp_script_options *opt,
	const char *const *script, struct pen_smtp_client_counters *ctr);
