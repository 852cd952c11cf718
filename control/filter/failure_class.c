// SPDX-License-Identifier: BSD-3-Clause

// The classes of what fails without a word from the other side.
//
// The stage and the status say what it was; a time-out is told from a refusal by
// the words of our own texts (pen_tcp_close_name, smtp_client.c), as RFC 3463 has
// one status for both.

#include "pen_reply_class.h"

static const char *const names[] = {"bad-configuration", "bad-connection", "bad-domain",
	"bad-mailbox", "content-related", "inactive-mailbox", "invalid-sender",
	PEN_REPLY_CLASS_EXPIRED, "no-answer-from-host", "policy-related", "protocol-errors",
	"quota-issues", "relaying-issues", "routing-errors", "spam-related", "virus-related",
	PEN_REPLY_CLASS_GREYLISTED, "rate-limited", "auth-failed", "message-too-big",
	"tls-required", "tls-failed", NULL};

const char *pen_failure_class_name(uint32_t i)
{
	return i < sizeof(names) / sizeof(names[0]) ? names[i] : NULL;
}

bool pen_failure_is_reply(const struct pen_dsn *d)
{
	return d->origin == PEN_ORIGIN_PEER && d->reply != 0;
}

static bool timed_out(const struct pen_dsn *d)
{
	return strstr(d->text, "timed out") != NULL || strstr(d->text, "in time") != NULL;
}

// RFC 3463's subjects and details. 0 stands for any detail.
static const char *of_status(unsigned subject, unsigned detail)
{
	static const struct {
		uint16_t subject, detail;
		const char *name;
	} table[] = {
		{1, 2, "bad-domain"},
		{1, 10, "bad-domain"},
		{1, 7, "invalid-sender"},
		{1, 8, "invalid-sender"},
		{1, 9, "invalid-sender"},
		{1, 0, "bad-mailbox"},
		{2, 1, "inactive-mailbox"},
		{2, 2, "quota-issues"},
		{2, 3, "message-too-big"},
		{2, 0, "bad-mailbox"},
		{3, 4, "message-too-big"},
		{3, 5, "bad-configuration"},
		{4, 1, "bad-connection"},
		{4, 2, "bad-connection"},
		{4, 5, "rate-limited"},
		{4, 7, PEN_REPLY_CLASS_EXPIRED},
		{4, 0, "routing-errors"},
		{5, 0, "protocol-errors"},
		{6, 0, "content-related"},
		{7, 10, "tls-required"},
		{7, 30, "tls-required"},
		{7, 20, "auth-failed"},
		{7, 23, "auth-failed"},
		{7, 26, "auth-failed"},
		{7, 0, "policy-related"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (table[i].subject == subject &&
			(table[i].detail == detail || table[i].detail == 0))
			return table[i].name;
	}
	return PEN_REPLY_CLASS_OTHER;
}

// A refusal by our own TLS policy, or a handshake that failed.
static const char *of_tls(const struct pen_dsn *d)
{
	if (d->subject == 7 && (d->detail == 10 || d->detail == 30))
		return "tls-required"; // REQUIRETLS (RFC 8689)
	// 4.7.4 and 4.7.0 at STARTTLS: encryption is wanted and was not offered.
	return d->stage == PEN_STAGE_TLS || d->detail == 5 ? "tls-failed" : "tls-required";
}

static const char *of_network(const struct pen_dsn *d)
{
	if (timed_out(d))
		return "no-answer-from-host";
	// A domain that is not there; a name server that does not know today is
	// trouble on the way.
	if (d->detail == 4 && d->klass == 5)
		return "bad-domain";
	return of_status(d->subject, d->detail);
}

const char *pen_failure_class(const struct pen_dsn *d)
{
	bool is_tls = d->stage == PEN_STAGE_TLS || d->stage == PEN_STAGE_STARTTLS;

	if (is_tls && d->subject == 4)
		return timed_out(d) ? "no-answer-from-host" : "tls-failed";
	if (is_tls || (d->subject == 7 && (d->detail == 4 || d->detail == 5 || d->detail == 10 ||
						  d->detail == 30)))
		return of_tls(d); // also a host passed over for its policy
	if (d->origin == PEN_ORIGIN_PEER && d->stage != PEN_STAGE_NONE)
		return "protocol-errors"; // it said something that is no reply
	if (d->origin == PEN_ORIGIN_PEER && d->subject == 1)
		return "bad-domain"; // a null MX
	return d->subject == 4 ? of_network(d) : of_status(d->subject, d->detail);
}
