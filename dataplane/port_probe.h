// SPDX-License-Identifier: BSD-3-Clause
#pragma once

#include "port.h"

// Makes DPDK know the port's device: 0, or -errno with one sentence in err that
// says what the operator can do about it.
int port_probe(struct port *p, char *err, size_t err_cap);
