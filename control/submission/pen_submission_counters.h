// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Counters of submission, one struct per loop.

#include "pen_counter.h"

#define PEN_SUBMISSION_COUNTERS(X)                                                                 \
	X(connects, "connections accepted")                                                        \
	X(connects_refused, "connections refused: too many")                                       \
	X(accepts_failed, "accept calls that failed, descriptors or memory")                       \
	X(relay_denied, "recipients refused: client outside mynetworks, and nobody we know")       \
	X(storage_refused, "commands and messages refused with 452 4.3.1")                         \
	X(memory_refused, "messages refused for lack of memory")                                   \
	X(hops_refused, "messages refused for too many Received: fields")                          \
	X(size_refused, "messages refused after the content grew beyond the limit")                \
	X(malformed_refused, "messages refused for NUL bytes or a header field too long")          \
	X(fields_refused, "messages refused for a bad X-Penstock- field")                          \
	X(suppressed_refused, "recipients refused because they are suppressed")                    \
	X(suppressed_dropped, "recipients deleted because they are suppressed")                    \
	X(smtputf8, "messages with SMTPUTF8")                                                      \
	X(verp, "messages with XVERP")                                                             \
	X(filter_rejected, "messages refused by header checks")                                    \
	X(filter_discarded, "messages discarded by header checks")                                 \
	X(filter_held, "messages put on hold by header checks")                                    \
	X(tls_sessions, "TLS handshakes finished")                                                 \
	X(tls_failed, "TLS handshakes that failed")                                                \
	X(tls_timeouts, "of these, handshakes that took too long")                                 \
	X(tls_too_big, "of these, handshakes in which the client sent too much")                   \
	X(tls_broken, "TLS sessions that ended with an error")                                     \
	X(requiretls, "messages marked REQUIRETLS")                                                \
	X(tls_optional, "messages marked TLS-Required: no")                                        \
	X(tls_required_unknown, "TLS-Required fields with an unknown value")                       \
	X(auth_ok, "clients that authenticated")                                                   \
	X(auth_failed, "authentications that the server refused")                                  \
	X(auth_unavailable, "authentications that nobody could tell about (454)")                  \
	X(auth_connects, "connections to the authentication server")                               \
	X(auth_lost, "of these, connections that were lost")                                       \
	X(auth_protocol_errors, "lines of the authentication server that were none")               \
	X(tenant_refused, "messages refused for a tenant that is not the user's")                  \
	X(in_flow_pauses, "messages that waited because the queue did not keep up")                \
	X(messages, "messages handed to the queue")                                                \
	X(recipients, "recipients handed to the queue")                                            \
	X(stored, "messages that the queue confirmed")                                             \
	X(failed, "messages that the queue refused")                                               \
	X(client_left, "answers whose client had gone: the message is stored all the same")        \
	X(bytes_in, "bytes read from clients")                                                     \
	X(bytes_out, "bytes written to clients")                                                   \
	X(reads, "read calls")                                                                     \
	X(writes, "write calls")

PEN_COUNTERS_DECLARE(pen_submission, PEN_SUBMISSION_COUNTERS);
