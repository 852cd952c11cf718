// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Lookup tables: "type:name" as in postconf(5).
//
//   inline:{ key = value, { key = text with spaces } }
//   texthash:/path/file     one "key value" per logical line
//   cidr:/path/file         "network value" or "!network value", first match wins
//   static:value            the same value for every key
//
// Keys of inline and texthash are folded to lower case (ASCII), as Postfix
// does, and so is what is looked up.
//
// Threads: read-only after loading.
// Memory:  owned by the map; values live as long as it.
// Limits:  a table file has at most PEN_MAP_FILE_MAX bytes and PEN_MAP_ENTRIES_MAX
//          entries, a logical line PEN_MAIN_CF_VALUE_MAX bytes.

#include "pen_report.h"
#include "pen_span.h"

#define PEN_MAP_FILE_MAX (256u * 1024 * 1024)
#define PEN_MAP_ENTRIES_MAX (4u * 1024 * 1024)

struct pen_map;

// Where a table is named, for reports about the name itself.
struct pen_map_where {
	const char *file;
	unsigned line;
	const char *param; // "transport_maps"
};

// pen_map_open loads one table. NULL after reported errors.
struct pen_map *pen_map_open(
	struct pen_span spec, const struct pen_map_where *where, struct pen_report *r);
// pen_map_parse builds a texthash or cidr table from text; file is for reports.
struct pen_map *pen_map_parse(
	const char *type, struct pen_span text, const char *file, struct pen_report *r);
void pen_map_free(struct pen_map *m);
const char *pen_map_name(const struct pen_map *m);
size_t pen_map_count(const struct pen_map *m);
// pen_map_find is true when the key is there; a value may be empty.
bool pen_map_find(const struct pen_map *m, struct pen_span key, struct pen_span *value);
// pen_map_each visits all entries with the line they stand in (0: no file).
void pen_map_each(const struct pen_map *m,
	void (*fn)(void *ctx, struct pen_span key, struct pen_span value, const char *file,
		unsigned line),
	void *ctx);

// An ordered list of tables, as parameters such as transport_maps have.
struct pen_maps {
	struct pen_map **map;
	size_t n;
};

// pen_maps_open loads a list separated by commas and white space. 0, or
// -EINVAL after reported errors; pen_maps_fini is due in every case.
int pen_maps_open(struct pen_maps *maps, const char *list, const struct pen_map_where *where,
	struct pen_report *r);
void pen_maps_fini(struct pen_maps *maps);
bool pen_maps_find(const struct pen_maps *maps, struct pen_span key, struct pen_span *value);
