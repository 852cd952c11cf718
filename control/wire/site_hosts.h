// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The set of receiving hosts of a next hop, as limits know it.

#include "pen_shape.h"

#define SITE_HOSTS_MAX 256 // of one set; names beyond are left out

struct site_hosts {
	struct pen_span mx[SITE_HOSTS_MAX]; // point into the text that was given
	uint32_t n;
	char name[PEN_SITE_NAME_MAX + 8]; // rolled up; with the port when it is not 25
};

// `site` is that of struct pen_dns_hosts: "a.example,b.example:25". Mail to another port is another
// service, with limits of its own.
void site_hosts_find(struct site_hosts *out, const char *site, uint16_t port);
