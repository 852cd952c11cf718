// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What crosses between workers: frames that arrived at the wrong one, and
// neighbours that one of them learned. Both travel as mbufs over rings with one
// producer and one consumer; a full ring drops and counts.

#include "worker.h"

// 0 or -ENOMEM: rings for all pairs of n workers.
int worker_mesh_new(struct pen_worker **w, uint32_t n);
void worker_mesh_free(struct pen_worker **w, uint32_t n);

// Passes a received frame on when another worker owns it; true: it is gone. An
// answer to an ARP request or a solicitation goes to all: only who asked will
// believe it.
bool worker_mesh_steer(struct pen_worker *w, struct rte_mbuf *m);
void worker_mesh_tell_neigh(
	struct worker_port *p, const struct pen_addr *addr, const uint8_t mac[6]);
// Takes what the others sent; returns how many.
uint32_t worker_mesh_receive(struct pen_worker *w, pen_time_us now,
	void (*input)(struct pen_worker *w, struct rte_mbuf *m, pen_time_us now));
