// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What kind of failure it was: "bad-mailbox", "quota-issues"...
//
// Of a reply: a class file is a pen_rule_table whose results are class names; the
// first pattern that matches the reply names its class. One such file is built in
// (reply-classes in this folder). Of a failure on our side, where nothing was
// said: pen_failure_class. Names are the bounce categories that bulk senders'
// tools know (PowerMTA's seventeen), and greylisted, rate-limited, auth-failed,
// message-too-big, tls-required and tls-failed.
//
// Threads: classes are read-only once loaded; a scratch belongs to one thread.

#include "pen_dsn.h"
#include "pen_rule_table.h"

#define PEN_REPLY_CLASS_OTHER "other"
#define PEN_REPLY_CLASS_GREYLISTED "greylisted"
#define PEN_REPLY_CLASS_EXPIRED "message-expired"
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

// Whether the other side said it, so that there is a reply to classify. A line that
// is no SMTP (reply 0) is none.
bool pen_failure_is_reply(const struct pen_dsn *d);
// pen_failure_class names the class of a failure that is no reply, from who says
// so, where and with which status. Never NULL; a static string.
const char *pen_failure_class(const struct pen_dsn *d);
// The names that it may give, and those of the built-in set, by index; NULL ends.
const char *pen_failure_class_name(uint32_t i);
