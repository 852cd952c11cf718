// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The "selector" of a control request, as the scheduler wants it:
//
//   {"id":"4bX..","state":"deferred,hold","site":"mx.example.","domain":"example.com",
//    "tenant":"acme","campaign":"xmas","pool":"bulk","sender":"<>","recipient":"a@b",
//    "older_than":3600,"in_doubt":true,"everything":true}
//
// Pure. The spans point into the JSON, which has to stay.

#include "pen_sched_select.h"

#include <jansson.h>

struct selector_args {
	struct pen_sched_selector which;
	bool given; // any condition, or everything
};

// `selector` NULL: nothing is given. False: a sentence in err that names the
// member, its value and what is accepted.
bool selector_args_read(json_t *selector, struct selector_args *out, char *err, size_t cap);
