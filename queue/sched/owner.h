// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Tenants and campaigns: whose mail it is. Counted references; owner.c frees them with
// the last one.

#include "link.h"
#include "share.h"
#include "table.h"

struct pen_mail_class;
struct pen_sched;
struct pen_shape_class;

// A tenant's mail that waits for the resolver to have room.
struct tenant {
	struct table_node node;
	struct share share; // in pen_sched.backlog
	struct link backlog;
	uint32_t refs, len;
	char name[];
};

// Tenant and campaign, as classes of mail name them.
struct owner {
	struct table_node node;
	struct tenant *tenant;
	struct pen_shape_class *shape; // NULL: without shaping
	uint32_t refs, len;
	char name[]; // of the campaign
};

bool owners_init(struct pen_sched *s);
void owners_fini(struct pen_sched *s);
// A reference. Mail without names, or without memory: pen_sched.nobody.
struct owner *owner_get(struct pen_sched *s, const struct pen_mail_class *k);
void owner_put(struct pen_sched *s, struct owner *o);
struct tenant *tenant_ref(struct tenant *t);
void tenant_put(struct pen_sched *s, struct tenant *t);
uint32_t owner_pool(struct pen_sched *s, const struct pen_mail_class *k);
