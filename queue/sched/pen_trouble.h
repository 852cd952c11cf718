// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The only place where what the other side said becomes delivered, try again,
// or bounce, and where the failure of a connection becomes a site's back-off.
//
// Pure functions of values; no state, no memory.
// Follows: RFC 3463 (status codes), RFC 5321 4.2.1 (permanent and transient).

#include "pen_delivery.h"

enum pen_verdict {
	PEN_VERDICT_DELIVERED,
	PEN_VERDICT_RETRY,
	PEN_VERDICT_BOUNCE,
};

// Where a status came from decides what a class 5 means. A refusal of the
// connection says nothing about the recipient, so it is no reason to bounce,
// unless policy makes it the last word on mail for that site (struct pen_lease,
// `result`); a route that cannot exist is one.
enum pen_trouble_source {
	PEN_TROUBLE_ROUTE,    // routing or resolving the recipient's domain
	PEN_TROUBLE_DELIVERY, // a delivery's result for a recipient
	PEN_TROUBLE_LEASE,    // the end of a connection
};

enum pen_verdict pen_trouble_judge(
	const struct pen_dsn *d, enum pen_trouble_source source, bool soft_bounce);

// pen_trouble_demote rewrites the class of a permanent failure that is going to
// be retried (5.x.y becomes 4.x.y), so that logs and mailq tell the truth.
void pen_trouble_demote(struct pen_dsn *d);

// How the end of a lease counts for its site.
enum pen_site_effect {
	PEN_SITE_OK,          // clean, or at least one message was handled
	PEN_SITE_LOST,        // the session was up, and ended without use
	PEN_SITE_UNREACHABLE, // never got as far as a usable session
	// A handshake failed at level may: the mail that the connection was for
	// waits until it may go in plaintext. Others may be allowed that already.
	PEN_SITE_MAIL_WAITS,
	// No host takes mail with this demand under this policy: what waits at the
	// site bounces.
	PEN_SITE_REFUSED,
};

// `handled`: deliveries of the lease that the server answered; `untried`: those
// that came back as they were.
enum pen_site_effect pen_trouble_site_effect(
	const struct pen_lease *l, uint32_t handled, uint32_t untried);

#define PEN_TROUBLE_TEXT_MAX 1024

// pen_trouble_text writes what stands in parentheses at the end of a maillog
// line and in the notification: "host NAME[ADDR] said: 550 5.1.1 ... (in reply
// to RCPT TO command)", "250 2.0.0 ok", or the text as it is. `relay` is
// "name[addr]", or empty when no host was contacted. Returns the length; the
// result is one line of printable ASCII, NUL-terminated, cut to fit.
size_t pen_trouble_text(const struct pen_dsn *d, const char *relay, char *out, size_t cap);

// pen_trouble_reply writes the peer's reply alone: "550 5.1.1 no such user".
size_t pen_trouble_reply(const struct pen_dsn *d, char *out, size_t cap);

// "5.1.1"; PEN_STATUS_STR_MAX bytes are enough.
#define PEN_STATUS_STR_MAX 16
const char *pen_trouble_status(const struct pen_dsn *d, char out[PEN_STATUS_STR_MAX]);
