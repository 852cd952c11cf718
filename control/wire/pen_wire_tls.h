// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Gives the dataplane's sessions the TLS streams of tls/: the two folders do
// not know each other, so the table of functions is filled in here. The
// gateway, penstock-sink and benchmarks use the same adapter.
//
// A client's stream is made by the profile of its host's policy. A policy without
// a profile gets a stream of `cfg` as long as it demands no certificate (tools and
// tests have such policies); otherwise none.
//
// Threads: as pen_session_tls.h says. Memory: the config (and the strings it
// points to) must outlive the dataplane.

#include "pen_session_tls.h"
#include "pen_tls.h"

// Fills *out so that each worker makes its own context from cfg. 0 or -EIO.
int pen_wire_tls_init(struct pen_session_tls *out, const struct pen_tls_ctx_config *cfg);

// What sessions with this host may resume each other by: its name, address and
// port, where we come from, and what we call ourselves.
void pen_wire_tls_session_key(const struct pen_lease_host *host, const struct pen_addr *source,
	const char *helo, uint64_t key[2]);
