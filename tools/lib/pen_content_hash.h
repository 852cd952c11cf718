// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A hash of a message's content that survives its way through mail servers, so
// that a receiver can tell whether it got exactly what was sent.
//
// The rule (the same in every language; `raw` is the message without
// dot-stuffing and without the final dot):
//
//   1. Canonical content: each LF that does not follow a CR becomes CRLF; a CR
//      alone stays. If the result is not empty and its last byte is not LF,
//      CRLF is appended.
//   2. The top header block is the longest run of lines from the start of
//      which each is a field (one or more bytes 33..126 other than ':', then
//      ':', anything) or, except for the first, a continuation (it starts with
//      space or tab). The first other line, an empty one as a rule, and
//      everything behind it is the rest.
//   3. From the header block the fields with one of these names, in any case of
//      letters and with the colon right behind the name, are removed with their
//      continuation lines: Received, Return-Path, Delivered-To, X-Original-To,
//      X-Penstock-Hash, Message-Id, Date.
//   4. The hash is XXH3_64bits (seed 0) of what is left of the header block and
//      the rest (which begins with the empty line). As text: 16 lower-case
//      hexadecimal digits.
//
// On the way the values of X-Penstock-Hash and X-Penstock-Id in the header
// block are noted (the first of each: the source puts its own on top), so that a receiver needs one
// pass.
//
// Threads: owned by one thread.
// Memory:  the struct only (about 800 bytes, aligned to 64); nothing is allocated.
// Input:   any bytes, in any pieces; equal content gives an equal hash.

#include "pen_span.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#define PEN_CONTENT_HASH_HEX 16
#define PEN_CONTENT_ID_MAX 63

struct pen_content_hash {
	XXH3_state_t xxh;
	uint8_t state;
	uint8_t last;          // last byte of the content so far
	bool keep;             // this header line is hashed
	bool has_hash, has_id; // a value was noted
	bool any_field;        // a field was seen: continuation lines may follow
	uint8_t capture;       // which value is being noted
	uint8_t name_len;      // bytes of the field name seen so far, up to its buffer
	uint64_t bytes;        // fed so far
	uint8_t name[16];      // start of the line, not hashed yet
	uint8_t value_len;     // of the value being noted
	char value[PEN_CONTENT_ID_MAX + 1];

	// Valid once the header block was fed.
	bool has_claim;                  // X-Penstock-Hash was there and well-formed
	uint64_t claim;                  // its value
	char id[PEN_CONTENT_ID_MAX + 1]; // X-Penstock-Id, cut; empty when missing
};

void pen_content_hash_init(struct pen_content_hash *h);
void pen_content_hash_feed(struct pen_content_hash *h, const void *p, size_t n);
// pen_content_hash_end completes the content and returns the hash. Call
// pen_content_hash_init before the struct is used again.
uint64_t pen_content_hash_end(struct pen_content_hash *h);

// The same for content in one piece.
uint64_t pen_content_hash(const void *p, size_t n);

// Writes 16 digits without a NUL.
void pen_content_hash_hex(uint64_t hash, char out[PEN_CONTENT_HASH_HEX]);
