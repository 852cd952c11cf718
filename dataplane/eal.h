// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The Environment Abstraction Layer, started from our configuration: nobody
// types EAL arguments.
//
// Threads: main thread only. Once per process (DPDK cannot start twice).

#include "pen_dataplane.h"

#include <sched.h>

#define EAL_ARGS_MAX (48 + PEN_EAL_OPTIONS_MAX + 2 * PEN_PORTS_MAX)

struct eal_plan {
	int argc;
	char *argv[EAL_ARGS_MAX + 1]; // into `text`, or into the configuration
	bool hugepages;
	char note[160]; // something the operator should know, or empty
	size_t used;
	char text[8192];
};

// What of the machine decides the arguments.
struct eal_machine {
	cpu_set_t allowed;     // cores this process may use
	uint32_t free_huge_mb; // free hugepages of all sizes
};

void eal_machine_probe(struct eal_machine *m);

// Makes the arguments. 0, or -errno with one sentence in err. Memory that rings and
// mbufs need in hugepages (huge_mb) and in ordinary pages (small_mb).
int eal_plan_make(struct eal_plan *plan, const struct pen_dataplane_config *cfg,
	const struct eal_machine *m, uint32_t huge_mb, uint32_t small_mb, char *err,
	size_t err_cap);

// rte_eal_init with DPDK's own messages kept out of the terminal; the last one
// becomes part of err. 0 or -errno.
int eal_start(struct eal_plan *plan, char *err, size_t err_cap);
// The last error that DPDK reported since the previous call, or "".
const char *eal_last_message(void);
void eal_forget_message(void);
void eal_stop(void);

// The lcore that runs worker `index`.
static inline unsigned eal_lcore_of(uint32_t index)
{
	return index + 1;
}

// "0000:01:00.0": a PCI address, as opposed to the name of a virtual device.
bool eal_is_pci(const char *device);
