// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Configurations for tests, written as few words. Sections are static: they outlive
// the configuration that points to them.

#include "pen_shape.h"
#include "pen_test.h"

struct pen_rate world_rate(const char *text);
// `v4` IPv4 sources s0, s1... and `v6` IPv6 sources after them, one pool of all.
struct pen_shape_config *world_config(uint32_t v4, uint32_t v6);

// "connections=20 connection_rate=10/s message_rate=100/s byte_rate=10M/s messages=5
// recipients=7 time=60"
struct pen_limits world_limits(const char *text);

// Lives as long as the block it stands in.
#define WORLD_MATCH(...)                                                                           \
	(const char *[])                                                                           \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}

struct pen_shape_site *world_site(struct pen_shape *sh, const char *mx, pen_time_us now);
const struct pen_mail_class *world_class(const char *tenant, const char *campaign);
// Saves and says that it is on disk.
void world_save(struct pen_shape *sh, pen_time_us now, struct pen_buf *out);
#define WORLD_WALL ((pen_wall_us)1795219200 * PEN_US_PER_S) // 2026-11-21 00:00:00 UTC
