// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The faults that a sink commits on demand, per command and by probability.

#include "pen_rand.h"
#include "pen_time.h"

#include <stdbool.h>

enum fault_command {
	FAULT_CONNECT,
	FAULT_HELO,
	FAULT_EHLO,
	FAULT_MAIL,
	FAULT_RCPT,
	FAULT_DATA,
	FAULT_DOT,
	FAULT_COMMANDS,
};

enum fault_action {
	FAULT_NONE,
	FAULT_SOFT,     // 4xx
	FAULT_HARD,     // 5xx
	FAULT_DROP,     // close without a reply
	FAULT_SHUTDOWN, // 421 and close
};

struct faults {
	struct fault_rule {
		double soft, hard, drop, shutdown; // percent
		pen_time_us delay;
		unsigned odds; // 0: always once; else smtp-sink's dice
	} rule[FAULT_COMMANDS];
};

// "RCPT,DATA:10 .": commands, each with an optional percentage (default 100).
// `what` is one of the percentages. False: something in it is not known.
bool faults_parse_list(struct faults *f, const char *list, enum fault_action what);
// "command:delay[:odds]", delay in seconds (fractions allowed).
bool faults_parse_delay(struct faults *f, const char *text);

enum fault_action faults_draw(
	const struct faults *f, struct pen_rand *r, enum fault_command c, pen_time_us *delay);
