// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Lookup tables: "type:name" as in postconf(5).
//
//   inline:{ key = value, { key = text, with commas } }
//   texthash:/path/file     one "key value" per logical line
//   cidr:/path/file         "network value" or "!network value", first match wins
//   cidr:{{ network value }, { network value }}
//   pcre:/path/file         "/pattern/flags result", first match wins; $1 in results
//   pcre:{{ /pattern/ result }, ...}; regexp: is the same with POSIX flags
//   static:value            the same value for every key
//   fail:text               every lookup fails, as a broken database would
//
// Keys of inline and texthash are folded to lower case (ASCII), as Postfix
// does, and so is what is looked up. cidr, pcre and regexp have "if ... endif"
// and "!". Patterns of both kinds are run by PCRE2, and ignore case and let "."
// match a newline unless flags toggle that (pcre_table(5), regexp_table(5)).
//
// Threads: read-only after loading.
// Memory:  owned by the map; values live as long as it, except a pattern's
//          result with $1: that lives until the same thread's next lookup.
// Limits:  a table file has at most PEN_MAP_FILE_MAX bytes and PEN_MAP_ENTRIES_MAX
//          entries, a logical line PEN_MAIN_CF_VALUE_MAX bytes, a result with
//          $1 filled in PEN_MAP_EXPANDED_MAX. A match that takes too long fails.

#include "pen_report.h"
#include "pen_span.h"

#define PEN_MAP_FILE_MAX (256u * 1024 * 1024)
#define PEN_MAP_ENTRIES_MAX (4u * 1024 * 1024)
#define PEN_MAP_EXPANDED_MAX 4096

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
// pen_map_parse builds a texthash, cidr, pcre or regexp table from text; file is
// for reports.
struct pen_map *pen_map_parse(
	const char *type, struct pen_span text, const char *file, struct pen_report *r);
void pen_map_free(struct pen_map *m);
const char *pen_map_name(const struct pen_map *m);
// Entries; in tables of rules "if" and "endif" count too.
size_t pen_map_count(const struct pen_map *m);
// Keys are strings that are looked up as they are, so that looking up parent
// domains makes sense. False for cidr, pcre and regexp.
bool pen_map_fixed(const struct pen_map *m);

enum pen_map_status {
	PEN_MAP_FOUND,
	PEN_MAP_MISSING,
	PEN_MAP_FAILED, // nobody knows: never to be taken for MISSING
};

struct pen_map_hit {
	struct pen_span value; // may be empty
	bool lasts;            // the value lives as long as the table
	// For FAILED too, when a table is to blame:
	const struct pen_map *map;
	// FOUND only. `index` is below pen_map_count.
	size_t index;
	struct pen_span key; // as the table has it: a network, a pattern
	const char *file;    // NULL: not in a file of its own
	unsigned line;       // 0: unknown
};

enum pen_map_status pen_map_lookup(
	const struct pen_map *m, struct pen_span key, struct pen_map_hit *hit);
// pen_map_find is true when the key is there; a value may be empty. For tables
// that cannot fail.
bool pen_map_find(const struct pen_map *m, struct pen_span key, struct pen_span *value);
// pen_map_each visits all entries with the line they stand in (0: no file).
void pen_map_each(const struct pen_map *m,
	void (*fn)(void *ctx, struct pen_span key, struct pen_span value, const char *file,
		unsigned line),
	void *ctx);
// Entry `index`, as a hit; false: that line is no entry ("if").
bool pen_map_entry(const struct pen_map *m, size_t index, struct pen_map_hit *out);

// An ordered list of tables, as parameters such as transport_maps have.
struct pen_maps {
	struct pen_map **map;
	size_t n;
};

// pen_maps_open loads a list separated by commas and white space. 0, or
// -EINVAL after reported errors; pen_maps_fini is due in every case.
int pen_maps_open(struct pen_maps *maps, const char *list, const struct pen_map_where *where,
	struct pen_report *r);
// The same without pcre:, regexp: and fail:, for readers that look up parts of
// keys, or take a failure for a missing key.
int pen_maps_open_plain(struct pen_maps *maps, const char *list, const struct pen_map_where *where,
	struct pen_report *r);
void pen_maps_fini(struct pen_maps *maps);
bool pen_maps_find(const struct pen_maps *maps, struct pen_span key, struct pen_span *value);
// The first table that has the key, or that fails, ends the search.
enum pen_map_status pen_maps_lookup(
	const struct pen_maps *maps, struct pen_span key, struct pen_map_hit *hit);

// pen_list_next takes the next item of a list from *rest: separated by commas
// and white space, which inside braces separate nothing. False at the end.
bool pen_list_next(struct pen_span *rest, struct pen_span *item);
