// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What DPDK's net_memif driver does not tell: options of its device string and
// the sockets over which it talks to the other side.
//
// Threads: any, no state.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The value of "key=" in any device string.
bool device_option(const char *device, const char *key, char *out, size_t cap);

bool memif_is(const char *device);
// A client connects when its device starts, and then never again.
bool memif_is_client(const char *device);
// The socket's path; true: it is a name without a file.
bool memif_socket(const char *device, char *out, size_t cap);

// What is wrong with a device string before DPDK sees it: 0, or -errno with a
// sentence that starts with "port NAME: ".
int memif_check(const char *port, const char *device, char *err, size_t err_cap);
// A server that was killed leaves its socket file, at which the next one could
// not listen. Removes it when nobody listens there.
void memif_remove_stale_socket(const char *device);

// This process's open sockets of that device: its listener and its connections.
// Returns how many were stored; *connections are not listeners. Stable only
// while the driver's interrupt thread stands still.
uint32_t memif_find_sockets(const char *device, int *fd, uint32_t cap, uint32_t *connections);
