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

bool port_lacks_privilege(const struct pen_port_config *c, char *err, size_t cap)
{
	enum { CAP_NET_ADMIN_BIT = 12, CAP_NET_RAW_BIT = 13 };
	static const struct {
		const char *driver, *name;
		unsigned bit;
	} needs[] = {{"net_af_packet", "CAP_NET_RAW", CAP_NET_RAW_BIT},
		{"net_af_xdp", "CAP_NET_ADMIN", CAP_NET_ADMIN_BIT},
		{"net_tap", "CAP_NET_ADMIN", CAP_NET_ADMIN_BIT}};

	for (size_t i = 0; i < sizeof(needs) / sizeof(needs[0]); i++) {
		if (strncmp(c->device, needs[i].driver, strlen(needs[i].driver)) != 0 ||
			has_capability(needs[i].bit))
			continue;
		snprintf(err, cap, "port %s: %s needs the privilege %s", c->name, needs[i].driver,
			needs[i].name);
		return true;
	}
	return false;
}

// Says in one sentence why a device did not come up.
static void explain_probe(const struct pen_port_config *c, int rc, char *err, size_t cap)
{
	bool on_interface = strncmp(c->device, "net_af_packet", 13) == 0 ||
			    strncmp(c->device, "net_af_xdp", 10) == 0;
	char iface[IF_NAMESIZE + 1];

	if (port_lacks_privilege(c, err, cap))
		return;
	if (on_interface && !device_option(c->device, "iface", iface, sizeof(iface)))
		snprintf(err, cap, "port %s: the device %s needs iface=NAME", c->name, c->device);
	else if (on_interface && if_nametoindex(iface) == 0)
		snprintf(err, cap, "port %s: there is no network interface %s", c->name, iface);
	else if (rc == EFAULT)
		// The virtual bus says so when no driver claims the name.
		snprintf(err, cap, "port %s: DPDK has no driver for the device %s", c->name,
			c->device);
	else
		snprintf(err, cap, "port %s: device %s did not start: %s%s%s", c->name, c->device,
			strerror(rc), eal_complaint()[0] != '\0' ? ": " : "", eal_complaint());
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
		eal_forget_complaint();
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
