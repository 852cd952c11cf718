// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Watches the ports' links while the workers run: reports changes, and brings a
// net_memif port back after its other side went away.
//
// The workers leave a memif port alone while its control channel is busy or
// its link is down (port_queue_sync): the driver maps and unmaps the rings then.
// For that the keeper sees the channel's messages before the driver does
// (intr_gate.h). A client, which the driver connects only when it starts, is
// stopped and started again until its link is up.
//
// Threads: a thread of its own, which makes system calls, waits and logs.
//          start and stop by the main thread; start when the workers run, stop
//          when they have ended (until then it is needed).
// Memory:  frames that workers want to send meanwhile are dropped and counted;
//          TCP sends them again.

#include "worker.h"

struct link_keeper;

// NULL: no memory, thread or interrupt callback, with a sentence in err.
struct link_keeper *link_keeper_start(struct port *ports, uint32_t nports,
	struct pen_worker *const *workers, uint32_t nworkers, char *err, size_t err_cap);
void link_keeper_stop(struct link_keeper *k);
