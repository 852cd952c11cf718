// SPDX-License-Identifier: BSD-3-Clause
#include "port_probe.h"

#include "eal.h"
#include "memif.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include <rte_dev.h>

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

int port_probe(struct port *p, char *err, size_t cap)
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
	int wrong = memif_check(c->name, c->device, err, cap);
	if (wrong != 0)
		return wrong;
	if (!eal_is_pci(c->device)) {
		memif_remove_stale_socket(c->device);
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
