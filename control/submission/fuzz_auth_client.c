// SPDX-License-Identifier: BSD-3-Clause

// What an authentication server may say: the client keeps its bounds and its requests,
// and no answer comes twice or unasked.

#include "auth_client.h"

#include "pen_err.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define USERS 3

struct user {
	struct auth_request r; // first
	struct auth_client *c;
	bool waits, over;
};

static void check_text(const char *s, size_t max)
{
	PEN_ASSERT(strlen(s) <= max);
	for (; *s != '\0'; s++)
		PEN_ASSERT((uint8_t)*s >= ' ' && *s != 0x7f);
}

static void answer(struct auth_request *r, const struct auth_answer *a)
{
	struct user *u = (struct user *)r;

	PEN_ASSERT(u->waits && !u->over);
	u->waits = false;
	if (a->verdict != AUTH_CHALLENGE) {
		check_text(a->user, AUTH_USER_MAX);
		check_text(a->reason, AUTH_REASON_MAX);
		PEN_ASSERT(a->verdict != AUTH_GRANTED || a->user[0] != '\0');
		PEN_ASSERT(r->id == 0);
		u->over = true;
		return;
	}
	for (size_t i = 0; i < a->challenge.n; i++)
		PEN_ASSERT(a->challenge.p[i] > ' ' && a->challenge.p[i] <= '~');
	// One keeps silent, the others go on.
	if (r->id % USERS != 0)
		u->waits = auth_client_continue(u->c, r, PEN_SPAN_LIT("QUFB"), 2);
}

static void begin_all(struct auth_client *c, struct user *user)
{
	const struct auth_start start = {.mechanism = PEN_SPAN_LIT("PLAIN")};

	for (int i = 0; i < USERS; i++) {
		user[i] = (struct user){.r.answer = answer, .c = c, .waits = true};
		user[i].waits = auth_client_begin(c, &user[i].r, &start, 1);
		user[i].over = !user[i].waits;
	}
}

// The first byte is the size of pieces; the rest is what the server says. Users come when
// its handshake is over.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct auth_client c;
	struct user user[USERS];
	bool begun = false;
	char list[64];

	if (size == 0)
		return 0;
	size_t step = data[0] != 0 ? data[0] : size;
	auth_client_init(&c);
	auth_client_connected(&c, 1, 0);
	for (size_t at = 1; at < size; at += step) {
		size_t piece = size - at < step ? size - at : step;
		uint8_t *exact = malloc(piece); // ASan sees what reads beyond it
		memcpy(exact, data + at, piece);
		const char *why = auth_client_feed(&c, exact, piece);
		free(exact);
		PEN_ASSERT(c.line.n <= AUTH_LINE_MAX && c.out.n <= AUTH_OUT_MAX);
		if (why != NULL)
			break;
		if (!begun && c.state == AUTH_READY) {
			begin_all(&c, user);
			begun = true;
		}
	}
	size_t n = auth_client_list(&c, (struct pen_sasl_options){0}, list, sizeof(list));
	PEN_ASSERT(n < sizeof(list) && strlen(list) == n);
	check_text(list, sizeof(list));
	auth_client_tick(&c, 2 + AUTH_TIME);
	auth_client_lost(&c);
	for (int i = 0; begun && i < USERS; i++)
		PEN_ASSERT(user[i].r.id == 0 && !user[i].waits);
	auth_client_fini(&c);
	return 0;
}
