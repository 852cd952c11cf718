// SPDX-License-Identifier: BSD-3-Clause

// Tells the sender. The failed recipients keep their place in the queue until
// the notification is durable: a crash in between repeats the last attempt, and
// never loses the bounce.
#include "core.h"
#include "pen_dsn_message.h"

#include <stdio.h>
#include <stdlib.h>

#define RETRY_AFTER (60 * PEN_US_PER_S)

struct failures {
	const struct pen_message *m;
	const struct failure **at;
};

static void describe(void *ctx, uint32_t i, struct pen_dsn_failed *out)
{
	const struct failures *list = ctx;
	const struct failure *f = list->at[i];

	out->addr = list->m->rcpt[f->rcpt].addr;
	out->expired = f->fate == PEN_FATE_EXPIRED;
	if (f->note != NULL) {
		note_to_dsn(f->note, &out->dsn);
		snprintf(out->relay, sizeof(out->relay), "%s", note_relay(f->note));
		out->mta_len = f->note->mta_len;
		return;
	}
	pen_dsn_set(&out->dsn, 5, 0, 0, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_LOCAL, PEN_STAGE_NONE,
		"the reason was not kept");
	out->relay[0] = '\0';
	out->mta_len = 0;
}

static int by_recipient(const void *a, const void *b)
{
	uint32_t x = (*(const struct failure *const *)a)->rcpt;
	uint32_t y = (*(const struct failure *const *)b)->rcpt;

	return x < y ? -1 : x > y;
}

static uint32_t list_failures(const struct entry *e, struct failures *list)
{
	uint32_t n = 0;

	for (const struct failure *f = e->failures; f != NULL; f = f->next)
		n++;
	list->m = e->m;
	list->at = malloc(n * sizeof(*list->at));
	if (list->at == NULL)
		return 0;
	n = 0;
	for (const struct failure *f = e->failures; f != NULL; f = f->next)
		list->at[n++] = f;
	qsort(list->at, n, sizeof(*list->at), by_recipient);
	return n;
}

static int build(struct pen_sched *s, struct entry *e, struct pen_buf *out, bool *eight_bit)
{
	struct failures list;
	uint32_t n = list_failures(e, &list);

	if (n == 0)
		return -1;
	// Without its content the notification still says what matters.
	entry_load_content(s, e);
	struct pen_dsn_report report = {
		.hostname = s->cfg.myhostname,
		.mailer_daemon = s->cfg.mailer_daemon,
		.queue_id = e->m->queue_id,
		.sender = e->m->sender,
		.arrival = e->m->arrival,
		.wall = s->wall,
		.original = pen_span(e->m->content, e->m->content != NULL ? e->m->content_len : 0),
		.size_limit = s->cfg.bounce_size_limit,
		.salt = pen_rand_u64(&s->rand),
		.nfailed = n,
		.failed = describe,
		.ctx = &list,
	};
	int err = pen_dsn_message_build(&report, out, eight_bit);
	free(list.at);
	return err;
}

// The entry may be gone afterwards: the op may answer at once.
void bounce_submit(struct pen_sched *s, struct entry *e)
{
	struct pen_buf content = PEN_BUF_INIT;
	bool eight_bit;

	entry_set_state(s, e, ENTRY_BOUNCING);
	if (build(s, e, &content, &eight_bit) != 0 || content.n > UINT32_MAX) {
		pen_buf_fini(&content);
		s->total.notification_errors++;
		entry_arm(s, e, s->wall + RETRY_AFTER);
		return;
	}
	pen_wheel_disarm(&s->entry_wheel, &e->timer);
	struct pen_sched_submission sub = {
		.token = e->m->id,
		.original = e->m,
		.rcpt = e->m->sender,
		.content = content.p,
		.content_len = (uint32_t)content.n,
		.flags = PEN_MESSAGE_DSN | (eight_bit ? PEN_MESSAGE_8BIT : 0),
		.arrival = s->wall,
	};
	e->submitted = true;
	s->submitting++;
	s->ops.submit(s->ctx, &sub);
}

void pen_sched_on_submitted(struct pen_sched *s, uint64_t token, int err)
{
	struct entry *e = entry_find(s, token);

	if (e == NULL || !e->submitted)
		return;
	e->submitted = false;
	s->submitting--;
	if (err == 0) {
		s->total.notifications++;
		entry_conclude(s, e);
		return;
	}
	s->total.notification_errors++;
	if (!e->deleting) {
		entry_arm(s, e, s->wall + RETRY_AFTER);
		return;
	}
	// An operator wanted it gone before the sender could be told.
	for (struct failure *f = e->failures; f != NULL; f = f->next)
		f->fate = PEN_FATE_DELETED;
	entry_conclude(s, e);
}
