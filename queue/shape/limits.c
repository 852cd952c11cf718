// SPDX-License-Identifier: BSD-3-Clause
#include "shape_core.h"

const char *const shape_limit_word[7] = {"connections", "connection_rate", "message_rate",
	"byte_rate", "connection_messages", "recipients", "connection_time"};

static void take(struct pen_limits *to, const struct pen_limits *from, unsigned bits)
{
	if (bits & PEN_LIMIT_CONNECTIONS)
		to->connections = from->connections;
	if (bits & PEN_LIMIT_CONNECTION_RATE)
		to->connection_rate = from->connection_rate;
	if (bits & PEN_LIMIT_MESSAGE_RATE)
		to->message_rate = from->message_rate;
	if (bits & PEN_LIMIT_BYTE_RATE)
		to->byte_rate = from->byte_rate;
	if (bits & PEN_LIMIT_CONNECTION_MESSAGES)
		to->connection_messages = from->connection_messages;
	if (bits & PEN_LIMIT_RECIPIENTS)
		to->recipients = from->recipients;
	if (bits & PEN_LIMIT_CONNECTION_TIME)
		to->connection_time = from->connection_time;
	to->given |= bits;
}

void shape_limits_over(
	struct limit_set *to, const struct pen_limits *l, uint32_t line, bool shipped)
{
	take(&to->l, l, l->given);
	for (unsigned b = 0; b < 7; b++) {
		if ((l->given & (1u << b)) == 0)
			continue;
		to->line[b] = line;
		to->shipped = (uint8_t)((to->shipped & ~(1u << b)) | (shipped ? 1u << b : 0));
	}
}

void shape_limits_over_set(struct limit_set *to, const struct limit_set *from)
{
	take(&to->l, &from->l, from->l.given);
	for (unsigned b = 0; b < 7; b++) {
		if ((from->l.given & (1u << b)) == 0)
			continue;
		to->line[b] = from->line[b];
		to->shipped = (uint8_t)((to->shipped & ~(1u << b)) | (from->shipped & (1u << b)));
	}
}
