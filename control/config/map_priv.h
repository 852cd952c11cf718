// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by the files that make up pen_map.h; not for others.

#include "pen_addr.h"
#include "pen_buf.h"
#include "pen_map.h"

enum map_type { MAP_STATIC, MAP_HASH, MAP_CIDR, MAP_PCRE, MAP_REGEXP, MAP_FAIL };
enum map_rule { MAP_RESULT, MAP_IF, MAP_ENDIF };

struct map_entry {
	size_t key, key_len; // offsets into pen_map.text
	size_t value, value_len;
	unsigned line;
	uint8_t rule;   // enum map_rule; anything but MAP_RESULT is no entry for users
	bool negated;   // cidr, patterns: "!"
	bool expands;   // patterns: the value has a "$"
	uint32_t endif; // MAP_IF: index of its MAP_ENDIF
	struct pen_cidr net;
	void *code; // patterns: pcre2_code
};

struct pen_map {
	enum map_type type;
	char *name;          // "texthash:/etc/penstock/transport"
	char *file;          // NULL: no file
	struct pen_buf text; // keys and values
	struct map_entry *entry;
	size_t n, cap;
	uint32_t *slot; // hash: index + 1 of an entry, 0 is free
	size_t mask;
	uint32_t groups; // patterns: the most captures that one has
};

static inline bool map_is_pattern(const struct pen_map *m)
{
	return m->type == MAP_PCRE || m->type == MAP_REGEXP;
}

enum map_added { MAP_ADDED, MAP_DUPLICATE, MAP_FULL };

struct pen_map *map_new(enum map_type type, struct pen_span name, const char *file);
// map_add copies key and value. MAP_FULL: too many entries, or no memory.
enum map_added map_add(
	struct pen_map *m, struct pen_span key, struct pen_span value, unsigned line);
// map_add with a report of what went wrong, each headed by `head`.
bool map_add_reported(struct pen_map *m, struct pen_span key, struct pen_span value,
	const char *file, const char *head, unsigned line, struct pen_report *r);
struct pen_span map_value(const struct pen_map *m, const struct map_entry *e);

// Tables that are ordered lists of rules: cidr, pcre, regexp.
struct map_rules {
	struct pen_map *m;
	const char *file;
	const char *head; // in front of each report: "" or "parameter: type: "
	struct pen_report *r;
	uint32_t open_if[64];
	unsigned depth;
	bool failed; // no room: give up
};

// One logical line. What is wrong is reported.
void map_rules_line(struct map_rules *s, struct pen_span text, unsigned line);
void map_rules_end(struct map_rules *s);
// Patterns (map_pattern.c). map_pattern_read takes "/pattern/flags" from *text.
bool map_pattern_read(
	struct map_rules *s, struct map_entry *e, struct pen_span *text, unsigned line);
bool map_pattern_result(
	struct map_rules *s, struct map_entry *e, struct pen_span value, unsigned line);
void map_pattern_free(struct map_entry *e);
struct map_matcher; // what one lookup needs; made by the first match
// 1, 0, or -1: it could not be decided.
int map_pattern_match(const struct pen_map *m, const struct map_entry *e, struct pen_span key,
	struct map_matcher **with);
// The result with $1 filled in, in this thread's buffer; false: it does not fit.
bool map_pattern_expand(const struct pen_map *m, const struct map_entry *e, struct pen_span key,
	struct map_matcher *with, struct pen_span *out);
void map_matcher_free(struct map_matcher *with);

// The first rule that applies; `addr` for cidr, `with` (to be freed) for patterns.
enum pen_map_status map_rules_find(const struct pen_map *m, struct pen_span key,
	const struct pen_addr *addr, struct map_matcher **with, size_t *index);

struct pen_map *map_open(
	struct pen_span spec, const struct pen_map_where *where, bool plain, struct pen_report *r);

// How much of a faulty line a report quotes.
#define MAP_QUOTE(s) (int)((s).n < 80 ? (s).n : 80), (const char *)(s).p

// The readers report and go on; false when the map must not be used.
bool map_read_texthash(struct pen_map *m, struct pen_span text, struct pen_report *r);
bool map_read_rules(struct pen_map *m, struct pen_span text, struct pen_report *r);
bool map_read_inline(struct pen_map *m, struct pen_span text, const struct pen_map_where *where,
	struct pen_report *r);
bool map_read_inline_rules(struct pen_map *m, struct pen_span text,
	const struct pen_map_where *where, struct pen_report *r);
