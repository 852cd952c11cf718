// SPDX-License-Identifier: BSD-3-Clause
#include "pen_egress.h"
#include "pen_err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pen_egress e;
	struct pen_report report = {0};

	if (pen_egress_parse(&e, pen_span(data, size), "egress.conf", &report) == 0) {
		PEN_ASSERT(report.errors == 0 && e.dataplane.nports > 0);
		for (uint32_t i = 0; i < e.dataplane.nsources; i++)
			PEN_ASSERT(e.dataplane.source[i].port < e.dataplane.nports);
	}
	pen_egress_fini(&e);
	return 0;
}
