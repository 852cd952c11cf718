// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The identity of a test message, the same wherever it is looked at.
//
// penstock-source puts two header fields on top of what it sends:
//     X-Penstock-Id: <run>-<n>       which message of which run this is
//     X-Penstock-Hash: <16 hex>      the hash of its content
// and every receiver (penstock-sink, tests behind other servers) computes the
// hash again. The rule, so that mail servers on the way do not change it:
//   - the hash is XXH3-64 over the content as the receiver has it (CRLF line
//     ends, dot-stuffing removed), less
//   - the trace fields Received, Return-Path, Delivered-To at the very top,
//     before the first other field (ours do not count as such), with their
//     continuation lines, and
//   - any X-Penstock-Hash field of the header.
//
// Memory: the struct is embedded; nothing is allocated. Content comes in pieces
// of any size.

#include "pen_span.h"

#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#define PEN_CONTENT_NAME_MAX 24 // of a field, as far as it matters here
#define PEN_CONTENT_VALUE_MAX 64

struct pen_content_hash {
	XXH3_state_t xxh;
	uint64_t bytes; // all content bytes, trace fields included
	uint8_t state;
	bool top;  // only trace fields so far
	bool drop; // the field that is being read is not hashed
	uint8_t capture;
	uint8_t name_n, value_n;
	uint8_t name[PEN_CONTENT_NAME_MAX];
	char value[PEN_CONTENT_VALUE_MAX];

	// Results, valid after finish.
	uint64_t hash;
	uint64_t claimed; // X-Penstock-Hash
	uint64_t number;  // n of X-Penstock-Id
	bool has_claim, has_id;
	char run[PEN_CONTENT_VALUE_MAX];
};

void pen_content_hash_init(struct pen_content_hash *h);
void pen_content_hash_feed(struct pen_content_hash *h, struct pen_span piece);
void pen_content_hash_finish(struct pen_content_hash *h);

// The hash of a whole content at once: what X-Penstock-Hash has to say.
uint64_t pen_content_hash_of(struct pen_span content);
