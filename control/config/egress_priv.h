// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by the files that make up pen_egress.h; not for others.

#include "pen_egress.h"
#include "pen_ucl.h"

struct egress_shape;

struct egress_reader {
	struct pen_egress *e;
	const char *file;
	struct pen_report *report;
	bool cores_given;
	bool shipped_rules;               // the key's value
	const char *within;               // of the object that is read: " in site gmail"
	struct egress_shape *shape;       // what is being built
	struct pen_limits *source_limits; // by source, before there is a configuration to hold them
};

// One key of an object: how to read it, with its range.
struct egress_key {
	const char *name;
	void (*read)(struct egress_reader *rd, const struct egress_key *k,
		const struct pen_ucl_node *n, void *out);
	size_t offset;
	uint64_t min, max;
	const struct egress_key *sub; // of an object: its keys
};

// egress_read_keys reads the members of one object that `keys` names; those named
// in `skip` (NULL at its end, or NULL) are left to the caller. Unknown keys and keys
// given twice are reported. `within`: " in site gmail", "" at the top.
void egress_read_keys(struct egress_reader *rd, const struct egress_key *keys,
	const struct pen_ucl_node *object, void *out, const char *const *skip, const char *within);
// NULL: the object does not have it.
const struct pen_ucl_node *egress_member(const struct pen_ucl_node *object, const char *key);
// egress_each calls fn for every `what NAME { }`. `owner`: names of tenants and
// campaigns, "*" included; else those of sections.
void egress_each(struct egress_reader *rd, const struct pen_ucl_node *root, const char *what,
	bool owner, void (*fn)(struct egress_reader *rd, const struct pen_ucl_node *n));
// How many `what NAME` there are.
uint32_t egress_count(const struct pen_ucl_node *root, const char *what);

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

// ---- limits and times (egress_limits.c)

// Limits of a section. In the keys, k->min is the PEN_LIMIT_ bit and `out` the struct
// pen_limits, whose `given` they set.
void egress_read_limit(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
#define EGRESS_FLOW_LIMITS(at)                                                                     \
	{"connections", egress_read_limit, at, PEN_LIMIT_CONNECTIONS, 4000000, NULL},              \
		{"connection_rate", egress_read_limit, at, PEN_LIMIT_CONNECTION_RATE, 0, NULL},    \
		{"message_rate", egress_read_limit, at, PEN_LIMIT_MESSAGE_RATE, 0, NULL},          \
	{                                                                                          \
		"byte_rate", egress_read_limit, at, PEN_LIMIT_BYTE_RATE, 0, NULL                   \
	}
#define EGRESS_ALL_LIMITS(at)                                                                      \
	EGRESS_FLOW_LIMITS(at),                                                                    \
		{"connection_messages", egress_read_limit, at, PEN_LIMIT_CONNECTION_MESSAGES,      \
			1000000, NULL},                                                            \
		{"recipients", egress_read_limit, at, PEN_LIMIT_RECIPIENTS, 1000, NULL},           \
	{                                                                                          \
		"connection_time", egress_read_limit, at, PEN_LIMIT_CONNECTION_TIME, 0, NULL       \
	}
extern const struct egress_key egress_flow_keys[], egress_all_keys[];
// An object with the keys k->sub, read into `out`.
void egress_read_block(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
// "90s", "5min", "1h30m", "2d": pen_time_us, from k->min to k->max seconds.
void egress_read_duration(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);
bool egress_rate(struct egress_reader *rd, const struct pen_ucl_node *n, struct pen_rate *out);
// `retry { }` of a section: `out` is the section.
void egress_read_retry(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out);

// ---- shaping (egress_shape.c, egress_owner.c, egress_rules.c)

struct egress_shape {
	struct pen_shape_config *c;
	char *at, *end;   // what is left of the arena
	bool shipped;     // the file is Penstock's own
	uint32_t rule_at; // where the next rule goes
	struct pen_shape_section *shipped_provider;
	uint32_t nshipped;
	struct pen_shape_rule *shipped_rule;
	uint32_t nshipped_rules;
	const char *rule_provider, *rule_site; // the section that is read
};

// Memory of the arena, zeroed. There is always enough: it was measured.
void *egress_arena(struct egress_shape *sh, size_t size);
const char *egress_arena_text(struct egress_shape *sh, const char *text);
// Builds the configuration of e->dataplane's sources and both files. 0, -EINVAL after reported
// errors, or -ENOMEM. `shipped` NULL: without.
int egress_shape_build(struct egress_reader *rd, const struct pen_ucl_node *root,
	const struct pen_ucl_node *shipped);
void egress_rules_read(struct egress_reader *rd, const struct pen_ucl_node *object);
void egress_owners_read(struct egress_reader *rd, const struct pen_ucl_node *root);
// A name that was not found: with the likely one.
void egress_refuse_name(struct egress_reader *rd, const struct pen_ucl_node *n, const char *what,
	const char *(*next)(void *ctx, size_t index), void *ctx);
