// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The dataplane of the gateway: EAL, ports, and one worker per lcore that runs
// leases (pen_delivery.h).
//
// Threads: start and stop are called by the main thread. pen_worker_send and
//          pen_worker_recv are the two ends of SPSC rings and are called by the
//          scheduler thread only. Everything else happens on the workers.
// Memory:  taken at start from the limits below; a worker never allocates.

#include "pen_addr.h"
#include "pen_counter.h"
#include "pen_ring.h"
#include "pen_session_tls.h"

#define PEN_WORKERS_MAX 64
#define PEN_PORTS_MAX 16
#define PEN_EAL_OPTIONS_MAX 32

enum pen_hugepages {
	PEN_HUGEPAGES_AUTO, // use them when some are reserved, else go without
	PEN_HUGEPAGES_NO,
	PEN_HUGEPAGES_YES, // refuse to start without
};

struct pen_port_config {
	char name[32];
	// A DPDK device: "net_memif0,role=client,socket=/run/x", "net_af_packet0,
	// iface=veth0", "net_tap0,...", or a PCI address "0000:01:00.0".
	char device[256];
	uint16_t mtu;             // default 1500
	uint8_t prefix_bits;      // on-link prefix of the IPv4 sources
	uint8_t prefix6_bits;     // and of the IPv6 ones, default 64
	struct pen_addr gateway;  // of IPv4; family NONE: on-link only
	struct pen_addr gateway6; // of IPv6; the same
	uint8_t mac[6];           // zeros: the device's own
	bool trust_rx_checksum;
};

struct pen_source_config {
	char name[32];
	uint16_t port; // index into ports
	struct pen_addr addr;
	char helo[256]; // empty: myhostname
};

struct pen_dataplane_config {
	uint32_t nworkers;
	uint16_t worker_core[PEN_WORKERS_MAX];
	enum pen_hugepages hugepages;
	uint32_t memory_mb; // for DPDK: mbufs and rings; 0: as much as they need
	uint32_t mbufs;     // per worker and port; 0: from the rings' sizes
	char file_prefix[64];
	uint32_t neal;
	const char *eal_option[PEN_EAL_OPTIONS_MAX]; // passed through as they are
	uint32_t nports;
	struct pen_port_config port[PEN_PORTS_MAX];
	uint32_t nsources;
	const struct pen_source_config *source;
	uint32_t max_connections;     // per worker
	uint32_t buffer_mb;           // TCP buffers per worker
	uint32_t ring_depth;          // commands and events per worker, power of two
	uint32_t rx_window, tx_limit; // per connection
	// STARTTLS for sessions; NULL: never, and a lease that demands it fails.
	const struct pen_session_tls *tls;
};

void pen_dataplane_config_init(struct pen_dataplane_config *cfg);
// Whether one of the sources of a port is an IPv6 address.
bool pen_port_has_ip6(const struct pen_dataplane_config *cfg, uint32_t port);

struct pen_dataplane;
struct pen_worker;

// pen_dataplane_start brings up EAL, ports and workers. NULL on failure with
// one clear sentence in err (missing privilege, device, hugepages, bad core).
// Takes `notes` lines such as "no hugepages reserved: running with --no-huge".
struct pen_dataplane *pen_dataplane_start(const struct pen_dataplane_config *cfg, char *err,
	size_t err_cap, void (*note)(void *ctx, const char *line), void *ctx);
// Aborts leases, stops workers and ports, frees. Undelivered objects come back
// through pen_worker_recv before it returns if the caller drains meanwhile.
void pen_dataplane_stop(struct pen_dataplane *d);

uint32_t pen_dataplane_workers(const struct pen_dataplane *d);
struct pen_worker *pen_dataplane_worker(struct pen_dataplane *d, uint32_t index);
// False: the ring is full, try again later.
bool pen_worker_send(struct pen_worker *w, struct pen_ring_msg m);
bool pen_worker_recv(struct pen_worker *w, struct pen_ring_msg *m);

// All counters of one worker, for metrics: calls fn once per group.
void pen_worker_counters(const struct pen_worker *w,
	void (*fn)(void *ctx, const struct pen_counter_set *set), void *ctx);
struct pen_worker_load {
	uint32_t connections;
	uint64_t loops, busy_loops, idle_sleeps;
};
void pen_worker_get_load(const struct pen_worker *w, struct pen_worker_load *load);
