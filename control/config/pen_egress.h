// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// egress.conf: workers, ports and sources of the dataplane, and all of shaping
// (egress.conf(5)).
//
//   workers = 1; cores = [0]; hugepages = auto; memory_mb = 256;
//   connections = 10000; buffer_mb = 64; eal_options = [];
//   port p0 { device = "net_memif0,role=client,socket=/run/x"; prefix = 24;
//             gateway = "10.0.0.1"; prefix6 = 64; gateway6 = "fe80::1";
//             mtu = 1500; mac = "02:00:00:00:00:01"; }
//   source s0 { port = p0; address = "10.0.0.2"; helo = "mail.example.com"; }
//   source s1 { port = p0; address = "2001:db8::2"; }
//
// Threads: read once; then read-only.
// Memory:  a pen_egress owns all that its dataplane configuration points to.

#include "pen_dataplane.h"
#include "pen_report.h"
#include "pen_shape_config.h"

#define PEN_SOURCES_MAX 16384
#define PEN_SECTIONS_MAX 10000 // of one kind

struct pen_egress {
	struct pen_dataplane_config dataplane; // every field is set
	struct pen_source_config *sources;     // dataplane.source points here
	char *eal_text[PEN_EAL_OPTIONS_MAX];   // dataplane.eal_option points here
	struct pen_shape_config *shape;        // never NULL after a parse without errors
	uint64_t text_hash;                    // of the file, to see whether it changed
};

// pen_egress_parse reads the text of egress.conf. Reports every fault and every
// unknown key with its line. 0, -EINVAL after reported errors, or -ENOMEM;
// pen_egress_fini is due in every case.
int pen_egress_parse(
	struct pen_egress *e, struct pen_span text, const char *file, struct pen_report *r);
// The same with another file than the shipped one ("" none): for tests.
int pen_egress_parse_with(struct pen_egress *e, struct pen_span text, const char *file,
	struct pen_span shipped, struct pen_report *r);
// pen_egress_read reads a file; without one it reports what to write.
int pen_egress_read(struct pen_egress *e, const char *file, struct pen_report *r);
void pen_egress_fini(struct pen_egress *e);
// The shaping configuration, for pen_shape_new or pen_shape_apply: the caller's now. NULL when
// it was taken before.
struct pen_shape_config *pen_egress_take_shape(struct pen_egress *e);
