// SPDX-License-Identifier: BSD-3-Clause

// sendmail, mailq, newaliases: the commands that programs expect to find. Mail
// goes to the gateway over SMTP; the rest goes to penstock(1).

#include "sendmail.h"

#include "pen_tool_config.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
	bool extract, ignore_dot;
	const char *full_name, *sender, *directory, *target;
	struct requests requests;
	char mode; // 'm' send, 'p' list, 'q' flush, 'i' aliases
};

static _Noreturn void usage(const char *what)
{
	fprintf(stderr,
		"sendmail: %s\n"
		"usage: sendmail [-ti] [-f sender] [-F name] [-C dir] [-S host:port] [-N notify]\n"
		"                [-R full|hdrs] [-V envid] [-XV[delimiters]] [-O name=value]\n"
		"                [recipient ...]\n",
		what);
	exit(EX_USAGE);
}

static void set_mode(struct options *o, const char *arg)
{
	char text[64];

	if (strchr("mpi", arg[0]) == NULL || arg[0] == '\0' || arg[1] != '\0') {
		snprintf(text, sizeof(text), "-b%.20s is not supported", arg);
		usage(text);
	}
	o->mode = arg[0];
}

static void check(enum request_result result, const char *why)
{
	if (result == REQUEST_WRONG)
		usage(why);
	if (result == REQUEST_IGNORED)
		fprintf(stderr, "sendmail: warning: %s\n", why);
}

static void parse(struct options *o, int argc, char **argv)
{
	struct requests *r = &o->requests;
	char why[256];
	int c;

	while ((c = getopt(argc, argv, "A:B:C:F:GIL:N:O:R:S:UV:X:b:e:f:h:imno:p:q::r:tvx")) != -1) {
		switch (c) {
		case 'C':
			o->directory = optarg;
			break;
		case 'F':
			o->full_name = optarg;
			break;
		case 'I':
			o->mode = 'i';
			break;
		case 'N':
			check(request_notify(r, optarg, why, sizeof(why)), why);
			break;
		case 'O':
			check(request_option(r, optarg, why, sizeof(why)), why);
			break;
		case 'R':
			check(request_ret(r, optarg, why, sizeof(why)), why);
			break;
		case 'V':
			check(request_envid(r, optarg, why, sizeof(why)), why);
			break;
		case 'X':
			check(request_verp(r, optarg, why, sizeof(why)), why);
			break;
		case 'S':
			o->target = optarg;
			break;
		case 'b':
			set_mode(o, optarg);
			break;
		case 'f':
		case 'r':
			o->sender = optarg;
			break;
		case 'i':
			o->ignore_dot = true;
			break;
		case 'o':
			if (strcmp(optarg, "i") == 0)
				o->ignore_dot = true;
			break;
		case 'q':
			// -q15m belonged to daemons.
			if (optarg == NULL)
				o->mode = 'q';
			break;
		case 't':
			o->extract = true;
			break;
		case '?':
			usage("unknown option");
		default:
			break; // taken for compatibility, without a meaning here
		}
	}
}

// penstock stands beside this program, or in the path.
static _Noreturn void run_penstock(const struct options *o, const char *verb)
{
	char self[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (n > 0) {
		self[n] = '\0';
		char *slash = strrchr(self, '/');
		if (slash != NULL)
			*slash = '\0';
		snprintf(path, sizeof(path), "%s/penstock", self);
		execl(path, "penstock", "-c", o->directory, "queue", verb, (char *)NULL);
	}
	execlp("penstock", "penstock", "-c", o->directory, "queue", verb, (char *)NULL);
	fprintf(stderr, "sendmail: cannot run penstock: %s\n", strerror(errno));
	exit(EX_UNAVAILABLE);
}

// Postfix's commands are penstock's, by their names; it reads MAIL_CONFIG itself.
static _Noreturn void run_postfix(char **argv, const char *name)
{
	char self[4096], path[4200];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	argv[0] = (char *)(uintptr_t)name;
	if (n > 0) {
		self[n] = '\0';
		char *slash = strrchr(self, '/');
		if (slash != NULL)
			*slash = '\0';
		snprintf(path, sizeof(path), "%s/penstock", self);
		execv(path, argv);
	}
	execvp("penstock", argv);
	fprintf(stderr, "%s: cannot run penstock: %s\n", name, strerror(errno));
	exit(EX_UNAVAILABLE);
}

// Splits "host:port" or "[host]:port" in place.
static void split(char *text, const char **host, const char **port)
{
	char *colon = strrchr(text, ':');

	*host = text;
	*port = "25";
	if (text[0] == '[') {
		char *close = strchr(text, ']');
		if (close == NULL)
			usage("bad host");
		*close = '\0';
		*host = text + 1;
		colon = close[1] == ':' ? close + 1 : NULL;
	}
	if (colon != NULL) {
		*colon = '\0';
		*port = colon + 1;
	}
}

// Where the gateway listens, as its own clients reach it.
static void find_target(const struct options *o, char *text, size_t cap)
{
	const char *env = getenv("PENSTOCK_SUBMISSION");
	struct pen_params p;
	char ip[PEN_ADDR_STR_MAX];

	if (o->target != NULL || (env != NULL && *env != '\0')) {
		snprintf(text, cap, "%s", o->target != NULL ? o->target : env);
		return;
	}
	snprintf(text, cap, "127.0.0.1:25");
	if (pen_tool_params(o->directory, &p) == 0 && p.smtpd_listen.n > 0) {
		const struct pen_endpoint *e = &p.smtpd_listen.item[0];
		static const uint8_t any[16];
		bool wildcard = memcmp(e->addr.ip, any, sizeof(any)) == 0;
		bool v6 = e->addr.family == PEN_FAMILY_IP6;
		const char *host = pen_addr_str(&e->addr, ip);
		if (wildcard)
			host = v6 ? "::1" : "127.0.0.1";
		snprintf(text, cap, v6 ? "[%s]:%u" : "%s:%u", host, e->port);
	}
	pen_params_fini(&p);
}

static const char *bare(const char *addr, char *out, size_t cap)
{
	size_t n = strlen(addr);

	if (n >= 2 && addr[0] == '<' && addr[n - 1] == '>') {
		addr++;
		n -= 2;
	}
	snprintf(out, cap, "%.*s", (int)n, addr);
	if (strpbrk(out, "\r\n<>") != NULL || n >= cap)
		usage("bad address");
	return out;
}

// A message without From: gets one, as people expect of a local sendmail.
static void add_from(struct pen_buf *m, const struct options *o, const char *sender)
{
	struct pen_buf head = PEN_BUF_INIT;
	const char *name = o->full_name != NULL ? o->full_name : getenv("NAME");

	if (message_has_field(pen_buf_span(m), "From"))
		return;
	const char *addr = *sender != '\0' ? sender : "MAILER-DAEMON";
	if (name != NULL && *name != '\0') {
		pen_buf_add_cstr(&head, "From: \"");
		for (const char *c = name; *c != '\0'; c++) {
			if (*c == '"' || *c == '\\')
				pen_buf_add_cstr(&head, "\\");
			if (*c != '\r' && *c != '\n')
				pen_buf_add(&head, c, 1);
		}
		pen_buf_addf(&head, "\" <%s>\r\n", addr);
	} else {
		pen_buf_addf(&head, "From: %s\r\n", addr);
	}
	// A message without any field needs the empty line that ends ours.
	struct pen_span text = pen_buf_span(m);
	ptrdiff_t colon = pen_span_find(text, ':'), lf = pen_span_find(text, '\n');
	bool field =
		colon > 0 && (lf < 0 || colon < lf) && memchr(text.p, ' ', (size_t)colon) == NULL;
	bool empty = text.n >= 2 && text.p[0] == '\r' && text.p[1] == '\n';
	if (!field && !empty)
		pen_buf_add_cstr(&head, "\r\n");
	pen_buf_add(&head, m->p, m->n);
	pen_buf_fini(m);
	*m = head;
}

// The gateway is asked in plaintext, where the REQUIRETLS parameter of MAIL does not
// exist: a field of the header says it instead.
static void add_requiretls(struct pen_buf *m, const struct options *o)
{
	struct pen_params p;

	if (o->requests.requiretls != REQUEST_YES)
		return;
	bool on = pen_tool_params(o->directory, &p) != 0 ||
		  (p.requiretls_enable && p.requiretls_esmtp_header);
	pen_params_fini(&p);
	if (!on)
		fprintf(stderr, "sendmail: warning: -O requiretls=yes: main.cf says "
				"requiretls_enable = no or "
				"requiretls_esmtp_header = no: ignored\n");
	else if (!message_field_is(pen_buf_span(m), "Require-TLS-ESMTP", "yes"))
		message_add_field(m, "Require-TLS-ESMTP: yes\r\n");
}

static bool has_class(const char *list, const char *word)
{
	struct pen_span rest = pen_span_cstr(list);

	while (rest.n > 0) {
		size_t n = strcspn((const char *)rest.p, ", \t");
		if (n > rest.n)
			n = rest.n;
		if (pen_span_ieq(pen_span(rest.p, n), pen_span_cstr(word)))
			return true;
		rest = pen_span_from(rest, n + 1);
	}
	return false;
}

static bool is_ascii(struct pen_span s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] > 127)
			return false;
	}
	return true;
}

// A program that knows nothing of SMTPUTF8 may still need it: smtputf8_autodetect_classes.
static void detect_utf8(
	struct options *o, const struct pen_buf *m, const char *sender, const struct addresses *to)
{
	bool plain = is_ascii(message_header(pen_buf_span(m))) && is_ascii(pen_span_cstr(sender));
	struct pen_params p;

	for (size_t i = 0; plain && i < to->n; i++)
		plain = is_ascii(pen_span_cstr(to->item[i]));
	if (plain || o->requests.smtputf8 != REQUEST_UNSET)
		return;
	bool known = pen_tool_params(o->directory, &p) == 0;
	if (!known ||
		(p.smtputf8_enable && (has_class(p.smtputf8_autodetect_classes, "sendmail") ||
					      has_class(p.smtputf8_autodetect_classes, "all"))))
		o->requests.smtputf8 = REQUEST_FOUND;
	pen_params_fini(&p);
}

static const char *login(void)
{
	struct passwd *pw = getpwuid(getuid());

	return pw != NULL ? pw->pw_name : "nobody";
}

static int deliver(struct options *o, struct addresses *to)
{
	struct pen_buf m = PEN_BUF_INIT;
	char sender[320], target[320], why[512];
	int err = message_read(STDIN_FILENO, !o->ignore_dot, &m);

	if (err != 0) {
		fprintf(stderr, "sendmail: cannot read the message: %s\n", strerror(-err));
		return err == -EMSGSIZE ? EX_DATAERR : EX_TEMPFAIL;
	}
	if (o->extract && message_recipients(&m, to, why, sizeof(why)) != 0) {
		fprintf(stderr, "sendmail: %s\n", why);
		return EX_DATAERR;
	}
	if (to->n == 0) {
		fprintf(stderr, "sendmail: no recipient: name them, or use -t\n");
		return EX_USAGE;
	}
	bare(o->sender != NULL ? o->sender : login(), sender, sizeof(sender));
	add_from(&m, o, sender);
	add_requiretls(&m, o);
	detect_utf8(o, &m, sender, to);
	find_target(o, target, sizeof(target));
	struct submission s = {
		.sender = sender, .to = to, .content = pen_buf_span(&m), .requests = &o->requests};
	split(target, &s.host, &s.port);
	err = m.failed ? EX_TEMPFAIL : submit(&s, why, sizeof(why));
	if (err != EX_OK)
		fprintf(stderr, "sendmail: %s\n", m.failed ? "out of memory" : why);
	pen_buf_fini(&m);
	return err;
}

int main(int argc, char **argv)
{
	struct options o = {.directory = PEN_TOOL_CONFIG_DIR, .mode = 'm'};
	const char *name = strrchr(argv[0], '/');
	const char *env = getenv("MAIL_CONFIG");
	struct addresses to = {0};
	char addr[1024];

	name = name != NULL ? name + 1 : argv[0];
	if (strcmp(name, "postqueue") == 0 || strcmp(name, "postsuper") == 0 ||
		strcmp(name, "qshape") == 0)
		run_postfix(argv, name);
	if (strcmp(name, "mailq") == 0)
		o.mode = 'p';
	else if (strcmp(name, "newaliases") == 0)
		o.mode = 'i';
	if (env != NULL && *env != '\0')
		o.directory = env;
	parse(&o, argc, argv);
	if (o.mode == 'p')
		run_penstock(&o, "list");
	if (o.mode == 'q')
		run_penstock(&o, "flush");
	if (o.mode == 'i')
		return EX_OK; // there are no aliases to build: a gateway has no mailboxes
	for (int i = optind; i < argc; i++) {
		bare(argv[i], addr, sizeof(addr));
		if (*addr == '\0' || !addresses_add(&to, pen_span_cstr(addr)))
			usage("bad recipient");
	}
	int err = deliver(&o, &to);
	addresses_free(&to);
	return err;
}
