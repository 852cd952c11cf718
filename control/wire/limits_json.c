// SPDX-License-Identifier: BSD-3-Clause
#include "verb_call.h"

static void add_rate(json_t *o, const char *key, const struct pen_rate *r)
{
	char text[PEN_RATE_STR_MAX];

	json_object_set_new(o, key, json_string(pen_rate_str(r, text)));
}

static void add_number(json_t *o, const char *key, uint64_t n)
{
	json_object_set_new(o, key, json_integer((json_int_t)n));
}

json_t *limits_json(const struct pen_limits *l)
{
	json_t *o = json_object();

	if (l->given & PEN_LIMIT_CONNECTIONS)
		add_number(o, "connections", l->connections);
	if (l->given & PEN_LIMIT_CONNECTION_RATE)
		add_rate(o, "connection_rate", &l->connection_rate);
	if (l->given & PEN_LIMIT_MESSAGE_RATE)
		add_rate(o, "message_rate", &l->message_rate);
	if (l->given & PEN_LIMIT_BYTE_RATE)
		add_rate(o, "byte_rate", &l->byte_rate);
	if (l->given & PEN_LIMIT_CONNECTION_MESSAGES)
		add_number(o, "connection_messages", l->connection_messages);
	if (l->given & PEN_LIMIT_RECIPIENTS)
		add_number(o, "recipients", l->recipients);
	if (l->given & PEN_LIMIT_CONNECTION_TIME)
		add_number(o, "connection_time", (uint64_t)(l->connection_time / PEN_US_PER_S));
	return o;
}
