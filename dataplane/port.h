// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A port is one DPDK device; a port_queue is one worker's end of it.
//
// Any ethdev will do: checksums are offloaded where the device can, and done
// in software where it cannot; without RSS every packet may arrive anywhere.
//
// Threads: port_* functions by the main thread before the workers run and
//          after they ended, and by the link keeper in between; a port_queue
//          belongs to its worker.
// Memory:  one mempool per worker and port. A frame that the device does not
//          take stays in the queue's batch; a full batch makes tx_get fail,
//          which the stack takes as back-pressure.

#include "pen_dataplane.h"
#include "pen_inet.h"

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#define PORT_BURST 64
#define PORT_TX_BATCH 512

#define PORT_COUNTERS(X)                                                                           \
	X(rx_frames, "frames received")                                                            \
	X(rx_bytes, "bytes received, without preamble and checksum")                               \
	X(tx_frames, "frames given to the device")                                                 \
	X(tx_bytes, "bytes given to the device")                                                   \
	X(tx_device_full, "bursts that the device did not take completely")                        \
	X(tx_batch_full, "frames refused because the batch was full")                              \
	X(tx_no_mbuf, "frames refused because no mbuf was free")                                   \
	X(rx_too_long, "frames dropped because they were longer than we can take")                 \
	X(steer_out, "frames passed on to the worker that owns them")                              \
	X(steer_in, "frames taken over from other workers")                                        \
	X(drop_steer_full, "frames dropped because the owner's ring was full")                     \
	X(drop_tx_link_down, "frames dropped because the link was down or busy coming up")         \
	X(neigh_out, "neighbours told to other workers")                                           \
	X(neigh_in, "neighbours learned from other workers")
PEN_COUNTERS_DECLARE(port, PORT_COUNTERS);

struct port {
	const struct pen_port_config *cfg;
	uint16_t id;
	uint16_t mtu;
	uint16_t nqueues;
	uint16_t nrxd, ntxd;
	uint32_t flags; // PEN_PORT_*
	uint8_t mac[6];
	bool probed, started, rss;
	struct rte_mempool *pool[PEN_WORKERS_MAX];
	// Odd: the workers have to leave the device alone. Link keeper: wo.
	uint32_t parked;
	bool link_up; // link keeper: wo, as the next two
	uint32_t link_changes, link_went_down;
};

struct port_queue {
	struct port *port;
	uint16_t queue;
	uint16_t ntx;
	bool away;     // port->parked as of this turn of the loop
	uint32_t seen; // port->parked as the worker last saw it; worker: wo
	struct rte_mempool *pool;
	struct port_counters *ctr;
	struct rte_mbuf *tx[PORT_TX_BATCH];
};

// Megabytes that mbufs and rings of this configuration need.
uint32_t port_memory_mb(const struct pen_dataplane_config *cfg, bool hugepages);

// Probes, configures and starts a device. 0 or -errno with one sentence in err.
int port_open(struct port *p, const struct pen_dataplane_config *cfg, uint32_t index, char *err,
	size_t err_cap);
// Waits at most `most` for the link; false: still down.
bool port_wait_link(struct port *p, pen_time_us most);
// What the device and, below a virtual one, the kernel say now.
bool port_link_is_up(const struct port *p);
// What the link keeper last saw; any thread.
static inline bool port_link_get(const struct port *p)
{
	return __atomic_load_n(&p->link_up, __ATOMIC_RELAXED);
}
void port_link_set(struct port *p, bool up);
// Stops the device and starts it again, as it was configured. 0 or -errno: it is
// stopped. No worker may use it meanwhile.
int port_restart(struct port *p);
void port_close(struct port *p);

void port_queue_init(
	struct port_queue *q, struct port *p, uint32_t worker, struct port_counters *ctr);
void port_queue_fini(struct port_queue *q);

// The port as the network layer sees it; ctx is the port_queue.
extern const struct pen_port_ops port_ops;

// Gives the batch to the device, once.
void port_queue_flush(struct port_queue *q);

// At the begin of each turn of the loop: how the device may be used in this turn.
static inline void port_queue_sync(struct port_queue *q)
{
	uint32_t parked = __atomic_load_n(&q->port->parked, __ATOMIC_ACQUIRE);

	if (parked == q->seen)
		return;
	q->away = (parked & 1) != 0;
	__atomic_store_n(&q->seen, parked, __ATOMIC_RELEASE);
}

static inline uint16_t port_queue_receive(struct port_queue *q, struct rte_mbuf **m, uint16_t n)
{
	if (q->away)
		return 0;
	return rte_eth_rx_burst(q->port->id, q->queue, m, n);
}

// True when the device has verified IP and TCP checksums of a frame.
static inline bool port_rx_csum_ok(const struct port *p, const struct rte_mbuf *m)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;

	return (p->flags & PEN_PORT_RX_CSUM_OK) != 0 || (m->ol_flags & good) == good;
}
