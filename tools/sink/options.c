// SPDX-License-Identifier: BSD-3-Clause
#include "options.h"

#include "pen_err.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

static const char usage[] =
	"usage: penstock-sink [options] [[inet:|inet6:][address][/bits]:port [backlog]]\n"
	"An SMTP server over DPDK and our own TCP that checks mail and throws it away.\n"
	"The network\n"
	"  --device DEV          DPDK device "
	"(net_memif0,role=server,id=0,socket=/run/penstock.sock)\n"
	"  --address ADDR/BITS   local address (10.77.0.2/24)    --port N   (25)\n"
	"                        IPv6: [ADDR]/BITS or ADDR/BITS; one of each family\n"
	"  --gateway ADDR        for peers beyond the prefix     --mtu N    (1500)\n"
	"  --core N              core of the worker (0)          --no-huge  no hugepages\n"
	"  --memory-mb N         DPDK memory                     --buffer-mb N  of TCP (64)\n"
	"  --trust-checksum      do not verify checksums of received packets\n"
	"  -m count              connections at most (1024)      -T bytes   receive window "
	"(1024-)\n"
	"  --slow-read BYTES     read so many bytes per second and connection\n"
	"The server\n"
	"  -h name  host name    -t seconds  timeout     --size-limit BYTES\n"
	"  -e no ESMTP  -p no PIPELINING  -8 no 8BITMIME  -E no ENHANCEDSTATUSCODES\n"
	"  --tls-cert FILE --tls-key FILE   offer STARTTLS\n"
	"Faults; COMMANDS such as RCPT,DATA:10 with a percentage (default 100) of\n"
	"CONNECT HELO EHLO MAIL RCPT DATA and '.'\n"
	"  -r COMMANDS  reject with 4xx    -f COMMANDS  reject with 5xx\n"
	"  -q COMMANDS  disconnect         -Q COMMANDS  421 and disconnect\n"
	"  -b REPLY -B REPLY               the 4xx and the 5xx reply\n"
	"  -W command:delay[:odds]  -w delay (of DATA)  -H delay (before reading content)\n"
	"  --tls-break  offer STARTTLS and answer the client's hello with junk    --seed N\n"
	"What it reports\n"
	"  -c              running counters on standard error\n"
	"  --status-file F rewritten with a JSON object twice a second\n"
	"  --json          print that object at the end (SIGTERM, SIGINT; SIGUSR1: now)\n"
	"  --strict        exit with 1 when a message was corrupted\n"
	"  --dump-dir D    one file per accepted message\n"
	"  --ledger F      a line for each connection and message: microseconds, open, mail,\n"
	"                  message, refused (behind its end) or close, number of the connection, "
	"X-Penstock-Id\n"
	"  --expect N      end after N different messages (by X-Penstock-Id)\n"
	"  -M count -n count --duration S   end after messages, sessions, seconds\n";

enum {
	OPT_DEVICE = 256,
	OPT_ADDRESS,
	OPT_PORT,
	OPT_GATEWAY,
	OPT_MTU,
	OPT_CORE,
	OPT_NO_HUGE,
	OPT_MEMORY,
	OPT_BUFFER,
	OPT_TRUST,
	OPT_SLOW_READ,
	OPT_SIZE,
	OPT_CERT,
	OPT_KEY,
	OPT_BREAK,
	OPT_SEED,
	OPT_STATUS,
	OPT_JSON,
	OPT_STRICT,
	OPT_DUMP,
	OPT_LEDGER,
	OPT_EXPECT,
	OPT_DURATION,
	OPT_HELP
};

static const struct option long_options[] = {
	{"device", required_argument, NULL, OPT_DEVICE},
	{"address", required_argument, NULL, OPT_ADDRESS},
	{"port", required_argument, NULL, OPT_PORT},
	{"gateway", required_argument, NULL, OPT_GATEWAY},
	{"mtu", required_argument, NULL, OPT_MTU},
	{"core", required_argument, NULL, OPT_CORE},
	{"no-huge", no_argument, NULL, OPT_NO_HUGE},
	{"memory-mb", required_argument, NULL, OPT_MEMORY},
	{"buffer-mb", required_argument, NULL, OPT_BUFFER},
	{"trust-checksum", no_argument, NULL, OPT_TRUST},
	{"slow-read", required_argument, NULL, OPT_SLOW_READ},
	{"size-limit", required_argument, NULL, OPT_SIZE},
	{"tls-cert", required_argument, NULL, OPT_CERT},
	{"tls-key", required_argument, NULL, OPT_KEY},
	{"tls-break", no_argument, NULL, OPT_BREAK},
	{"seed", required_argument, NULL, OPT_SEED},
	{"status-file", required_argument, NULL, OPT_STATUS},
	{"json", no_argument, NULL, OPT_JSON},
	{"strict", no_argument, NULL, OPT_STRICT},
	{"dump-dir", required_argument, NULL, OPT_DUMP},
	{"ledger", required_argument, NULL, OPT_LEDGER},
	{"expect", required_argument, NULL, OPT_EXPECT},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"help", no_argument, NULL, OPT_HELP},
	{0},
};

static _Noreturn void wrong(const char *what, const char *value)
{
	fprintf(stderr, "penstock-sink: %s: %s (see --help)\n", what, value);
	exit(2);
}

static double number(const char *what, const char *text, double least, double most)
{
	char *end;
	double v = strtod(text, &end);

	if (end == text || *end != '\0' || !(v >= least && v <= most)) {
		fprintf(stderr, "penstock-sink: %s: %s is not a number from %g to %g\n", what, text,
			least, most);
		exit(2);
	}
	return v;
}

// The source of a family: the first call replaces the default.
static struct pen_source_config *source_for(struct sink_options *o, uint8_t family)
{
	for (uint32_t i = 0; i < o->dp.nsources; i++) {
		if (o->source[i].addr.family == family)
			return &o->source[i];
	}
	return &o->source[o->dp.nsources++];
}

// "address[/bits]", an IPv6 address in brackets or without.
static void set_address(struct sink_options *o, const char *text, size_t n)
{
	char plain[PEN_ADDR_STR_MAX + 8];
	struct pen_port_config *port = &o->dp.port[0];
	struct pen_cidr c;
	size_t len = 0;

	for (size_t i = 0; i < n && len < sizeof(plain); i++) {
		if (text[i] != '[' && text[i] != ']')
			plain[len++] = text[i];
	}
	struct pen_span s = pen_span(plain, len);
	ptrdiff_t slash = pen_span_find(s, '/');
	if (len == sizeof(plain) || pen_cidr_parse(&c, s, false) != 0)
		wrong("no address, or no prefix length behind it", text);
	source_for(o, c.net.family)->addr = c.net;
	if (slash >= 0)
		*(c.net.family == PEN_FAMILY_IP6 ? &port->prefix6_bits : &port->prefix_bits) =
			c.bits;
}

// "[inet:][address][/bits]:port", as smtp-sink has it; an IPv6 address in
// brackets.
static void set_endpoint(struct sink_options *o, const char *text)
{
	const char *p = strncmp(text, "inet:", 5) == 0    ? text + 5
			: strncmp(text, "inet6:", 6) == 0 ? text + 6
							  : text;
	const char *colon = strrchr(p, ':');

	if (colon == NULL || strchr(colon, ']') != NULL)
		wrong("no port in", text);
	if (colon > p)
		set_address(o, p, (size_t)(colon - p));
	o->sink.port = (uint16_t)number("port", colon + 1, 1, 65535);
}

static void set_text(char *out, size_t cap, const char *what, const char *text)
{
	if ((size_t)snprintf(out, cap, "%s", text) >= cap)
		wrong(what, "too long");
}

static void set_reply(const char **out, const char *text, char klass)
{
	if (strlen(text) < 4 || text[0] != klass || strpbrk(text, "\r\n") != NULL)
		wrong("no reply of the right kind", text);
	*out = text;
}

static void delay_of(struct sink_options *o, const char *command, const char *seconds)
{
	char text[64];

	snprintf(text, sizeof(text), "%s:%s", command, seconds);
	if (!faults_parse_delay(&o->sink.faults, text))
		wrong("bad delay", seconds);
}

static void fault_list(struct sink_options *o, const char *list, enum fault_action what)
{
	if (!faults_parse_list(&o->sink.faults, list, what))
		wrong("bad list of commands", list);
}

static void set_gateway(struct pen_port_config *port, const char *text)
{
	struct pen_addr a;

	if (pen_addr_parse(&a, pen_span_cstr(text)) != 0)
		wrong("--gateway", text);
	*(a.family == PEN_FAMILY_IP6 ? &port->gateway6 : &port->gateway) = a;
}

static bool network_option(struct sink_options *o, int c)
{
	struct pen_port_config *port = &o->dp.port[0];

	switch (c) {
	case OPT_DEVICE:
		set_text(port->device, sizeof(port->device), "--device", optarg);
		return true;
	case OPT_ADDRESS:
		set_address(o, optarg, strlen(optarg));
		return true;
	case OPT_PORT:
		o->sink.port = (uint16_t)number("--port", optarg, 1, 65535);
		return true;
	case OPT_GATEWAY:
		set_gateway(port, optarg);
		return true;
	case OPT_MTU:
		port->mtu = (uint16_t)number("--mtu", optarg, 576, 9600);
		return true;
	case OPT_CORE:
		o->dp.worker_core[0] = (uint16_t)number("--core", optarg, 0, 1023);
		return true;
	case OPT_NO_HUGE:
		o->dp.hugepages = PEN_HUGEPAGES_NO;
		return true;
	case OPT_MEMORY:
		o->dp.memory_mb = (uint32_t)number("--memory-mb", optarg, 16, 1e6);
		return true;
	case OPT_BUFFER:
		o->dp.buffer_mb = (uint32_t)number("--buffer-mb", optarg, 1, 1e6);
		return true;
	case OPT_TRUST:
		port->trust_rx_checksum = true;
		return true;
	case 'm':
		o->sink.max_connections = (uint32_t)number("-m", optarg, 1, 4e6);
		return true;
	case 'T':
		o->dp.rx_window = (uint32_t)number("-T", optarg, 1024, 1 << 29);
		return true;
	case OPT_SLOW_READ:
		o->sink.slow_read = (uint64_t)number("--slow-read", optarg, 1, 1e12);
		return true;
	default:
		return false;
	}
}

static bool server_option(struct sink_options *o, int c)
{
	struct pen_smtp_server_config *smtp = &o->sink.smtp;

	switch (c) {
	case 'h':
		smtp->hostname = optarg;
		return true;
	case 't':
		smtp->timeout = (pen_time_us)(number("-t", optarg, 0.1, 1e6) * 1e6);
		return true;
	case OPT_SIZE:
		smtp->max_size = (uint64_t)number("--size-limit", optarg, 1, 1e15);
		return true;
	case 'e':
		o->sink.no_esmtp = true;
		return true;
	case 'p':
		smtp->offer_pipelining = false;
		return true;
	case '8':
		smtp->offer_8bitmime = false;
		return true;
	case 'E':
		smtp->offer_enhanced = false;
		return true;
	case OPT_CERT:
		o->tls.cert_file = optarg;
		return true;
	case OPT_KEY:
		o->tls.key_file = optarg;
		return true;
	default:
		return false;
	}
}

static bool fault_option(struct sink_options *o, int c)
{
	switch (c) {
	case 'r':
		fault_list(o, optarg, FAULT_SOFT);
		return true;
	case 'f':
		fault_list(o, optarg, FAULT_HARD);
		return true;
	case 'q':
		fault_list(o, optarg, FAULT_DROP);
		return true;
	case 'Q':
		fault_list(o, optarg, FAULT_SHUTDOWN);
		return true;
	case 'b':
		set_reply(&o->sink.soft_reply, optarg, '4');
		return true;
	case 'B':
		set_reply(&o->sink.hard_reply, optarg, '5');
		return true;
	case 'W':
		if (!faults_parse_delay(&o->sink.faults, optarg))
			wrong("bad delay", optarg);
		return true;
	case 'w':
		delay_of(o, "DATA", optarg);
		return true;
	case 'H':
		o->sink.data_read_delay = (pen_time_us)(number("-H", optarg, 0, 86400) * 1e6);
		return true;
	case OPT_BREAK:
		o->sink.tls_break = true;
		return true;
	case OPT_SEED:
		o->sink.seed = strtoull(optarg, NULL, 0);
		return true;
	default:
		return false;
	}
}

static bool report_option(struct sink_options *o, int c)
{
	switch (c) {
	case 'c':
		o->counters = true;
		return true;
	case OPT_STATUS:
		o->status_file = optarg;
		return true;
	case OPT_JSON:
		o->json = true;
		return true;
	case OPT_STRICT:
		o->strict = true;
		return true;
	case OPT_LEDGER:
		o->sink.ledger = fopen(optarg, "we");
		if (o->sink.ledger == NULL)
			pen_fatal("--ledger %s: %s", optarg, strerror(errno));
		return true;
	case OPT_DUMP:
		o->sink.dump_dir = optarg;
		return true;
	case OPT_EXPECT:
		o->expect = (uint64_t)number("--expect", optarg, 1, 1e15);
		return true;
	case 'M':
		o->messages = (uint64_t)number("-M", optarg, 1, 1e15);
		return true;
	case 'n':
		o->sessions = (uint64_t)number("-n", optarg, 1, 1e15);
		return true;
	case OPT_DURATION:
		o->duration = number("--duration", optarg, 0, 1e9);
		return true;
	case OPT_HELP:
		fputs(usage, stdout);
		exit(0);
	default:
		return false;
	}
}

static void defaults(struct sink_options *o)
{
	memset(o, 0, sizeof(*o));
	pen_dataplane_config_init(&o->dp);
	o->dp.nports = 1;
	snprintf(o->dp.port[0].name, sizeof(o->dp.port[0].name), "sink");
	snprintf(o->dp.port[0].device, sizeof(o->dp.port[0].device),
		"net_memif0,role=server,id=0,socket=/run/penstock.sock");
	o->dp.port[0].prefix_bits = 24;
	o->sink = (struct sink_config){
		.port = 25,
		.max_connections = 1024,
		.soft_reply = "450 4.3.0 Error: command failed",
		.hard_reply = "500 5.3.0 Error: command failed",
		.seed = (uint64_t)pen_clock_wall(),
		.smtp = {.hostname = "penstock-sink",
			.banner = "ESMTP",
			.max_recipients = 1000,
			.timeout = 100 * PEN_US_PER_S,
			.offer_pipelining = true,
			.offer_8bitmime = true,
			.offer_size = true,
			.offer_enhanced = true},
	};
	o->tls.server = true;
	o->tls.session_tickets = true;
}

void sink_options_parse(struct sink_options *o, int argc, char **argv)
{
	static const char letters[] = "8b:B:ceEf:h:H:m:M:n:pq:Q:r:t:T:w:W:";

	defaults(o);
	for (int c; (c = getopt_long(argc, argv, letters, long_options, NULL)) != -1;) {
		if (!network_option(o, c) && !server_option(o, c) && !fault_option(o, c) &&
			!report_option(o, c)) {
			fputs(usage, stderr);
			exit(2);
		}
	}
	if (optind < argc)
		set_endpoint(o, argv[optind]);
	// A second argument is smtp-sink's backlog, which has no meaning here.
	if (argc - optind > 2)
		wrong("too many arguments", argv[optind + 2]);
	if ((o->tls.cert_file == NULL) != (o->tls.key_file == NULL))
		wrong("--tls-cert and --tls-key", "one goes with the other");
	o->sink.smtp.offer_starttls = o->tls.cert_file != NULL || o->sink.tls_break;
	o->dp.max_connections = o->sink.max_connections;
	if (o->dp.nsources == 0)
		o->source[o->dp.nsources++].addr = pen_addr_ip4(0x0a4d0002);
	for (uint32_t i = 0; i < o->dp.nsources; i++)
		snprintf(o->source[i].name, sizeof(o->source[i].name), "sink%u", i);
	o->dp.source = o->source;
}
