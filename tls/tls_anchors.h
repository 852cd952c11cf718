// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Trust anchors: certificates and bare keys that chains may end in.
//
// Threads: read-only once loaded: all workers of a profile share one set. wolfSSL's
//          own store cannot be shared that way, because it also keeps what
//          connections bring along.
// Memory:  one allocation for each anchor; tls_anchors_fini frees them.

#include "tls_cert.h"

#define TLS_ANCHORS_MAX 4096
#define TLS_ANCHOR_FILE_MAX (16 << 20) // bytes of one PEM file

struct tls_anchors {
	struct tls_cert *cert; // sorted by subject after loading
	uint32_t n;
	struct pen_span *key; // SubjectPublicKeyInfo
	uint32_t nkeys;
};

// Adds what a PEM file holds; what cannot be read in it is skipped. Returns how
// many anchors it had (doubles included), -errno when it cannot be read.
int tls_anchors_add_file(struct tls_anchors *a, const char *file);
// The same for all regular files of a folder, as in CApath.
int tls_anchors_add_folder(struct tls_anchors *a, const char *folder);
// The machine's own bundle.
int tls_anchors_add_system(struct tls_anchors *a);
// Puts a set that the caller owns into the order that look-ups need.
void tls_anchors_order(struct tls_anchors *a);
// After the last addition, before the first look-up.
void tls_anchors_sort(struct tls_anchors *a);
void tls_anchors_fini(struct tls_anchors *a);

// The anchors with this subject: the first; *n says how many follow each other.
const struct tls_cert *tls_anchors_find(
	const struct tls_anchors *a, const uint8_t subject[TLS_NAME_HASH], uint32_t *n);
// Is this very certificate an anchor?
bool tls_anchors_has(const struct tls_anchors *a, const struct tls_cert *c);
