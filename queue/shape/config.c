// SPDX-License-Identifier: BSD-3-Clause
#include "pen_shape_config.h"

#include <stdio.h>
#include <stdlib.h>

void pen_shape_config_free(struct pen_shape_config *c)
{
	if (c == NULL)
		return;
	free(c->arena);
	free(c);
}

struct plain {
	struct pen_shape_pool pool;
	__typeof__(*((struct pen_shape_pool *)0)->member) *member;
	char (*name)[16];
	struct pen_shape_source source[];
};

struct pen_shape_config *pen_shape_config_plain(const struct pen_addr *source, uint32_t n)
{
	struct pen_shape_config *c = calloc(1, sizeof(*c));
	size_t each = sizeof(struct pen_shape_source) + sizeof(*c->pool->member) + 16;
	struct plain *p = calloc(1, sizeof(*p) + n * each);

	if (c == NULL || p == NULL) {
		free(c);
		free(p);
		return NULL;
	}
	p->member = (void *)(p->source + n);
	p->name = (void *)(p->member + n);
	for (uint32_t i = 0; i < n; i++) {
		snprintf(p->name[i], sizeof(p->name[i]), "s%u", i);
		p->source[i] = (struct pen_shape_source){
			.name = p->name[i], .addr = source[i], .helo = ""};
		p->member[i].source = i;
		p->member[i].weight = 1;
	}
	p->pool = (struct pen_shape_pool){
		.name = "default", .nmembers = n, .member = (void *)p->member};
	c->defaults.name = "default";
	c->source = p->source;
	c->nsources = n;
	c->pool = &p->pool;
	c->npools = 1;
	c->arena = p;
	return c;
}
