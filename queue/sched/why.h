// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Why a message does not move, and what a site looks like.

#include "pen_sched_admin.h"
#include "pen_sched_select.h"

struct entry;
struct site;

// Writes the sentence, cut to fit.
void why_say(struct pen_why *out, enum pen_why_code code, const char *word, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

// site_why.c
// What holds a message that is ACTIVE or WAITING.
void site_why(struct pen_sched *s, const struct entry *e, struct pen_why *out);
// Adds to the sentence which hosts of the recipient's site are known to be dead.
void site_why_dead(struct pen_sched *s, const struct entry *e, struct pen_why *out);
void site_view(struct pen_sched *s, struct site *site, struct pen_site_view *out,
	char text[PEN_WHY_TEXT_MAX]);
