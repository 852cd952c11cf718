// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The policy parts of the daemon at its start: rules, TLS policy, DNS. Each is
// fatal when it fails. Main thread only.

#include "pen_gateway.h"

// What all threads share and only read: routing, rules of sessions.
void daemon_set_rules(struct pen_gateway *g);
// TLS policy with the contexts it needs; before privileges are dropped, because
// of the key of a client certificate.
void daemon_load_tls_policy(struct pen_gateway *g);
// DNS and what is looked up with it: MTA-STS, TLSRPT, hosts with their policies.
void daemon_open_policy(struct pen_gateway *g);
