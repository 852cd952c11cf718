// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Whose a message is, and how it wants to leave: tenant, campaign, egress pool and
// priority. Many messages share few of these, so a class is stored once: equal
// classes are the same pointer.
//
// Threads: any; the table has a lock of its own. A class is read-only.
// Memory:  counted references; a class ends with its last one. The empty class
//          (no names, normal priority) is static and needs no count.
// Limits:  names of PEN_CLASS_NAME_MAX bytes: letters, digits and "._-@+".

#include "pen_span.h"

#include <stdbool.h>

#define PEN_CLASS_NAME_MAX 63

enum pen_priority { // the order of the values is the order on disk
	PEN_PRIORITY_NORMAL,
	PEN_PRIORITY_HIGH,
	PEN_PRIORITY_LOW,
	PEN_PRIORITIES,
};

struct pen_mail_class {
	struct pen_span tenant, campaign, pool; // empty: none; NUL-terminated
	uint8_t priority;                       // enum pen_priority
	// Of tenant and campaign, for tables; with a key of this process's own, so that
	// nobody can choose names that collide. 0 of the empty class.
	uint64_t owner_hash;
};

// A name that a header, a map or a file may give.
bool pen_class_name_valid(struct pen_span name);

// NULL when out of memory, or when a name is not valid.
const struct pen_mail_class *pen_mail_class_get(struct pen_span tenant, struct pen_span campaign,
	struct pen_span pool, enum pen_priority priority);
const struct pen_mail_class *pen_mail_class_ref(const struct pen_mail_class *k);
void pen_mail_class_put(const struct pen_mail_class *k); // NULL is fine
extern const struct pen_mail_class pen_mail_class_none;

// How many there are now, the empty one not counted: for tests.
size_t pen_mail_class_count(void);
