// SPDX-License-Identifier: BSD-3-Clause
#include "submission_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static uint64_t next_id(void *ctx)
{
	struct fixture *f = ctx;

	return __atomic_add_fetch(&f->id, 1, __ATOMIC_RELAXED);
}

static int admission(void *ctx)
{
	return ((struct fixture *)ctx)->admission_err;
}

static void filter(void *ctx, uint32_t loop, const struct pen_submission_mail *mail,
	struct pen_span headers, struct pen_submission_verdict *v)
{
	struct fixture *f = ctx;

	assert_int_equal(loop, 0);
	assert_true(mail->nrcpt >= 1);
	assert_true(headers.n > 10 && memcmp(headers.p, "Received: ", 10) == 0);
	v->action = f->action;
	if (f->text != NULL)
		snprintf(v->text, sizeof(v->text), "%s", f->text);
	if (f->headers != NULL) {
		pen_buf_add_cstr(&v->headers, f->headers);
		v->replaced = true;
	}
}

static int intake(void *ctx, struct pen_message *m, struct pen_span user, uint64_t token)
{
	struct fixture *f = ctx;

	if (f->intake_err != 0)
		return f->intake_err;
	pthread_mutex_lock(&f->lock);
	assert_true(f->nkept < KEPT_MAX);
	f->kept[f->nkept] = m;
	snprintf(f->user, sizeof(f->user), "%.*s", PEN_SPAN_ARG(user));
	f->token[f->nkept++] = token;
	pthread_cond_broadcast(&f->came);
	pthread_mutex_unlock(&f->lock);
	if (f->at_once)
		pen_submission_done(f->s, token, 0, NULL);
	return 0;
}

static int find_class(
	const char *const *list, struct pen_span sender, struct pen_submission_class *out)
{
	char addr[64], tenant[64], campaign[64];

	for (const char *const *s = list; s != NULL && *s != NULL; s++) {
		campaign[0] = '\0';
		assert_true(sscanf(*s, "%63s %63[^/]/%63s", addr, tenant, campaign) >= 2);
		if (!pen_span_eq(sender, pen_span_cstr(addr)))
			continue;
		if (strcmp(tenant, "unknown") == 0)
			return -EIO;
		snprintf(out->tenant, sizeof(out->tenant), "%s", tenant);
		snprintf(out->campaign, sizeof(out->campaign), "%s", campaign);
	}
	return 0;
}

static int sender_class(void *ctx, struct pen_span sender, struct pen_submission_class *out)
{
	return find_class(((struct fixture *)ctx)->senders, sender, out);
}

static int user_class(void *ctx, struct pen_span user, struct pen_submission_class *out)
{
	return find_class(((struct fixture *)ctx)->users, user, out);
}

static bool suppressed(
	void *ctx, struct pen_span tenant, struct pen_span rcpt, char *why, size_t cap)
{
	struct fixture *f = ctx;
	char whose[64], addr[64];

	for (const char *const *s = f->suppressed; s != NULL && *s != NULL; s++) {
		assert_true(sscanf(*s, "%63s %63s", whose, addr) == 2);
		bool all = strcmp(whose, "-") == 0;
		if (!pen_span_eq(rcpt, pen_span_cstr(addr)) ||
			(!all && !pen_span_eq(tenant, pen_span_cstr(whose))))
			continue;
		snprintf(why, cap, "bounce: %s", all ? "global" : whose);
		return true;
	}
	return false;
}

static void dropped(
	void *ctx, const struct pen_submission_mail *mail, struct pen_span rcpt, const char *why)
{
	struct fixture *f = ctx;
	size_t n = strlen(f->dropped);

	assert_true(mail->queue_id[0] != '\0');
	snprintf(f->dropped + n, sizeof(f->dropped) - n, "%.*s (%s)|", PEN_SPAN_ARG(rcpt), why);
}

static bool zone_known(void *ctx, const char *zone)
{
	(void)ctx;
	return strcmp(zone, "Nowhere/Land") != 0;
}

static bool pool_known(void *ctx, struct pen_span pool)
{
	(void)ctx;
	return !pen_span_eq(pool, PEN_SPAN_LIT("nowhere"));
}

const struct pen_submission_ops rig_ops = {.next_id = next_id,
	.admission = admission,
	.filter = filter,
	.intake = intake,
	.sender_class = sender_class,
	.user_class = user_class,
	.suppressed = suppressed,
	.dropped = dropped,
	.zone_known = zone_known,
	.pool_known = pool_known};

void start(struct fixture *f, void (*change)(struct pen_submission_config *))
{
	struct pen_submission_listen listen = {.addr = pen_addr_ip4(INADDR_LOOPBACK)};
	struct pen_cidr net;
	const char *what;

	memset(f, 0, sizeof(*f));
	f->at_once = true;
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->came, NULL);
	assert_int_equal(pen_cidr_parse(&net, PEN_SPAN_LIT("127.0.0.0/8"), true), 0);
	struct pen_submission_config cfg = {
		.listen = &listen,
		.nlisten = 1,
		.mynetworks = &net,
		.nmynetworks = 1,
		.hostname = "gw.example",
		.banner = "ESMTP Penstock",
		.myorigin = "origin.example",
		.message_size_limit = 20000,
		.recipient_limit = 3,
		.soft_error_limit = 10,
		.hard_error_limit = 20,
		.hopcount_limit = 5,
		.timeout = 20 * PEN_US_PER_S,
		.max_connections = 10,
		.max_in_flight = 1 << 20,
	};
	if (change != NULL)
		change(&cfg);
	assert_int_equal(pen_submission_new(&cfg, &rig_ops, f, &f->s, &what), 0);
	assert_int_equal(pen_submission_start(f->s), 0);
	f->port = pen_submission_port(f->s, 0);
}

void stop(struct fixture *f)
{
	pen_submission_stop(f->s, 0);
	assert_int_equal(pen_submission_stats(f->s).connections, 0);
	pen_submission_free(f->s);
	for (unsigned i = 0; i < f->nkept; i++)
		pen_message_free(f->kept[i]);
}

int dial(const struct fixture *f)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
		.sin_port = htons(f->port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct timeval tv = {.tv_sec = 20};
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	return fd;
}

void say(int fd, const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(fd, text, n, MSG_NOSIGNAL), n);
}

// Reads one reply (all its lines) and compares the beginning of its last line.
void hear(int fd, const char *want)
{
	char line[2048];
	size_t n;

	do {
		n = 0;
		do {
			assert_true(n < sizeof(line) - 1);
			if (recv(fd, line + n, 1, 0) != 1)
				break;
		} while (line[n++] != '\n');
		line[n] = '\0';
	} while (n > 3 && line[3] == '-');
	if (strncmp(line, want, strlen(want)) != 0 || (*want == '\0' && n > 0))
		fail_msg("wanted \"%s\", got \"%s\"", want, line);
}

void ask(int fd, const char *question, const char *want)
{
	say(fd, question);
	hear(fd, want);
}

int greet(const struct fixture *f)
{
	int fd = dial(f);

	hear(fd, "220 gw.example ESMTP Penstock");
	ask(fd, "EHLO client.example\r\n", "250 ");
	return fd;
}

void envelope(int fd)
{
	say(fd, ENVELOPE);
	hear(fd, "250 ");
	hear(fd, "250 ");
	hear(fd, "354 ");
}

void wait_kept(struct fixture *f, unsigned n)
{
	struct timespec until;
	int err = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&f->lock);
	while (f->nkept < n && err == 0)
		err = pthread_cond_timedwait(&f->came, &f->lock, &until);
	assert_int_equal(f->nkept, n);
	pthread_mutex_unlock(&f->lock);
}

bool contains(const struct pen_message *m, const char *text)
{
	return memmem(m->content, m->content_len, text, strlen(text)) != NULL;
}
