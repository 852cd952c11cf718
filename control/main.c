// SPDX-License-Identifier: BSD-3-Clause

// penstockd: reads the configuration, brings up every part in the order in
// which they depend on each other, serves until it is told to stop.
//
// Privileges are needed for ports (EAL, raw sockets), low TCP ports and the
// folders of a fresh machine; they are dropped before any mail is touched.
//
// Diagnostics: a start that cannot succeed exits with 1 and names the file, the
// line and the fix. SIGTERM and SIGINT stop in order, SIGHUP reopens the log and
// reads the configuration again.

#include "daemon_policy.h"
#include "daemon_setup.h"
#include "pen_err.h"
#include "pen_gateway.h"
#include "pen_log.h"
#include "pen_pattern_image.h"
#include "pen_rand.h"
#include "pen_reply_rules.h"
#include "pen_sasl_params.h"
#include "pen_shipped_image.h"
#include "pen_tls.h"
#include "pen_wire_tls.h"

#include <errno.h>
#include <getopt.h>
#include <jemalloc/jemalloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.main");

#define STOP_GRACE (10 * PEN_US_PER_S)

static void usage(FILE *out)
{
	fputs("usage: penstockd [-c DIR] [--check]\n"
	      "\n"
	      "The Penstock outbound mail gateway. Runs in the foreground.\n"
	      "\n"
	      "  -c DIR     configuration directory with main.cf and egress.conf\n"
	      "             (default /etc/penstock)\n"
	      "  --check    check the configuration and exit\n"
	      "  --version  print the version\n"
	      "  --help     this text\n",
		out);
}

struct options {
	const char *directory;
	bool check;
};

static struct options parse_options(int argc, char **argv)
{
	static const struct option longs[] = {{"check", no_argument, NULL, 'k'},
		{"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'}, {0}};
	struct options o = {.directory = "/etc/penstock"};

	for (int c; (c = getopt_long(argc, argv, "c:h", longs, NULL)) != -1;) {
		switch (c) {
		case 'c':
			o.directory = optarg;
			break;
		case 'k':
			o.check = true;
			break;
		case 'V':
			puts("penstockd " PENSTOCK_VERSION);
			exit(0);
		case 'h':
			usage(stdout);
			exit(0);
		default:
			usage(stderr);
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "penstockd: unexpected argument: %s\n", argv[optind]);
		usage(stderr);
		exit(2);
	}
	return o;
}

static void start_ports(struct pen_gateway *g)
{
	static struct pen_session_tls session_tls;
	static struct pen_tls_ctx_config tls;
	struct pen_dataplane_config cfg = g->config->egress.dataplane;
	char err[512];

	tls.trust = PEN_TLS_TRUST_NONE;
	if (pen_wire_tls_init(&session_tls, &tls) != 0)
		pen_fatal("TLS cannot be initialised");
	cfg.tls = &session_tls;
	g->dataplane = pen_dataplane_start(&cfg, err, sizeof(err), daemon_note, NULL);
	if (g->dataplane == NULL)
		pen_fatal("%s", err);
}

// The values were checked when the configuration was read.
static void set_auth(const struct pen_params *p, struct pen_submission_config *cfg,
	struct pen_sasl_server *server)
{
	struct pen_span bad;

	if (!p->smtpd_sasl_auth_enable || !pen_sasl_server_parse(p, server))
		return;
	cfg->auth_server = server;
	pen_sasl_options_parse(p->smtpd_sasl_security_options, &cfg->auth_options, &bad);
	pen_sasl_options_parse(p->smtpd_sasl_tls_security_options, &cfg->auth_tls_options, &bad);
	cfg->auth_tls_only = p->smtpd_tls_auth_only;
	cfg->auth_header = p->smtpd_sasl_authenticated_header;
}

static void bind_submission(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_submission_listen *listen = calloc(p->smtpd_listen.n + 1, sizeof(*listen));
	struct pen_sasl_server auth_server;
	const char *what;

	for (size_t i = 0; i < p->smtpd_listen.n; i++)
		listen[i] = (struct pen_submission_listen){
			p->smtpd_listen.item[i].addr, p->smtpd_listen.item[i].port};
	// The parameter is the whole greeting; submission writes the host name itself.
	const char *banner = p->smtpd_banner;
	size_t host = strlen(p->myhostname);
	if (strncmp(banner, p->myhostname, host) == 0 && banner[host] == ' ')
		banner += host + 1;
	struct pen_submission_config cfg = {
		.listen = listen,
		.nlisten = (uint32_t)p->smtpd_listen.n,
		.mynetworks = p->mynetworks.item,
		.nmynetworks = (uint32_t)p->mynetworks.n,
		.hostname = p->myhostname,
		.banner = banner,
		.mail_name = p->mail_name,
		.myorigin = p->myorigin,
		.message_size_limit = (uint64_t)p->message_size_limit,
		.recipient_limit = (uint32_t)p->smtpd_recipient_limit,
		.soft_error_limit = (uint32_t)p->smtpd_soft_error_limit,
		.hard_error_limit = (uint32_t)p->smtpd_hard_error_limit,
		.hopcount_limit = (uint32_t)p->hopcount_limit,
		.timeout = p->smtpd_timeout,
		.max_connections = 4096,
		.client_connections = (uint32_t)p->smtpd_client_connection_count_limit,
		.max_in_flight = 512u << 20,
		.loops = PEN_SUBMISSION_LOOPS,
		.maillog = g->maillog,
		.tls = (enum pen_submission_tls)p->smtpd_tls_security_level,
		.tls_cert_file = p->smtpd_tls_cert_file,
		.tls_key_file = p->smtpd_tls_key_file,
		.tls_loglevel = (uint32_t)p->smtpd_tls_loglevel,
		.requiretls = p->requiretls_enable,
		.requiretls_header = p->requiretls_esmtp_header,
		.tls_required = p->tls_required_enable,
		.in_flow_delay = p->in_flow_delay,
		.header_size_limit = (uint64_t)p->header_size_limit,
		.reject_nul = p->reject_nul_bytes,
		.smtputf8 = p->smtputf8_enable,
		.smtputf8_autodetect =
			pen_param_has_word(p->smtputf8_autodetect_classes, "smtpd") ||
			pen_param_has_word(p->smtputf8_autodetect_classes, "all"),
		.verp_clients = p->smtpd_authorized_verp_clients.item,
		.nverp_clients = (uint32_t)p->smtpd_authorized_verp_clients.n,
		.verp_filter = p->verp_delimiter_filter,
		.verp_delimiters = p->default_verp_delimiters,
		.suppression_drop = p->suppression_action == 1, // "reject|drop"
	};
	set_auth(p, &cfg, &auth_server);
	if (pen_submission_new(&cfg, &pen_intake_ops, g, &g->submission, &what) != 0)
		pen_fatal("%s", what);
	free(listen);
}

// The scheduler owns nothing of it; config is ours until the threads start.
static void make_shape(struct pen_gateway *g)
{
	struct pen_shape_config *cfg = pen_egress_take_shape(&g->live->config->egress);

	pen_rand_secret(&cfg->hash_seed, sizeof(cfg->hash_seed));
	g->pools = pen_pools_new(cfg);
	g->shape = pen_shape_new(cfg, pen_clock_mono(), pen_clock_wall());
	if (g->pools == NULL || g->shape == NULL ||
		pen_shape_state_open(g, g->boot->params.queue_directory) != 0)
		pen_fatal("out of memory for shaping");
}

static void make_scheduler(struct pen_gateway *g)
{
	const struct pen_dataplane_config *dp = &g->config->egress.dataplane;
	struct pen_sched_transport transport[2];
	struct pen_sched_config c;
	struct pen_sched_source *source = calloc(dp->nsources, sizeof(*source));

	for (uint32_t i = 0; i < dp->nsources; i++) {
		const char *helo = dp->source[i].helo;
		source[i].addr = dp->source[i].addr;
		snprintf(source[i].helo, sizeof(source[i].helo), "%s",
			helo[0] != '\0' ? helo : g->config->params.smtp_helo_name);
	}
	pen_gateway_sched_config(g->config, transport, &c);
	c.rules = g->smtp_rules;
	c.workers = pen_dataplane_workers(g->dataplane);
	c.lease_limit = dp->max_connections * c.workers;
	c.seed = (uint64_t)pen_clock_mono();
	c.shape = g->shape;
	c.nsources = dp->nsources;
	c.source = source;
	g->zones = pen_zones_new(PEN_ZONES_FOLDER); // NULL: all is UTC
	g->sched = pen_sched_new(&c, &pen_queue_ops, g, pen_clock_mono(), pen_clock_wall());
	if (g->sched == NULL)
		pen_fatal("out of memory for the scheduler");
	free(source);
}

// What the spool holds, in its order, linked by `sched`. The scheduler gets it when the
// spool is open, as it may want to store something at once: a notification, an end.
struct recovered {
	struct pen_message *first, **last;
};

static void on_recovered(void *ctx, struct pen_message *m)
{
	struct pen_gateway *g = ctx;
	struct recovered *r = g->recovered;

	m->sched = NULL;
	*r->last = m;
	r->last = (struct pen_message **)&m->sched;
}

static void add_recovered(struct pen_gateway *g, struct recovered *r)
{
	for (struct pen_message *m, *next = r->first; (m = next) != NULL;) {
		next = m->sched;
		m->sched = NULL;
		if (pen_sched_add(g->sched, m) != 0)
			pen_fatal("%s: cannot be queued: out of memory", PEN_QUEUE_ID(m));
	}
	g->recovered = NULL;
}

static void open_spool(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_spool_config cfg = {
		.directory = p->queue_directory,
		.max_bytes = (uint64_t)p->spool_size_limit,
		.segment_bytes = (uint64_t)p->spool_segment_size,
		.ctx = g,
		.on_message = on_recovered,
		.on_problem = daemon_spool_problem,
		.before_commit = pen_accept_log_before,
		.after_commit = pen_accept_log_after,
	};
	char err[512];
	struct pen_spool_stats st;

	if (pen_accept_log_new(g) != 0)
		pen_fatal("out of memory for the event log");
	struct recovered found = {.last = &found.first};
	g->recovered = &found;
	if (pen_spool_open(&cfg, &g->spool, err, sizeof(err)) != 0)
		pen_fatal("queue_directory: %s", err);
	add_recovered(g, &found);
	pen_spool_stats(g->spool, &st);
	pen_event_daemon(g, "Start", st.live);
	if (st.live > 0)
		pen_notice("found %llu messages in the spool", (unsigned long long)st.live);
}

static void open_suppression(struct pen_gateway *g)
{
	char folder[4096], err[4400];

	snprintf(folder, sizeof(folder), "%s/suppression", g->config->params.queue_directory);
	if (pen_suppression_open(folder, 0, &g->suppression, err, sizeof(err)) != 0)
		pen_fatal("queue_directory: %s", err);
	int failed = pen_suppression_desk_start(g);
	if (failed != 0)
		pen_fatal("cannot start a thread: %s", strerror(-failed));
}

static void open_control(struct pen_gateway *g)
{
	struct pen_control_config cfg = {.path = g->config->params.control_socket};
	int err = pen_control_new(&cfg, &g->control);

	if (err == 0)
		err = pen_verbs_register(g);
	if (err == 0)
		err = pen_control_start(g->control);
	if (err != 0)
		pen_fatal("control_socket = %s: %s%s", cfg.path, strerror(-err),
			err == -EADDRINUSE ? ": another penstockd is running" : "");
}

static void open_log(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	char host[256];
	size_t label = strcspn(p->myhostname, ".");

	snprintf(host, sizeof(host), "%.*s", (int)label, p->myhostname);
	// In the order of the names in pen_params.def.
	static const int facility[] = {2, 1, 3, 4, 16, 17, 18, 19, 20, 21, 22, 23};
	struct pen_maillog_config cfg = {.path = p->maillog_file,
		.name = p->syslog_name,
		.host = host,
		.facility = facility[p->syslog_facility]};
	int err = pen_maillog_open(&cfg, &g->maillog);
	if (err != 0)
		pen_fatal("maillog_file = %s: %s", p->maillog_file, strerror(-err));
	if (p->event_log_file[0] == '\0')
		return;
	struct pen_events_config events = {.path = p->event_log_file, .sync = p->event_log_sync};
	err = pen_events_open(&events, &g->events);
	if (err != 0)
		pen_fatal("event_log_file = %s: %s", p->event_log_file, strerror(-err));
}

static void load_reply_rules(struct pen_gateway *g)
{
	char err[512];

	pen_pattern_image_use(pen_shipped_image());
	struct pen_reply_rules *rules = pen_reply_rules_new(
		NULL, g->config->egress_file, g->config->egress.shape, err, sizeof(err));

	if (rules == NULL)
		pen_fatal("%s", err);
	struct pen_match_set *set = pen_match_set_new(rules);
	g->match = set != NULL ? pen_match_new(set) : NULL;
	if (g->match == NULL)
		pen_fatal("out of memory for the reply classes");
}

static void start(struct pen_gateway *g)
{
	pen_inbox_init(&g->inbox);
	daemon_set_rules(g);
	g->started_at = pen_clock_mono();
	load_reply_rules(g);
	open_log(g);
	daemon_make_folders(&g->config->params);
	start_ports(g);
	daemon_load_tls_policy(g);
	bind_submission(g);
	open_control(g); // its calls wait in the inbox until the queue thread runs
	daemon_drop_privileges(&g->config->params);
	daemon_open_policy(g);
	make_shape(g);
	make_scheduler(g);
	open_spool(g);
	open_suppression(g);
	if (pen_dns_start(g->dns) != 0 || (g->tlsrpt != NULL && pen_tlsrpt_start(g->tlsrpt) != 0) ||
		pen_shape_state_start(g) != 0 || pen_queue_thread_start(g) != 0 ||
		pen_submission_start(g->submission) != 0)
		pen_fatal("cannot start a thread: %s", strerror(errno));
	daemon_log_to(g->maillog);
	pen_notice("penstockd " PENSTOCK_VERSION " is ready");
}

// The reverse of start: first nothing new comes in, then what is open ends.
static void stop(struct pen_gateway *g)
{
	struct pen_spool_stats st;

	pen_submission_stop(g->submission, STOP_GRACE);
	pen_queue_thread_stop(g, STOP_GRACE);
	pen_shape_state_stop(g);
	pen_tlsrpt_free(g->tlsrpt); // waits for the spool and for DNS
	pen_spool_stats(g->spool, &st);
	pen_spool_close(g->spool);
	pen_event_daemon(g, "Stop", st.live);
	pen_accept_log_free(g);
	pen_dns_free(g->dns);
	pen_sts_service_free(g->sts);
	// What was posted since the queue thread ended; all it touches is still there.
	pen_inbox_run(&g->inbox);
	pen_suppression_desk_stop(g); // answers what it was asked
	pen_reload_fini(g);
	pen_control_free(g->control);
	g->control = NULL;
	pen_suppression_desk_free(g);
	pen_inbox_run(&g->inbox);
	pen_dataplane_stop(g->dataplane);
	pen_submission_free(g->submission);
	pen_suppression_close(g->suppression);
	pen_sched_free(g->sched);
	pen_shape_state_free(g);
	pen_shape_free(g->shape);
	free(g->pools);
	pen_notice("stopped");
	daemon_log_to(NULL);
	pen_maillog_close(g->maillog);
	pen_events_close(g->events);
	pen_tls_settings_free(g->tls_settings);
	pen_wire_tls_profiles_free(g->tls_profiles);
	tls_hosts_free(g->tls_hosts);
	pen_zones_free(g->zones);
	pen_match_free(g->match);
}

// The allocator gives freed memory back to the system while its arena is used. One whose
// burst is over would keep it: this looks at all of them.
static void give_memory_back(void)
{
	size_t mib[3], n = 3;

	if (mallctlnametomib("arena.0.decay", mib, &n) != 0)
		return;
	mib[1] = MALLCTL_ARENAS_ALL;
	mallctlbymib(mib, n, NULL, NULL, NULL, 0);
}

static void serve(struct pen_gateway *g, const sigset_t *signals)
{
	static const struct timespec period = {.tv_sec = 5};

	for (;;) {
		int sig = sigtimedwait(signals, NULL, &period);
		if (sig < 0) {
			if (errno == EAGAIN)
				give_memory_back();
			continue;
		}
		if (sig != SIGHUP && sig != PEN_RELOAD_SIGNAL)
			return;
		if (sig == SIGHUP) {
			pen_maillog_reopen(g->maillog);
			pen_events_reopen(g->events);
		}
		pen_reload_serve(g, sig == SIGHUP);
	}
}

// What starts with the first configuration may point into it until the end: the caller has a
// reference of its own.
static struct pen_live *hold_config(struct pen_gateway *g, struct pen_config *config)
{
	char err[512];
	struct pen_live *boot = pen_live_new(config, err, sizeof(err));

	if (boot == NULL)
		pen_fatal("%s", err);
	pthread_mutex_init(&g->lock, NULL);
	g->main_thread = pthread_self();
	g->boot = config;
	pen_live_set(g, boot);
	return pen_live_get(g);
}

int main(int argc, char **argv)
{
	static struct pen_gateway gateway;
	struct options o = parse_options(argc, argv);
	struct pen_config *config = daemon_load_config(o.directory);
	sigset_t signals;

	if (config == NULL)
		return 1;
	if (o.check) {
		pen_config_free(config);
		return 0;
	}
	struct pen_live *boot = hold_config(&gateway, config);
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, PEN_RELOAD_SIGNAL);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); // every thread inherits it
	start(&gateway);
	serve(&gateway, &signals);
	stop(&gateway);
	gateway.boot = NULL;
	pen_live_put(&gateway, boot);
	pen_live_fini(&gateway);
	return 0;
}
