// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What is written into a segment: header, batches, records, footer. The tables
// are in README.md. Everything is little endian; records and footer entries
// start at multiples of 8, batches at multiples of 4096.

#include "pen_message.h"

#include <endian.h>

#define SPOOL_VERSION 1u                // of segments and of most records
#define SPOOL_VERSION_DSN 2u            // of a MESSAGE or META with ENVID, ORCPT or NOTIFY
#define SPOOL_VERSION_ATTR 3u           // of any with class, extra or doubts
#define SPOOL_SEGMENT_MAGIC 0x47536e50u // "PnSG"
#define SPOOL_BATCH_MAGIC 0x54426e50u   // "PnBT"
#define SPOOL_RECORD_MAGIC 0x43526e50u  // "PnRC"
#define SPOOL_TRAILER_MAGIC 0x52546e50u // "PnTR"

#define SPOOL_BLOCK 4096u
#define SPOOL_BATCH_HEADER 64u
#define SPOOL_RECORD_HEADER 32u
#define SPOOL_MESSAGE_FIXED 64u
#define SPOOL_UPDATE_FIXED 72u
#define SPOOL_RCPT_FIXED 6u
#define SPOOL_RCPT_FIXED_DSN 8u
#define SPOOL_RCPT_FIXED_ATTR 10u
#define SPOOL_CHANGE_SIZE 8u
#define SPOOL_ERROR_FIXED 12u
#define SPOOL_FOOT_ENTRY 8u

enum spool_record_type {
	SPOOL_MESSAGE = 1,
	SPOOL_UPDATE = 2,
	SPOOL_META = 3, // a message without its content, in footers only
};

static inline uint16_t get16(const uint8_t *p)
{
	uint16_t v;
	memcpy(&v, p, 2);
	return le16toh(v);
}

static inline uint32_t get32(const uint8_t *p)
{
	uint32_t v;
	memcpy(&v, p, 4);
	return le32toh(v);
}

static inline uint64_t get64(const uint8_t *p)
{
	uint64_t v;
	memcpy(&v, p, 8);
	return le64toh(v);
}

static inline void put16(uint8_t *p, uint16_t v)
{
	v = htole16(v);
	memcpy(p, &v, 2);
}

static inline void put32(uint8_t *p, uint32_t v)
{
	v = htole32(v);
	memcpy(p, &v, 4);
}

static inline void put64(uint8_t *p, uint64_t v)
{
	v = htole64(v);
	memcpy(p, &v, 8);
}

static inline uint64_t align8(uint64_t n)
{
	return (n + 7) & ~(uint64_t)7;
}

struct spool_segment_header {
	uint64_t segment_bytes;
	uint64_t epoch;
	uint64_t low_epoch;  // segments below have nothing that is still needed
	uint64_t high_id;    // no id above was given out before
	uint64_t prev_epoch; // of the segment that ended, whole, at prev_end; 0 unknown
	uint64_t prev_end;
};

struct spool_batch_header {
	uint64_t epoch, low_epoch, high_id;
	uint32_t number; // in the segment, from 1
	uint32_t length; // with this header, without padding
	uint32_t records;
};

struct spool_trailer {
	uint64_t epoch, low_epoch, high_id;
	uint64_t end; // of the data
	uint32_t foot_off, foot_len, foot_crc;
};

// spool_block.c. Each encodes into one zeroed block or header, each decodes with its checksum.
void spool_segment_header_encode(uint8_t block[SPOOL_BLOCK], const struct spool_segment_header *h);
bool spool_segment_header_decode(const uint8_t *block, struct spool_segment_header *h);
void spool_batch_header_encode(uint8_t *p, const struct spool_batch_header *h);
bool spool_batch_header_decode(const uint8_t *p, struct spool_batch_header *h);
void spool_trailer_encode(uint8_t block[SPOOL_BLOCK], const struct spool_trailer *t);
bool spool_trailer_decode(const uint8_t *block, struct spool_trailer *t);
// The version of a segment's header when it is whole and newer than ours, or 0.
uint32_t spool_segment_header_newer(const uint8_t *block);
bool spool_blocks_zero(const uint8_t *p, size_t n);

struct spool_record {
	const uint8_t *p;
	uint32_t length;
	uint8_t type;
	uint64_t epoch, id;
};

static inline uint8_t spool_record_version(const struct spool_record *r)
{
	return r->p[13];
}

// Where a record is: the segment's slot (0: nowhere) and the offset in it.
struct spool_place {
	uint32_t slot, off;
	uint64_t epoch;
};

// spool_record_parse reads a record at p: false unless it is whole within
// `room`, of that epoch and its checksum holds.
bool spool_record_parse(const uint8_t *p, size_t room, uint64_t epoch, struct spool_record *out);
// The same without the checksum, for footers, which have one of their own.
bool spool_record_parse_meta(const uint8_t *p, size_t room, struct spool_record *out);
// A whole record, its checksum good, of a version that this program does not
// know; `out` has its length and epoch, and type and id as far as they are meant
// as now.
bool spool_record_newer(const uint8_t *p, size_t room, uint64_t epoch, struct spool_record *out);
// The id of what may be a damaged record of that epoch, as a help to the operator:
// the header often survives. 0: unknown.
uint64_t spool_record_guess(const uint8_t *p, size_t n, uint64_t epoch);
// spool_record_header writes the header of a record of version 1, unsealed.
void spool_record_header(uint8_t *p, uint8_t type, uint64_t length, uint64_t id);
// spool_record_seal sets the epoch and the checksum of an encoded record.
void spool_record_seal(uint8_t *p, uint64_t epoch);

// Sizes of encoded records (not padded), 0 when something does not fit.
uint64_t spool_message_size(const struct pen_message *m, uint32_t content_len);
// How much larger the record of such a message may be when it is written again.
uint64_t spool_message_growth(uint32_t nrcpt);
uint64_t spool_update_size(const struct pen_message_update *u);
// Both leave the record unsealed. `content` has m->content_len bytes.
void spool_message_encode(uint8_t *p, const struct pen_message *m, const uint8_t *content);
void spool_update_encode(
	uint8_t *p, const struct pen_message_update *u, const struct spool_place *prev);
// spool_meta_encode makes a META out of a MESSAGE record; its size first.
uint32_t spool_meta_size(const uint8_t *message);
void spool_meta_encode(uint8_t *p, const uint8_t *message);

// spool_message_decode makes the message of a MESSAGE or META record, without
// its content. NULL: the record makes no sense (*err -EBADMSG) or -ENOMEM.
struct pen_message *spool_message_decode(const struct spool_record *r, int *err);
// Sets when a recipient of m in doubt is tried again, rounded up to seconds. m has
// its arrival and extra.
void spool_due_set(const struct pen_message *m, struct pen_recipient *r, pen_wall_us at);
// The content within a MESSAGE record, or an empty span.
struct pen_span spool_message_content(const struct spool_record *r);

// False when the lengths of a MESSAGE, META or UPDATE do not add up.
bool spool_record_sane(const struct spool_record *r);
bool spool_message_sane(const struct spool_record *r); // not for an UPDATE
bool spool_update_sane(const struct spool_record *r);
bool spool_update_removed(const struct spool_record *r);
struct spool_place spool_update_prev(const struct spool_record *r);
void spool_update_set_prev(uint8_t *p, const struct spool_place *prev);
// spool_update_apply brings m to the state the record says. 0 or -ENOMEM.
int spool_update_apply(const struct spool_record *r, struct pen_message *m);
