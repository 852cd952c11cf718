// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Turns: who may open the next connection.

#include <stdbool.h>

struct lease;
struct pen_sched;
struct site;

bool turn_wants(const struct pen_sched *s, const struct site *site);
void turn_request(struct pen_sched *s, struct site *site);
void turn_leave(struct pen_sched *s, struct site *site);
void turn_serve(struct pen_sched *s);
bool turn_should_yield(const struct pen_sched *s, const struct lease *l);
