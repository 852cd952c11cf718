// SPDX-License-Identifier: BSD-3-Clause

// penstock: the control command. Finds the verb, and leaves the rest to it.

#include "penstock.h"

#include "pen_tool_config.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

struct verb {
	const char *group, *name; // group NULL: one word
	const char *args, *what;
	int (*fn)(struct cli *cli);
	const char *more; // for --help
};

#define SELECTORS                                                                                  \
	"  --site NAME        messages for a site, as site list names it, or one of its hosts\n"   \
	"  --domain NAME      for recipients of a domain\n"                                        \
	"  --tenant NAME, --campaign NAME, --pool NAME\n"                                          \
	"  --sender ADDRESS   <> is the null sender\n"                                             \
	"  --recipient ADDRESS\n"                                                                  \
	"  --older-than TIME  since arrival: 90s, 10min, 1h, 2d\n"                                 \
	"  --state LIST       active, waiting, deferred, hold, scheduled, bouncing\n"              \
	"  --in-doubt         perhaps delivered: the final dot was never answered\n"               \
	"  --id ID            one message\n"
#define CHOICE                                                                                     \
	"Give queue ids (- reads them from standard input), or conditions, all of which\n"         \
	"must hold; without any, --everything is needed.\n" SELECTORS                              \
	"  --everything       the whole queue\n"                                                   \
	"  --dry-run          only say how many messages it would be\n"

static const struct verb verbs[] = {
	{NULL, "status", "", "what the daemon does: totals, queue, workers, spool", verb_status,
		"Shows version and uptime, what needs attention (lines with !), what became of\n"
		"all recipients since the start, the queue's size, and the state of workers and\n"
		"spool.\n"},
	{NULL, "counters", "", "show every counter", verb_counters,
		"Shows all counters of the daemon since its start, a group and a name each:\n"
		"packets, segments, sessions, handshakes, lookups, and whatever was refused\n"
		"or dropped.\n"},
	{NULL, "why", "ID", "why a message does not move", verb_why,
		"Says in one sentence what holds a message: which limit or state, who set it,\n"
		"until when. With --json also as code, holder and until.\n"},
	{"queue", "list", "[CONDITIONS] [--limit N] [--sort ORDER] [--count]",
		"list the mail queue", verb_queue_list,
		"Lists every message as mailq does: * is being delivered, ! is on hold, # is to\n"
		"expire. With --json one object per line, with the names of postqueue "
		"-j.\n" SELECTORS "  --limit N          at most so many\n"
		"  --sort ORDER       the first of oldest, newest, largest or next (to be tried);\n"
		"                     100 without --limit\n"
		"  --count            only say how many there are\n"},
	{"queue", "show", "ID", "show one message's envelope and fates", verb_queue_show,
		"Shows the envelope, each recipient's fate, attempts and last error.\n"},
	{"queue", "flush", "[ID]", "try deferred mail now", verb_queue_flush,
		"Makes all deferred mail, or one message, due at once, and sites that could not\n"
		"be reached are tried again. Limits still hold.\n"},
	{"queue", "hold", "ID...|CONDITIONS", "keep messages until they are released",
		verb_queue_hold,
		"The messages stay in the queue and are not tried. What is being delivered\n"
		"ends as it ends.\n" CHOICE},
	{"queue", "release", "ID...|CONDITIONS", "let held messages go", verb_queue_release,
		"The messages are tried at once; their lifetime still counts from their "
		"arrival.\n" CHOICE},
	{"queue", "requeue", "ID...|CONDITIONS", "route messages anew", verb_queue_requeue,
		"Looks up route, hosts and policy again, from the start. What is being delivered\n"
		"ends as it ends.\n" CHOICE},
	{"queue", "retry", "ID...|CONDITIONS", "make messages due now", verb_queue_retry,
		"Makes the next attempt now instead of at its time. Limits still hold.\n" CHOICE},
	{"queue", "delete", "ID...|CONDITIONS", "delete messages", verb_queue_delete,
		"Deletes messages; ALL is the whole queue. Senders are not told. Conditions on\n"
		"addresses touch only the recipients that meet them. Exit status 1 when an id\n"
		"is not in the queue.\n" CHOICE},
	{"queue", "bounce", "ID...|CONDITIONS --reason TEXT", "return messages to their senders",
		verb_queue_bounce,
		"Ends the delivery of messages, with a notification to their senders.\n" CHOICE
		"  --reason TEXT      what the notification says\n"},
	{"queue", "expire", "ID...|CONDITIONS", "end the lifetime of messages", verb_queue_expire,
		"Returns messages as if they had been in the queue for too long.\n" CHOICE},
	{"queue", "move", "ID...|CONDITIONS --pool P|--route R", "send messages another way",
		verb_queue_move,
		"Gives messages another egress pool, or another route.\n" CHOICE
		"  --pool P           the new pool (--from-pool is the condition here)\n"
		"  --route R          the new route, as transport:nexthop: "
		"smtp:[mx.example.com]:25\n"},
	{NULL, "mailq", "", "the queue as Postfix's mailq shows it", verb_mailq, ""},
	{NULL, "postqueue", "-p|-j|-f|-i ID|-s SITE", "as Postfix's postqueue", verb_postqueue, ""},
	{NULL, "postsuper", "-d|-e|-f|-h|-H|-r ID|ALL|- [QUEUE...]", "as Postfix's postsuper",
		verb_postsuper, ""},
	{NULL, "qshape", "[-s] [-p] [-l] [-b N] [-t MIN] [QUEUE...]", "as Postfix's qshape",
		verb_qshape, ""},
	{"site", "list", "[PART] [--sort ORDER] [--provider P] [--dead] [--blocked] [--limit N]",
		"list where mail goes", verb_site_list,
		"Lists sites (hosts that share limits): mail that waits and that is on its way,\n"
		"connections and how many there may be, results, and what holds the rest.\n"
		"  PART           only names that contain it\n"
		"  --sort ORDER   queued (the default), connections, delivered, deferred, name\n"
		"  --provider P   only of a provider\n"
		"  --dead         only those that cannot be reached\n"
		"  --blocked      only those that something holds\n"
		"  --limit N      at most so many (50)\n"},
	{"site", "show", "NAME", "show a site and its limits", verb_site_show,
		"Shows each limit that holds for a site: who set it, what is used of it, and when\n"
		"the next connection or message may begin; suspensions; and the site's parts,\n"
		"with the hosts that do not answer: from which source, and until when.\n"},
	{"suspend", "list", "", "list what is suspended", verb_suspend_list,
		"Lists what operators and rules hold back, until when and why.\n"},
	{NULL, "suspend", "SCOPE NAME --reason TEXT [--for TIME] [--at SITE]",
		"hold back mail of or for something", verb_suspend,
		"SCOPE is site, domain, tenant, campaign or source. What is being delivered ends\n"
		"as it ends; the rest waits. A domain is that of recipients, wherever they go.\n"
		"  --reason TEXT  why, for those who look later\n"
		"  --for TIME     90s, 10min, 1h, 2d; without it until it is resumed\n"
		"  --at SITE      only at a site or provider (tenant, campaign, source)\n"},
	{NULL, "resume", "SCOPE NAME|NUMBER [--at SITE]", "end a suspension", verb_resume,
		"Ends a suspension by what it holds or by its number in suspend list. For a site,\n"
		"what rules set (back-off, limits) ends, too.\n"
		"  --at SITE      only the suspension at this site or provider\n"},
	{"source", "list", "", "list local addresses", verb_source_list,
		"Lists sources: address, name in EHLO, limits, suspensions.\n"},
	{"pool", "list", "[CONDITIONS]", "list egress pools and their mail", verb_pool_list,
		"Lists pools: their sources with weights, limits, and the mail that "
		"waits.\n" SELECTORS "  --limit N          at most so many\n"},
	{"tenant", "list", "[CONDITIONS]", "list tenants and their mail", verb_tenant_list,
		"Lists tenants by the mail that waits: recipients queued and in flight, messages\n"
		"deferred and on hold, weight and limits.\n" SELECTORS
		"  --limit N          at most so many\n"},
	{"campaign", "list", "[CONDITIONS]", "list campaigns and their mail", verb_campaign_list,
		"The same for campaigns, as TENANT/CAMPAIGN.\n" SELECTORS
		"  --limit N          at most so many\n"},
	{NULL, "audit", "[--offline] [--spool DIR] [--events FILE...] [--limit N]",
		"prove that no mail was lost", verb_audit,
		"Compares the spool with the event log, recipient by recipient: accepted = queued\n"
		"+ in doubt + delivered + bounced + expired + deleted. Names each record that\n"
		"breaks it. Exit status 1 when there is one.\n"
		"  --offline          read the spool itself; no daemon may have it\n"
		"  --spool DIR        that spool, offline (default: queue_directory)\n"
		"  --events FILE      an event log (default: event_log_file); again for each\n"
		"                     rotated one\n"
		"  --limit N          name at most so many records of each kind (20)\n"},
	{"config", "check", "", "check the configuration", verb_config_check,
		"Reads main.cf and the files it names as the daemon does, and reports every\n"
		"fault with file and line. Needs no daemon. Exit status 1 when it is bad.\n"},
	{"config", "show", "[--non-default] [--expanded] [NAME...]", "show parameters",
		verb_config_show,
		"Shows parameters as \"name = value\", all or those named.\n"
		"  -n, --non-default  only those that main.cf sets\n"
		"  -x, --expanded     with $names replaced\n"},
	{NULL, "reload", "[--check]", "read the configuration again", verb_reload,
		"The daemon reads main.cf and egress.conf. With a fault anywhere nothing\n"
		"changes and every fault is shown with file and line. Else what can change\n"
		"at run time does, and what needs a restart is named.\n"
		"  --check   only say what would happen\n"},
	{"spool", "check", "[DIR]", "verify the spool on disk", verb_spool_check,
		"Verifies every record, batch and footer of the spool, and the index that a\n"
		"start would build, and counts messages and recipients by fate. Reads only.\n"
		"Needs no daemon; while one runs, what it is writing is left out. DIR is\n"
		"queue_directory unless it is named. Exit status 1 when something is wrong.\n"},
	{NULL, "explain", "ADDRESS [--sender S] [--requiretls] [--tls-optional]",
		"show where mail would go, and why", verb_explain,
		"Performs the whole decision for a recipient without sending: route, hosts\n"
		"with their DNSSEC status, TLSA records, MTA-STS, the TLS level and the rule\n"
		"that set it, and what each failure of TLS would lead to.\n"
		"  --sender S       the sender of the mail\n"
		"  --requiretls     for mail with REQUIRETLS (RFC 8689)\n"
		"  --tls-optional   for mail with the header TLS-Required: no\n"},
	{"tls", "probe", "DESTINATION [--requiretls]", "try TLS with a host, without mail",
		verb_tls_probe,
		"Connects to a domain's hosts, or to [host]:port, as mail would, and shows the\n"
		"protocol, the cipher, the certificates and whether they are what the policy\n"
		"demands. A second connection shows whether the session can be resumed.\n"
		"  --requiretls   for mail with REQUIRETLS (RFC 8689)\n"},
	{"tlsrpt", "list", "", "list TLS reports", verb_tlsrpt_list,
		"Lists what is counted today for domains that ask for TLS reports (RFC 8460),\n"
		"the reports that wait to be sent, and those sent in the last 30 days.\n"},
	{"tlsrpt", "show", "DOMAIN [--day DAY]", "show a TLS report", verb_tlsrpt_show,
		"Shows the report for a domain as JSON.\n"
		"  --day DAY   of that day: 2026-11-21, today (the default: so far) or "
		"yesterday\n"},
	{"tlsrpt", "send", "[DOMAIN] [--day DAY]", "send TLS reports now", verb_tlsrpt_send,
		"Sends what waits, without its delay; of one domain or day if named.\n"
		"  --day DAY   2026-11-21, yesterday, or today: the counts so far, which go on\n"},
	{"suppression", "add", "ADDRESS [--tenant T] [--reason R] [--source S]",
		"send no mail to an address or domain", verb_suppression_add,
		"Suppresses user@domain, @domain (everybody there) or .domain (its subdomains),\n"
		"for everybody or for the mail of one tenant.\n"
		"  --tenant T   only for this tenant\n"
		"  --reason R   a few words that senders are told\n"
		"  --source S   operator (the default), bounce, complaint or import\n"},
	{"suppression", "remove", "ADDRESS [--tenant T]", "take an address off the list",
		verb_suppression_remove,
		"Exit status 1 when it is not on the list.\n"
		"  --tenant T   from this tenant's list\n"},
	{"suppression", "check", "ADDRESS [--tenant T]", "is an address suppressed?",
		verb_suppression_check,
		"Shows the entry that suppresses an address, or \"not suppressed\".\n"
		"  --tenant T   for mail of this tenant\n"},
	{"suppression", "list", "[--tenant T]", "show the suppression list", verb_suppression_list,
		"Shows all entries; with --json one object per line.\n"
		"  --tenant T   only this tenant's; \"\" for those that hold for everybody\n"},
	{"suppression", "export", "[FILE] [--tenant T] [--format csv|json]",
		"write the suppression list to a file", verb_suppression_export,
		"Writes CSV with the columns address, reason, source, since and tenant, or one\n"
		"JSON object per line; to standard output without a FILE.\n"
		"  --tenant T       only this tenant's\n"
		"  --format FORMAT  csv or json; by default what the name of the file ends in\n"},
	{"suppression", "import", "FILE [--tenant T] [--reason R] [--source S] [--format F]",
		"read a suppression list from a file", verb_suppression_import,
		"Reads what export writes, or one address per line; - is standard input. Entries\n"
		"that are there are replaced. The first bad line ends it, and what came before\n"
		"stays. Options are for entries that do not say it themselves.\n"
		"  --tenant T       whose list\n"
		"  --reason R       a few words that senders are told\n"
		"  --source S       import (the default), bounce, complaint or operator\n"
		"  --format FORMAT  csv or json; by default what the name of the file ends in\n"
		"  --skip-bad       pass over bad lines; exit status 1 when there were any\n"},
	{NULL, "stop", "", "stop the daemon", verb_stop,
		"Asks the daemon to finish: no more mail is accepted, deliveries under way\n"
		"end, the queue stays on disk.\n"},
};

#define VERBS (sizeof(verbs) / sizeof(verbs[0]))

static void print_usage(FILE *out)
{
	fputs("usage: penstock [-c DIR] [--socket PATH] VERB [--json] ...\n\n", out);
	for (size_t i = 0; i < VERBS; i++) {
		char left[80];
		snprintf(left, sizeof(left), "%s%s%s %.20s",
			verbs[i].group != NULL ? verbs[i].group : "",
			verbs[i].group != NULL ? " " : "", verbs[i].name,
			strlen(verbs[i].args) < 20 ? verbs[i].args : "[...]");
		fprintf(out, "  %-22s %s\n", left, verbs[i].what);
	}
	fputs("\n"
	      "  -c DIR         configuration directory (" PEN_TOOL_CONFIG_DIR ")\n"
	      "  --socket PATH  control socket (control_socket in main.cf)\n"
	      "  --json         for programs\n"
	      "  --help         this, or a verb's own help\n"
	      "\n"
	      "Exit status: 0 done, 1 refused, 2 usage, 3 the daemon cannot be reached.\n",
		out);
}

static void print_help(const struct verb *v)
{
	printf("usage: penstock [-c DIR] [--socket PATH] %s%s%s%s%s [--json]\n\n%s",
		v->group != NULL ? v->group : "", v->group != NULL ? " " : "", v->name,
		*v->args != '\0' ? " " : "", v->args, v->more);
}

static const struct verb *find_verb(int argc, char **argv, int *used)
{
	for (size_t i = 0; i < VERBS; i++) {
		const struct verb *v = &verbs[i];
		*used = v->group != NULL ? 2 : 1;
		if (argc < *used)
			continue;
		if (v->group != NULL && strcmp(argv[0], v->group) != 0)
			continue;
		if (strcmp(argv[*used - 1], v->name) == 0)
			return v;
	}
	return NULL;
}

// Postfix's commands, by the name that this one was called by, or as a verb: their
// letters are their own.
static bool is_postfix(const char *word)
{
	static const char *const names[] = {"mailq", "postqueue", "postsuper", "qshape"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i], word) == 0)
			return true;
	}
	return false;
}

// Options may stand anywhere; words stay in their order. False: usage.
static bool parse(struct cli *cli, int argc, char **argv)
{
	bool words_only = false;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		bool has_next = i + 1 < argc;
		bool raw = cli->argc > 0 && is_postfix(cli->argv[0]) && strcmp(a, "--help") != 0;
		if (words_only || raw) {
			cli->argv[cli->argc++] = argv[i];
		} else if (strcmp(a, "--") == 0) {
			words_only = true;
			cli->fixed = cli->argc + 1;
		} else if (strcmp(a, "-c") == 0 && has_next) {
			cli->directory = argv[++i];
		} else if (strcmp(a, "--socket") == 0 && has_next) {
			cli->socket = argv[++i];
		} else if (strncmp(a, "--socket=", 9) == 0) {
			cli->socket = a + 9;
		} else if (strcmp(a, "--json") == 0) {
			cli->json = true;
		} else if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
			cli->help = true;
		} else if (strcmp(a, "-c") == 0 || strcmp(a, "--socket") == 0) {
			fprintf(stderr, "penstock: %s wants a value\n", a);
			return false;
		} else {
			cli->argv[cli->argc++] = argv[i];
		}
	}
	return true;
}

// Options that no verb knows; some verbs have their own.
static bool stray_option(const struct verb *v, const struct cli *cli)
{
	static int (*const plain[])(struct cli *) = {verb_status, verb_counters, verb_why,
		verb_queue_show, verb_queue_flush, verb_site_show, verb_suspend_list,
		verb_source_list, verb_config_check, verb_stop};
	bool found = false;

	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		found = found || plain[i] == v->fn;
	if (!found)
		return false;
	if (v->group != NULL && strcmp(v->group, "suppression") == 0)
		return false;
	for (int i = 0; i < cli->argc; i++) {
		if (cli->argv[i][0] == '-' && cli->argv[i][1] != '\0') {
			fprintf(stderr, "penstock: %s: unknown option\nTry --help.\n",
				cli->argv[i]);
			return true;
		}
	}
	return false;
}

int main(int argc, char **argv)
{
	struct cli cli = {.directory = PEN_TOOL_CONFIG_DIR};
	char **words = calloc((size_t)argc + 2, sizeof(*words));
	int used, status;

	if (words == NULL)
		return EXIT_REFUSED;
	signal(SIGPIPE, SIG_DFL);
	cli.argv = words;
	const char *slash = strrchr(argv[0], '/');
	const char *name = slash != NULL ? slash + 1 : argv[0];
	const char *env = getenv("MAIL_CONFIG");
	if (is_postfix(name)) {
		words[cli.argc++] = (char *)(uintptr_t)name;
		if (env != NULL && *env != '\0')
			cli.directory = env;
	}
	if (!parse(&cli, argc, argv)) {
		free(words);
		return EXIT_USAGE;
	}
	const struct verb *v = find_verb(cli.argc, cli.argv, &used);
	if (v == NULL && cli.help) {
		print_usage(stdout);
		status = EXIT_OK;
	} else if (v == NULL) {
		if (cli.argc > 0)
			fprintf(stderr, "penstock: unknown verb: %s%s%s\n\n", cli.argv[0],
				cli.argc > 1 ? " " : "", cli.argc > 1 ? cli.argv[1] : "");
		print_usage(stderr);
		status = EXIT_USAGE;
	} else if (cli.help) {
		print_help(v);
		status = EXIT_OK;
	} else {
		cli.argv += used;
		cli.argc -= used;
		if (cli.fixed != 0)
			cli.fixed = cli.fixed > used ? cli.fixed - used : 1;
		status = stray_option(v, &cli) ? EXIT_USAGE : v->fn(&cli);
	}
	client_close();
	free(words);
	return status;
}
