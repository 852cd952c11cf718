// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Randomness is passed in: cores take a seeded generator, so a run replays.
//
// pen_rand is xoshiro256** seeded through splitmix64: fast, for jitter, ports
// and simulation; not for secrets. pen_siphash is SipHash-2-4, keyed, for
// values a peer must not predict (RFC 6528 ISNs) or collide (hash tables).

#include <stddef.h>
#include <stdint.h>

struct pen_rand {
	uint64_t s[4];
};

void pen_rand_seed(struct pen_rand *r, uint64_t seed);
uint64_t pen_rand_u64(struct pen_rand *r);
// pen_rand_below returns a value in [0, n), or 0 when n is 0.
uint64_t pen_rand_below(struct pen_rand *r, uint64_t n);

struct pen_siphash_key {
	uint64_t k0, k1;
};

uint64_t pen_siphash(const struct pen_siphash_key *key, const void *p, size_t n);

// pen_rand_secret fills from the kernel's generator (start-up only). Aborts if
// the kernel cannot give any.
void pen_rand_secret(void *p, size_t n);
