// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "port.h"

// Makes DPDK know the port's device: 0, or -errno with one sentence in err that
// says what the operator can do about it.
int port_probe(struct port *p, char *err, size_t err_cap);
// True, with a sentence in err: the process lacks a privilege that the device
// needs. Some drivers find out only when their queues are made.
bool port_lacks_privilege(const struct pen_port_config *c, char *err, size_t err_cap);
