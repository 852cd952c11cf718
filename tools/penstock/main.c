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

static const struct verb verbs[] = {
	{NULL, "status", "", "what the daemon does: totals, queue, workers, spool", verb_status,
		"Shows version and uptime, what became of all recipients since the start,\n"
		"the queue's size, and the state of workers and spool.\n"},
	{NULL, "counters", "", "show every counter", verb_counters,
		"Shows all counters of the daemon since its start, a group and a name each:\n"
		"packets, segments, sessions, handshakes, lookups, and whatever was refused\n"
		"or dropped.\n"},
	{"queue", "list", "", "list the mail queue", verb_queue_list,
		"Lists every message as mailq does: * is being delivered, ! is on hold.\n"
		"With --json one object per line, with the names of postqueue -j.\n"},
	{"queue", "show", "ID", "show one message's envelope and fates", verb_queue_show,
		"Shows the envelope, each recipient's fate, attempts and last error.\n"},
	{"queue", "flush", "[ID]", "try deferred mail now", verb_queue_flush,
		"Makes all deferred mail, or one message, due at once. Limits still hold.\n"},
	{"queue", "delete", "ID...", "delete messages", verb_queue_delete,
		"Deletes messages by queue id; ALL deletes the whole queue, - reads ids\n"
		"from standard input. Senders are not told. Exit status 1 when an id is not\n"
		"in the queue.\n"},
	{"queue", "hold", "ID", "keep a message until it is released", verb_queue_hold,
		"The message stays in the queue and is not tried. What is being delivered\n"
		"ends as it ends.\n"},
	{"queue", "release", "ID", "let a held message go", verb_queue_release,
		"The message is tried at once; its lifetime still counts from its arrival.\n"},
	{"config", "check", "", "check the configuration", verb_config_check,
		"Reads main.cf and the files it names as the daemon does, and reports every\n"
		"fault with file and line. Needs no daemon. Exit status 1 when it is bad.\n"},
	{"config", "show", "[--non-default] [--expanded] [NAME...]", "show parameters",
		verb_config_show,
		"Shows parameters as \"name = value\", all or those named.\n"
		"  -n, --non-default  only those that main.cf sets\n"
		"  -x, --expanded     with $names replaced\n"},
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

// Options may stand anywhere; words stay in their order. False: usage.
static bool parse(struct cli *cli, int argc, char **argv)
{
	bool words_only = false;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		bool has_next = i + 1 < argc;
		if (words_only) {
			cli->argv[cli->argc++] = argv[i];
		} else if (strcmp(a, "--") == 0) {
			words_only = true;
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
	if (v->fn == verb_config_show || v->fn == verb_explain || v->fn == verb_tls_probe ||
		v->fn == verb_tlsrpt_list || v->fn == verb_tlsrpt_show || v->fn == verb_tlsrpt_send)
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
	char **words = calloc((size_t)argc + 1, sizeof(*words));
	int used, status;

	if (words == NULL)
		return EXIT_REFUSED;
	signal(SIGPIPE, SIG_DFL);
	cli.argv = words;
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
		status = stray_option(v, &cli) ? EXIT_USAGE : v->fn(&cli);
	}
	client_close();
	free(words);
	return status;
}
