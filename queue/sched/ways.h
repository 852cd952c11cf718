// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Ways: from which source which host of a site may be asked.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct lease;
struct pen_addr;
struct pen_sched;
struct site;
struct site_host;

// Some host of the source's family may be.
bool way_from(const struct pen_sched *s, const struct site *site, uint32_t source);
// This one may be; *due: it was dead, and the lease is to ask on behalf of all.
bool way_to(const struct pen_sched *s, const struct site *site, const struct pen_addr *source,
	const struct site_host *h, bool *due);
// The pool has no source of its hosts' families.
void way_no_source(struct pen_sched *s, struct site *site);
// No source of the pool may open a connection: the site rests or is dead.
void way_none(struct pen_sched *s, struct site *site);
// There is one from some source of its pool.
bool way_left(const struct pen_sched *s, const struct site *site);
// The lease goes out: hosts that are due are asked by nobody else meanwhile.
void way_begin(struct pen_sched *s, struct lease *l);
// What its hosts said is remembered: at READY, or at ENDED without it.
void way_learn(struct pen_sched *s, struct lease *l);
// "mx1[192.0.2.1] from 198.51.100.1 until ...": hosts of the site that are dead. Nothing: "".
size_t way_text(const struct pen_sched *s, const struct site *site, char *out, size_t cap);
