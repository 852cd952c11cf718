// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What a daemon does around its work: say what is wrong with the
// configuration, make its folders, give up privileges, route diagnostics.
//
// Threads: main, at start and stop. Errors end the program (pen_fatal).

#include "pen_config.h"
#include "pen_maillog.h"
#include "pen_spool.h"

// NULL after every fault was printed.
struct pen_config *daemon_load_config(const char *directory);

// Creates queue_directory and the folder of the control socket, and gives
// them to mail_owner.
void daemon_make_folders(const struct pen_params *p);

// Becomes mail_owner, and gives it the log file and the control socket; does
// nothing when it is empty or when not started as root.
void daemon_drop_privileges(const struct pen_params *p);

// A line from the dataplane's start, such as "running with --no-huge".
void daemon_note(void *ctx, const char *line);

void daemon_spool_problem(void *ctx, const struct pen_spool_problem *p);

// Diagnostics go to the mail log from now on; NULL: to standard error again.
void daemon_log_to(struct pen_maillog *l);
