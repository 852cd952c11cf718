// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Shared by the files that make up pen_map.h; not for others.

#include "pen_addr.h"
#include "pen_buf.h"
#include "pen_map.h"

enum map_type { MAP_STATIC, MAP_HASH, MAP_CIDR };

struct map_entry {
	size_t key, key_len; // offsets into pen_map.text
	size_t value, value_len;
	unsigned line;
	bool negated; // cidr: "!"
	struct pen_cidr net;
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
};

enum map_added { MAP_ADDED, MAP_DUPLICATE, MAP_FULL };

struct pen_map *map_new(enum map_type type, struct pen_span name, const char *file);
// map_add copies key and value. MAP_FULL: too many entries, or no memory.
enum map_added map_add(
	struct pen_map *m, struct pen_span key, struct pen_span value, unsigned line);
// The readers report and go on; false when the map must not be used.
bool map_read_texthash(struct pen_map *m, struct pen_span text, struct pen_report *r);
bool map_read_cidr(struct pen_map *m, struct pen_span text, struct pen_report *r);
bool map_read_inline(struct pen_map *m, struct pen_span text, const struct pen_map_where *where,
	struct pen_report *r);
