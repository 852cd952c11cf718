// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by the files that make up pen_egress.h; not for others.

#include "pen_egress.h"
#include "pen_ucl.h"

struct egress_reader {
	struct pen_egress *e;
	const char *file;
	struct pen_report *report;
	bool cores_given;
};

// One key of an object: how to read it, with its range.
struct egress_key {
	const char *name;
	void (*read)(struct egress_reader *rd, const struct egress_key *k,
		const struct pen_ucl_node *n, void *out);
	size_t offset;
	uint64_t min, max;
};

// egress_refuse reports a value with what is accepted instead.
void egress_refuse(struct egress_reader *rd, const struct pen_ucl_node *n, const char *accepted);

// Readers of one kind of value each: they check it and store it at `out`.
void egress_read_u32(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_u16(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_u8(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_bool(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_power(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_text(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_addr(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
// An address of one family: k->min.
void egress_read_addr_of(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_mac(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_helo(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_hugepages(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_cores(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_eal(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
void egress_read_port_ref(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
