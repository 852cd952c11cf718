// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Holds DPDK's interrupt thread back.
//
// A driver may change a device on that thread whenever it likes: net_memif
// unmaps the rings as soon as the other side is gone, also from under a worker
// that is reading them. While the gate is closed the interrupt thread waits in
// a callback of ours, so it cannot; whoever opens the gate first makes sure that
// nobody uses the device.
//
// Threads: one owner calls everything here.
// Limits:  interrupts of all devices wait for the gate, and alarms too.

#include <pthread.h>
#include <stdbool.h>

struct intr_gate {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool closed; // what the owner wants
	bool inside; // the interrupt thread waits
};

void intr_gate_init(struct intr_gate *g); // it is open
void intr_gate_fini(struct intr_gate *g); // opens it first

// True: the interrupt thread stands still. False: it did not come within a
// second, and the gate is open.
bool intr_gate_close(struct intr_gate *g);
void intr_gate_open(struct intr_gate *g);
