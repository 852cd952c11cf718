// SPDX-License-Identifier: BSD-3-Clause

// The control verbs: requests arrive on the control thread, are posted to the
// queue thread (verb_call.h), and answered from there. README.md of control/ops
// has the shapes of the results.

#include "verb_call.h"

int pen_verbs_register(struct pen_gateway *g)
{
	static int (*const registrations[])(struct pen_gateway *) = {status_verbs_register,
		queue_verbs_register, queue_apply_register, shape_verbs_register,
		site_verbs_register, suspend_verbs_register, pen_suppression_verbs_register,
		pen_tls_verbs_register};

	for (size_t i = 0; i < sizeof(registrations) / sizeof(registrations[0]); i++) {
		int err = registrations[i](g);
		if (err != 0)
			return err;
	}
	return 0;
}
