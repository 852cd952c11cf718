// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters of the SMTP client, one struct per worker.

#include "pen_counter.h"

#define PEN_SMTP_CLIENT_COUNTERS(X)                                                                \
	X(sessions, "sessions that were begun")                                                    \
	X(sessions_ready, "sessions that passed EHLO or HELO (and TLS)")                           \
	X(sessions_clean, "sessions that ended without a failure")                                 \
	X(sessions_failed, "sessions that ended with a failure")                                   \
	X(replies, "replies read")                                                                 \
	X(bad_replies, "byte streams that were not SMTP replies")                                  \
	X(protocol_errors, "replies of a kind that does not fit the command")                      \
	X(early_replies, "replies that came when none was outstanding")                            \
	X(early_blocked, "sessions ended because a reply inside TLS came before MAIL")             \
	X(early_final_replies, "messages refused while their content was being sent")              \
	X(late_bytes, "bytes dropped because the session was over")                                \
	X(greetings_refused, "greetings other than 2xx")                                           \
	X(helo_fallbacks, "servers that refused EHLO and were asked with HELO")                    \
	X(helos_refused, "servers that refused EHLO with 421, or HELO")                            \
	X(starttls, "STARTTLS commands that were accepted")                                        \
	X(starttls_refused, "STARTTLS commands that were refused")                                 \
	X(starttls_not_offered, "sessions ended because TLS is required but not offered")          \
	X(tls_unwanted, "sessions ended because of the server's certificate")                      \
	X(tls_broken, "sessions lost between the reply to STARTTLS and the EHLO inside TLS")       \
	X(requiretls_missing, "sessions ended because REQUIRETLS is required but not offered")     \
	X(smtputf8_missing, "sessions ended because SMTPUTF8 is required but not offered")         \
	X(loops, "sessions ended because the server has our own name")                             \
	X(starttls_injected_bytes, "plaintext bytes dropped behind the reply to STARTTLS")         \
	X(transactions, "MAIL commands sent")                                                      \
	X(messages_accepted, "final dots answered with 2xx (LMTP: for each recipient)")            \
	X(requiretls, "MAIL commands sent with REQUIRETLS")                                        \
	X(mail_refused, "MAIL commands refused")                                                   \
	X(rcpt_refused, "RCPT commands refused")                                                   \
	X(data_refused, "DATA commands refused")                                                   \
	X(dot_refused, "final dots refused")                                                       \
	X(lone_dots, "empty contents sent because DATA was accepted without recipients")           \
	X(rsets, "RSET commands sent")                                                             \
	X(rset_refused, "RSET commands refused")                                                   \
	X(replies_421, "replies with code 421")                                                    \
	X(size_exceeded, "messages not sent because they exceed the server's SIZE")                \
	X(eight_bit_not_offered, "8-bit messages sent to a server without 8BITMIME")               \
	X(unattempted, "deliveries handed back untried when a session ended")                      \
	X(lost, "sessions that the peer or the network ended")                                     \
	X(timeouts, "sessions that a time limit ended")                                            \
	X(quit_timeouts, "QUIT commands never answered")                                           \
	X(idle_quits, "sessions closed by us for want of deliveries")

PEN_COUNTERS_DECLARE(pen_smtp_client, PEN_SMTP_CLIENT_COUNTERS);
