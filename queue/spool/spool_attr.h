// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The attributes of a version 3 record: class and extra of a message, or what an
// UPDATE makes of them. The table is in README.md.

#include "pen_message.h"

#define SPOOL_ATTR_FIXED 8u
#define SPOOL_ATTR_EXTRA 28u
#define SPOOL_ATTR_MAX                                                                             \
	(SPOOL_ATTR_FIXED + SPOOL_ATTR_EXTRA + 3u * PEN_CLASS_NAME_MAX +                           \
		sizeof(((struct pen_send_window *)0)->zone) +                                      \
		sizeof(((struct pen_message_extra *)0)->route))

// What a block says; `has` bits tell which parts are there.
enum {
	SPOOL_ATTR_CLASS = 1 << 0,
	SPOOL_ATTR_HAS_EXTRA = 1 << 1,
};

// The encoded size; klass NULL: no class in it, extra NULL: no extra.
uint32_t spool_attr_size(const struct pen_mail_class *klass, const struct pen_message_extra *extra);
uint8_t *spool_attr_encode(
	uint8_t *p, const struct pen_mail_class *klass, const struct pen_message_extra *extra);
// The length of a well-formed block in `room` bytes at p; 0 when it is none.
uint32_t spool_attr_parse(const uint8_t *p, size_t room);
// Brings m to what a parsed block says. 0 or -ENOMEM.
int spool_attr_apply(const uint8_t *p, struct pen_message *m);

// An extra that says nothing: as good as none.
bool spool_extra_empty(const struct pen_message_extra *x);
