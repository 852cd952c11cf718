// SPDX-License-Identifier: BSD-3-Clause
#include "worker_mesh.h"

#include <errno.h>
#include <stdio.h>

// News about a neighbour, in the data of an mbuf whose port is invalid.
struct neigh_news {
	uint32_t port;
	struct pen_addr addr;
	uint8_t mac[6];
};

int worker_mesh_new(struct pen_worker **w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; j < n; j++) {
			char name[RTE_RING_NAMESIZE];
			if (i == j)
				continue;
			snprintf(name, sizeof(name), "pen_mesh_%u_%u", i & 0xff, j & 0xff);
			struct rte_ring *r = rte_ring_create(name, WORKER_MESH_DEPTH, SOCKET_ID_ANY,
				RING_F_SP_ENQ | RING_F_SC_DEQ);
			if (r == NULL)
				return -ENOMEM;
			w[i]->to[j] = r;
			w[j]->from[i] = r;
		}
	}
	return 0;
}

void worker_mesh_free(struct pen_worker **w, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		for (uint32_t j = 0; w[i] != NULL && j < n; j++) {
			struct rte_ring *r = w[i]->to[j];
			void *m;
			if (r == NULL)
				continue;
			while (rte_ring_dequeue(r, &m) == 0)
				rte_pktmbuf_free(m);
			rte_ring_free(r);
			w[i]->to[j] = NULL;
		}
	}
}

#define PROTO_ICMP6 58
#define NEIGHBOUR_ADVERTISEMENT 136

// An ARP reply or a neighbour advertisement.
static bool is_neigh_answer(const struct rte_mbuf *m)
{
	const uint8_t *p = rte_pktmbuf_mtod(m, const uint8_t *);

	if (m->data_len > PEN_ETH_LEN + PEN_IP6_LEN && port_is_ip6(p))
		return p[PEN_ETH_LEN + 6] == PROTO_ICMP6 &&
		       p[PEN_ETH_LEN + PEN_IP6_LEN] == NEIGHBOUR_ADVERTISEMENT;
	return m->data_len >= PEN_ETH_LEN + 8 && p[12] == 0x08 && p[13] == 0x06 &&
	       p[PEN_ETH_LEN + 6] == 0 && p[PEN_ETH_LEN + 7] == 2;
}

static void copy_to_all(struct pen_worker *w, const struct rte_mbuf *m)
{
	for (uint32_t j = 0; j < w->nworkers; j++) {
		if (j == w->index)
			continue;
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);
		if (copy == NULL)
			return; // whoever asked will ask again
		if (rte_ring_enqueue(w->to[j], copy) != 0) {
			PEN_COUNT(w->port_ctr.drop_steer_full);
			rte_pktmbuf_free(copy);
		} else {
			PEN_COUNT(w->port_ctr.steer_out);
		}
	}
}

bool worker_mesh_steer(struct pen_worker *w, struct rte_mbuf *m)
{
	uint16_t local = pen_inet_steer(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

	if (local == 0) {
		if (is_neigh_answer(m))
			copy_to_all(w, m);
		return false;
	}
	uint32_t owner = local % w->nworkers;
	if (owner == w->index)
		return false;
	if (rte_ring_enqueue(w->to[owner], m) != 0) {
		PEN_COUNT(w->port_ctr.drop_steer_full);
		rte_pktmbuf_free(m);
	} else {
		PEN_COUNT(w->port_ctr.steer_out);
	}
	return true;
}

void worker_mesh_tell_neigh(
	struct worker_port *p, const struct pen_addr *addr, const uint8_t mac[6])
{
	struct pen_worker *w = p->worker;

	for (uint32_t j = 0; j < w->nworkers; j++) {
		if (j == w->index)
			continue;
		struct rte_mbuf *m = rte_pktmbuf_alloc(p->queue.pool);
		if (m == NULL)
			return; // the others ask for themselves
		struct neigh_news *news = rte_pktmbuf_mtod(m, struct neigh_news *);
		news->port = (uint32_t)(p - w->port);
		news->addr = *addr;
		memcpy(news->mac, mac, 6);
		m->port = RTE_MBUF_PORT_INVALID;
		if (rte_ring_enqueue(w->to[j], m) != 0)
			rte_pktmbuf_free(m);
		else
			PEN_COUNT(w->port_ctr.neigh_out);
	}
}

uint32_t worker_mesh_receive(struct pen_worker *w, pen_time_us now,
	void (*input)(struct pen_worker *w, struct rte_mbuf *m, pen_time_us now))
{
	struct rte_mbuf *burst[PORT_BURST];
	uint32_t total = 0;

	for (uint32_t j = 0; j < w->nworkers; j++) {
		if (w->from[j] == NULL)
			continue;
		unsigned n = rte_ring_dequeue_burst(w->from[j], (void **)burst, PORT_BURST, NULL);
		for (unsigned i = 0; i < n; i++) {
			struct rte_mbuf *m = burst[i];
			if (m->port != RTE_MBUF_PORT_INVALID) {
				PEN_COUNT(w->port_ctr.steer_in);
				input(w, m, now);
				continue;
			}
			const struct neigh_news *news =
				rte_pktmbuf_mtod(m, const struct neigh_news *);
			PEN_COUNT(w->port_ctr.neigh_in);
			pen_inet_neigh_learn(
				w->port[news->port].inet, &news->addr, news->mac, false, now);
			rte_pktmbuf_free(m);
		}
		total += n;
	}
	return total;
}
