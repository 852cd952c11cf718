// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// CRC-32C (Castagnoli), by the processor's instruction when it has one.

#include <stddef.h>
#include <stdint.h>

// pen_crc32c continues a checksum over n more bytes; start with 0.
uint32_t pen_crc32c(uint32_t crc, const void *p, size_t n);

// The table-driven form that pen_crc32c falls back to; for tests.
uint32_t pen_crc32c_portable(uint32_t crc, const void *p, size_t n);
