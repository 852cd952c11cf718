// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// For the tests of the service: a DNS that answers what it was told, clocks that can be
// moved, and a policy host (sts_host.py) as a child process.

#include "sts_service.h"

extern struct event_base *fake_base;
extern struct sts_env fake_env;
extern char fake_dir[64];       // of the policy host
extern unsigned fake_questions; // asked so far

void fake_host_start(void); // once; fills fake_env
void fake_host_stop(void);
unsigned fake_host_requests(const char *domain); // so far
void fake_host_file(const char *domain, const char *body);

// Without a record set, a name does not exist. TXT strings are separated by "|",
// addresses by spaces.
void fake_dns_set(const char *name, enum pen_dns_type type, const char *data);
void fake_dns_fail(const char *name, enum pen_dns_type type, enum pen_dns_status status);
void fake_dns_hold(const char *name, enum pen_dns_type type); // no answer until fake_dns_release
void fake_dns_release(void);
void fake_dns_refuse(int err); // pen_dns_query returns this from now on
void fake_dns_clear(void);

void fake_time_pass(int64_t seconds); // for both clocks
