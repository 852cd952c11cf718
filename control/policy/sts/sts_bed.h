// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// What the tests of the service have in common: a service on the fakes, its
// answers, and what they should be. Everything but the policy host is fresh for
// each test.

#include "pen_test.h"
#include "sts_fake.h"

#define ANSWERS_MAX 256
#define POLICY(mode, mx, age)                                                                      \
	"version: STSv1\r\nmode: " mode "\r\nmx: " mx "\r\nmax_age: " age "\r\n"

struct bed_answer {
	bool policy;
	enum pen_sts_mode mode;
	enum pen_tlsrpt_result failure;
	char domain[256], id[PEN_STS_ID_MAX + 1], mx[256];
};

extern struct bed_answer answers[ANSWERS_MAX];
extern unsigned nanswers;
#define LAST (answers[nanswers - 1])

extern struct pen_params params;
extern struct pen_sts_service *service;
extern char spool[64];

int bed_host_begin(void **state); // of the group
int bed_host_end(void **state);
int bed_begin(void **state); // of each test
int bed_end(void **state);

void load_params(const char *more);
void start(const char *more);
void stop(void);
uint64_t counter(const char *name);

void on_policy(void *ctx, const struct pen_sts_policy *p); // appends to `answers`
void await(unsigned n);                                    // until there are n
void settle(void);                                         // until nothing is going on
void ask(const char *domain);                              // looks up and awaits
void publish(const char *domain, const char *id);          // record and address of the host
void withdraw(const char *domain);                         // the record

void expect_policy(enum pen_sts_mode mode, const char *id);
void expect_failure(enum pen_tlsrpt_result failure);
void expect_why(const char *domain, const char *text);
