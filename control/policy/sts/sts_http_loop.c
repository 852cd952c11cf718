// SPDX-License-Identifier: BSD-3-Clause
#include "sts_http_loop.h"

#include "pen_err.h"

#include <errno.h>
#include <stdlib.h>

struct watch {
	struct event event;
};

static void finished(struct sts_http_loop *l)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(l->multi, &left)) != NULL) {
		// Removing the handle takes the message with it.
		if (m->msg == CURLMSG_DONE) {
			CURL *easy = m->easy_handle;
			CURLcode code = m->data.result;
			l->fn(l->ctx, easy, code);
		}
	}
}

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
	struct sts_http_loop *l = arg;
	int bits =
		(what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
	int running;

	curl_multi_socket_action(l->multi, fd, bits, &running);
	finished(l);
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct sts_http_loop *l = arg;
	int running;

	(void)fd;
	(void)what;
	curl_multi_socket_action(l->multi, CURL_SOCKET_TIMEOUT, 0, &running);
	finished(l);
}

static int set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
	struct sts_http_loop *l = arg;
	struct watch *w = socket_arg;
	short events = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
			       (what & CURL_POLL_OUT ? EV_WRITE : 0));

	(void)easy;
	if (w != NULL && !l->closing)
		event_del(&w->event);
	if (what == CURL_POLL_REMOVE || l->closing) {
		curl_multi_assign(l->multi, fd, NULL);
		free(w);
		return 0;
	}
	if (w == NULL) {
		w = calloc(1, sizeof(*w));
		if (w == NULL)
			return -1;
		curl_multi_assign(l->multi, fd, w);
	}
	event_assign(&w->event, l->base, fd, events, on_socket, l);
	return event_add(&w->event, NULL);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct sts_http_loop *l = arg;

	(void)multi;
	if (l->closing)
		return 0;
	if (!l->timer_made) {
		evtimer_assign(&l->timer, l->base, on_timer, l);
		l->timer_made = true;
	}
	if (ms < 0)
		return event_del(&l->timer);
	struct timeval tv = {ms / 1000, ms % 1000 * 1000};
	return event_add(&l->timer, &tv);
}

int sts_http_loop_init(struct sts_http_loop *l, sts_http_loop_fn *fn, void *ctx)
{
	*l = (struct sts_http_loop){.multi = curl_multi_init(), .fn = fn, .ctx = ctx};
	if (l->multi == NULL)
		return -ENOMEM;
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETFUNCTION, set_watch);
	curl_multi_setopt(l->multi, CURLMOPT_SOCKETDATA, l);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(l->multi, CURLMOPT_TIMERDATA, l);
	return 0;
}

void sts_http_loop_fini(struct sts_http_loop *l)
{
	l->closing = true;
	if (l->multi != NULL)
		curl_multi_cleanup(l->multi);
}

int sts_http_loop_add(struct sts_http_loop *l, CURL *easy)
{
	PEN_ASSERT(l->base != NULL);
	return curl_multi_add_handle(l->multi, easy) == CURLM_OK ? 0 : -ENOMEM;
}

void sts_http_loop_remove(struct sts_http_loop *l, CURL *easy)
{
	curl_multi_remove_handle(l->multi, easy);
}
