// SPDX-License-Identifier: BSD-3-Clause

// Writes one notification of each kind into a folder, for a reader that was not
// written here (tests/net/test_dsn.py): dsn_sample FOLDER

#include "pen_dsn_message.h"

#include <stdio.h>

#define ORIGINAL                                                                                   \
	"From: alice@a.test\r\nSubject: %s\r\nMessage-ID: <1@a.test>\r\n\r\nsecret body\r\n"

static struct pen_dsn_rcpt list[4];

static void get(void *ctx, uint32_t i, struct pen_dsn_rcpt *out)
{
	(void)ctx;
	*out = list[i];
}

static struct pen_dsn_rcpt rcpt(const char *addr, unsigned klass, unsigned reply, const char *text)
{
	struct pen_dsn_rcpt r = {.addr = pen_span_cstr(addr)};

	pen_dsn_set(&r.dsn, klass, 1, 1, PEN_SCOPE_RECIPIENT,
		reply != 0 ? PEN_ORIGIN_PEER : PEN_ORIGIN_LOCAL, PEN_STAGE_RCPT, "%s", text);
	r.dsn.reply = (uint16_t)reply;
	if (reply != 0) {
		snprintf(r.relay, sizeof(r.relay), "mx.b.test[192.0.2.7]");
		r.mta_len = sizeof("mx.b.test") - 1;
	}
	return r;
}

static struct pen_dsn_report report(enum pen_dsn_kind kind, uint32_t n)
{
	return (struct pen_dsn_report){
		.hostname = "gw.test",
		.mailer_daemon = "MAILER-DAEMON",
		.queue_id = "4Zs1Bc2XyzzK7D",
		.kind = kind,
		.to = PEN_SPAN_LIT("alice@a.test"),
		.sender = PEN_SPAN_LIT("alice@a.test"),
		.envid = PEN_SPAN_LIT("QQ+2B7"),
		.arrival = 1795232580000000,
		.wall = 1795246980000000,
		.size_limit = 50000,
		.retry_until = 1795664580000000,
		.salt = 0x1234,
		.nrcpt = n,
		.rcpt = get,
	};
}

static int sample(
	const char *folder, const char *name, struct pen_dsn_report *r, const char *subject)
{
	struct pen_buf original = PEN_BUF_INIT, out = PEN_BUF_INIT;
	char path[600];
	bool eight;

	pen_buf_addf(&original, ORIGINAL, subject);
	r->original = pen_buf_span(&original);
	snprintf(path, sizeof(path), "%s/%s.eml", folder, name);
	FILE *f = fopen(path, "w");
	bool ok = f != NULL && pen_dsn_message_build(r, &out, &eight) == 0 &&
		  fwrite(out.p, 1, out.n, f) == out.n;
	if (f != NULL)
		ok = fclose(f) == 0 && ok;
	pen_buf_fini(&out);
	pen_buf_fini(&original);
	return ok ? 0 : 1;
}

int main(int argc, char **argv)
{
	int bad = 0;

	if (argc != 2) {
		fputs("usage: dsn_sample FOLDER\n", stderr);
		return 2;
	}
	list[0] = rcpt("bob@b.test", 5, 550, "550 5.1.1 no such user");
	list[0].orcpt = PEN_SPAN_LIT("rfc822;Robert+2Bx@b.test");
	list[1] = rcpt("eve@b.test", 4, 0, "connect to mx.b.test[192.0.2.7]:25: timed out");
	list[1].expired = true;
	list[1].doubts = 2;
	list[2] = rcpt("joe@c.test", 2, 250, "250 2.0.0 Ok");
	list[2].action = PEN_ACTION_RELAYED;
	list[3] = rcpt("lmtp@d.test", 2, 250, "250 2.1.5 Ok");
	list[3].action = PEN_ACTION_DELIVERED;
	struct pen_dsn_report r = report(PEN_DSN_FAILED, 4);
	bad += sample(argv[1], "mixed", &r, "mixed");
	r.headers_only = true;
	bad += sample(argv[1], "headers", &r, "headers");
	static const struct pen_dsn_templates templates = {
		.failure = {.charset = "utf-8",
			.from = "Postbote (Die Post)",
			.subject = "Nicht zugestellt",
			.text = "Das ging nicht: \xc3\xa4\r\n"}};
	r.templates = &templates;
	bad += sample(argv[1], "template", &r, "template");
	list[0] = rcpt("bob@b.test", 4, 450, "450 4.1.1 later");
	r = report(PEN_DSN_DELAYED, 2);
	bad += sample(argv[1], "delayed", &r, "delayed");
	list[0] = rcpt("bob@b.test", 2, 250, "250 2.0.0 Ok");
	r = report(PEN_DSN_RELAYED, 1);
	r.headers_only = true;
	bad += sample(argv[1], "relayed", &r, "relayed");
	list[0] = rcpt("j\xc3\xb6rg@b\xc3\xbc.test", 5, 550, "550 5.1.1 no such user");
	list[0].orcpt = PEN_SPAN_LIT("utf-8;J\\x{F6}rg@b.test");
	list[1] = rcpt("plain@b.test", 5, 550, "550 5.1.1 no such user");
	r = report(PEN_DSN_FAILED, 2);
	r.smtputf8 = true;
	bad += sample(argv[1], "global", &r, "gr\xc3\xbc\xc3\x9f");
	r.headers_only = true;
	bad += sample(argv[1], "global-headers", &r, "gr\xc3\xbc\xc3\x9f");
	list[0] = list[1];
	list[0].orcpt = PEN_SPAN_LIT("utf-8;J\\x{F6}rg@b.test");
	r = report(PEN_DSN_FAILED, 1);
	r.smtputf8 = true;
	bad += sample(argv[1], "utf8-plain", &r, "ascii");
	r = report(PEN_DSN_POSTMASTER, 1);
	r.sender = pen_span(NULL, 0);
	r.to = PEN_SPAN_LIT("postmaster@gw.test");
	bad += sample(argv[1], "postmaster", &r, "postmaster");
	return bad != 0;
}
