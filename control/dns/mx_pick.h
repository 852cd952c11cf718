// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Which addresses of a next hop are tried, and in what order: ourselves are
// found and dropped, equals are shuffled, families balanced, the rest cut off.
//
// Pure functions over an array of the caller, of at most MX_PICKS_MAX.

#include "pen_addr.h"
#include "pen_rand.h"

#define MX_PICKS_MAX 4096

struct mx_own {
	struct pen_cidr *net;
	size_t n;
};

enum mx_prefer { MX_PREFER_ANY, MX_PREFER_IP4, MX_PREFER_IP6 };

struct mx_pick_options {
	uint32_t limit;        // smtp_mx_address_limit; 0: as many as there is room for
	bool randomize;        // smtp_randomize_addresses
	bool balance;          // smtp_balance_inet_protocols
	enum mx_prefer prefer; // smtp_address_preference
};

struct mx_pick {
	struct pen_addr addr;
	uint16_t preference;
	uint16_t host;  // the caller's
	uint8_t source; // the caller's
	uint8_t rank;   // of the family; by mx_pick_order
	uint32_t turn;  // among equals; by mx_pick_order
};

// mx_pick_self finds the best preference at which one of our own addresses is.
bool mx_pick_self(
	const struct mx_pick *p, uint32_t n, const struct mx_own *own, uint16_t *preference);
// mx_pick_better keeps what is better than this preference; returns how many.
uint32_t mx_pick_better(struct mx_pick *p, uint32_t n, uint16_t preference);
// mx_pick_order sorts by preference, then by preferred family; equals keep their
// order or are shuffled.
void mx_pick_order(struct mx_pick *p, uint32_t n, const struct mx_pick_options *options,
	struct pen_rand *rand);
// mx_pick_limit drops addresses that were there before and cuts to the limit so
// that neither family is lost; returns how many are left, at most `room`.
uint32_t mx_pick_limit(
	struct mx_pick *p, uint32_t n, const struct mx_pick_options *options, uint32_t room);
