// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Fair shares by weight, in a tree: whose turn it is among those that have
// something to send. Private to this folder.
//
// Each node carries the virtual time of its next turn; the earliest goes first,
// and a turn of cost c moves it on by c / weight (start-time fair queueing). Over
// any time two nodes that always have something get service in the proportion of
// their weights, to within one turn of each; deficit round robin gives the same
// shares, but in bursts of weight times its quantum, and empty rounds while a
// large transaction is paid for. Who had nothing to send saved nothing up.
//
// Memory: intrusive, none of its own; leaves are many and have 48 bytes. Cost:
//         O(log n) of those that wait in one node; O(1) while there is only one.

#include <stdbool.h>
#include <stdint.h>

struct share {
	struct share_node *parent;        // NULL: a root
	struct share *child, *next, **at; // its place in the parent's pairing heap
	uint64_t start;                   // virtual time of its next turn
	uint32_t weight;                  // at least 1
	bool in;                          // it has something to send
	bool inner;                       // of a struct share_node
};

// What has others under it.
struct share_node {
	struct share share; // first
	struct share *top;  // of those under it: the next one; NULL: none is in
	uint64_t reached;   // virtual time that those under it have reached
};

void share_init(struct share *leaf, struct share_node *parent, uint32_t weight);
void share_node_init(struct share_node *n, struct share_node *parent, uint32_t weight);
void share_enter(struct share *n); // and its parents; nothing when it is in
void share_leave(struct share *n); // and parents that have nothing left
// `n`, new, takes the leaf's place among those of its parent; the leaf is under it
// from then on, with `weight`.
void share_insert(struct share_node *n, struct share *leaf, uint32_t weight);
// The leaf whose turn it is; NULL: nobody has anything.
struct share *share_pick(const struct share_node *root);
// A leaf that is in sent something.
void share_charge(struct share *leaf, uint32_t cost);
