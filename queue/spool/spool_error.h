// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The last error in a MESSAGE, META or UPDATE: SPOOL_ERROR_FIXED bytes and the
// text. The table is in README.md.

#include "pen_message.h"

// The encoded size of an error, or of a message's note of one; 0: NULL.
uint16_t spool_error_size(const struct pen_dsn *d);
uint16_t spool_note_size(const struct pen_note *n);
// Both return where the next byte goes: p for NULL.
uint8_t *spool_error_encode(uint8_t *p, const struct pen_dsn *d);
uint8_t *spool_note_encode(uint8_t *p, const struct pen_note *n);
// Whether n bytes are one error, or none at all (n 0).
bool spool_error_sane(const uint8_t *p, uint32_t n);
// Replaces *to by the sane error at p; leaves it when n is 0. 0 or -ENOMEM.
int spool_error_decode(const uint8_t *p, uint32_t n, const struct pen_note **to);
