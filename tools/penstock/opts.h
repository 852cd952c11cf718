// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The options of a verb, as a table: what is given ends up in the request's JSON.

#include "penstock.h"

enum opt_kind {
	OPT_TEXT,
	OPT_FLAG,
	OPT_NUMBER, // from 1
	OPT_LIST,   // a text that may be given again; ends up in a list
	OPT_AGE,    // "90s", "10min", "1h", "2d", "1w"; a number alone is seconds
};

struct opt {
	const char *name; // "--site"
	enum opt_kind kind;
	const char *key; // "site"; with a dot in front it goes into the object "selector"
};

extern const struct opt opts_selector[]; // --site, --domain... as all verbs know them

// opts_parse takes options of the tables (which end with a name of NULL) off cli->argv and
// puts their values into args; words stay. "--name value" and "--name=value". False: a sentence
// was printed, exit with EXIT_USAGE.
bool opts_parse(struct cli *cli, const char *verb, const struct opt *const tables[], json_t *args);
// Seconds; 0: it is none.
int64_t opts_age(const char *text);
// `penstock VERB: what`; returns EXIT_USAGE.
int opts_usage(const char *verb, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
