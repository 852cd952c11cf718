// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters of the SMTP server, one struct per thread.

#include "pen_counter.h"

#define PEN_SMTP_SERVER_COUNTERS(X)                                                                \
	X(sessions, "sessions that were begun")                                                    \
	X(commands, "command lines read")                                                          \
	X(replies_2xx, "replies with a code below 400")                                            \
	X(replies_4xx, "replies with a 4xx code")                                                  \
	X(replies_5xx, "replies with a 5xx code")                                                  \
	X(errors, "client errors that count towards the error limit")                              \
	X(error_limit_closes, "sessions closed for too many errors")                               \
	X(timeouts, "sessions closed because the client sent nothing for too long")                \
	X(drops, "sessions dropped without a reply at the owner's wish")                           \
	X(lines_too_long, "command lines beyond the limit")                                        \
	X(unknown_commands, "commands that are not known or not implemented")                      \
	X(forbidden_commands, "sessions closed because the client does not speak SMTP")            \
	X(bad_syntax, "known commands with bad arguments")                                         \
	X(bad_sequence, "commands at the wrong time")                                              \
	X(too_many_recipients, "recipients beyond the limit of a message")                         \
	X(size_refused, "MAIL commands refused for their SIZE")                                    \
	X(messages, "contents read to the final dot")                                              \
	X(messages_too_big, "contents beyond the size limit")                                      \
	X(content_bytes, "content bytes handed on")                                                \
	X(content_cut_bytes, "content bytes dropped beyond the size limit")                        \
	X(bare_lf, "line feeds without a carriage return that were repaired")                      \
	X(bad_dsn_parameters, "ENVID, RET, NOTIFY and ORCPT parameters that were refused")         \
	X(tls_demanded, "commands refused because STARTTLS has to come first")                     \
	X(starttls, "STARTTLS commands that were accepted")                                        \
	X(starttls_injected_bytes, "plaintext bytes dropped behind STARTTLS")                      \
	X(auths, "AUTH commands handed to the owner")                                              \
	X(auths_aborted, "AUTH exchanges that the client ended, or broke")                         \
	X(late_bytes, "bytes dropped because the session was over")

PEN_COUNTERS_DECLARE(pen_smtp_server, PEN_SMTP_SERVER_COUNTERS);
