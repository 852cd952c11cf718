// SPDX-License-Identifier: BSD-3-Clause

// How many next hops a second come from the cache (MX, and A and AAAA of two
// hosts: five questions each) while others resolve at slow name servers, and
// whether another thread's timer feels it.

#include "fake_dns.h"
#include "pen_dns_query.h"
#include "pen_err.h"
#include "pen_time.h"

#include <getopt.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const char usage[] =
	"usage: bench_dns [options]\n"
	"  --seconds N (5)  --names N (1000): cached next hops\n"
	"  --rate N (0: as fast as it goes): cached next hops a second\n"
	"  --uncached N (500): next hops a second that nobody asked for before\n"
	"  --window N (256): cached next hops in flight  --json\n"
	"  --need N (0): exit 1 when fewer cached next hops a second were resolved\n";

#define BUCKETS 100000 // of 10 us
#define BUCKET_US 10

struct histogram {
	uint32_t bucket[BUCKETS];
	uint64_t n;
	pen_time_us worst;
};

// One kind of next hop; counted on the resolver thread.
struct kind {
	uint64_t sent;
	uint64_t done, failed;
	struct histogram latency;
};

struct ask {
	struct kind *kind;
	pen_time_us at;
};

static struct {
	unsigned seconds, names, rate, uncached, window, need;
	bool json;
} opt = {.seconds = 5, .names = 1000, .uncached = 500, .window = 256};

static struct kind cached, uncached;
static struct histogram stall;
static bool stop;

static void note(struct histogram *h, pen_time_us us)
{
	size_t i = us < 0 ? 0 : (size_t)(us / BUCKET_US);

	h->bucket[i < BUCKETS ? i : BUCKETS - 1]++;
	h->n++;
	if (us > h->worst)
		h->worst = us;
}

static double percentile_ms(const struct histogram *h, double share)
{
	uint64_t want = (uint64_t)((double)h->n * share), sum = 0;

	for (size_t i = 0; i < BUCKETS; i++) {
		sum += h->bucket[i];
		if (sum > want)
			return (double)((i + 1) * BUCKET_US) / 1000.0;
	}
	return (double)h->worst / 1000.0;
}

// Every name exists; those below slow.example take their time.
static void zone(void *ctx, struct fake_dns_reply *r)
{
	(void)ctx;
	r->ttl_s = 3600;
	if (strstr(r->name, "slow") != NULL)
		r->delay_ms = 20 + (unsigned)r->name[1] * 7 % 40;
	if (r->type == PEN_DNS_MX) {
		char target[64];
		snprintf(target, sizeof(target), "mx1.%.40s", r->name);
		fake_dns_mx(r, 10, target);
		snprintf(target, sizeof(target), "mx2.%.40s", r->name);
		fake_dns_mx(r, 20, target);
	} else if (r->type == PEN_DNS_A) {
		fake_dns_a(r, 0xc6120000u + (uint32_t)r->name[2] + (uint32_t)r->name[4] * 256);
	} else if (r->type == PEN_DNS_AAAA) {
		fake_dns_aaaa(r, (unsigned)r->name[2]);
	}
}

static void on_hosts(void *ctx, struct pen_dns_hosts *h)
{
	struct ask *a = ctx;

	note(&a->kind->latency, pen_clock_mono() - a->at);
	if (h->dsn.klass != 2)
		__atomic_add_fetch(&a->kind->failed, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&a->kind->done, 1, __ATOMIC_RELEASE);
	pen_dns_hosts_free(h);
	free(a);
}

static void send_one(struct pen_dns *dns, struct kind *kind, const char *name)
{
	struct ask *a = malloc(sizeof(*a));

	PEN_ASSERT(a != NULL);
	*a = (struct ask){kind, pen_clock_mono()};
	if (pen_dns_resolve(dns, pen_span_cstr(name), on_hosts, a) == 0)
		kind->sent++;
	else
		free(a);
}

static uint64_t done_of(const struct kind *kind)
{
	return __atomic_load_n(&kind->done, __ATOMIC_ACQUIRE);
}

static void rest(long us)
{
	const struct timespec t = {0, us * 1000};

	nanosleep(&t, NULL);
}

static void warm_up(struct pen_dns *dns)
{
	char name[64];

	for (unsigned i = 0; i < opt.names; i++) {
		while (cached.sent - done_of(&cached) >= 64)
			rest(100);
		snprintf(name, sizeof(name), "d%u.fast.example", i);
		send_one(dns, &cached, name);
	}
	while (done_of(&cached) < cached.sent)
		rest(100);
	if (cached.failed > 0)
		pen_fatal("the name server of this benchmark does not answer");
	memset(&cached, 0, sizeof(cached));
}

static void *watch_timer(void *arg)
{
	struct timespec at;

	(void)arg;
	clock_gettime(CLOCK_MONOTONIC, &at);
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		at.tv_nsec += 1000000;
		if (at.tv_nsec >= 1000000000) {
			at.tv_nsec -= 1000000000;
			at.tv_sec++;
		}
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
		note(&stall, pen_clock_mono() - (at.tv_sec * PEN_US_PER_S + at.tv_nsec / 1000));
	}
	return NULL;
}

static uint64_t due(unsigned rate, pen_time_us elapsed)
{
	return (uint64_t)elapsed * rate / PEN_US_PER_S;
}

static double run(struct pen_dns *dns)
{
	pen_time_us begin = pen_clock_mono(), end = begin + opt.seconds * PEN_US_PER_S, now;
	char name[64];
	unsigned next = 0;

	while ((now = pen_clock_mono()) < end) {
		while (uncached.sent < due(opt.uncached, now - begin)) {
			snprintf(name, sizeof(name), "u%u.slow.example", (unsigned)uncached.sent);
			send_one(dns, &uncached, name);
		}
		uint64_t most = opt.rate > 0 ? due(opt.rate, now - begin) : UINT64_MAX;
		while (cached.sent < most && cached.sent - done_of(&cached) < opt.window) {
			snprintf(name, sizeof(name), "d%u.fast.example", next++ % opt.names);
			send_one(dns, &cached, name);
		}
		rest(100);
	}
	return (double)(pen_clock_mono() - begin) / (double)PEN_US_PER_S;
}

static void print(double seconds, uint64_t fast, uint64_t slow)
{
	const char *format = opt.json ? "{\"cached_per_s\": %.0f, \"uncached_per_s\": %.0f, "
					"\"cached_failed\": %lu, \"uncached_failed\": %lu, "
					"\"cached_ms_p50\": %.2f, \"cached_ms_p99\": %.2f, "
					"\"uncached_ms_p50\": %.2f, \"uncached_ms_p99\": %.2f, "
					"\"stall_ms_p50\": %.2f, \"stall_ms_p99\": %.2f, "
					"\"stall_ms_max\": %.2f}\n"
				      : "cached next hops/s    %10.0f   (five questions each)\n"
					"uncached next hops/s  %10.0f\n"
					"failed                %10lu cached, %lu uncached\n"
					"cached latency ms     %10.2f p50 %10.2f p99\n"
					"uncached latency ms   %10.2f p50 %10.2f p99\n"
					"timer lateness ms     %10.2f p50 %10.2f p99 %10.2f max\n";

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(format, (double)fast / seconds, (double)slow / seconds, cached.failed,
		uncached.failed, percentile_ms(&cached.latency, 0.5),
		percentile_ms(&cached.latency, 0.99), percentile_ms(&uncached.latency, 0.5),
		percentile_ms(&uncached.latency, 0.99), percentile_ms(&stall, 0.5),
		percentile_ms(&stall, 0.99), (double)stall.worst / 1000.0);
#pragma GCC diagnostic pop
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {{"seconds", required_argument, NULL, 's'},
		{"names", required_argument, NULL, 'n'}, {"rate", required_argument, NULL, 'r'},
		{"uncached", required_argument, NULL, 'u'},
		{"window", required_argument, NULL, 'w'}, {"need", required_argument, NULL, 'm'},
		{"json", no_argument, NULL, 'j'}, {0}};
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		unsigned v = optarg != NULL ? (unsigned)strtoul(optarg, NULL, 10) : 0;
		switch (c) {
		case 's':
			opt.seconds = v;
			break;
		case 'n':
			opt.names = v;
			break;
		case 'r':
			opt.rate = v;
			break;
		case 'u':
			opt.uncached = v;
			break;
		case 'w':
			opt.window = v;
			break;
		case 'm':
			opt.need = v;
			break;
		case 'j':
			opt.json = true;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (opt.seconds == 0 || opt.names == 0 || opt.window == 0)
		pen_fatal("--seconds, --names and --window are at least 1");
}

int main(int argc, char **argv)
{
	struct pen_params params;
	struct pen_main_cf cf;
	struct pen_params_env env = {"gw.example.com", "/etc/penstock"};
	struct pen_report report = {0};
	char text[128], err[256];
	pthread_t watcher;

	parse(argc, argv);
	// Two servers: a resolver learns how long each one takes.
	struct fake_dns *fast_server = fake_dns_new(zone, NULL);
	struct fake_dns *slow_server = fake_dns_new(zone, NULL);
	snprintf(text, sizeof(text),
		"dns_forwarders = 127.0.0.1@%u\ndns_stub_zones = slow.example=127.0.0.1@%u\n",
		fake_dns_port(fast_server), fake_dns_port(slow_server));
	if (pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &report) != 0 ||
		pen_params_load(&params, &cf, &env, &report) != 0)
		pen_fatal("the parameters of this benchmark are not accepted");
	struct pen_dns *dns = pen_dns_new(&params, 1, err, sizeof(err));
	if (dns == NULL || pen_dns_start(dns) != 0)
		pen_fatal("%s", err);
	warm_up(dns);
	if (pthread_create(&watcher, NULL, watch_timer, NULL) != 0)
		pen_fatal("cannot start a thread");
	double seconds = run(dns);
	uint64_t fast = done_of(&cached), slow = done_of(&uncached);
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(watcher, NULL);
	while (done_of(&uncached) < uncached.sent || done_of(&cached) < cached.sent)
		rest(1000);
	print(seconds, fast, slow);
	pen_dns_free(dns);
	fake_dns_free(fast_server);
	fake_dns_free(slow_server);
	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	return (double)fast / seconds < (double)opt.need;
}
