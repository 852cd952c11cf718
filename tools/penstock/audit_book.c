// SPDX-License-Identifier: BSD-3-Clause
#include "audit_book.h"

#include <stdlib.h>

enum {
	RECEIVED = 1 << 0,
	COMMITTED = 1 << 1, // on the message's first recipient
	SPOOLED = 1 << 2,
	DOUBT = 1 << 3,
	BUSY = 1 << 4,
	FATE_LATE = 1 << 5, // younger than the picture of the spool
	RECEIVED_LATE = 1 << 6,
	NAMED = 1 << 7, // a fault of its fates was told
};

struct slot {
	uint64_t id; // 0: free
	uint32_t index;
	uint8_t flags, fate, spool_fate;
	uint8_t undone; // undone_at its fate
	uint64_t where; // of its fate, or else its reception
};
_Static_assert(sizeof(struct slot) == 24, "memory of an audit");

struct book {
	struct slot *slot;
	uint64_t mask, n;
	book_fault_fn *fn;
	void *ctx;
	uint64_t begins;
	bool late, running, down, failed;
	struct book_totals total;
};

const char *book_fault_word(enum book_fault f)
{
	static const char *const words[] = {[BOOK_LOST] = "lost",
		[BOOK_DUPLICATE] = "duplicate",
		[BOOK_TWO_FATES] = "two fates",
		[BOOK_NO_RECEPTION] = "no reception",
		[BOOK_STILL_QUEUED] = "still queued",
		[BOOK_NO_RECORD] = "no record",
		[BOOK_REPEATED] = "repeated after a crash"};

	return words[f];
}

struct book *book_new(book_fault_fn *fn, void *ctx)
{
	struct book *b = calloc(1, sizeof(*b));

	if (b == NULL)
		return NULL;
	b->mask = (1 << 12) - 1;
	b->slot = calloc(b->mask + 1, sizeof(*b->slot));
	b->fn = fn;
	b->ctx = ctx;
	if (b->slot == NULL) {
		free(b);
		return NULL;
	}
	return b;
}

void book_free(struct book *b)
{
	if (b == NULL)
		return;
	free(b->slot);
	free(b);
}

bool book_failed(const struct book *b)
{
	return b->failed;
}

uint64_t book_recipients(const struct book *b)
{
	return b->n;
}

static uint64_t hash(uint64_t id, uint32_t index)
{
	uint64_t h = (id + index * 0x9e3779b97f4a7c15u) * 0xbf58476d1ce4e5b9u;

	h = (h ^ h >> 31) * 0x94d049bb133111ebu;
	return h ^ h >> 29;
}

static struct slot *place(struct slot *slot, uint64_t mask, uint64_t id, uint32_t index)
{
	uint64_t i = hash(id, index) & mask;

	while (slot[i].id != 0 && (slot[i].id != id || slot[i].index != index))
		i = (i + 1) & mask;
	return &slot[i];
}

static bool grow(struct book *b)
{
	uint64_t mask = b->mask * 2 + 1;
	struct slot *more = calloc(mask + 1, sizeof(*more));

	if (more == NULL)
		return false;
	for (uint64_t i = 0; i <= b->mask; i++) {
		if (b->slot[i].id != 0)
			*place(more, mask, b->slot[i].id, b->slot[i].index) = b->slot[i];
	}
	free(b->slot);
	b->slot = more;
	b->mask = mask;
	return true;
}

static struct slot *find(const struct book *b, uint64_t id, uint32_t index)
{
	struct slot *s = place(b->slot, b->mask, id, index);

	return s->id != 0 ? s : NULL;
}

// NULL: no memory, and the book is failed.
static struct slot *at(struct book *b, uint64_t id, uint32_t index)
{
	struct slot *s = place(b->slot, b->mask, id, index);

	if (s->id != 0)
		return s;
	if ((b->n + 1) * 4 > (b->mask + 1) * 3) {
		if (!grow(b)) {
			b->failed = true;
			return NULL;
		}
		s = place(b->slot, b->mask, id, index);
	}
	s->id = id;
	s->index = index;
	b->n++;
	return s;
}

static void tell(struct book *b, enum book_fault fault, const struct slot *s, enum pen_fate fate,
	uint64_t where)
{
	b->total.fault[fault]++;
	b->fn(b->ctx, fault, s->id, s->index, fate, (enum pen_fate)s->fate, where, s->where);
}

void book_begins(struct book *b, uint64_t id)
{
	b->begins = id;
}

void book_late(struct book *b)
{
	b->late = true;
}

void book_start(struct book *b)
{
	b->total.starts++;
	b->total.crashes += b->running;
	b->running = true;
}

void book_stop(struct book *b)
{
	b->running = false;
}

// What undoes a fate: a crash; and of a bounce any start, as its recipients keep
// their place until the notification is stored. Only whether there was one since
// matters; after 254 of them all are as old.
static uint8_t undone_at(const struct book *b, enum pen_fate fate)
{
	bool told = fate == PEN_FATE_BOUNCED || fate == PEN_FATE_EXPIRED;
	uint64_t n = told ? b->total.starts + b->down : b->total.crashes;

	return n < UINT8_MAX ? (uint8_t)n : UINT8_MAX - 1;
}

static bool undone(const struct book *b, const struct slot *s)
{
	return undone_at(b, (enum pen_fate)s->fate) > s->undone || s->undone == UINT8_MAX - 1;
}

void book_received(struct book *b, uint64_t id, uint32_t nrcpt, uint64_t where)
{
	for (uint32_t i = 0; i < nrcpt; i++) {
		struct slot *s = at(b, id, i);
		if (s == NULL)
			return;
		b->running = true; // of logs that begin in the middle
		s->flags |= RECEIVED | (b->late ? RECEIVED_LATE : 0);
		if (s->fate == PEN_FATE_QUEUED)
			s->where = where;
	}
}

void book_committed(struct book *b, uint64_t id)
{
	struct slot *s = at(b, id, 0);

	if (s != NULL)
		s->flags |= COMMITTED;
}

void book_deferred(struct book *b, bool in_doubt)
{
	b->total.deferrals++;
	b->total.doubts += in_doubt;
}

void book_fate(struct book *b, uint64_t id, uint32_t index, enum pen_fate fate, uint64_t where)
{
	struct slot *s = at(b, id, index);

	if (s == NULL)
		return;
	b->running = true;
	// An operator deletes what waits to be told to its sender.
	bool told = s->fate == PEN_FATE_BOUNCED || s->fate == PEN_FATE_EXPIRED;
	if (s->fate != PEN_FATE_QUEUED && !(told && fate == PEN_FATE_DELETED)) {
		bool twice = s->fate == PEN_FATE_DELIVERED && fate == PEN_FATE_DELIVERED;
		enum book_fault fault = undone(b, s) ? BOOK_REPEATED
					: twice      ? BOOK_DUPLICATE
						     : BOOK_TWO_FATES;
		tell(b, fault, s, fate, where);
		if (fault != BOOK_REPEATED)
			s->flags |= NAMED;
	}
	s->fate = (uint8_t)fate;
	s->undone = undone_at(b, fate);
	s->where = where;
	s->flags |= b->late ? FATE_LATE : 0;
}

void book_spooled(
	struct book *b, uint64_t id, uint32_t index, enum pen_fate fate, bool doubt, bool busy)
{
	struct slot *s = at(b, id, index);

	if (s == NULL)
		return;
	s->flags |= SPOOLED | (doubt ? DOUBT : 0) | (busy ? BUSY : 0);
	s->spool_fate = (uint8_t)fate;
}

static bool is_committed(const struct book *b, const struct slot *s)
{
	const struct slot *first = s->index == 0 ? s : find(b, s->id, 0);

	return first != NULL && (first->flags & COMMITTED);
}

// Neither an end nor in the spool.
static bool is_gone(const struct slot *s)
{
	return (s->flags & (RECEIVED | SPOOLED)) == RECEIVED && s->fate == PEN_FATE_QUEUED;
}

void book_suspects(const struct book *b, book_suspect_fn *fn, void *ctx)
{
	for (uint64_t i = 0; i <= b->mask; i++) {
		const struct slot *s = &b->slot[i];
		if (s->id != 0 && is_gone(s) && !(s->flags & RECEIVED_LATE) && is_committed(b, s))
			fn(ctx, s->id, s->index);
	}
}

static void count_end(struct book_totals *t, enum pen_fate fate, bool doubt)
{
	switch (fate) {
	case PEN_FATE_QUEUED:
		*(doubt ? &t->in_doubt : &t->queued) += 1;
		break;
	case PEN_FATE_DELIVERED:
		t->delivered++;
		break;
	case PEN_FATE_BOUNCED:
		t->bounced++;
		break;
	case PEN_FATE_EXPIRED:
		t->expired++;
		break;
	case PEN_FATE_DELETED:
		t->deleted++;
		break;
	}
}

// Where the spool and the log both speak of it; returns its end.
static enum pen_fate agree(struct book *b, const struct slot *s)
{
	enum pen_fate spool = (enum pen_fate)s->spool_fate, fate = (enum pen_fate)s->fate;

	if (spool == fate || (s->flags & FATE_LATE))
		return fate;
	if (fate == PEN_FATE_QUEUED) {
		tell(b, BOOK_NO_RECORD, s, spool, 0);
		return spool;
	}
	if (spool == PEN_FATE_QUEUED) {
		if (s->flags & BUSY)
			return fate;
		if (undone(b, s))
			tell(b, BOOK_REPEATED, s, spool, 0);
		else
			tell(b, BOOK_STILL_QUEUED, s, spool, 0);
		return spool;
	}
	if (!(s->flags & NAMED))
		tell(b, BOOK_TWO_FATES, s, spool, 0);
	return spool;
}

static void balance_one(struct book *b, const struct slot *s)
{
	struct book_totals *t = &b->total;
	bool known = (s->flags & SPOOLED) || s->fate != PEN_FATE_QUEUED;
	bool old = s->id < b->begins;

	if (!known && !(s->flags & RECEIVED))
		return; // a Commit of what came before the log, and left
	if (is_gone(s)) {
		if (s->flags & RECEIVED_LATE)
			return; // it may have come after the picture was taken
		if (!is_committed(b, s)) {
			t->unconfirmed++;
			return;
		}
		t->accepted++;
		tell(b, BOOK_LOST, s, PEN_FATE_QUEUED, 0);
		return;
	}
	if (!(s->flags & RECEIVED) && !old)
		tell(b, BOOK_NO_RECEPTION, s, (enum pen_fate)s->fate, 0);
	else
		t->accepted++;
	t->before_log += !(s->flags & RECEIVED) && old;
	enum pen_fate end = s->flags & SPOOLED ? agree(b, s) : (enum pen_fate)s->fate;
	count_end(t, end, (s->flags & DOUBT) != 0);
}

void book_balance(struct book *b, bool down, struct book_totals *out)
{
	b->down = down;
	if (down && b->running)
		b->total.crashes++;
	for (uint64_t i = 0; i <= b->mask; i++) {
		if (b->slot[i].id != 0)
			balance_one(b, &b->slot[i]);
	}
	*out = b->total;
}
