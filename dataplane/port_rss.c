// SPDX-License-Identifier: BSD-3-Clause
#include "port_rss.h"

#include <string.h>

static void set_bit(uint8_t *key, uint32_t len, unsigned bit)
{
	if (bit / 8 < len)
		key[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
}

// The hash input of a received IPv4 segment is 96 bits: remote and local
// address, remote and local port. Input bit i, when set, xors key bits
// i..i+31 into the hash, so one key bit B moves input bit i to the hash's bit
// i - (B - 31), counted from the least significant. B = 127 - bits brings the
// last `bits` bits of the local port, mirrored, to the low end, and nothing
// else reaches them.
//
// Of IPv6 it is 288 bits, the port's at the end again, and B = 319 - bits does
// the same. The key bit for IPv4 then brings bits 96 - bits to 95 of the remote
// address to the same place: they are zero in addresses such as 2001:db8::25,
// which mail servers like to have. The others take the way over the mesh.
void port_rss_key(uint8_t *key, uint32_t len, unsigned bits)
{
	memset(key, 0, len);
	set_bit(key, len, 127 - bits);
	set_bit(key, len, 319 - bits);
}

uint16_t port_rss_queue(uint32_t i, unsigned bits, uint16_t nqueues)
{
	uint32_t mirrored = 0;

	for (unsigned b = 0; b < bits; b++)
		mirrored |= (i >> b & 1) << (bits - 1 - b);
	return (uint16_t)(mirrored % nqueues);
}
