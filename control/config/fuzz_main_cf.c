// SPDX-License-Identifier: BSD-3-Clause
#include "pen_params.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct pen_params_env env = {"gw.example.com", "/etc/penstock"};
	struct pen_main_cf cf;
	struct pen_params params;
	struct pen_report report = {0};

	pen_main_cf_parse(&cf, pen_span(data, size), "main.cf", &report);
	pen_params_load(&params, &cf, &env, &report);
	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	return 0;
}
