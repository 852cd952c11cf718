// SPDX-License-Identifier: BSD-3-Clause

// penstock-impair: a bump in the wire. Two DPDK devices, one worker; what comes
// in at one goes out at the other, less what a bad network would lose.

#include "impair.h"
#include "pen_err.h"
#include "pen_worker_app.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUEUE_DEPTH 8192

struct direction {
	struct impair im;
	struct impair_queue queue;
	uint64_t overflow; // frames dropped because the queue or the pool was full
};

struct bump {
	struct impair_config cfg[2];
	struct direction dir[2]; // by the port of arrival
	struct pen_worker *worker;
};

static volatile sig_atomic_t stop_asked;

static void on_signal(int sig)
{
	(void)sig;
	stop_asked = 1;
}

// ---- on the worker ----

static void pass_on(struct bump *b, uint32_t to, struct pen_frame f, uint32_t len, pen_time_us at,
	pen_time_us now)
{
	struct direction *d = &b->dir[1 - to];

	if (at <= now)
		pen_worker_frame_send(b->worker, to, &f, len);
	else if (!impair_queue_put(&d->queue, at, f.port, len)) {
		d->overflow++;
		pen_worker_frame_drop(b->worker, &f);
	}
}

static void on_frame(void *state, uint32_t port, struct pen_frame *f, uint32_t len, pen_time_us now)
{
	struct bump *b = state;
	struct direction *d = &b->dir[port];
	struct impair_plan plan;
	struct pen_frame copy;
	uint32_t to = 1 - port;

	impair_decide(&d->im, len, now, &plan);
	if (plan.copies == 0) {
		pen_worker_frame_drop(b->worker, f);
		return;
	}
	if (plan.corrupt)
		f->data[plan.corrupt_bit / 8] ^= (uint8_t)(1 << plan.corrupt_bit % 8);
	if (plan.copies == 2) {
		if (pen_worker_frame_get(b->worker, to, &copy) && copy.cap >= len) {
			memcpy(copy.data, f->data, len);
			pass_on(b, to, copy, len, plan.at[1], now);
		} else {
			d->overflow++;
		}
	}
	pass_on(b, to, *f, len, plan.at[0], now);
}

static pen_time_us poll_queues(void *state, pen_time_us now)
{
	struct bump *b = state;
	pen_time_us next = PEN_TIME_NEVER;

	for (uint32_t from = 0; from < 2; from++) {
		struct impair_queue *q = &b->dir[from].queue;
		struct pen_frame f = {0};
		uint32_t len;
		while ((f.port = impair_queue_get(q, now, &len)) != NULL)
			pen_worker_frame_send(b->worker, 1 - from, &f, len);
		next = pen_time_min(next, impair_queue_next(q));
	}
	return next;
}

static void *start(
	void *ctx, const struct pen_worker_env *env, pen_time_us now, char *err, size_t err_cap)
{
	struct bump *b = ctx;

	(void)now;
	b->worker = env->self;
	for (int i = 0; i < 2; i++) {
		impair_init(&b->dir[i].im, &b->cfg[i]);
		if (impair_queue_init(&b->dir[i].queue, QUEUE_DEPTH) != 0) {
			snprintf(err, err_cap, "out of memory");
			return NULL;
		}
	}
	return b;
}

static void stop(void *state)
{
	struct bump *b = state;

	for (int i = 0; i < 2; i++) {
		struct pen_frame f = {0};
		uint32_t len;
		while ((f.port = impair_queue_get(&b->dir[i].queue, PEN_TIME_NEVER, &len)) != NULL)
			pen_worker_frame_drop(b->worker, &f);
		impair_queue_fini(&b->dir[i].queue);
	}
}

static const struct pen_worker_app app = {
	.name = "impair",
	.frame = on_frame,
	.start = start,
	.poll = poll_queues,
	.stop = stop,
};

// ---- main thread ----

static const char usage[] =
	"usage: penstock-impair [options] DEVICE DEVICE\n"
	"Passes frames between two DPDK devices, and damages the traffic on purpose.\n"
	"  --loss P --reorder P --dup P --corrupt P   percent of frames, both ways\n"
	"  --delay MS          delay of every frame\n"
	"  --reorder-hold MS   how long at most a reordered frame is held back (2)\n"
	"  --only 0|1          impair only what arrives at this device\n"
	"  --seed N            the same seed draws the same fate per frame\n"
	"  --core N            the worker's core (0)\n"
	"  --mtu N             (1500)\n"
	"  --no-huge           do not use hugepages\n"
	"  --duration S        end after S seconds\n"
	"  --json              print the counts as a JSON object at the end\n"
	"Devices: net_memif0,role=server,socket=/path/a  net_af_packet0,iface=veth0\n";

enum {
	OPT_LOSS = 256,
	OPT_REORDER,
	OPT_DUP,
	OPT_CORRUPT,
	OPT_DELAY,
	OPT_HOLD,
	OPT_ONLY,
	OPT_SEED,
	OPT_CORE,
	OPT_MTU,
	OPT_NO_HUGE,
	OPT_DURATION,
	OPT_JSON,
	OPT_HELP
};

static const struct option options[] = {
	{"loss", required_argument, NULL, OPT_LOSS},
	{"reorder", required_argument, NULL, OPT_REORDER},
	{"dup", required_argument, NULL, OPT_DUP},
	{"corrupt", required_argument, NULL, OPT_CORRUPT},
	{"delay", required_argument, NULL, OPT_DELAY},
	{"reorder-hold", required_argument, NULL, OPT_HOLD},
	{"only", required_argument, NULL, OPT_ONLY},
	{"seed", required_argument, NULL, OPT_SEED},
	{"core", required_argument, NULL, OPT_CORE},
	{"mtu", required_argument, NULL, OPT_MTU},
	{"no-huge", no_argument, NULL, OPT_NO_HUGE},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

struct settings {
	struct impair_config impair;
	int only;
	double duration;
	bool json;
};

static _Noreturn void bad_usage(void)
{
	fputs(usage, stderr);
	exit(2);
}

static double number(const char *text, double least, double most)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= least && v <= most))
		pen_fatal("bad number %s: must be between %g and %g", text, least, most);
	return v;
}

static void parse(int argc, char **argv, struct pen_dataplane_config *dp, struct settings *set)
{
	struct impair_config *im = &set->impair;

	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case OPT_LOSS:
			im->loss = number(optarg, 0, 100);
			break;
		case OPT_REORDER:
			im->reorder = number(optarg, 0, 100);
			break;
		case OPT_DUP:
			im->dup = number(optarg, 0, 100);
			break;
		case OPT_CORRUPT:
			im->corrupt = number(optarg, 0, 100);
			break;
		case OPT_DELAY:
			im->delay = (pen_time_us)(number(optarg, 0, 60000) * 1000);
			break;
		case OPT_HOLD:
			im->reorder_hold = (pen_time_us)(number(optarg, 0.001, 60000) * 1000);
			break;
		case OPT_ONLY:
			set->only = (int)number(optarg, 0, 1);
			break;
		case OPT_SEED:
			im->seed = strtoull(optarg, NULL, 0);
			break;
		case OPT_CORE:
			dp->worker_core[0] = (uint16_t)number(optarg, 0, 1023);
			break;
		case OPT_MTU:
			dp->port[0].mtu = dp->port[1].mtu = (uint16_t)number(optarg, 576, 9600);
			break;
		case OPT_NO_HUGE:
			dp->hugepages = PEN_HUGEPAGES_NO;
			break;
		case OPT_DURATION:
			set->duration = number(optarg, 0, 1e9);
			break;
		case OPT_JSON:
			set->json = true;
			break;
		case OPT_HELP:
			fputs(usage, stdout);
			exit(0);
		default:
			bad_usage();
		}
	}
	if (argc - optind != 2)
		bad_usage();
	for (int i = 0; i < 2; i++) {
		if (strlen(argv[optind + i]) >= sizeof(dp->port[i].device))
			pen_fatal("device %s: the name is too long", argv[optind + i]);
		snprintf(dp->port[i].device, sizeof(dp->port[i].device), "%s", argv[optind + i]);
		snprintf(dp->port[i].name, sizeof(dp->port[i].name), "port%d", i);
	}
}

static void note(void *ctx, const char *line)
{
	(void)ctx;
	fprintf(stderr, "penstock-impair: %s\n", line);
}

static void report(const struct bump *b, bool json)
{
	const struct impair *x = &b->dir[0].im, *y = &b->dir[1].im;
	const char *fmt = json ? "{\"frames\":%llu,\"lost\":%llu,\"reordered\":%llu,"
				 "\"duplicated\":%llu,\"corrupted\":%llu,\"overflow\":%llu}\n"
			       : "%llu frames: %llu lost, %llu reordered, %llu duplicated, %llu "
				 "corrupted, %llu dropped for want of buffers\n";

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	printf(fmt, (unsigned long long)(x->frames + y->frames),
		(unsigned long long)(x->lost + y->lost),
		(unsigned long long)(x->reordered + y->reordered),
		(unsigned long long)(x->doubled + y->doubled),
		(unsigned long long)(x->corrupted + y->corrupted),
		(unsigned long long)(b->dir[0].overflow + b->dir[1].overflow));
#pragma GCC diagnostic pop
}

int main(int argc, char **argv)
{
	struct pen_dataplane_config dp;
	struct settings set = {.only = -1};
	struct sigaction sa = {.sa_handler = on_signal};
	static struct bump b;
	char err[512];

	pen_dataplane_config_init(&dp);
	dp.nports = 2;
	dp.mbufs = 4 * QUEUE_DEPTH;
	set.impair.seed = (uint64_t)pen_clock_wall();
	parse(argc, argv, &dp, &set);
	for (int i = 0; i < 2; i++) {
		b.cfg[i] = (struct impair_config){.seed = set.impair.seed + (uint64_t)i};
		if (set.only < 0 || set.only == i) {
			b.cfg[i] = set.impair;
			b.cfg[i].seed += (uint64_t)i;
		}
	}
	sigaction(SIGTERM, &sa, NULL);
	sigaction(SIGINT, &sa, NULL);
	struct pen_dataplane *d =
		pen_dataplane_start_app(&dp, &app, &b, err, sizeof(err), note, NULL);
	if (d == NULL)
		pen_fatal("%s", err);
	fprintf(stderr, "penstock-impair: running, seed %llu\n",
		(unsigned long long)set.impair.seed);
	struct timespec step = {.tv_nsec = 20000000};
	pen_time_us end = set.duration > 0 ? pen_clock_mono() + (pen_time_us)(set.duration * 1e6)
					   : PEN_TIME_NEVER;
	while (!stop_asked && pen_clock_mono() < end)
		nanosleep(&step, NULL);
	pen_dataplane_stop(d);
	report(&b, set.json);
	return 0;
}
