// SPDX-License-Identifier: BSD-3-Clause
#include "bench_settings.h"

#include "pen_dataplane.h"
#include "pen_err.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char usage[] =
	"usage: bench_dataplane [--sink PATH] [options]\n"
	"  --messages N (200000)  --size BYTES (4096)  --connections N (64)\n"
	"  --per-connection N (100)  --idle N: open N idle connections instead\n"
	"  --tls --cert FILE --key FILE   (the sink needs them)  --tls-may: plaintext will do\n"
	"  --workers N (1)  --buffer-mb N (64)  --device DEV --source ADDR --host ADDR --port N\n"
	"  --core N (0)  --sink-core N (1)  --socket PATH  --sink-option OPT (repeat)\n"
	"  --ip6: the same over IPv6 (fd00:77::1 to fd00:77::2)\n"
	"  --huge  --timeout S (60)  --counters  --json\n";

enum {
	OPT_SINK = 256,
	OPT_MESSAGES,
	OPT_SIZE,
	OPT_CONNECTIONS,
	OPT_PER,
	OPT_IDLE,
	OPT_TLS,
	OPT_TLS_MAY,
	OPT_WORKERS,
	OPT_BUFFER,
	OPT_DEVICE,
	OPT_SOURCE,
	OPT_HOST,
	OPT_PORT,
	OPT_CERT,
	OPT_KEY,
	OPT_CORE,
	OPT_SINK_CORE,
	OPT_SOCKET,
	OPT_SINK_OPTION,
	OPT_HUGE,
	OPT_IP6,
	OPT_TIMEOUT,
	OPT_COUNTERS,
	OPT_JSON
};

static const struct option options[] = {
	{"sink", required_argument, NULL, OPT_SINK},
	{"messages", required_argument, NULL, OPT_MESSAGES},
	{"size", required_argument, NULL, OPT_SIZE},
	{"connections", required_argument, NULL, OPT_CONNECTIONS},
	{"per-connection", required_argument, NULL, OPT_PER},
	{"idle", required_argument, NULL, OPT_IDLE},
	{"tls", no_argument, NULL, OPT_TLS},
	{"tls-may", no_argument, NULL, OPT_TLS_MAY},
	{"workers", required_argument, NULL, OPT_WORKERS},
	{"buffer-mb", required_argument, NULL, OPT_BUFFER},
	{"device", required_argument, NULL, OPT_DEVICE},
	{"source", required_argument, NULL, OPT_SOURCE},
	{"host", required_argument, NULL, OPT_HOST},
	{"port", required_argument, NULL, OPT_PORT},
	{"cert", required_argument, NULL, OPT_CERT},
	{"key", required_argument, NULL, OPT_KEY},
	{"core", required_argument, NULL, OPT_CORE},
	{"sink-core", required_argument, NULL, OPT_SINK_CORE},
	{"socket", required_argument, NULL, OPT_SOCKET},
	{"sink-option", required_argument, NULL, OPT_SINK_OPTION},
	{"huge", no_argument, NULL, OPT_HUGE},
	{"ip6", no_argument, NULL, OPT_IP6},
	{"timeout", required_argument, NULL, OPT_TIMEOUT},
	{"counters", no_argument, NULL, OPT_COUNTERS},
	{"json", no_argument, NULL, OPT_JSON},
	{0},
};

static void parse_address(struct pen_addr *out, const char *text)
{
	if (pen_addr_parse(out, pen_span_cstr(text)) != 0)
		pen_fatal("not an address: %s", text);
}

void bench_settings_parse(struct bench_settings *set, int argc, char **argv)
{
	*set = (struct bench_settings){.messages = 200000,
		.size = 4096,
		.per_connection = 100,
		.connections = 64,
		.distinct = 512,
		.sink_core = 1,
		.workers = 1,
		.buffer_mb = 64,
		.source = pen_addr_ip4(0x0a4d0001),
		.host = pen_addr_ip4(0x0a4d0002),
		.port = 25,
		.timeout = 60};
	snprintf(set->socket, sizeof(set->socket), "/run/penstock-bench-%d.sock", (int)getpid());
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (c) {
		case OPT_SINK:
			set->sink = optarg;
			break;
		case OPT_MESSAGES:
			set->messages = strtoull(optarg, NULL, 0);
			break;
		case OPT_SIZE:
			set->size = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case OPT_CONNECTIONS:
			set->connections = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case OPT_PER:
			set->per_connection = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case OPT_IDLE:
			set->idle = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case OPT_TLS:
			set->tls = true;
			break;
		case OPT_TLS_MAY:
			set->tls_may = true;
			break;
		case OPT_WORKERS:
			set->workers = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case OPT_BUFFER:
			set->buffer_mb = (uint32_t)strtoul(optarg, NULL, 0);
			break;
		case OPT_DEVICE:
			set->device = optarg;
			break;
		case OPT_SOURCE:
			parse_address(&set->source, optarg);
			break;
		case OPT_HOST:
			parse_address(&set->host, optarg);
			break;
		case OPT_PORT:
			set->port = (uint16_t)atoi(optarg);
			break;
		case OPT_CERT:
			set->cert = optarg;
			break;
		case OPT_KEY:
			set->key = optarg;
			break;
		case OPT_CORE:
			set->core = (unsigned)atoi(optarg);
			break;
		case OPT_SINK_CORE:
			set->sink_core = (unsigned)atoi(optarg);
			break;
		case OPT_SOCKET:
			snprintf(set->socket, sizeof(set->socket), "%s", optarg);
			break;
		case OPT_SINK_OPTION:
			if (set->nsink_options < 32)
				set->sink_options[set->nsink_options++] = optarg;
			break;
		case OPT_IP6:
			set->ip6 = true;
			parse_address(&set->source, "fd00:77::1");
			parse_address(&set->host, "fd00:77::2");
			break;
		case OPT_HUGE:
			set->huge = true;
			break;
		case OPT_TIMEOUT:
			set->timeout = atof(optarg);
			break;
		case OPT_COUNTERS:
			set->counters = true;
			break;
		case OPT_JSON:
			set->json = true;
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (set->size < 512 || set->connections == 0 || set->messages == 0 || set->workers == 0 ||
		set->workers > PEN_WORKERS_MAX || optind != argc) {
		fputs(usage, stderr);
		exit(2);
	}
}
