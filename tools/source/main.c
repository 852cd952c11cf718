// SPDX-License-Identifier: BSD-3-Clause

// penstock-source: options and the report.

#include "source.h"

#include "pen_err.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage_text[] =
	"usage: penstock-source [options] [inet:]host[:port]\n"
	"Sends messages over SMTP and measures how long the server takes to accept them.\n"
	"\n"
	"  -s N          sessions at the same time (1)\n"
	"  -m N          messages in all (1)\n"
	"  -l BYTES      length of the body (4096)\n"
	"  -r N          recipients of each message (1)\n"
	"  -f ADDR       sender (source@HOST)\n"
	"  -t ADDR       recipient (sink@HOST); with -r N numbers are put before it\n"
	"  -S TEXT       subject\n"
	"  -M HOST       our name in EHLO\n"
	"  -N            a new number before every recipient\n"
	"  --domains N   the recipients' domain is d0.DOMAIN to dN-1.DOMAIN, by the number of the "
	"message\n"
	"  --tenants N   X-Penstock-Tenant: t0 to tN-1, the next one after each round of the "
	"domains\n"
	"  -d            keep connections for many messages\n"
	"  -c            running counter\n"
	"  -v            show error replies\n"
	"  -4, -6        IPv4 or IPv6 only\n"
	"  --corpus DIR  send the .eml files of DIR in turn instead\n"
	"  --rate N      messages per second (no limit)\n"
	"  --messages-per-connection N   with -d: reconnect after N messages\n"
	"  --no-pipelining   wait for every reply\n"
	"  --no-resend   a message whose reply was lost is not sent again\n"
	"  --run NAME    first part of X-Penstock-Id\n"
	"  --first N     number of the first message (0)\n"
	"  --acked-file PATH  append the number of each accepted message\n"
	"  --timeout S   give a silent server up after S seconds (300)\n"
	"  --give-up S   stop after S seconds without a connection (30)\n"
	"  --progress    progress line (default when stderr is a terminal)\n"
	"  --json        report as one JSON line\n"
	"\n"
	"Latency is the time from handing over the content to its 250.\n"
	"Exit status: 0 all accepted, 1 not all, 2 usage.\n";

enum {
	OPT_CORPUS = 256,
	OPT_RATE,
	OPT_DOMAINS,
	OPT_TENANTS,
	OPT_PER_CONNECTION,
	OPT_NO_PIPELINING,
	OPT_NO_RESEND,
	OPT_RUN,
	OPT_FIRST,
	OPT_ACKED,
	OPT_TIMEOUT,
	OPT_GIVE_UP,
	OPT_PROGRESS,
	OPT_JSON,
	OPT_HELP,
};

static const struct option long_options[] = {
	{"corpus", required_argument, NULL, OPT_CORPUS},
	{"rate", required_argument, NULL, OPT_RATE},
	{"domains", required_argument, NULL, OPT_DOMAINS},
	{"tenants", required_argument, NULL, OPT_TENANTS},
	{"messages-per-connection", required_argument, NULL, OPT_PER_CONNECTION},
	{"no-pipelining", no_argument, NULL, OPT_NO_PIPELINING},
	{"no-resend", no_argument, NULL, OPT_NO_RESEND},
	{"run", required_argument, NULL, OPT_RUN},
	{"first", required_argument, NULL, OPT_FIRST},
	{"acked-file", required_argument, NULL, OPT_ACKED},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"give-up", required_argument, NULL, OPT_GIVE_UP},
	{"progress", no_argument, NULL, OPT_PROGRESS},
	{"json", no_argument, NULL, OPT_JSON},
	{"help", no_argument, NULL, OPT_HELP},
	{NULL, 0, NULL, 0},
};

static _Noreturn void usage_error(const char *what, const char *value)
{
	fprintf(stderr, "penstock-source: %s: %s\nTry penstock-source --help.\n", what, value);
	exit(2);
}

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
	char *end, what[96];

	errno = 0;
	unsigned long long v = strtoull(text, &end, 10);
	if (errno != 0 || end == text || *end != '\0' || *text == '-' || v < min || v > max) {
		snprintf(what, sizeof(what), "%s wants a number from %llu to %llu", name,
			(unsigned long long)min, (unsigned long long)max);
		usage_error(what, text);
	}
	return v;
}

static double decimal(const char *name, const char *text)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v > 0 && v < 1e9))
		usage_error(name, text);
	return v;
}

static void resolve(struct source_options *opt, const char *target, int family)
{
	char host[256];
	const char *port = "25";
	struct addrinfo hints = {.ai_family = family, .ai_socktype = SOCK_STREAM}, *list;

	if (strncmp(target, "inet:", 5) == 0)
		target += 5;
	size_t n = strlen(target);
	if (n == 0 || n >= sizeof(host))
		usage_error("bad host", target);
	memcpy(host, target, n + 1);
	char *name = host, *colon = strrchr(host, ':');
	if (host[0] == '[') {
		char *close = strchr(host, ']');
		if (close == NULL || (close[1] != '\0' && close[1] != ':'))
			usage_error("bad host", target);
		*close = '\0';
		name = host + 1;
		if (close[1] == ':')
			port = close + 2;
	} else if (colon != NULL && strchr(host, ':') == colon) {
		*colon = '\0';
		port = colon + 1;
	}
	int err = getaddrinfo(name, port, &hints, &list);
	if (err != 0) {
		fprintf(stderr, "penstock-source: %s: %s\n", target, gai_strerror(err));
		exit(1);
	}
	memcpy(&opt->addr, list->ai_addr, list->ai_addrlen);
	opt->addr_len = list->ai_addrlen;
	freeaddrinfo(list);
}

static void long_option(struct source_options *opt, int c)
{
	switch (c) {
	case OPT_CORPUS:
		opt->corpus = optarg;
		break;
	case OPT_DOMAINS:
		opt->domains = (uint32_t)number("--domains", optarg, 1, 10000000);
		break;
	case OPT_TENANTS:
		opt->tenants = (uint32_t)number("--tenants", optarg, 1, 10000000);
		break;
	case OPT_RATE:
		opt->rate = decimal("--rate", optarg);
		break;
	case OPT_PER_CONNECTION:
		opt->per_connection =
			(uint32_t)number("--messages-per-connection", optarg, 1, 1000000000);
		opt->keep = true;
		break;
	case OPT_NO_PIPELINING:
		opt->pipeline = false;
		break;
	case OPT_NO_RESEND:
		opt->resend = false;
		break;
	case OPT_RUN:
		if (strlen(optarg) > 32 || strspn(optarg, "abcdefghijklmnopqrstuvwxyz"
							  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
							  "0123456789-_.") != strlen(optarg))
			usage_error("--run wants at most 32 letters and digits", optarg);
		opt->run = optarg;
		break;
	case OPT_FIRST:
		opt->first = number("--first", optarg, 0, UINT64_MAX / 2);
		break;
	case OPT_ACKED:
		opt->acked_file = optarg;
		break;
	case OPT_TIMEOUT:
		opt->timeout_s = (uint32_t)number("--timeout", optarg, 1, 86400);
		break;
	case OPT_GIVE_UP:
		opt->give_up_s = (uint32_t)number("--give-up", optarg, 1, 86400);
		break;
	case OPT_PROGRESS:
		opt->progress = true;
		break;
	case OPT_JSON:
		opt->json = true;
		break;
	case OPT_HELP:
		fputs(usage_text, stdout);
		exit(0);
	default:
		fputs("Try penstock-source --help.\n", stderr);
		exit(2);
	}
}

static void parse(struct source_options *opt, int argc, char **argv)
{
	int c, family = AF_UNSPEC;

	while ((c = getopt_long(argc, argv, "s:m:l:r:f:t:S:M:Ndcv46", long_options, NULL)) != -1) {
		switch (c) {
		case 's':
			opt->sessions = (uint32_t)number("-s", optarg, 1, 65000);
			break;
		case 'm':
			opt->messages = number("-m", optarg, 1, 1000000000000);
			break;
		case 'l':
			opt->length = (uint32_t)number("-l", optarg, 0, 1u << 30);
			break;
		case 'r':
			opt->recipients = (uint32_t)number("-r", optarg, 1, 100000);
			break;
		case 'f':
			opt->from = optarg;
			break;
		case 't':
			opt->to = optarg;
			break;
		case 'S':
			opt->subject = optarg;
			break;
		case 'M':
			opt->helo = optarg;
			break;
		case 'N':
			opt->number = true;
			break;
		case 'd':
			opt->keep = true;
			break;
		case 'c':
			opt->counter = true;
			break;
		case 'v':
			opt->verbose = true;
			break;
		case '4':
			family = AF_INET;
			break;
		case '6':
			family = AF_INET6;
			break;
		default:
			long_option(opt, c);
		}
	}
	if (optind + 1 != argc)
		usage_error("one host is wanted", optind < argc ? argv[optind + 1] : "none given");
	resolve(opt, argv[optind], family);
}

// What goes into commands must not be able to end them.
static void check_text(const char *name, const char *text, size_t max)
{
	if (strpbrk(text, "\r\n") != NULL || strlen(text) > max)
		usage_error(name, "too long, or contains a line end");
}

static void report_json(const struct source_options *opt, const struct source_stats *s)
{
	double seconds = (double)(s->ended - s->started) / 1e6;
	const struct pen_histogram *h = &s->latency;

	printf("{\"run\":\"%s\",\"messages\":%llu,\"accepted\":%llu,\"refused\":%llu,"
	       "\"deferred\":%llu,\"unknown\":%llu,\"resent\":%llu,\"recipients_refused\":%llu,"
	       "\"connections\":%llu,\"connections_lost\":%llu,\"bytes\":%llu,"
	       "\"seconds\":%.3f,\"messages_per_second\":%.1f,\"megabytes_per_second\":%.2f,"
	       "\"latency_us\":{\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"max\":%llu,"
	       "\"mean\":%.0f}}\n",
		opt->run, (unsigned long long)opt->messages, (unsigned long long)s->accepted,
		(unsigned long long)s->refused, (unsigned long long)s->deferred,
		(unsigned long long)s->unknown, (unsigned long long)s->resent,
		(unsigned long long)s->rcpt_refused, (unsigned long long)s->connects,
		(unsigned long long)s->lost_connections, (unsigned long long)s->bytes, seconds,
		seconds > 0 ? (double)s->accepted / seconds : 0,
		seconds > 0 ? (double)s->bytes / 1e6 / seconds : 0,
		(unsigned long long)pen_histogram_quantile(h, 0.5),
		(unsigned long long)pen_histogram_quantile(h, 0.9),
		(unsigned long long)pen_histogram_quantile(h, 0.99), (unsigned long long)h->max,
		h->count > 0 ? (double)h->sum / (double)h->count : 0);
}

static void report_text(const struct source_options *opt, const struct source_stats *s)
{
	double seconds = (double)(s->ended - s->started) / 1e6;
	const struct pen_histogram *h = &s->latency;

	printf("accepted %llu of %llu messages in %.2f s: %.0f/s, %.1f MB/s\n",
		(unsigned long long)s->accepted, (unsigned long long)opt->messages, seconds,
		seconds > 0 ? (double)s->accepted / seconds : 0,
		seconds > 0 ? (double)s->bytes / 1e6 / seconds : 0);
	printf("latency ms: p50 %.2f, p90 %.2f, p99 %.2f, max %.2f\n",
		(double)pen_histogram_quantile(h, 0.5) / 1e3,
		(double)pen_histogram_quantile(h, 0.9) / 1e3,
		(double)pen_histogram_quantile(h, 0.99) / 1e3, (double)h->max / 1e3);
	if (s->deferred + s->refused + s->unknown + s->lost_connections > 0)
		printf("deferred %llu, refused %llu, unknown %llu, connections lost %llu; last: "
		       "%s\n",
			(unsigned long long)s->deferred, (unsigned long long)s->refused,
			(unsigned long long)s->unknown, (unsigned long long)s->lost_connections,
			s->last_error);
}

static void defaults(struct source_options *opt)
{
	static char from[320], to[320], host[256], run[32];

	if (gethostname(host, sizeof(host) - 1) != 0)
		strcpy(host, "localhost");
	if (opt->helo == NULL)
		opt->helo = host;
	snprintf(from, sizeof(from), "source@%.255s", opt->helo);
	snprintf(to, sizeof(to), "sink@%.255s", opt->helo);
	if (opt->from == NULL)
		opt->from = from;
	if (opt->to == NULL)
		opt->to = to;
	snprintf(run, sizeof(run), "%llx", (unsigned long long)pen_clock_wall());
	if (opt->run == NULL)
		opt->run = run;
	if (isatty(STDERR_FILENO) && !opt->counter)
		opt->progress = true;
	check_text("-M", opt->helo, 255);
	check_text("-f", opt->from, 256);
	check_text("-t", opt->to, 256);
	if (opt->domains != 0 && strchr(opt->to, '@') == NULL)
		usage_error("--domains needs a domain behind -t", opt->to);
	if (opt->subject != NULL)
		check_text("-S", opt->subject, 256);
}

int main(int argc, char **argv)
{
	struct source_options opt = {
		.sessions = 1,
		.messages = 1,
		.length = 4096,
		.recipients = 1,
		.pipeline = true,
		.resend = true,
		.timeout_s = 300,
		.give_up_s = 30,
	};
	static struct source_stats stats;

	signal(SIGPIPE, SIG_IGN);
	parse(&opt, argc, argv);
	defaults(&opt);
	if (opt.messages < opt.sessions)
		opt.sessions = (uint32_t)opt.messages;
	struct source_messages *m = source_messages_new(&opt);
	int hopeless = source_run(&opt, m, &stats);
	source_messages_free(m);
	if (opt.json)
		report_json(&opt, &stats);
	else
		report_text(&opt, &stats);
	if (hopeless)
		fprintf(stderr, "penstock-source: gave up: %s\n", stats.last_error);
	return stats.accepted == opt.messages ? 0 : 1;
}
