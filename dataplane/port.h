// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A port is one DPDK device; a port_queue is one worker's end of it.
//
// Any ethdev will do: checksums are offloaded where the device can, and done
// in software where it cannot; without RSS every packet may arrive anywhere.
//
// Threads: port_* functions by the main thread before the workers run and
//          after they ended; a port_queue belongs to its worker.
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
	bool deaf; // the multicast that IPv6 needs was refused
	struct rte_mempool *pool[PEN_WORKERS_MAX];
};

struct port_queue {
	struct port *port;
	uint16_t queue;
	uint16_t ntx;
	struct rte_mempool *pool;
	struct port_counters *ctr;
	struct rte_mbuf *tx[PORT_TX_BATCH];
};

// Megabytes that mbufs and rings of this configuration need.
uint32_t port_memory_mb(const struct pen_dataplane_config *cfg, bool hugepages);

// Probes, configures and starts a device. 0 or -errno with one sentence in err.
int port_open(struct port *p, const struct pen_dataplane_config *cfg, uint32_t index, char *err,
	size_t err_cap);
// Asks the device for the multicast groups that neighbours look for our IPv6
// sources in; part of port_open.
void port_receive_groups(struct port *p, const struct pen_dataplane_config *cfg, uint32_t index);
// Waits at most `most` for the link; false: still down.
bool port_wait_link(struct port *p, pen_time_us most);
void port_close(struct port *p);

void port_queue_init(
	struct port_queue *q, struct port *p, uint32_t worker, struct port_counters *ctr);
void port_queue_fini(struct port_queue *q);

// The port as the network layer sees it; ctx is the port_queue.
extern const struct pen_port_ops port_ops;

// Gives the batch to the device, once.
void port_queue_flush(struct port_queue *q);

static inline uint16_t port_queue_receive(struct port_queue *q, struct rte_mbuf **m, uint16_t n)
{
	return rte_eth_rx_burst(q->port->id, q->queue, m, n);
}

static inline bool port_is_ip6(const uint8_t *frame)
{
	return frame[12] == 0x86 && frame[13] == 0xdd;
}

// True when the device has verified IP and TCP checksums of a frame. An IPv6
// header has none, so nothing is said of it.
static inline bool port_rx_csum_ok(
	const struct port *p, const struct rte_mbuf *m, const uint8_t *frame, uint32_t len)
{
	const uint64_t good = RTE_MBUF_F_RX_IP_CKSUM_GOOD | RTE_MBUF_F_RX_L4_CKSUM_GOOD;

	if ((p->flags & PEN_PORT_RX_CSUM_OK) != 0 || (m->ol_flags & good) == good)
		return true;
	return (m->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD &&
	       len >= PEN_ETH_LEN && port_is_ip6(frame);
}
