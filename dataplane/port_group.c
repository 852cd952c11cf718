// SPDX-License-Identifier: BSD-3-Clause
#include "port.h"

#include <errno.h>
#include <stdlib.h>

// Fills the list of groups: all-nodes, and one for the last 24 bits of each
// address (RFC 2464 7). Returns how many.
static uint32_t fill(struct rte_ether_addr *list, const struct port *p,
	const struct pen_dataplane_config *cfg, uint32_t index)
{
	uint32_t n = 0;

	list[n++] = (struct rte_ether_addr){{0x33, 0x33, 0, 0, 0, 1}};
	list[n++] = (struct rte_ether_addr){{0x33, 0x33, 0xff, p->mac[3], p->mac[4], p->mac[5]}};
	for (uint32_t i = 0; i < cfg->nsources; i++) {
		const struct pen_source_config *s = &cfg->source[i];
		if (s->port == index && s->addr.family == PEN_FAMILY_IP6)
			list[n++] = (struct rte_ether_addr){
				{0x33, 0x33, 0xff, s->addr.ip[13], s->addr.ip[14], s->addr.ip[15]}};
	}
	return n;
}

// A device that can filter exactly gets the list; the others pass on all
// multicast, or everything. One that knows none of this has no filter at all,
// as virtual devices have none; only a refusal is trouble.
void port_receive_groups(struct port *p, const struct pen_dataplane_config *cfg, uint32_t index)
{
	if (!pen_port_has_ip6(cfg, index))
		return;
	struct rte_ether_addr *list = calloc(cfg->nsources + 2, sizeof(*list));
	int rc = list != NULL ? rte_eth_dev_set_mc_addr_list(p->id, list, fill(list, p, cfg, index))
			      : -ENOMEM;
	free(list);
	if (rc != 0)
		rc = rte_eth_allmulticast_enable(p->id);
	if (rc != 0)
		rc = rte_eth_promiscuous_enable(p->id);
	p->deaf = rc != 0 && rc != -ENOTSUP;
}
