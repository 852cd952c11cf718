// SPDX-License-Identifier: BSD-3-Clause
#include "pen_verp.h"

// Before the last '@'; everything when there is none.
static void split(struct pen_span addr, struct pen_span *local, struct pen_span *domain)
{
	const uint8_t *at = addr.n > 0 ? memrchr(addr.p, '@', addr.n) : NULL;

	*local = at != NULL ? pen_span(addr.p, (size_t)(at - addr.p)) : addr;
	*domain = at != NULL ? pen_span_from(addr, local->n + 1) : pen_span(NULL, 0);
}

static bool is_quoted(struct pen_span local)
{
	return local.n >= 2 && local.p[0] == '"' && local.p[local.n - 1] == '"';
}

bool pen_verp_valid(struct pen_span delims, const char *filter)
{
	return delims.n == 2 && delims.p[0] != '\0' && delims.p[1] != '\0' &&
	       strchr(filter, delims.p[0]) != NULL && strchr(filter, delims.p[1]) != NULL;
}

struct text {
	char *p;
	size_t n;
	bool full;
};

static void put(struct text *t, struct pen_span s)
{
	if (t->full || s.n > PEN_VERP_MAX - 1 - t->n) {
		t->full = true;
		return;
	}
	if (s.n > 0)
		memcpy(t->p + t->n, s.p, s.n);
	t->n += s.n;
}

// Inside a quoted local part only '"' and '\' are special, and they are escaped in
// what was quoted before.
static void put_local(struct text *t, struct pen_span local)
{
	if (is_quoted(local))
		local = pen_span(local.p + 1, local.n - 2);
	put(t, local);
}

size_t pen_verp_make(
	char out[PEN_VERP_MAX], struct pen_span sender, struct pen_span rcpt, const char delims[2])
{
	struct pen_span local, origin, user, domain;
	struct text t = {.p = out};

	if (sender.n == 0)
		return 0;
	split(sender, &local, &origin);
	split(rcpt, &user, &domain);
	bool quoted = is_quoted(local) || is_quoted(user);
	if (quoted)
		put(&t, PEN_SPAN_LIT("\""));
	put_local(&t, local);
	put(&t, pen_span(&delims[0], 1));
	put_local(&t, user);
	if (domain.n > 0) {
		put(&t, pen_span(&delims[1], 1));
		put(&t, domain);
	}
	if (quoted)
		put(&t, PEN_SPAN_LIT("\""));
	if (origin.n > 0) {
		put(&t, PEN_SPAN_LIT("@"));
		put(&t, origin);
	}
	if (t.full)
		return 0;
	out[t.n] = '\0';
	return t.n;
}
