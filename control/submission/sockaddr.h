// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Between our addresses and those of the socket calls.

#include "pen_addr.h"

#include <sys/socket.h>

// Returns the length for bind and connect.
socklen_t sockaddr_of(const struct pen_addr *a, uint16_t port, struct sockaddr_storage *out);
// IPv4 that IPv6 carries is IPv4; PEN_FAMILY_NONE: neither.
struct pen_addr sockaddr_addr(const struct sockaddr_storage *in);
uint16_t sockaddr_port(const struct sockaddr_storage *in); // 0: it has none
