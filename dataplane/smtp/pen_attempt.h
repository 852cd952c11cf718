// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// One delivery attempt: from a lease's list of hosts to a session, or to the
// one result that stands for all of them. It connects to nothing: its owner
// does, and reports how it went.
//
//   pen_attempt_init(&a, lease);
//   while (pen_attempt_next(&a)) {
//           // host lease->host[lease->host_used], without TLS if a.plain
//           no connection:                     pen_attempt_no_connection
//           a verdict of pen_tls_session.h:    pen_attempt_note, whatever it is
//           LEAVE, or the session failed:      pen_attempt_ended(NO_SESSION)
//           RETRY_PLAIN:                       pen_attempt_ended(RETRY_PLAIN)
//           LEAVE in answer to pen_tls_ready:  pen_attempt_ended(PASSED)
//           mail may be sent:                  pen_attempt_ready, and out
//   }
//   // lease->result, lease->host_used and lease->tls_field say why not
//
// The owner is the worker's session in production, and tests/policy with hosts
// that are simulated.
//
// Threads: the lease's owner. Memory: the struct only.
// Follows: RFC 5321 5.1, RFC 8689 4.2; Postfix's limits and order of errors.

#include "pen_delivery.h"

struct pen_attempt {
	struct pen_lease *lease;
	uint32_t tried;   // bit i: host i had its turn
	uint8_t sessions; // that passed EHLO, and TLS when used
	bool plain;       // the present connection is a retry without TLS
	bool retry;       // the next one is to be that
	bool soft;        // some host failed for a temporary reason
	bool final;       // no other host is to be asked
};

_Static_assert(PEN_LEASE_HOSTS_MAX <= 32, "a bit for each host");

enum pen_attempt_end {
	PEN_ATTEMPT_NO_SESSION,  // before EHLO, and TLS when used, had passed
	PEN_ATTEMPT_RETRY_PLAIN, // the same address again, without TLS: costs neither
				 // an address nor a session
	PEN_ATTEMPT_PASSED,      // EHLO and TLS were fine, and yet it was left
};

// Resets what the lease says of an attempt: result, host_tried, ready, events.
void pen_attempt_init(struct pen_attempt *a, struct pen_lease *lease);

// True: connect to host_used; tls_field is begun. Hosts that their policy
// forbids are passed over. False: over. A result of class 5 is then one that
// bounces mail if its scope is SITE (see pen_delivery.h), and may be retried
// otherwise.
bool pen_attempt_next(struct pen_attempt *a);
// The owner wants no other host: what it has got is no verdict over mail.
void pen_attempt_stop(struct pen_attempt *a);

// No connection to `host`, which need not be host_used when two are raced.
// Makes the result "connect to name[addr]:port: why". `answer`: UNTRIED when the
// host is not to blame.
void pen_attempt_no_connection(
	struct pen_attempt *a, uint8_t host, enum pen_host_answer answer, const char *why);
// There is no source address of this host's family: it is passed over like a
// host that does not exist, and decides only if all are like that.
void pen_attempt_no_source(struct pen_attempt *a);
// The connection to host_used ended; `why` may be &lease->result.
void pen_attempt_ended(struct pen_attempt *a, enum pen_attempt_end how, const struct pen_dsn *why);
void pen_attempt_ready(struct pen_attempt *a);

// What the report of TLS sessions says of host_used: the first failure stays.
void pen_attempt_note(struct pen_lease *lease, const struct pen_tls_verdict *v);
// The rules for verdicts on host_used.
struct pen_tls_rules pen_attempt_rules(const struct pen_lease *lease);

// ---- racing (RFC 8305) ----

// A host to try beside the present one, which is slow to answer: of the other
// family under the same name if there is one, or the next. -1: none.
int pen_attempt_rival(const struct pen_attempt *a);
// Its connection was begun: it has had its turn.
void pen_attempt_race(struct pen_attempt *a, uint8_t rival);
// `rival` takes the place of host_used, whose connection is gone or given up.
// Given up (`lost` false): it may have another turn.
void pen_attempt_replace(struct pen_attempt *a, uint8_t rival, bool lost);
