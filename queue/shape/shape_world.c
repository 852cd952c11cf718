// SPDX-License-Identifier: BSD-3-Clause
#include "shape_world.h"

struct pen_rate world_rate(const char *text)
{
	struct pen_rate r = {0};
	const char *why;
	size_t at;

	if (!pen_rate_parse(pen_span_cstr(text), &r, &why, &at))
		fail_msg("%s: %s", text, why);
	return r;
}

struct pen_shape_config *world_config(uint32_t v4, uint32_t v6)
{
	struct pen_addr addr[64];

	assert_true(v4 + v6 <= 64);
	for (uint32_t i = 0; i < v4 + v6; i++) {
		addr[i] = pen_addr_ip4(0x0a000001 + i);
		if (i >= v4)
			addr[i].family = PEN_FAMILY_IP6;
	}
	struct pen_shape_config *c = pen_shape_config_plain(addr, v4 + v6);
	assert_non_null(c);
	return c;
}

struct pen_limits world_limits(const char *text)
{
	struct pen_limits l = {0};
	char copy[256], *save = NULL;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save)) {
		char *v = strchr(w, '=');
		assert_non_null(v);
		*v++ = '\0';
		unsigned number = (unsigned)strtoul(v, NULL, 10);
		if (strcmp(w, "connections") == 0) {
			l.given |= PEN_LIMIT_CONNECTIONS;
			l.connections = number;
		} else if (strcmp(w, "connection_rate") == 0) {
			l.given |= PEN_LIMIT_CONNECTION_RATE;
			l.connection_rate = world_rate(v);
		} else if (strcmp(w, "message_rate") == 0) {
			l.given |= PEN_LIMIT_MESSAGE_RATE;
			l.message_rate = world_rate(v);
		} else if (strcmp(w, "byte_rate") == 0) {
			l.given |= PEN_LIMIT_BYTE_RATE;
			l.byte_rate = world_rate(v);
		} else if (strcmp(w, "messages") == 0) {
			l.given |= PEN_LIMIT_CONNECTION_MESSAGES;
			l.connection_messages = number;
		} else if (strcmp(w, "recipients") == 0) {
			l.given |= PEN_LIMIT_RECIPIENTS;
			l.recipients = number;
		} else if (strcmp(w, "time") == 0) {
			l.given |= PEN_LIMIT_CONNECTION_TIME;
			l.connection_time = number * PEN_US_PER_S;
		} else {
			fail_msg("no such limit: %s", w);
		}
	}
	return l;
}

struct pen_shape_site *world_site(struct pen_shape *sh, const char *mx, pen_time_us now)
{
	char name[PEN_SITE_NAME_MAX + 1], copy[512], *save = NULL;
	struct pen_span list[16];
	uint32_t n = 0;

	snprintf(copy, sizeof(copy), "%s", mx);
	for (char *w = strtok_r(copy, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
		list[n++] = pen_span_cstr(w);
	size_t len = pen_site_rollup(list, n, name);
	struct pen_shape_site *s = pen_shape_site_get(sh, pen_span(name, len), list, n, now);
	assert_non_null(s);
	return s;
}

const struct pen_mail_class *world_class(const char *tenant, const char *campaign)
{
	static struct pen_mail_class ring[16];
	static unsigned at;
	struct pen_mail_class *k = &ring[at++ % 16];

	*k = (struct pen_mail_class){
		.tenant = pen_span_cstr(tenant), .campaign = pen_span_cstr(campaign)};
	k->pool = PEN_SPAN_LIT("");
	return k;
}

void world_save(struct pen_shape *sh, pen_time_us now, struct pen_buf *out)
{
	struct pen_buf mine = PEN_BUF_INIT;
	uint64_t generation;

	if (out == NULL)
		out = &mine;
	pen_buf_reset(out);
	assert_int_equal(pen_shape_save(sh, now, now + WORLD_WALL, out, &generation), 0);
	pen_shape_saved(sh, generation, now);
	pen_buf_fini(&mine);
}
