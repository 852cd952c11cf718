// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Who is told of what (RFC 3461 4.1, 5.2, 6.2): what became of one recipient,
// what the client asked for, and whether the server it was given to reports by
// itself. A pure function.
//
// Without NOTIFY a failure and a delay are reported, a success is not. Nobody is
// told of mail from the null sender. RET and ENVID have no say here: they shape the
// notification (pen_dsn_message.h).

#include "pen_delivery.h"
#include "pen_dsn_message.h"

enum pen_notify_event {
	PEN_NOTIFY_FAILED,    // refused for good, or expired
	PEN_NOTIFY_DELAYED,   // delay_warning_time has passed
	PEN_NOTIFY_PASSED_ON, // a server took it
	PEN_NOTIFY_DELIVERED, // and has the mailbox: LMTP with lmtp_assume_final
};

// The action that the sender is told, OF_KIND: nothing. `peer_dsn`: the server that
// took it was given NOTIFY and ORCPT, and reports.
static inline enum pen_dsn_action pen_notify(
	uint8_t notify, bool null_sender, enum pen_notify_event event, bool peer_dsn)
{
	// NEVER stands alone, so it is any mask without the others.
	if (null_sender)
		return PEN_ACTION_OF_KIND;
	switch (event) {
	case PEN_NOTIFY_FAILED:
		return notify == 0 || (notify & PEN_NOTIFY_FAILURE) != 0 ? PEN_ACTION_FAILED
									 : PEN_ACTION_OF_KIND;
	case PEN_NOTIFY_DELAYED:
		return notify == 0 || (notify & PEN_NOTIFY_DELAY) != 0 ? PEN_ACTION_DELAYED
								       : PEN_ACTION_OF_KIND;
	case PEN_NOTIFY_PASSED_ON:
	case PEN_NOTIFY_DELIVERED:
		if ((notify & PEN_NOTIFY_SUCCESS) == 0 || peer_dsn)
			return PEN_ACTION_OF_KIND;
		return event == PEN_NOTIFY_DELIVERED ? PEN_ACTION_DELIVERED : PEN_ACTION_RELAYED;
	}
	return PEN_ACTION_OF_KIND;
}
