// SPDX-License-Identifier: BSD-3-Clause
#include "port.h"

#include "eal.h"
#include "port_rss.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rte_dev.h>
#include <rte_errno.h>

#define POOL_CACHE 256
#define RX_DESCRIPTORS 1024
#define TX_DESCRIPTORS 1024
#define PEER_WAIT_US (10 * PEN_US_PER_S)
#define MEMIF_RETRY_US (250 * PEN_US_PER_MS)

PEN_COUNTERS_DEFINE(port, PORT_COUNTERS);

static uint32_t pool_size(const struct pen_dataplane_config *cfg)
{
	// Rings, the transmit batch, per-lcore caches, frames that wait for a
	// neighbour or in another worker's ring.
	uint32_t least = RX_DESCRIPTORS + TX_DESCRIPTORS + PORT_TX_BATCH + 4 * POOL_CACHE + 2048;

	return cfg->mbufs > least ? cfg->mbufs : least;
}

static uint16_t pool_room(const struct pen_port_config *port)
{
	uint32_t room = RTE_PKTMBUF_HEADROOM + PEN_ETH_LEN + 4 + (uint32_t)port->mtu;

	// Many devices want to write at least 2 KiB.
	if (room < RTE_MBUF_DEFAULT_BUF_SIZE)
		room = RTE_MBUF_DEFAULT_BUF_SIZE;
	return (uint16_t)((room + 63) / 64 * 64);
}

uint32_t port_memory_mb(const struct pen_dataplane_config *cfg, bool hugepages)
{
	uint64_t bytes = 32u << 20; // ethdev, vdevs, rings, mempool headers

	for (uint32_t i = 0; i < cfg->nports; i++) {
		uint64_t each = pool_room(&cfg->port[i]) + sizeof(struct rte_mbuf) + 128;
		// A mempool lets no object cross a page.
		if (!hugepages)
			each = (each + 4095) / 4096 * 4096;
		bytes += each * pool_size(cfg) * cfg->nworkers;
	}
	bytes += (uint64_t)cfg->nworkers * cfg->nworkers * 16384;
	return (uint32_t)(bytes >> 20) + 1;
}

// ---- start ----

static bool has_capability(unsigned bit)
{
	char line[256];
	unsigned long long effective = 0;
	FILE *f = fopen("/proc/self/status", "re");

	if (f == NULL)
		return false;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, "CapEff: %llx", &effective) == 1)
			break;
	}
	fclose(f);
	return (effective >> bit & 1) != 0;
}

// The value of "key=" in a device string.
static bool device_option(const char *device, const char *key, char *out, size_t cap)
{
	size_t klen = strlen(key);

	for (const char *p = strchr(device, ','); p != NULL; p = strchr(p, ',')) {
		p++;
		while (*p == ' ')
			p++;
		if (strncmp(p, key, klen) != 0 || p[klen] != '=')
			continue;
		size_t n = strcspn(p + klen + 1, ",");
		if (n >= cap)
			return false;
		memcpy(out, p + klen + 1, n);
		out[n] = '\0';
		return true;
	}
	return false;
}

// Says in one sentence why a device did not come up.
static void explain_probe(const struct pen_port_config *c, int rc, char *err, size_t cap)
{
	enum { CAP_NET_ADMIN_BIT = 12, CAP_NET_RAW_BIT = 13 };
	bool af_packet = strncmp(c->device, "net_af_packet", 13) == 0;
	bool af_xdp = strncmp(c->device, "net_af_xdp", 10) == 0;
	bool tap = strncmp(c->device, "net_tap", 7) == 0;
	char iface[IF_NAMESIZE + 1];

	if (af_packet && !has_capability(CAP_NET_RAW_BIT))
		snprintf(err, cap, "port %s: net_af_packet needs the privilege CAP_NET_RAW",
			c->name);
	else if ((af_xdp || tap) && !has_capability(CAP_NET_ADMIN_BIT))
		snprintf(err, cap, "port %s: %s needs the privilege CAP_NET_ADMIN", c->name,
			af_xdp ? "net_af_xdp" : "net_tap");
	else if ((af_packet || af_xdp) && device_option(c->device, "iface", iface, sizeof(iface)) &&
		 if_nametoindex(iface) == 0)
		snprintf(err, cap, "port %s: there is no network interface %s", c->name, iface);
	else if (rc == EFAULT)
		// The virtual bus says so when no driver claims the name.
		snprintf(err, cap, "port %s: DPDK has no driver for the device %s", c->name,
			c->device);
	else
		snprintf(err, cap, "port %s: device %s did not start: %s%s%s", c->name, c->device,
			strerror(rc), eal_last_message()[0] != '\0' ? ": " : "",
			eal_last_message());
}

static int probe(struct port *p, char *err, size_t cap)
{
	const struct pen_port_config *c = p->cfg;
	char name[RTE_ETH_NAME_MAX_LEN];
	size_t n = strcspn(c->device, ",");

	if (n == 0 || n >= sizeof(name)) {
		snprintf(err, cap, "port %s: no device", c->name);
		return -EINVAL;
	}
	memcpy(name, c->device, n);
	name[n] = '\0';
	if (!eal_is_pci(c->device)) {
		eal_forget_message();
		int rc = rte_dev_probe(c->device);
		if (rc < 0) {
			explain_probe(c, -rc, err, cap);
			return -ENODEV;
		}
	}
	if (rte_eth_dev_get_port_by_name(name, &p->id) != 0) {
		snprintf(err, cap,
			"port %s: DPDK knows no device %s (is its driver bound, for example "
			"to vfio-pci?)",
			c->name, name);
		return -ENODEV;
	}
	p->probed = true;
	return 0;
}

static int check_limits(struct port *p, const struct rte_eth_dev_info *info, char *err, size_t cap)
{
	unsigned most = info->max_rx_queues < info->max_tx_queues ? info->max_rx_queues
								  : info->max_tx_queues;

	if (p->nqueues > most) {
		snprintf(err, cap,
			"port %s: %u workers need as many queues, but the device has at most %u",
			p->cfg->name, p->nqueues, most);
		return -EINVAL;
	}
	// net_memif reports one Ethernet frame but chains its buffers: any length.
	bool memif = strcmp(info->driver_name, "net_memif") == 0;
	if (!memif && p->mtu > info->max_mtu) {
		snprintf(err, cap, "port %s: mtu %u is more than the device's maximum of %u",
			p->cfg->name, p->mtu, info->max_mtu);
		return -EINVAL;
	}
	return 0;
}

static void choose_offloads(
	struct port *p, const struct rte_eth_dev_info *info, struct rte_eth_conf *conf)
{
	const uint64_t tx = RTE_ETH_TX_OFFLOAD_IPV4_CKSUM | RTE_ETH_TX_OFFLOAD_TCP_CKSUM;
	const uint64_t rx = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_TCP_CKSUM;

	if ((info->tx_offload_capa & tx) == tx) {
		conf->txmode.offloads |= tx;
		p->flags |= PEN_PORT_TX_CSUM;
	}
	// One mempool per queue and no shared mbufs: what the fast free asks for.
	if ((info->tx_offload_capa & RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE) != 0)
		conf->txmode.offloads |= RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE;
	if ((info->rx_offload_capa & rx) == rx)
		conf->rxmode.offloads |= rx;
	if (p->cfg->trust_rx_checksum)
		p->flags |= PEN_PORT_RX_CSUM_OK;
	if (p->mtu <= info->max_mtu && info->max_mtu != UINT16_MAX)
		conf->rxmode.mtu = p->mtu;
}

static bool rss_possible(const struct port *p, const struct rte_eth_dev_info *info)
{
	return p->nqueues > 1 && info->hash_key_size >= 40 && info->reta_size >= p->nqueues &&
	       (info->reta_size & (info->reta_size - 1)) == 0 &&
	       (info->flow_type_rss_offloads & RTE_ETH_RSS_NONFRAG_IPV4_TCP) != 0;
}

static unsigned reta_bits(const struct rte_eth_dev_info *info)
{
	return (unsigned)__builtin_ctz(info->reta_size);
}

static void ask_rss(const struct rte_eth_dev_info *info, uint8_t *key, struct rte_eth_conf *conf)
{
	port_rss_key(key, info->hash_key_size, reta_bits(info));
	conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	conf->rx_adv_conf.rss_conf.rss_key = key;
	conf->rx_adv_conf.rss_conf.rss_key_len = info->hash_key_size;
	conf->rx_adv_conf.rss_conf.rss_hf =
		(RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV6_TCP) &
		info->flow_type_rss_offloads;
}

static void fill_reta(struct port *p, const struct rte_eth_dev_info *info)
{
	enum { GROUPS = 65536 / RTE_ETH_RETA_GROUP_SIZE };
	static struct rte_eth_rss_reta_entry64 reta[GROUPS];

	memset(reta, 0, sizeof(reta));
	for (uint32_t i = 0; i < info->reta_size; i++) {
		reta[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
		reta[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] =
			port_rss_queue(i, reta_bits(info), p->nqueues);
	}
	p->rss = rte_eth_dev_rss_reta_update(p->id, reta, info->reta_size) == 0;
}

static int setup_queues(struct port *p, const struct pen_dataplane_config *cfg, uint32_t index,
	const struct rte_eth_dev_info *info, const struct rte_eth_conf *conf, char *err, size_t cap)
{
	int socket = rte_eth_dev_socket_id(p->id);
	struct rte_eth_txconf txconf = info->default_txconf;
	struct rte_eth_rxconf rxconf = info->default_rxconf;
	uint16_t room = pool_room(p->cfg);

	txconf.offloads = conf->txmode.offloads;
	rxconf.offloads = conf->rxmode.offloads;
	p->nrxd = RX_DESCRIPTORS;
	p->ntxd = TX_DESCRIPTORS;
	int rc = rte_eth_dev_adjust_nb_rx_tx_desc(p->id, &p->nrxd, &p->ntxd);
	if (rc != 0) {
		snprintf(err, cap, "port %s: descriptors: %s", p->cfg->name, strerror(-rc));
		return rc;
	}
	for (uint16_t q = 0; q < p->nqueues; q++) {
		char name[RTE_MEMPOOL_NAMESIZE];
		snprintf(name, sizeof(name), "pen_p%u_w%u", index, q);
		p->pool[q] =
			rte_pktmbuf_pool_create(name, pool_size(cfg), POOL_CACHE, 0, room, socket);
		if (p->pool[q] == NULL) {
			snprintf(err, cap,
				"port %s: no memory for %u packet buffers of %u bytes: %s "
				"(raise the dataplane's memory)",
				p->cfg->name, pool_size(cfg), room, rte_strerror(rte_errno));
			return -ENOMEM;
		}
		rc = rte_eth_rx_queue_setup(
			p->id, q, p->nrxd, (unsigned)socket, &rxconf, p->pool[q]);
		if (rc == 0)
			rc = rte_eth_tx_queue_setup(p->id, q, p->ntxd, (unsigned)socket, &txconf);
		if (rc != 0) {
			snprintf(err, cap, "port %s: queue %u: %s", p->cfg->name, q, strerror(-rc));
			return rc;
		}
	}
	return 0;
}

static int set_mac(struct port *p, char *err, size_t cap)
{
	static const uint8_t none[6];
	struct rte_ether_addr mac;
	int rc = rte_eth_macaddr_get(p->id, &mac);

	if (rc != 0) {
		snprintf(err, cap, "port %s: no MAC address: %s", p->cfg->name, strerror(-rc));
		return rc;
	}
	if (memcmp(p->cfg->mac, none, 6) != 0) {
		memcpy(mac.addr_bytes, p->cfg->mac, 6);
		// A device that cannot change its address receives ours promiscuously.
		if (rte_eth_dev_default_mac_addr_set(p->id, &mac) != 0)
			rte_eth_promiscuous_enable(p->id);
	}
	memcpy(p->mac, mac.addr_bytes, 6);
	return 0;
}

static void pause_ms(long ms)
{
	struct timespec ts = {.tv_nsec = ms * 1000000};

	nanosleep(&ts, NULL);
}

// A memif client cannot start before its server listens. Both sides are often
// started together, so it gets a moment.
static int start_device(struct port *p, char *err, size_t cap)
{
	bool memif = strncmp(p->cfg->device, "net_memif", 9) == 0;
	pen_time_us end = pen_clock_mono() + (memif ? PEER_WAIT_US : 0);
	char path[128] = "/run/memif.sock"; // DPDK's default
	int rc;

	while ((rc = rte_eth_dev_start(p->id)) != 0 && pen_clock_mono() < end)
		pause_ms(20);
	if (rc == 0) {
		p->started = true;
		return 0;
	}
	device_option(p->cfg->device, "socket", path, sizeof(path));
	if (memif)
		snprintf(err, cap,
			"port %s: nobody listens at the memif socket %s: start the side with "
			"role=server first",
			p->cfg->name, path);
	else
		snprintf(err, cap, "port %s: cannot start: %s: %s", p->cfg->name, strerror(-rc),
			eal_last_message());
	return rc < 0 ? rc : -EIO;
}

int port_open(struct port *p, const struct pen_dataplane_config *cfg, uint32_t index, char *err,
	size_t cap)
{
	struct rte_eth_dev_info info;
	struct rte_eth_conf conf = {0};
	uint8_t key[256];

	*p = (struct port){.cfg = &cfg->port[index],
		.mtu = cfg->port[index].mtu,
		.nqueues = (uint16_t)cfg->nworkers};
	int rc = probe(p, err, cap);
	if (rc != 0)
		return rc;
	rc = rte_eth_dev_info_get(p->id, &info);
	if (rc != 0) {
		snprintf(err, cap, "port %s: %s", p->cfg->name, strerror(-rc));
		return rc;
	}
	rc = check_limits(p, &info, err, cap);
	if (rc != 0)
		return rc;
	choose_offloads(p, &info, &conf);
	bool rss = rss_possible(p, &info);
	if (rss)
		ask_rss(&info, key, &conf);
	eal_forget_message();
	rc = rte_eth_dev_configure(p->id, p->nqueues, p->nqueues, &conf);
	if (rc != 0) {
		snprintf(err, cap, "port %s: %s: %s", p->cfg->name, strerror(-rc),
			eal_last_message());
		return rc;
	}
	rc = setup_queues(p, cfg, index, &info, &conf, err, cap);
	if (rc != 0)
		return rc;
	rc = set_mac(p, err, cap);
	if (rc != 0)
		return rc;
	rc = start_device(p, err, cap);
	if (rc != 0)
		return rc;
	if (rss)
		fill_reta(p, &info);
	port_receive_groups(p, cfg, index);
	return 0;
}

bool port_wait_link(struct port *p, pen_time_us most)
{
	char role[16] = "", err[8];
	bool client = strncmp(p->cfg->device, "net_memif", 9) == 0 &&
		      device_option(p->cfg->device, "role", role, sizeof(role)) &&
		      strcmp(role, "client") == 0;
	pen_time_us now = pen_clock_mono(), end = now + most, again = now + MEMIF_RETRY_US;
	struct rte_eth_link link;

	for (;; now = pen_clock_mono()) {
		if (rte_eth_link_get_nowait(p->id, &link) != 0)
			return true; // the device does not say
		if (link.link_status == RTE_ETH_LINK_UP)
			return true;
		if (now >= end)
			return false;
		// A client that came while its server was still starting was turned away,
		// and does not try again by itself.
		if (client && now >= again) {
			again = now + MEMIF_RETRY_US;
			rte_eth_dev_stop(p->id);
			p->started = false;
			if (start_device(p, err, sizeof(err)) != 0)
				return false;
		}
		pause_ms(2);
	}
}

void port_close(struct port *p)
{
	if (p->started)
		rte_eth_dev_stop(p->id);
	if (p->probed)
		rte_eth_dev_close(p->id);
	for (uint32_t q = 0; q < p->nqueues; q++) {
		rte_mempool_free(p->pool[q]);
		p->pool[q] = NULL;
	}
	p->started = p->probed = false;
}

// ---- a worker's end ----

void port_queue_init(
	struct port_queue *q, struct port *p, uint32_t worker, struct port_counters *ctr)
{
	*q = (struct port_queue){
		.port = p, .queue = (uint16_t)worker, .pool = p->pool[worker], .ctr = ctr};
}

void port_queue_fini(struct port_queue *q)
{
	for (uint32_t i = 0; i < q->ntx; i++)
		rte_pktmbuf_free(q->tx[i]);
	q->ntx = 0;
}

static bool port_tx_get(void *ctx, struct pen_frame *f)
{
	struct port_queue *q = ctx;

	if (q->ntx >= PORT_TX_BATCH) {
		PEN_COUNT(q->ctr->tx_batch_full);
		return false;
	}
	struct rte_mbuf *m = rte_pktmbuf_alloc(q->pool);
	if (m == NULL) {
		PEN_COUNT(q->ctr->tx_no_mbuf);
		return false;
	}
	f->data = rte_pktmbuf_mtod(m, uint8_t *);
	f->cap = rte_pktmbuf_tailroom(m);
	f->port = m;
	return true;
}

static void port_tx_put(void *ctx, struct pen_frame *f, uint32_t len, bool l4_csum)
{
	struct port_queue *q = ctx;
	struct rte_mbuf *m = f->port;

	if (q->ntx >= PORT_TX_BATCH) {
		// Frames that waited elsewhere (for a neighbour) were got long ago.
		PEN_COUNT(q->ctr->tx_batch_full);
		rte_pktmbuf_free(m);
		return;
	}
	m->data_len = (uint16_t)len;
	m->pkt_len = len;
	if (l4_csum) {
		m->l2_len = PEN_ETH_LEN;
		if (port_is_ip6(f->data)) {
			m->l3_len = PEN_IP6_LEN;
			m->ol_flags = RTE_MBUF_F_TX_IPV6 | RTE_MBUF_F_TX_TCP_CKSUM;
		} else {
			m->l3_len = PEN_IP4_LEN;
			m->ol_flags = RTE_MBUF_F_TX_IPV4 | RTE_MBUF_F_TX_IP_CKSUM |
				      RTE_MBUF_F_TX_TCP_CKSUM;
		}
	}
	q->tx[q->ntx++] = m;
	PEN_COUNT_N(q->ctr->tx_bytes, len);
	if (q->ntx % PORT_BURST == 0)
		port_queue_flush(q);
}

static void port_tx_drop(void *ctx, struct pen_frame *f)
{
	(void)ctx;
	rte_pktmbuf_free(f->port);
}

const struct pen_port_ops port_ops = {
	.tx_get = port_tx_get,
	.tx_put = port_tx_put,
	.tx_drop = port_tx_drop,
};

void port_queue_flush(struct port_queue *q)
{
	if (q->ntx == 0)
		return;
	uint16_t sent = rte_eth_tx_burst(q->port->id, q->queue, q->tx, q->ntx);
	PEN_COUNT_N(q->ctr->tx_frames, sent);
	if (sent < q->ntx) {
		PEN_COUNT(q->ctr->tx_device_full);
		memmove(q->tx, q->tx + sent, (size_t)(q->ntx - sent) * sizeof(q->tx[0]));
	}
	q->ntx = (uint16_t)(q->ntx - sent);
}
