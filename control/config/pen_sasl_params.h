// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The parameters of AUTH in the form that submission takes.

#include "pen_params.h"
#include "pen_report.h"
#include "pen_sasl.h"

// smtpd_sasl_path: a path, relative to queue_directory, or "inet:address:port"; "unix:" may
// stand before a path. False: neither, or too long for a socket.
bool pen_sasl_server_parse(const struct pen_params *p, struct pen_sasl_server *out);
// smtpd_sasl_security_options and its like. False: *bad is no option.
bool pen_sasl_options_parse(const char *text, struct pen_sasl_options *out, struct pen_span *bad);

// Reports what is wrong with them.
void pen_sasl_check(const struct pen_params *p, const char *file, struct pen_report *r);
