// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A name server for tests and benchmarks: one thread on a UDP port of
// 127.0.0.1, whose answers a function makes up.

#include "pen_addr.h"

struct fake_dns_reply {
	unsigned rcode;    // 0
	bool silent;       // no answer at all
	unsigned delay_ms; // at most 1000
	uint32_t ttl_s;    // 300; of the SOA too
	uint8_t packet[1200];
	size_t n;
	unsigned answers;
	char name[256]; // of the question, lower case
	uint16_t type;
};

// Runs on the server's thread.
typedef void fake_dns_fn(void *ctx, struct fake_dns_reply *r);

struct fake_dns;

// fake_dns_new aborts when there is no port.
struct fake_dns *fake_dns_new(fake_dns_fn *fn, void *ctx);
uint16_t fake_dns_port(const struct fake_dns *f);
uint64_t fake_dns_questions(const struct fake_dns *f);
void fake_dns_free(struct fake_dns *f);

// Records of the name that was asked for.
void fake_dns_add(struct fake_dns_reply *r, uint16_t type, const void *data, size_t n);
void fake_dns_mx(struct fake_dns_reply *r, unsigned preference, const char *target);
void fake_dns_cname(struct fake_dns_reply *r, const char *target);
void fake_dns_a(struct fake_dns_reply *r, uint32_t ip);
void fake_dns_aaaa(struct fake_dns_reply *r, unsigned last); // 2001:db8::last
