// SPDX-License-Identifier: BSD-3-Clause
#include "fake_dns.h"

#include "dns_wire.h"
#include "pen_err.h"
#include "pen_time.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLOTS 1024 // of a millisecond, for answers that come late

struct late {
	struct late *next;
	struct sockaddr_in to;
	size_t n;
	uint8_t packet[];
};

struct fake_dns {
	fake_dns_fn *fn;
	void *ctx;
	int fd;
	uint16_t port;
	pthread_t thread;
	bool stop;
	uint64_t questions;
	uint64_t ms; // up to here late answers were sent
	uint32_t nlate;
	struct late *late[SLOTS];
};

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put_fixed(uint8_t *p, unsigned owner, uint16_t type, uint32_t ttl, size_t len)
{
	put16(p, owner);
	put16(p + 2, type);
	put16(p + 4, 1);
	put16(p + 6, ttl >> 16);
	put16(p + 8, ttl & 0xffff);
	put16(p + 10, (unsigned)len);
}

void fake_dns_add(struct fake_dns_reply *r, uint16_t type, const void *data, size_t n)
{
	PEN_ASSERT(r->n + 12 + n <= sizeof(r->packet));
	put_fixed(r->packet + r->n, 0xc00c, type, r->ttl_s, n);
	memcpy(r->packet + r->n + 12, data, n);
	r->n += 12 + n;
	r->answers++;
}

static size_t wire_name(uint8_t *out, const char *name)
{
	size_t at = 0;

	while (*name != '\0') {
		size_t n = strcspn(name, ".");
		out[at++] = (uint8_t)n;
		memcpy(out + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	out[at++] = 0;
	return at;
}

void fake_dns_mx(struct fake_dns_reply *r, unsigned preference, const char *target)
{
	uint8_t data[2 + 256];

	put16(data, preference);
	fake_dns_add(r, PEN_DNS_MX, data, 2 + wire_name(data + 2, target));
}

void fake_dns_cname(struct fake_dns_reply *r, const char *target)
{
	uint8_t data[256];

	fake_dns_add(r, PEN_DNS_CNAME, data, wire_name(data, target));
}

void fake_dns_a(struct fake_dns_reply *r, uint32_t ip)
{
	uint32_t data = htonl(ip);

	fake_dns_add(r, PEN_DNS_A, &data, 4);
}

void fake_dns_aaaa(struct fake_dns_reply *r, unsigned last)
{
	uint8_t data[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = (uint8_t)last};

	fake_dns_add(r, PEN_DNS_AAAA, data, 16);
}

// negative appends the SOA that says how long "nothing" holds.
static unsigned negative(struct fake_dns_reply *r)
{
	uint8_t *p = r->packet + r->n;

	put_fixed(p, 0xc00c, DNS_TYPE_SOA, r->ttl_s, 22);
	memset(p + 12, 0, 22);
	put16(p + 12 + 18, r->ttl_s >> 16);
	put16(p + 12 + 20, r->ttl_s & 0xffff);
	r->n += 34;
	return 1;
}

static void send_late(struct fake_dns *f, uint64_t now)
{
	if (f->nlate == 0)
		f->ms = now;
	while (f->ms < now) {
		struct late **slot = &f->late[++f->ms % SLOTS];
		while (*slot != NULL) {
			struct late *l = *slot;
			*slot = l->next;
			f->nlate--;
			sendto(f->fd, l->packet, l->n, 0, (struct sockaddr *)&l->to, sizeof(l->to));
			free(l);
		}
	}
}

static void reply(struct fake_dns *f, struct fake_dns_reply *r, const struct sockaddr_in *to)
{
	if (r->delay_ms == 0) {
		sendto(f->fd, r->packet, r->n, 0, (const struct sockaddr *)to, sizeof(*to));
		return;
	}
	struct late *l = malloc(sizeof(*l) + r->n);
	PEN_ASSERT(l != NULL && r->delay_ms < SLOTS);
	struct late **slot = &f->late[(f->ms + r->delay_ms) % SLOTS];
	*l = (struct late){.next = *slot, .to = *to, .n = r->n};
	memcpy(l->packet, r->packet, r->n);
	*slot = l;
	f->nlate++;
}

static void answer(
	struct fake_dns *f, const uint8_t *packet, size_t n, const struct sockaddr_in *from)
{
	struct fake_dns_reply r = {.ttl_s = 300};
	size_t at = 12;
	bool odd;

	if (n < 12 || !dns_wire_name(pen_span(packet, n), &at, r.name, &odd) || n - at < 4)
		return;
	r.type = (uint16_t)(packet[at] << 8 | packet[at + 1]);
	r.n = at + 4;
	memcpy(r.packet, packet, r.n);
	__atomic_add_fetch(&f->questions, 1, __ATOMIC_RELAXED);
	f->fn(f->ctx, &r);
	if (r.silent)
		return;
	unsigned authority = r.answers == 0 && (r.rcode == 0 || r.rcode == 3) ? negative(&r) : 0;
	put16(r.packet + 2, 0x8580 | r.rcode);
	put16(r.packet + 4, 1);
	put16(r.packet + 6, r.answers);
	put16(r.packet + 8, authority);
	put16(r.packet + 10, 0);
	reply(f, &r, from);
}

static void *server(void *arg)
{
	struct fake_dns *f = arg;
	struct pollfd poll_fd = {.fd = f->fd, .events = POLLIN};

	while (!__atomic_load_n(&f->stop, __ATOMIC_RELAXED)) {
		send_late(f, (uint64_t)(pen_clock_mono() / 1000));
		poll(&poll_fd, 1, f->nlate > 0 ? 1 : 20);
		for (int i = 0; i < 64; i++) {
			uint8_t packet[1500];
			struct sockaddr_in from;
			socklen_t len = sizeof(from);
			ssize_t n = recvfrom(f->fd, packet, sizeof(packet), MSG_DONTWAIT,
				(struct sockaddr *)&from, &len);
			if (n < 0)
				break;
			answer(f, packet, (size_t)n, &from);
		}
	}
	return NULL;
}

struct fake_dns *fake_dns_new(fake_dns_fn *fn, void *ctx)
{
	struct fake_dns *f = calloc(1, sizeof(*f));
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
	socklen_t len = sizeof(at);
	int room = 4 << 20;

	PEN_ASSERT(f != NULL);
	f->fn = fn;
	f->ctx = ctx;
	f->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	setsockopt(f->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	PEN_ASSERT(f->fd >= 0 && bind(f->fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	PEN_ASSERT(getsockname(f->fd, (struct sockaddr *)&at, &len) == 0);
	f->port = ntohs(at.sin_port);
	f->ms = (uint64_t)(pen_clock_mono() / 1000);
	PEN_ASSERT(pthread_create(&f->thread, NULL, server, f) == 0);
	return f;
}

uint16_t fake_dns_port(const struct fake_dns *f)
{
	return f->port;
}

uint64_t fake_dns_questions(const struct fake_dns *f)
{
	return __atomic_load_n(&f->questions, __ATOMIC_RELAXED);
}

void fake_dns_free(struct fake_dns *f)
{
	if (f == NULL)
		return;
	__atomic_store_n(&f->stop, true, __ATOMIC_RELAXED);
	pthread_join(f->thread, NULL);
	for (size_t i = 0; i < SLOTS; i++) {
		while (f->late[i] != NULL) {
			struct late *l = f->late[i];
			f->late[i] = l->next;
			free(l);
		}
	}
	close(f->fd);
	free(f);
}
