// SPDX-License-Identifier: BSD-3-Clause
#include "sts_fake.h"

#include "pen_test.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#define RECORDS_MAX 256
#define TXT_MAX 8

struct fake_record {
	char name[300];
	enum pen_dns_type type;
	enum pen_dns_status status;
	bool hold;
	char data[1024];
};

struct question {
	struct question *next;
	char name[300];
	enum pen_dns_type type;
	pen_dns_query_fn *fn;
	void *ctx;
};

struct event_base *fake_base;
struct sts_env fake_env;
char fake_dir[64];
unsigned fake_questions;

static struct fake_record records[RECORDS_MAX];
static unsigned nrecords;
static struct question *held;
static int refuse;
static int64_t offset;
static pid_t host_pid;
static int host_stdin = -1;

static struct fake_record *record_find(const char *name, enum pen_dns_type type)
{
	for (unsigned i = 0; i < nrecords; i++) {
		if (records[i].type == type && strcmp(records[i].name, name) == 0)
			return &records[i];
	}
	return NULL;
}

static struct fake_record *record_get(const char *name, enum pen_dns_type type)
{
	struct fake_record *r = record_find(name, type);

	if (r == NULL) {
		assert_true(nrecords < RECORDS_MAX);
		r = &records[nrecords++];
	}
	*r = (struct fake_record){.type = type};
	snprintf(r->name, sizeof(r->name), "%s", name);
	return r;
}

void fake_dns_set(const char *name, enum pen_dns_type type, const char *data)
{
	snprintf(record_get(name, type)->data, sizeof(records[0].data), "%s", data);
}

void fake_dns_fail(const char *name, enum pen_dns_type type, enum pen_dns_status status)
{
	record_get(name, type)->status = status;
}

void fake_dns_hold(const char *name, enum pen_dns_type type)
{
	record_get(name, type)->hold = true;
}

void fake_dns_refuse(int err)
{
	refuse = err;
}

static void answer(struct question *q)
{
	const struct fake_record *r = record_find(q->name, q->type);
	struct pen_dns_record out[TXT_MAX] = {0};
	struct pen_dns_answer a = {
		.status = r != NULL ? r->status : PEN_DNS_NXDOMAIN, .ttl_s = 60, .name = q->name};
	char data[1024], *save = NULL;

	snprintf(data, sizeof(data), "%s", r != NULL ? r->data : "");
	const char *separator = q->type == PEN_DNS_TXT ? "|" : " ";
	for (char *s = strtok_r(data, separator, &save); s != NULL && a.n < TXT_MAX;
		s = strtok_r(NULL, separator, &save)) {
		if (q->type == PEN_DNS_TXT)
			out[a.n++].data = pen_span_cstr(s);
		else
			assert_int_equal(pen_addr_parse(&out[a.n++].addr, pen_span_cstr(s)), 0);
	}
	if (a.status == PEN_DNS_OK && a.n == 0)
		a.status = PEN_DNS_NODATA;
	a.record = out;
	q->fn(q->ctx, &a);
	free(q);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	answer(arg);
}

static int fake_query(struct pen_dns *dns, const char *name, enum pen_dns_type type,
	pen_dns_query_fn *fn, void *ctx)
{
	struct question *q;
	const struct fake_record *r = record_find(name, type);
	const struct timeval now = {0, 0};

	(void)dns;
	if (refuse != 0)
		return refuse;
	fake_questions++;
	q = calloc(1, sizeof(*q));
	assert_non_null(q);
	*q = (struct question){.type = type, .fn = fn, .ctx = ctx};
	snprintf(q->name, sizeof(q->name), "%s", name);
	if (r != NULL && r->hold) {
		q->next = held;
		held = q;
	} else {
		event_base_once(fake_base, -1, EV_TIMEOUT, on_turn, q, &now);
	}
	return 0;
}

void fake_dns_release(void)
{
	while (held != NULL) {
		struct question *q = held;
		held = q->next;
		answer(q);
	}
}

void fake_dns_clear(void)
{
	nrecords = 0;
	refuse = 0;
	offset = 0;
	while (held != NULL) { // as when the daemon stops
		struct question *q = held;
		held = q->next;
		free(q);
	}
}

static pen_time_us fake_mono(void)
{
	return pen_clock_mono() + offset;
}

static pen_wall_us fake_wall(void)
{
	static pen_time_us start;

	if (start == 0)
		start = pen_clock_mono();
	return 1795232580 * PEN_US_PER_S + pen_clock_mono() - start + offset;
}

void fake_time_pass(int64_t seconds)
{
	offset += seconds * PEN_US_PER_S;
}

static struct event_base *fake_event_base(struct pen_dns *dns)
{
	(void)dns;
	return fake_base;
}

static void write_file(const char *name, const char *text)
{
	char path[512], now[520];

	snprintf(path, sizeof(path), "%s/%s", fake_dir, name);
	snprintf(now, sizeof(now), "%s+", path);
	FILE *f = fopen(now, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(rename(now, path), 0);
}

void fake_host_file(const char *domain, const char *body)
{
	char name[300];

	snprintf(name, sizeof(name), "%s.txt", domain);
	write_file(name, body);
}

unsigned fake_host_requests(const char *domain)
{
	char path[512], line[300];
	unsigned n = 0;

	snprintf(path, sizeof(path), "%s/log", fake_dir);
	FILE *f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		n += strncmp(line, domain, strlen(domain)) == 0 && line[strlen(domain)] == '\n';
	if (f != NULL)
		fclose(f);
	return n;
}

static uint16_t read_port(int fd)
{
	char text[16] = "";
	size_t n = 0;

	while (n < sizeof(text) - 1 && strchr(text, '\n') == NULL) {
		ssize_t got = read(fd, text + n, sizeof(text) - 1 - n);
		if (got <= 0)
			fail_msg("the policy host did not start");
		n += (size_t)got;
	}
	return (uint16_t)atoi(text);
}

void fake_host_start(void)
{
	static const char domains[] = "ok.example redirect.example html.example typeless.example "
				      "error.example missing.example big.example declared.example "
				      "headers.example short.example slow.example silent.example "
				      "one.example two.example three.example bad.example";
	int in[2], out[2];

	snprintf(fake_dir, sizeof(fake_dir), "/tmp/pen-sts-host-XXXXXX");
	assert_non_null(mkdtemp(fake_dir));
	write_file("domains", domains);
	assert_int_equal(pipe(in), 0);
	assert_int_equal(pipe(out), 0);
	host_pid = fork();
	if (host_pid == 0) {
		dup2(in[0], 0);
		dup2(out[1], 1);
		close(in[1]);
		close(out[0]);
		execlp("python3", "python3", STS_HOST_PY, fake_dir, (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	host_stdin = in[1];
	fake_env = (struct sts_env){.query = fake_query,
		.event_base = fake_event_base,
		.mono = fake_mono,
		.wall = fake_wall,
		.port = read_port(out[0]),
		.fetch_ms = 60000};
	close(out[0]);
}

void fake_host_stop(void)
{
	char cmd[128];

	close(host_stdin);
	waitpid(host_pid, NULL, 0);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", fake_dir);
	if (system(cmd) != 0)
		fprintf(stderr, "%s: not removed\n", fake_dir);
}
