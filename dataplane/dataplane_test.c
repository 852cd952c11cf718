// SPDX-License-Identifier: BSD-3-Clause

// The glue without privileges, hugepages or a network: DPDK's null device
// swallows everything, so every connection attempt runs into its deadline.

#include "eal.h"
#include "lease_map.h"
#include "pen_delivery.h"
#include "pen_rand.h"
#include "pen_test.h"
#include "port_rss.h"

#include <errno.h>
#include <pthread.h>

#include <rte_thash.h>

// ---- EAL arguments ----

static struct pen_dataplane_config two_workers(void)
{
	struct pen_dataplane_config cfg;

	pen_dataplane_config_init(&cfg);
	cfg.nworkers = 2;
	cfg.worker_core[0] = 0;
	cfg.worker_core[1] = 1;
	cfg.nports = 1;
	snprintf(cfg.port[0].device, sizeof(cfg.port[0].device), "net_null0,no-rx=1");
	return cfg;
}

static struct eal_machine machine(uint32_t free_huge_mb)
{
	struct eal_machine m = {.free_huge_mb = free_huge_mb};

	CPU_ZERO(&m.allowed);
	CPU_SET(0, &m.allowed);
	CPU_SET(1, &m.allowed);
	CPU_SET(3, &m.allowed);
	return m;
}

static bool has_arg(const struct eal_plan *p, const char *arg)
{
	for (int i = 0; i < p->argc; i++) {
		if (strcmp(p->argv[i], arg) == 0)
			return true;
	}
	return false;
}

static void workers_are_pinned_and_the_main_thread_floats(void **state)
{
	(void)state;
	struct pen_dataplane_config cfg = two_workers();
	struct eal_machine m = machine(0);
	static struct eal_plan p;
	char err[256];

	assert_int_equal(eal_plan_make(&p, &cfg, &m, 100, 130, err, sizeof(err)), 0);
	assert_true(has_arg(&p, "--lcores=0@(0-1,3),1@0,2@1"));
	assert_true(has_arg(&p, "--no-pci"));
	cfg.worker_core[1] = 2;
	assert_int_equal(eal_plan_make(&p, &cfg, &m, 100, 130, err, sizeof(err)), -EINVAL);
	assert_string_equal(
		err, "worker 1: core 2 is not available to this process (it may use 0-1,3)");
}

static void hugepages_are_used_when_there_are_enough(void **state)
{
	(void)state;
	struct pen_dataplane_config cfg = two_workers();
	struct eal_machine m = machine(128);
	static struct eal_plan p;
	char err[256];

	assert_int_equal(eal_plan_make(&p, &cfg, &m, 100, 130, err, sizeof(err)), 0);
	assert_true(p.hugepages && has_arg(&p, "--in-memory") && !has_arg(&p, "--no-huge"));
	assert_string_equal(p.note, "");

	assert_int_equal(eal_plan_make(&p, &cfg, &m, 200, 230, err, sizeof(err)), 0);
	// DPDK refuses the two together.
	assert_true(has_arg(&p, "--no-huge") && !has_arg(&p, "--in-memory"));
	assert_string_equal(
		p.note, "128 MB of hugepages are free, 200 MB needed: running with --no-huge");

	cfg.hugepages = PEN_HUGEPAGES_YES;
	assert_int_equal(eal_plan_make(&p, &cfg, &m, 200, 230, err, sizeof(err)), -ENOMEM);
	assert_non_null(strstr(err, "reserve 100 in"));
	cfg.hugepages = PEN_HUGEPAGES_NO;
	assert_int_equal(eal_plan_make(&p, &cfg, &m, 10, 20, err, sizeof(err)), 0);
	assert_true(has_arg(&p, "--no-huge"));
}

static void pci_devices_are_allowed_by_name(void **state)
{
	(void)state;
	struct pen_dataplane_config cfg = two_workers();
	struct eal_machine m = machine(0);
	static struct eal_plan p;
	char err[256];

	snprintf(cfg.port[0].device, sizeof(cfg.port[0].device), "0000:01:00.0");
	cfg.eal_option[cfg.neal++] = "--log-level=lib.eal:debug";
	assert_int_equal(eal_plan_make(&p, &cfg, &m, 100, 130, err, sizeof(err)), 0);
	assert_true(has_arg(&p, "-a") && has_arg(&p, "0000:01:00.0") && !has_arg(&p, "--no-pci"));
	assert_true(has_arg(&p, "--log-level=lib.eal:debug"));
	assert_false(eal_is_pci("net_memif0,socket=/run/0000:01:00.0"));
}

// ---- RSS ----

static void the_local_port_decides_the_queue(void **state)
{
	(void)state;
	struct pen_rand r;
	uint8_t key[52];

	pen_rand_seed(&r, pen_test_seed());
	for (unsigned bits = 6; bits <= 9; bits++) {
		port_rss_key(key, sizeof(key), bits);
		for (int i = 0; i < 20000; i++) {
			struct rte_ipv4_tuple t = {.src_addr = (uint32_t)pen_rand_u64(&r),
				.dst_addr = (uint32_t)pen_rand_u64(&r),
				.sport = 25,
				.dport = (uint16_t)pen_rand_u64(&r)};
			// rte_softrss wants the tuple in host order: remote port, then local.
			uint32_t tuple[3] = {
				t.src_addr, t.dst_addr, (uint32_t)t.sport << 16 | t.dport};
			uint32_t hash = rte_softrss(tuple, 3, key);
			for (uint16_t nq = 1; nq <= 16; nq = (uint16_t)(nq * 2)) {
				uint16_t q = port_rss_queue(hash & ((1u << bits) - 1), bits, nq);
				assert_int_equal(q, t.dport % nq);
			}
		}
	}
}

static void ipv6_follows_the_port_too_for_plain_remote_addresses(void **state)
{
	(void)state;
	struct pen_rand r;
	uint8_t key[40];

	pen_rand_seed(&r, pen_test_seed());
	for (unsigned bits = 6; bits <= 9; bits++) {
		port_rss_key(key, sizeof(key), bits);
		for (int i = 0; i < 20000; i++) {
			// Remote and local address, remote and local port, in host order.
			uint32_t tuple[9];
			uint16_t local = (uint16_t)pen_rand_u64(&r);
			for (int k = 0; k < 8; k++)
				tuple[k] = (uint32_t)pen_rand_u64(&r);
			tuple[8] = 25u << 16 | local;
			// Without the bits that the key for IPv4 lets through it is the port...
			uint32_t through = tuple[2] & ((1u << bits) - 1);
			uint32_t mask = (1u << bits) - 1;
			uint32_t hash = rte_softrss(tuple, 9, key) & mask;
			tuple[2] &= ~mask;
			uint32_t plain = rte_softrss(tuple, 9, key) & mask;
			assert_int_equal(port_rss_queue(plain, bits, 8), local % 8);
			// ...and with them still a permutation of it: no queue starves.
			assert_int_equal(port_rss_queue(hash, bits, 8), (local ^ through) % 8);
		}
	}
}

// ---- leases by pointer ----

static void a_lease_map_finds_what_is_in_it(void **state)
{
	(void)state;
	enum { N = 300 };
	struct lease_map m;
	struct pen_rand r;
	bool in[N] = {false};

	pen_rand_seed(&r, pen_test_seed());
	assert_int_equal(lease_map_init(&m, N), 0);
	for (int round = 0; round < 200000; round++) {
		uintptr_t i = pen_rand_below(&r, N);
		const void *lease = (const void *)((i + 1) * 1024);
		struct session *s = (struct session *)(i + 7);
		assert_ptr_equal(lease_map_find(&m, lease), in[i] ? s : NULL);
		if (in[i])
			lease_map_remove(&m, lease);
		else
			lease_map_put(&m, lease, s);
		in[i] = !in[i];
	}
	lease_map_remove(&m, &m); // not there: nothing happens
	lease_map_fini(&m);
}

// ---- a worker on the null device ----

struct heard {
	uint32_t ready, done, ended, attempted;
	bool done_after_end;
};

static void listen_to(struct pen_worker *w, struct heard *h, uint32_t until_ended)
{
	pen_time_us end = pen_clock_mono() + 20 * PEN_US_PER_S;
	struct timespec step = {.tv_nsec = 200000};
	struct pen_ring_msg m;

	while (h->ended < until_ended && pen_clock_mono() < end) {
		if (!pen_worker_recv(w, &m)) {
			nanosleep(&step, NULL);
			continue;
		}
		if (m.type == PEN_EVENT_LEASE_READY)
			h->ready++;
		if (m.type == PEN_EVENT_LEASE_ENDED)
			h->ended++;
		if (m.type == PEN_EVENT_DELIVERY_DONE) {
			const struct pen_delivery *d = m.p;
			h->done++;
			h->attempted += d->attempted;
			h->done_after_end |= h->ended > 0;
		}
	}
}

static void put(struct pen_worker *w, uint32_t type, void *p)
{
	assert_true(pen_worker_send(w, (struct pen_ring_msg){.type = type, .p = p}));
}

static void fill_lease(struct pen_lease *l)
{
	static const struct pen_smtp_rules rules = PEN_SMTP_RULES_DEFAULT;
	static const struct pen_tls_policy policy = {.level = PEN_TLS_MAY};

	*l = (struct pen_lease){.rules = &rules,
		.source = pen_addr_ip4(0x0a000001),
		.timeouts = PEN_SMTP_TIMEOUTS_DEFAULT,
		.nhosts = 2};
	l->timeouts.connect = 50 * PEN_US_PER_MS;
	for (int i = 0; i < 2; i++)
		l->host[i] = (struct pen_lease_host){.name = "mx.example.net",
			.tls = &policy,
			.addr = pen_addr_ip4(0x0a000002u + (uint32_t)i),
			.port = 25};
}

static const struct pen_addr source6 = {.family = PEN_FAMILY_IP6, .ip = {0xfd, [15] = 1}};

static struct pen_dataplane *start_null(uint32_t connections, char *err, size_t cap)
{
	static struct pen_source_config source[2] = {{.name = "a"}, {.name = "a6"}};
	struct pen_dataplane_config cfg;

	pen_dataplane_config_init(&cfg);
	source[0].addr = pen_addr_ip4(0x0a000001);
	source[1].addr = source6;
	cfg.worker_core[0] = (uint16_t)sched_getcpu();
	cfg.hugepages = PEN_HUGEPAGES_NO;
	cfg.nports = 1;
	snprintf(cfg.port[0].name, sizeof(cfg.port[0].name), "null");
	snprintf(cfg.port[0].device, sizeof(cfg.port[0].device), "net_null0,no-rx=1");
	cfg.port[0].prefix_bits = 24;
	cfg.nsources = 2;
	cfg.source = source;
	cfg.max_connections = connections;
	cfg.buffer_mb = 1;
	cfg.ring_depth = 64;
	return pen_dataplane_start(&cfg, err, cap, NULL, NULL);
}

static void everything_comes_back_from_a_host_that_does_not_answer(struct pen_worker *w)
{
	struct pen_delivery d[3];
	struct pen_lease l;
	struct heard h = {0};

	fill_lease(&l);
	put(w, PEN_CMD_LEASE_OPEN, &l);
	memset(d, 0, sizeof(d));
	for (int i = 0; i < 3; i++) {
		d[i].lease = &l;
		put(w, PEN_CMD_DELIVERY, &d[i]);
	}
	listen_to(w, &h, 1);
	assert_int_equal(h.ended, 1);
	assert_int_equal(h.ready, 0);
	assert_int_equal(h.done, 3);
	assert_int_equal(h.attempted, 0);
	assert_false(h.done_after_end);
	assert_int_equal(l.host_used, 1);
	assert_int_equal(l.result.klass, 4);
	assert_int_equal(l.result.subject, 4);
	assert_int_equal(l.result.detail, 1);
	assert_int_equal(l.result.scope, PEN_SCOPE_SITE);
	assert_string_equal(
		l.result.text, "connect to mx.example.net[10.0.0.3]:25: Connection timed out");
	assert_true(l.signs.connect_timeout);
	assert_false(l.signs.refused || l.signs.reset);
}

static void the_source_is_of_the_family_of_the_host(struct pen_worker *w)
{
	struct pen_lease l;
	struct heard h = {0};

	// An IPv6 host, from an IPv6 source: its neighbour does not answer either.
	fill_lease(&l);
	l.source6 = source6;
	l.source = (struct pen_addr){0};
	l.nhosts = 1;
	l.host[0].addr = source6;
	l.host[0].addr.ip[15] = 2;
	put(w, PEN_CMD_LEASE_OPEN, &l);
	listen_to(w, &h, 1);
	assert_string_equal(
		l.result.text, "connect to mx.example.net[fd00::2]:25: Connection timed out");
	// Without an IPv6 source nothing is tried.
	fill_lease(&l);
	l.nhosts = 1;
	l.host[0].addr = source6;
	l.host[0].addr.ip[15] = 2;
	h = (struct heard){0};
	put(w, PEN_CMD_LEASE_OPEN, &l);
	listen_to(w, &h, 1);
	assert_non_null(strstr(l.result.text, "no source address of this family"));
}

static void a_lease_beyond_the_pool_is_refused(struct pen_worker *w)
{
	struct pen_lease l[3];
	struct pen_delivery d = {.lease = &l[2]};
	struct heard h = {0};

	for (int i = 0; i < 3; i++) {
		fill_lease(&l[i]);
		put(w, PEN_CMD_LEASE_OPEN, &l[i]);
	}
	put(w, PEN_CMD_DELIVERY, &d);
	listen_to(w, &h, 3);
	assert_int_equal(h.ended, 3);
	assert_int_equal(h.done, 1);
	assert_false(d.attempted);
	assert_non_null(strstr(l[2].result.text, "in use"));
	assert_null(strstr(l[1].result.text, "in use"));
}

static void close_and_abort_end_a_lease_early(struct pen_worker *w)
{
	struct pen_lease l[2];
	struct heard h = {0};
	pen_time_us begin = pen_clock_mono();

	for (int i = 0; i < 2; i++) {
		fill_lease(&l[i]);
		l[i].timeouts.connect = 15 * PEN_US_PER_S;
		put(w, PEN_CMD_LEASE_OPEN, &l[i]);
	}
	put(w, PEN_CMD_LEASE_CLOSE, &l[0]);
	put(w, PEN_CMD_LEASE_ABORT, &l[1]);
	listen_to(w, &h, 2);
	assert_int_equal(h.ended, 2);
	assert_true(pen_clock_mono() - begin < 5 * PEN_US_PER_S);
	// Commands for leases that are gone are harmless, whatever their memory is.
	memset(l, 0xff, sizeof(l));
	put(w, PEN_CMD_LEASE_CLOSE, &l[0]);
	put(w, PEN_CMD_LEASE_ABORT, &l[1]);
}

static void two_addresses_can_be_waited_for_at_a_time(struct pen_worker *w)
{
	struct pen_smtp_rules rules = PEN_SMTP_RULES_DEFAULT;
	struct pen_lease l;
	struct heard h = {0};
	pen_time_us begin = pen_clock_mono();

	fill_lease(&l);
	rules.race_delay = 10 * PEN_US_PER_MS;
	l.rules = &rules;
	l.timeouts.connect = PEN_US_PER_S;
	put(w, PEN_CMD_LEASE_OPEN, &l);
	listen_to(w, &h, 1);
	assert_int_equal(h.ended, 1);
	assert_int_equal(l.host_used, 1);
	// One after the other would take two seconds.
	assert_true(pen_clock_mono() - begin < 1800 * PEN_US_PER_MS);
	assert_string_equal(
		l.result.text, "connect to mx.example.net[10.0.0.3]:25: Connection timed out");
}

struct stopper {
	pthread_t thread;
	struct pen_dataplane *d;
};

static void *stop_thread(void *arg)
{
	struct stopper *s = arg;

	pen_dataplane_stop(s->d);
	return NULL;
}

static void the_null_device_runs_the_whole_glue(void **state)
{
	(void)state;
	char err[256] = "";
	struct pen_dataplane *d = start_null(2, err, sizeof(err));
	struct stopper s = {.d = d};

	if (d == NULL)
		fail_msg("%s", err);
	struct pen_worker *w = pen_dataplane_worker(d, 0);
	everything_comes_back_from_a_host_that_does_not_answer(w);
	the_source_is_of_the_family_of_the_host(w);
	a_lease_beyond_the_pool_is_refused(w);
	close_and_abort_end_a_lease_early(w);
	two_addresses_can_be_waited_for_at_a_time(w);

	// A stop in the middle of an attempt gives everything back.
	struct pen_lease l;
	struct pen_delivery one = {.lease = &l};
	struct heard h = {0};
	fill_lease(&l);
	l.timeouts.connect = 15 * PEN_US_PER_S;
	put(w, PEN_CMD_LEASE_OPEN, &l);
	put(w, PEN_CMD_DELIVERY, &one);
	struct pen_worker_load load = {0};
	while (load.connections == 0)
		pen_worker_get_load(w, &load);
	pthread_create(&s.thread, NULL, stop_thread, &s);
	listen_to(w, &h, 1);
	pthread_join(s.thread, NULL);
	assert_int_equal(h.done, 1);
	assert_int_equal(h.ended, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(workers_are_pinned_and_the_main_thread_floats),
		cmocka_unit_test(hugepages_are_used_when_there_are_enough),
		cmocka_unit_test(pci_devices_are_allowed_by_name),
		cmocka_unit_test(the_local_port_decides_the_queue),
		cmocka_unit_test(ipv6_follows_the_port_too_for_plain_remote_addresses),
		cmocka_unit_test(a_lease_map_finds_what_is_in_it),
		cmocka_unit_test(the_null_device_runs_the_whole_glue),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
