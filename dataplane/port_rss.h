// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Receive-side scaling that agrees with our rule "the local port decides the
// worker": a sparse Toeplitz key makes the hash's low bits the mirrored low
// bits of the local port, and the redirection table maps them to queues. With
// a number of workers that is no power of two, or some IPv6 peers (port_rss.c),
// packets still arrive at the wrong one; software steering passes them on.

#include <stdint.h>

// Key for a table of 2^bits entries (TCP over IPv4 and IPv6); bits <= 16. A key
// of less than 40 bytes does for IPv4 only.
void port_rss_key(uint8_t *key, uint32_t len, unsigned bits);
// The queue of table entry i.
uint16_t port_rss_queue(uint32_t i, unsigned bits, uint16_t nqueues);
