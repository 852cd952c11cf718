// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Names that are asked for again and again, and when their answers expire:
// they are asked for in that moment, so that no delivery waits for it.
//
// (libunbound gives what it has cached until it expires, and its own prefetch
// is a part of the server, not of the library; so "in that moment" is the
// earliest that makes a difference.)
//
// It also remembers which answers are in the cache, so that they need not wait
// behind those that must be fetched.
//
// Threads: one owner; time is passed in.
// Memory:  HOT_NAMES_MAX names; two that meet in one place replace each other,
//          the one in more use wins. HOT_FRESH_MAX answers, by a hash alone.

#include "pen_idn.h"
#include "pen_time.h"

#define HOT_NAMES_MAX 4096
#define HOT_FRESH_MAX 131072
#define HOT_USES_MIN 3 // within the life of one answer

struct hot_names;

struct hot_names *hot_names_new(void);
void hot_names_free(struct hot_names *h);
// hot_names_seen tells of an answer with its remaining life; `used`: somebody
// needed it.
void hot_names_seen(struct hot_names *h, const char *name, uint16_t type, uint32_t ttl_s, bool used,
	pen_time_us now);
// hot_names_fresh: the answer is most likely still in the cache.
bool hot_names_fresh(const struct hot_names *h, const char *name, uint16_t type, pen_time_us now);
// hot_names_due gives a name to ask for now, each once.
bool hot_names_due(
	struct hot_names *h, pen_time_us now, char name[PEN_IDN_NAME_MAX], uint16_t *type);
