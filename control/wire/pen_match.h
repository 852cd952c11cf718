// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What refusals and failures mean: the rules of control/filter asked by the
// scheduler, and counted by class.
//
// Threads: the queue thread, except for the counts, which any thread may read.
// Memory:  class names live until pen_match_free, over all reloads.

#include "pen_counter.h"
#include "pen_reply_rules.h"
#include "pen_sched_ops.h"

struct pen_match;

// Rules with all that matching by them needs: made and freed by any thread, so that the
// queue thread only exchanges two of them.
struct pen_match_set;
// Takes the rules over, also on failure. NULL: no memory.
struct pen_match_set *pen_match_set_new(struct pen_reply_rules *rules);
void pen_match_set_free(struct pen_match_set *set);

// Takes the set over, also on failure. NULL: no memory.
struct pen_match *pen_match_new(struct pen_match_set *set);
void pen_match_free(struct pen_match *m);
// A reload's set is in use from now on; returns the one before, which is the caller's.
struct pen_match_set *pen_match_replace(struct pen_match *m, struct pen_match_set *set);

// The class of a failure (class 4 or 5), reply or not; and with `out` the rules of
// egress.conf that it matches. Only what the other side said matches rules.
const char *pen_match_ask(struct pen_match *m, const struct pen_dsn *d, const char *provider,
	struct pen_span site, struct pen_sched_match *out);

// One more recipient's failure of this class.
void pen_match_count(struct pen_match *m, const char *klass);
// "failures": counted so far, by class.
struct pen_counter_set pen_match_counters_of(const struct pen_match *m);
