// SPDX-License-Identifier: BSD-3-Clause

// The part of a notification that people read: why they get it, then each
// recipient with what was answered.

#include "dsn_write.h"

#include "pen_trouble.h"

#include <stdio.h>

#define INDENT "    "

static const char *const leads[PEN_ACTIONS] = {
	[PEN_ACTION_FAILED] =
		"Your message did not reach the recipients below, and no further\r\n"
		"attempt will be made. What each receiving system answered is given\r\n"
		"behind the address.",
	[PEN_ACTION_DELAYED] =
		"Your message has not reached the recipients below yet. This is a\r\n"
		"warning only: nothing needs to be sent again, attempts go on.",
	[PEN_ACTION_DELIVERED] = "Your message was delivered to the recipients below.",
	[PEN_ACTION_RELAYED] =
		"Your message was given to the mail systems of the recipients below.\r\n"
		"They send no reports of delivery, so this is the last you hear of it\r\n"
		"unless it fails there.",
};

static const char *postmaster_lead(enum pen_dsn_kind kind)
{
	if (kind == PEN_DSN_POSTMASTER_DELAYED)
		return "A message of the sender below is late. The sender was told.";
	return "A message without a sender, most likely a notification, did not reach\r\n"
	       "the recipients below. Nobody else is told.";
}

static void put_retry(const struct dsn_writer *w)
{
	char date[64];

	if (w->r->retry_until == 0)
		return;
	pen_wall_rfc5322(date, sizeof(date), w->r->retry_until);
	pen_buf_addf(w->out, "It will be given up after %s.\r\n", date);
}

static void put_recipient(const struct dsn_writer *w, const struct pen_dsn_rcpt *f)
{
	char text[PEN_TROUBLE_TEXT_MAX];

	dsn_put_address(w, "<", f->addr, ">:");
	pen_trouble_text(&f->dsn, f->relay, text, sizeof(text));
	if (f->expired)
		dsn_put_folded(
			w->out, INDENT, INDENT, "The time for delivery is over. Last answer:");
	dsn_put_folded(w->out, INDENT, INDENT, text[0] != '\0' ? text : "no reason was given");
	if (f->doubts > 0 && dsn_action(w->r, f) != PEN_ACTION_DELIVERED &&
		dsn_action(w->r, f) != PEN_ACTION_RELAYED)
		dsn_put_folded(w->out, INDENT, INDENT,
			"It may have arrived all the same: a server received all of the message "
			"and ended the connection without an answer.");
	pen_buf_add_cstr(w->out, "\r\n");
}

static bool any_with(const struct dsn_writer *w, enum pen_dsn_action action)
{
	struct pen_dsn_rcpt f = {0};

	for (uint32_t i = 0; i < w->r->nrcpt; i++) {
		w->r->rcpt(w->r->ctx, i, &f);
		if (dsn_action(w->r, &f) == action)
			return true;
	}
	return false;
}

static void put_group(const struct dsn_writer *w, enum pen_dsn_action action)
{
	struct pen_dsn_rcpt f = {0};

	for (uint32_t i = 0; i < w->r->nrcpt; i++) {
		w->r->rcpt(w->r->ctx, i, &f);
		if (dsn_action(w->r, &f) == action)
			put_recipient(w, &f);
	}
}

static const char *about_original(const struct pen_dsn_report *r)
{
	if (r->original.p == NULL)
		return "The message itself could no longer be read.";
	return "The message, or its header, is attached.";
}

static void put_lead(const struct dsn_writer *w, enum pen_dsn_action action, bool first)
{
	bool postmaster =
		w->r->kind == PEN_DSN_POSTMASTER || w->r->kind == PEN_DSN_POSTMASTER_DELAYED;

	// The operator's text speaks of the notification's own kind, to its sender.
	if (first && w->template->text != NULL && !postmaster) {
		pen_buf_add_cstr(w->out, w->template->text);
		pen_buf_add_cstr(w->out, "\r\n");
		return;
	}
	if (first)
		pen_buf_addf(w->out, "This is the mail system at host %s.\r\n\r\n", w->r->hostname);
	pen_buf_addf(w->out, "%s%s%s\r\n",
		postmaster && first ? postmaster_lead(w->r->kind) : leads[action], first ? " " : "",
		first ? about_original(w->r) : "");
	if (action == PEN_ACTION_DELAYED)
		put_retry(w);
	if (first)
		pen_buf_add_cstr(w->out, "\r\nIf you ask your postmaster for help, please forward "
					 "this report.\r\n");
	pen_buf_add_cstr(w->out, "\r\n");
}

void dsn_put_people_part(const struct dsn_writer *w)
{
	// The kind's own action first, so that the template stands on top of it.
	struct pen_dsn_rcpt none = {0};
	enum pen_dsn_action own = dsn_action(w->r, &none);
	const char *charset = w->template->text != NULL && w->template->charset != NULL
				      ? w->template->charset
				      : "us-ascii";
	bool first = true;

	if (w->global)
		charset = "utf-8"; // of which us-ascii is a part
	pen_buf_addf(w->out,
		"--%s\r\n"
		"Content-Description: Notification\r\n"
		"Content-Type: text/plain; charset=%s\r\n"
		"%s\r\n",
		w->boundary, charset,
		strcmp(charset, "us-ascii") != 0 ? "Content-Transfer-Encoding: 8bit\r\n" : "");
	for (unsigned i = PEN_ACTION_OF_KIND; i < PEN_ACTIONS; i++) {
		enum pen_dsn_action action = i == PEN_ACTION_OF_KIND ? own : i;
		if ((i != PEN_ACTION_OF_KIND && action == own) || !any_with(w, action))
			continue;
		put_lead(w, action, first);
		put_group(w, action);
		first = false;
	}
}
