// SPDX-License-Identifier: BSD-3-Clause
#include "pen_tool_config.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

int pen_tool_params(const char *directory, struct pen_params *p)
{
	struct pen_report quiet = {0};
	struct pen_main_cf cf = {0};
	char file[4096], host[256] = "";

	gethostname(host, sizeof(host) - 1);
	snprintf(file, sizeof(file), "%s/main.cf", directory);
	if (access(file, R_OK) != 0 || pen_main_cf_read(&cf, file, &quiet) != 0) {
		pen_main_cf_fini(&cf);
		cf = (struct pen_main_cf){0};
		if (pen_main_cf_parse(&cf, PEN_SPAN_LIT(""), file, &quiet) != 0) {
			*p = (struct pen_params){0};
			return -ENOMEM;
		}
	}
	struct pen_params_env env = {host, directory};
	int err = pen_params_load(p, &cf, &env, &quiet);
	pen_main_cf_fini(&cf);
	return err == -ENOMEM ? err : 0;
}
