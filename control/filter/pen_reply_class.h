// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What kind of failure an SMTP reply describes: "bad-mailbox", "quota-issues"...
//
// A class file is a pen_rule_table whose results are class names; the first
// pattern that matches the reply names its class. One such file is built in
// (reply-classes in this folder). Names are the bounce categories that bulk
// senders' tools know.
//
// Threads: classes are read-only once loaded; a scratch belongs to one thread.

#include "pen_rule_table.h"

#define PEN_REPLY_CLASS_OTHER "other"
#define PEN_REPLY_CLASS_NAME_MAX 64

struct pen_reply_classes;

// file NULL: the built-in set. NULL on failure, with one sentence in err.
struct pen_reply_classes *pen_reply_classes_load(const char *file, char *err, size_t err_cap);
struct pen_reply_classes *pen_reply_classes_parse(
	const char *name, struct pen_span text, char *err, size_t err_cap);
void pen_reply_classes_free(struct pen_reply_classes *c);

struct pen_pattern_scratch *pen_reply_scratch_new(const struct pen_reply_classes *c);

// pen_reply_classify names the class of a whole reply on one line, code and
// enhanced status included ("550 5.1.1 no such user"); PEN_REPLY_CLASS_OTHER
// when nothing matches. The name lives as long as `c`.
const char *pen_reply_classify(
	const struct pen_reply_classes *c, struct pen_pattern_scratch *s, struct pen_span reply);
