// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// A curl multi handle whose sockets and timer are events of an event loop.
//
// Events are embedded, not allocated by libevent, as the loop goes first when
// the daemon stops: event_base_free takes them out, and what is left is memory.

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <stdbool.h>

// Called for each transfer that ended, outside of libcurl: it may add and remove.
typedef void sts_http_loop_fn(void *ctx, CURL *easy, CURLcode code);

struct sts_http_loop {
	CURLM *multi;
	struct event_base *base;
	struct event timer;
	bool timer_made;
	bool closing; // events are not to be touched
	sts_http_loop_fn *fn;
	void *ctx;
};

int sts_http_loop_init(struct sts_http_loop *l, sts_http_loop_fn *fn, void *ctx);
void sts_http_loop_fini(struct sts_http_loop *l);
int sts_http_loop_add(struct sts_http_loop *l, CURL *easy); // 0 or -ENOMEM
void sts_http_loop_remove(struct sts_http_loop *l, CURL *easy);
