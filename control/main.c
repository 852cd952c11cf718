// SPDX-License-Identifier: BSD-3-Clause

// penstockd: reads the configuration, brings up every part in the order in
// which they depend on each other, serves until it is told to stop.
//
// Privileges are needed for ports (EAL, raw sockets), low TCP ports and the
// folders of a fresh machine; they are dropped before any mail is touched.
//
// Diagnostics: a start that cannot succeed exits with 1 and names the file, the
// line and the fix. SIGTERM and SIGINT stop in order, SIGHUP reopens the log.

#include "daemon_policy.h"
#include "daemon_setup.h"
#include "pen_err.h"
#include "pen_gateway.h"
#include "pen_header_checks.h"
#include "pen_log.h"
#include "pen_tls.h"
#include "pen_wire_tls.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

PEN_LOG_TYPE("control.main");

#define SUBMISSION_LOOPS 1
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

static bool has_word(const char *list, const char *word)
{
	while (*(list += strspn(list, ", \t")) != '\0') {
		size_t n = strcspn(list, ", \t");
		if (pen_span_ieq(pen_span(list, n), pen_span_cstr(word)))
			return true;
		list += n;
	}
	return false;
}

static void bind_submission(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_submission_listen *listen = calloc(p->smtpd_listen.n + 1, sizeof(*listen));
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
		.loops = SUBMISSION_LOOPS,
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
		.smtputf8_autodetect = has_word(p->smtputf8_autodetect_classes, "smtpd") ||
				       has_word(p->smtputf8_autodetect_classes, "all"),
		.verp_clients = p->smtpd_authorized_verp_clients.item,
		.nverp_clients = (uint32_t)p->smtpd_authorized_verp_clients.n,
		.verp_filter = p->verp_delimiter_filter,
		.verp_delimiters = p->default_verp_delimiters,
		.suppression_drop = p->suppression_action == 1, // "reject|drop"
	};
	if (pen_submission_new(&cfg, &pen_intake_ops, g, &g->submission, &what) != 0)
		pen_fatal("%s", what);
	free(listen);
}

static struct pen_feedback_rate feedback(const char *name, const char *value)
{
	struct pen_feedback_rate rate;

	if (!pen_feedback_rate_parse(pen_span_cstr(value), &rate))
		pen_warning("%s = %s: give a number from 0 to 1, alone or as number/concurrency or "
			    "number/sqrt_concurrency; 1 is used",
			name, value);
	return rate;
}

static struct pen_sched_config sched_config(const struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_sched_config c;

	pen_sched_config_init(&c);
	snprintf(c.myhostname, sizeof(c.myhostname), "%s", p->myhostname);
	c.retry = (struct pen_retry_policy){
		.minimal_backoff_time = p->minimal_backoff_time,
		.maximal_backoff_time = p->maximal_backoff_time,
		.maximal_queue_lifetime = p->maximal_queue_lifetime,
		.bounce_queue_lifetime = p->bounce_queue_lifetime,
	};
	c.soft_bounce = p->soft_bounce;
	c.bounce_size_limit = (uint32_t)p->bounce_size_limit;
	c.concurrency_limit = (uint32_t)p->default_destination_concurrency_limit;
	c.initial_concurrency = (uint32_t)p->initial_destination_concurrency;
	c.recipient_limit = (uint32_t)p->default_destination_recipient_limit;
	c.connection_message_limit = (uint32_t)p->smtp_connection_reuse_count_limit;
	c.hold_dots = p->smtp_result_barrier;
	c.connection_age_limit = p->smtp_connection_reuse_time_limit;
	c.timeouts = pen_params_timeouts(p);
	c.rules = g->smtp_rules;
	c.tls_fallback_delay = p->smtp_tls_fallback_delay;
	c.shuffle_hosts = p->smtp_randomize_addresses;
	c.preempt = (struct pen_preempt_rules){
		.slot_cost = (uint32_t)p->default_delivery_slot_cost,
		.loan = (uint32_t)p->default_delivery_slot_loan,
		.discount = (uint32_t)p->default_delivery_slot_discount,
		.minimum = (uint32_t)p->default_minimum_delivery_slots,
	};
	c.redact_dsn = p->requiretls_redact_dsn;
	c.templates = pen_bounce_templates_get(g->config->bounce_templates);
	c.lmtp_assume_final = p->lmtp_assume_final;
	c.failed_cohort_limit = (uint32_t)p->default_destination_concurrency_failed_cohort_limit;
	c.positive_feedback = feedback("default_destination_concurrency_positive_feedback",
		p->default_destination_concurrency_positive_feedback);
	c.negative_feedback = feedback("default_destination_concurrency_negative_feedback",
		p->default_destination_concurrency_negative_feedback);
	c.notify_double_bounce =
		has_word(p->notify_classes, "bounce") || has_word(p->notify_classes, "2bounce");
	snprintf(c.error_notice_recipient, sizeof(c.error_notice_recipient), "%s",
		p->error_notice_recipient);
	c.workers = pen_dataplane_workers(g->dataplane);
	c.lease_limit = g->config->egress.dataplane.max_connections * c.workers;
	c.seed = (uint64_t)pen_clock_mono();
	return c;
}

static void make_scheduler(struct pen_gateway *g)
{
	const struct pen_dataplane_config *dp = &g->config->egress.dataplane;
	struct pen_sched_config c = sched_config(g);
	struct pen_sched_source *source = calloc(dp->nsources, sizeof(*source));

	for (uint32_t i = 0; i < dp->nsources; i++) {
		const char *helo = dp->source[i].helo;
		source[i].addr = dp->source[i].addr;
		snprintf(source[i].helo, sizeof(source[i].helo), "%s",
			helo[0] != '\0' ? helo : g->config->params.smtp_helo_name);
	}
	c.nsources = dp->nsources;
	c.source = source;
	g->zones = pen_zones_new(PEN_ZONES_FOLDER); // NULL: all is UTC
	g->sched = pen_sched_new(&c, &pen_queue_ops, g, pen_clock_mono(), pen_clock_wall());
	if (g->sched == NULL)
		pen_fatal("out of memory for the scheduler");
	free(source);
}

static void on_recovered(void *ctx, struct pen_message *m)
{
	struct pen_gateway *g = ctx;

	if (pen_sched_add(g->sched, m) != 0)
		pen_fatal("%s: cannot be queued: out of memory", m->queue_id);
}

static void open_spool(struct pen_gateway *g)
{
	const struct pen_params *p = &g->config->params;
	struct pen_spool_config cfg = {
		.directory = p->queue_directory,
		.max_bytes = (uint64_t)p->spool_size_limit,
		.ctx = g,
		.on_message = on_recovered,
		.on_problem = daemon_spool_problem,
	};
	char err[512];
	struct pen_spool_stats st;

	if (pen_spool_open(&cfg, &g->spool, err, sizeof(err)) != 0)
		pen_fatal("queue_directory: %s", err);
	pen_spool_stats(g->spool, &st);
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
	struct pen_maillog_config events = {.path = p->event_log_file, .raw = true};
	err = pen_maillog_open(&events, &g->events);
	if (err != 0)
		pen_fatal("event_log_file = %s: %s", p->event_log_file, strerror(-err));
}

static void load_filter(struct pen_gateway *g)
{
	const char *spec = g->config->params.header_checks;
	char err[512];

	if (*spec == '\0')
		return;
	g->headers = pen_header_hook_new(spec, SUBMISSION_LOOPS, err, sizeof(err));
	if (g->headers == NULL)
		pen_fatal("%s", err);
}

static void load_reply_classes(struct pen_gateway *g)
{
	char err[512];

	g->replies.classes = pen_reply_classes_load(NULL, err, sizeof(err));
	if (g->replies.classes == NULL)
		pen_fatal("%s", err);
	g->replies.scratch = pen_reply_scratch_new(g->replies.classes);
	if (g->replies.scratch == NULL)
		pen_fatal("out of memory for the reply classes");
}

static void start(struct pen_gateway *g)
{
	pen_inbox_init(&g->inbox);
	daemon_set_rules(g);
	g->started_at = pen_clock_mono();
	load_filter(g);
	load_reply_classes(g);
	open_log(g);
	daemon_make_folders(&g->config->params);
	start_ports(g);
	daemon_load_tls_policy(g);
	bind_submission(g);
	open_control(g); // its calls wait in the inbox until the queue thread runs
	daemon_drop_privileges(&g->config->params);
	daemon_open_policy(g);
	make_scheduler(g);
	open_spool(g);
	open_suppression(g);
	if (pen_dns_start(g->dns) != 0 || (g->tlsrpt != NULL && pen_tlsrpt_start(g->tlsrpt) != 0) ||
		pen_queue_thread_start(g) != 0 || pen_submission_start(g->submission) != 0)
		pen_fatal("cannot start a thread: %s", strerror(errno));
	daemon_log_to(g->maillog);
	pen_notice("penstockd " PENSTOCK_VERSION " is ready");
}

// The reverse of start: first nothing new comes in, then what is open ends.
static void stop(struct pen_gateway *g)
{
	pen_submission_stop(g->submission, STOP_GRACE);
	pen_queue_thread_stop(g, STOP_GRACE);
	pen_tlsrpt_free(g->tlsrpt); // waits for the spool and for DNS
	pen_spool_close(g->spool);
	pen_dns_free(g->dns);
	pen_sts_service_free(g->sts);
	// What was posted since the queue thread ended; all it touches is still there.
	pen_inbox_run(&g->inbox);
	pen_suppression_desk_stop(g); // answers what it was asked
	pen_control_free(g->control);
	g->control = NULL;
	pen_suppression_desk_free(g);
	pen_inbox_run(&g->inbox);
	pen_dataplane_stop(g->dataplane);
	pen_submission_free(g->submission);
	pen_suppression_close(g->suppression);
	pen_sched_free(g->sched);
	pen_notice("stopped");
	daemon_log_to(NULL);
	pen_maillog_close(g->maillog);
	pen_maillog_close(g->events);
	pen_tls_settings_free(g->tls_settings);
	pen_wire_tls_profiles_free(g->tls_profiles);
	tls_hosts_free(g->tls_hosts);
	pen_zones_free(g->zones);
	pen_header_hook_free(g->headers);
	pen_pattern_scratch_free(g->replies.scratch);
	pen_reply_classes_free(g->replies.classes);
}

static void serve(struct pen_gateway *g, const sigset_t *signals)
{
	for (int sig;;) {
		if (sigwait(signals, &sig) != 0)
			continue;
		if (sig != SIGHUP)
			return;
		pen_maillog_reopen(g->maillog);
		pen_maillog_reopen(g->events);
	}
}

int main(int argc, char **argv)
{
	static struct pen_gateway gateway;
	struct options o = parse_options(argc, argv);
	struct pen_config *config = daemon_load_config(o.directory);
	sigset_t signals;

	if (config == NULL)
		return 1;
	gateway.config = config;
	if (o.check) {
		load_filter(&gateway);
		pen_header_hook_free(gateway.headers);
		pen_config_free(config);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, NULL); // every thread inherits it
	start(&gateway);
	serve(&gateway, &signals);
	stop(&gateway);
	pen_config_free(config);
	return 0;
}
