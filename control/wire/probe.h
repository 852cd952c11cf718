// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// `penstock tls probe`: a connection through the dataplane without mail, for
// what TLS with a host shows.
//
// Threads: the verb on the control thread, the rest on the queue thread.
// Limits:  PROBES_MAX at a time; each ends with the lease's own time limits.

#include "pen_control.h"
#include "pen_ring.h"

#define PROBES_MAX 8

struct pen_gateway;

void pen_probe_verb(void *ctx, struct pen_control *c, const struct pen_control_request *req);
// A worker's event: true when it was a probe's, and the scheduler must not see it.
bool pen_probe_event(struct pen_gateway *g, const struct pen_ring_msg *m);
