// SPDX-License-Identifier: BSD-3-Clause

// What a question costs, over many sites: bench_shape [sites [rounds [what]]]. Each site in turn
// opens a connection and closes it; then each open connection sends a message. Not a test:
// the result depends on the machine.
#include "pen_shape.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define S PEN_US_PER_S

struct bench {
	struct pen_shape *sh;
	struct pen_shape_site **site;
	struct pen_shape_conn *conn;
	struct pen_shape_class *class;
	uint32_t sites, rounds;
	pen_time_us now;
};

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void die(const char *what)
{
	fprintf(stderr, "bench_shape: %s\n", what);
	exit(1);
}

static struct pen_limits limits(uint32_t connections, uint64_t per_second)
{
	return (struct pen_limits){
		.given = PEN_LIMIT_CONNECTIONS | PEN_LIMIT_CONNECTION_RATE |
			 PEN_LIMIT_MESSAGE_RATE | PEN_LIMIT_BYTE_RATE,
		.connections = connections,
		.connection_rate = {per_second, S, per_second},
		.message_rate = {per_second, S, per_second},
		.byte_rate = {per_second * 1000000, S, per_second * 1000000},
	};
}

enum { NOTHING, SITE, EVERYTHING };

static struct pen_shape_section provider;
static struct pen_shape_owner owner;

static struct pen_shape_config *config(int what)
{
	static const char *any[] = {"*"};
	struct pen_addr source[4];

	for (uint32_t i = 0; i < 4; i++)
		source[i] = pen_addr_ip4(0x0a000001 + i);
	struct pen_shape_config *c = pen_shape_config_plain(source, 4);
	if (c == NULL)
		die("no memory");
	if (what == NOTHING)
		return c;
	c->defaults.limits = limits(20, 100000000);
	if (what == SITE) {
		c->defaults.limits.given = PEN_LIMIT_CONNECTIONS | PEN_LIMIT_MESSAGE_RATE;
		return c;
	}
	struct pen_limits large = limits(1000000, 100000000);
	c->defaults.source_limits = limits(20, 100000000);
	provider = (struct pen_shape_section){.name = "all",
		.match = {.nmx = 1, .mx = any},
		.limits = large,
		.source_limits = large};
	owner = (struct pen_shape_owner){.name = "*", .limits = large};
	owner.limits.given &= ~(uint32_t)PEN_LIMIT_CONNECTIONS;
	c->provider = &provider;
	c->nproviders = 1;
	c->tenant = c->campaign = &owner;
	c->ntenants = c->ncampaigns = 1;
	c->pool[0].limits = large;
	for (uint32_t i = 0; i < 4; i++)
		c->source[i].limits = large;
	return c;
}

static void make_sites(struct bench *b)
{
	char name[64];
	struct pen_span mx = {(const uint8_t *)name, 0};

	for (uint32_t i = 0; i < b->sites; i++) {
		mx.n = (size_t)snprintf(name, sizeof(name), "mx.host%u.example.", i);
		b->site[i] = pen_shape_site_get(b->sh, mx, &mx, 1, b->now);
		if (b->site[i] == NULL)
			die("no memory");
	}
}

static double opens(struct bench *b)
{
	struct pen_shape_block why;
	double begin = seconds();

	for (uint32_t r = 0; r < b->rounds; r++) {
		for (uint32_t i = 0; i < b->sites; i++) {
			b->now++;
			if (!pen_shape_open(
				    b->sh, b->site[i], 0, PEN_SHAPE_IP4, b->now, &b->conn[i], &why))
				die("refused");
			pen_shape_close(b->sh, &b->conn[i], b->now, true);
		}
	}
	return (seconds() - begin) / b->rounds / b->sites * 1e9;
}

static double sends(struct bench *b)
{
	struct pen_shape_block why;

	for (uint32_t i = 0; i < b->sites; i++) {
		if (!pen_shape_open(
			    b->sh, b->site[i], 0, PEN_SHAPE_IP4, b->now += 10, &b->conn[i], &why))
			die("refused");
		pen_shape_ready(b->sh, &b->conn[i], 0, b->now);
	}
	double begin = seconds();
	for (uint32_t r = 0; r < b->rounds; r++) {
		for (uint32_t i = 0; i < b->sites; i++) {
			b->now++;
			if (!pen_shape_send(b->sh, &b->conn[i], b->class, 10000, b->now, &why))
				die("refused");
			pen_shape_done(b->sh, &b->conn[i], b->class, 10000, b->now, true);
		}
	}
	double took = (seconds() - begin) / b->rounds / b->sites * 1e9;
	for (uint32_t i = 0; i < b->sites; i++)
		pen_shape_close(b->sh, &b->conn[i], b->now, true);
	return took;
}

static void run(const char *name, int what, uint32_t sites, uint32_t rounds)
{
	struct bench b = {.sites = sites, .rounds = rounds, .now = 1000 * S};
	struct pen_mail_class k = {
		.tenant = PEN_SPAN_LIT("acme"), .campaign = PEN_SPAN_LIT("xmas")};

	b.sh = pen_shape_new(config(what), b.now, 1795219200 * S);
	b.site = calloc(sites, sizeof(*b.site));
	b.conn = calloc(sites, sizeof(*b.conn));
	if (b.sh == NULL || b.site == NULL || b.conn == NULL)
		die("no memory");
	b.class = pen_shape_class_get(b.sh, &k);
	make_sites(&b);
	double open = opens(&b), send = sends(&b);
	printf("%-22s %8u sites  open+close %6.1f ns  send+done %6.1f ns\n", name, sites, open,
		send);
	for (uint32_t i = 0; i < sites; i++)
		pen_shape_site_put(b.sh, b.site[i]);
	pen_shape_free(b.sh);
	free(b.site);
	free(b.conn);
}

int main(int argc, char **argv)
{
	uint32_t sites = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000;
	uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 50;

	static const char *const name[] = {
		"no limits", "limits of the site", "limits of everything"};

	if (sites == 0 || rounds == 0)
		die("usage: bench_shape [sites [rounds [0 | 1 | 2]]]");
	if (argc > 3) {
		unsigned what = argv[3][0] == '0' ? NOTHING : argv[3][0] == '1' ? SITE : EVERYTHING;
		run(name[what], (int)what, sites, rounds);
		return 0;
	}
	for (uint32_t n = 1; n <= sites; n = n < sites && n < 1000 ? 1000 : n * 100) {
		uint32_t r = rounds * (n < 1000 ? 10000 : n < 100000 ? 50 : 1);
		for (int what = NOTHING; what <= EVERYTHING; what++)
			run(name[what], what, n, r);
	}
	return 0;
}
