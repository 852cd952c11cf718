// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The suppression list: addresses and domains that get no mail, of everybody or of
// one tenant, with a reason, where that came from, and since when.
//
//   user@example.com     one address
//   @example.com         everybody at this domain
//   .example.com         everybody at its subdomains
//
// Addresses are compared without regard to case, domains by their A-labels, so that
// a list written in one form finds the other.
//
// Stored in LMDB in a folder of its own: a lookup reads mapped memory. A change is on
// disk when its call returns; a batch, when it is committed. The map grows by itself.
//
// Threads: pen_suppression_find, _list, _count: any number, at any time. What writes:
//          one thread at a time, and a batch belongs to the thread that began it.
//          Readers never wait for a writer, except while the map grows.
// Memory:  the folder's pages, as far as the kernel keeps them.
// Limits:  addresses of PEN_SUPPRESSION_ADDRESS_MAX, reasons of
//          PEN_SUPPRESSION_REASON_MAX bytes (longer ones are cut). A batch of
//          more than PEN_SUPPRESSION_BATCH entries may not fit: commit it before.

#include "pen_mail_class.h"
#include "pen_time.h"

#define PEN_SUPPRESSION_ADDRESS_MAX 380
#define PEN_SUPPRESSION_REASON_MAX 200
#define PEN_SUPPRESSION_BATCH 50000

enum pen_suppression_source { // the order of the values is the order on disk
	PEN_SUPPRESSION_OPERATOR,
	PEN_SUPPRESSION_BOUNCE,
	PEN_SUPPRESSION_COMPLAINT,
	PEN_SUPPRESSION_IMPORT,
	PEN_SUPPRESSION_SOURCES,
};

// "operator", "bounce", "complaint", "import".
const char *pen_suppression_source_word(unsigned source);
// PEN_SUPPRESSION_SOURCES when it is none of them.
enum pen_suppression_source pen_suppression_source_parse(struct pen_span word);

struct pen_suppression_entry {
	struct pen_span tenant; // empty: everybody's
	struct pen_span address;
	enum pen_suppression_source source;
	pen_wall_us since;
	struct pen_span reason; // printable; may be empty
};

// pen_suppression_address writes the form in which addresses are kept. NULL, or what
// is wrong in a few words.
const char *pen_suppression_address(
	char out[PEN_SUPPRESSION_ADDRESS_MAX + 1], struct pen_span text);

struct pen_suppression;

// `folder` is made when it is missing. 0, or -errno with a sentence in err.
// map_size 0: 1 GiB of addresses (not of memory) to begin with.
int pen_suppression_open(
	const char *folder, size_t map_size, struct pen_suppression **out, char *err, size_t cap);
void pen_suppression_close(struct pen_suppression *s); // NULL is fine

struct pen_suppression_hit {
	bool of_tenant;
	enum pen_suppression_source source;
	pen_wall_us since;
	char address[PEN_SUPPRESSION_ADDRESS_MAX + 1]; // the entry: may be a domain
	char reason[PEN_SUPPRESSION_REASON_MAX + 1];
};

// The entry that suppresses a recipient: the tenant's before everybody's, the
// address before its domain. False: none (also for what is no address).
bool pen_suppression_find(struct pen_suppression *s, struct pen_span tenant, struct pen_span rcpt,
	struct pen_suppression_hit *hit);

// Adds or replaces one entry; its address must be in the kept form. 0 or -errno.
int pen_suppression_put(struct pen_suppression *s, const struct pen_suppression_entry *e);
// 0, -ENOENT (there is none) or another -errno.
int pen_suppression_remove(
	struct pen_suppression *s, struct pen_span tenant, struct pen_span address);

// Many at once. *fresh: there was no such entry before. After a failed put the batch
// has to be dropped; put and remove must not be called while there is one.
int pen_suppression_batch_begin(struct pen_suppression *s);
int pen_suppression_batch_put(
	struct pen_suppression *s, const struct pen_suppression_entry *e, bool *fresh);
int pen_suppression_batch_commit(struct pen_suppression *s);
void pen_suppression_batch_drop(struct pen_suppression *s);

// Entries in the order of tenant and address, those after (tenant, address) of
// `after` (NULL: from the start), of one tenant when `only` is not NULL. Ends when fn
// returns false. The entry is valid for the call; fn must not write. 0 or -errno.
int pen_suppression_list(struct pen_suppression *s, const struct pen_span *only,
	const struct pen_suppression_entry *after,
	bool (*fn)(void *ctx, const struct pen_suppression_entry *e), void *ctx);
uint64_t pen_suppression_count(struct pen_suppression *s);
