// SPDX-License-Identifier: BSD-3-Clause
#include "pen_dsn_message.h"
#include "pen_test.h"

static const struct pen_dsn_rcpt *failed_list;

static void get_failed(void *ctx, uint32_t i, struct pen_dsn_rcpt *out)
{
	(void)ctx;
	*out = failed_list[i];
}

static struct pen_dsn_rcpt refused(const char *addr, const char *text)
{
	struct pen_dsn_rcpt f = {.addr = pen_span_cstr(addr)};

	pen_dsn_set(
		&f.dsn, 5, 1, 1, PEN_SCOPE_RECIPIENT, PEN_ORIGIN_PEER, PEN_STAGE_RCPT, "%s", text);
	f.dsn.reply = 550;
	snprintf(f.relay, sizeof(f.relay), "mx.b.test[192.0.2.7]");
	f.mta_len = sizeof("mx.b.test") - 1;
	return f;
}

static struct pen_dsn_report report_for(
	const struct pen_dsn_rcpt *f, uint32_t n, const char *original)
{
	failed_list = f;
	return (struct pen_dsn_report){
		.hostname = "gw.test",
		.mailer_daemon = "MAILER-DAEMON",
		.queue_id = "3ZkQ",
		.to = PEN_SPAN_LIT("alice@a.test"),
		.sender = PEN_SPAN_LIT("alice@a.test"),
		.arrival = 1795232580000000,
		.wall = 1795232590000000,
		.original = pen_span_cstr(original),
		.size_limit = 50000,
		.salt = 0x1234,
		.nrcpt = n,
		.rcpt = get_failed,
	};
}

static char *build(const struct pen_dsn_report *r, bool *eight_bit)
{
	struct pen_buf b = PEN_BUF_INIT;

	assert_int_equal(pen_dsn_message_build(r, &b, eight_bit), 0);
	pen_buf_add(&b, "", 1);
	assert_false(b.failed);
	return (char *)b.p;
}

// What must hold for any notification: lines end in CRLF and are short enough,
// the header section and the parts are well-formed.
struct parts {
	char boundary[128];
	uint32_t n;
	char *part[8]; // header and body of each
};

static void parse(char *text, struct parts *p)
{
	memset(p, 0, sizeof(*p));
	for (const char *line = text; *line != '\0';) {
		const char *nl = strchr(line, '\n');
		assert_non_null(nl);
		assert_true(nl > line && nl[-1] == '\r');
		assert_true(nl - line <= 999);
		line = nl + 1;
	}
	char *at = strstr(text, "boundary=\"");
	assert_non_null(at);
	assert_true(at < strstr(text, "\r\n\r\n"));
	sscanf(at, "boundary=\"%127[^\"]\"", p->boundary);
	assert_true(strlen(p->boundary) > 8 && strlen(p->boundary) <= 70); // RFC 2046
	char delimiter[160];
	snprintf(delimiter, sizeof(delimiter), "\r\n--%s", p->boundary);
	at = strstr(text, delimiter);
	while (at != NULL) {
		char *body = at + strlen(delimiter);
		*at = '\0';
		if (strncmp(body, "--\r\n", 4) == 0) {
			assert_string_equal(body, "--\r\n");
			return;
		}
		assert_memory_equal(body, "\r\n", 2);
		assert_true(p->n < 8);
		p->part[p->n++] = body + 2;
		at = strstr(body, delimiter);
	}
	fail_msg("no closing boundary");
}

static void has(const char *text, const char *piece)
{
	assert_non_null(text);
	if (strstr(text, piece) == NULL)
		fail_msg("\"%s\" is not in:\n%s", piece, text);
}

static uint32_t count(const char *text, const char *piece)
{
	uint32_t n = 0;

	for (const char *at = text; (at = strstr(at, piece)) != NULL; at++)
		n++;
	return n;
}

static void a_bounce_has_the_three_parts_of_a_report(void **state)
{
	static const char original[] = "From: alice@a.test\r\nSubject: hi\r\n\r\n.dot\r\nbye\r\n";
	struct pen_dsn_rcpt f[2] = {refused("bob@b.test", "550 5.1.1 no such user here"),
		refused("eve@b.test", "550 5.1.1 no")};
	struct parts p;
	bool eight_bit;

	(void)state;
	pen_dsn_set(&f[1].dsn, 4, 4, 1, PEN_SCOPE_SITE, PEN_ORIGIN_LOCAL, PEN_STAGE_CONNECT,
		"connect to mx.b.test[192.0.2.7]:25: Connection timed out");
	f[1].relay[0] = '\0';
	f[1].mta_len = 0;
	f[1].expired = true;
	struct pen_dsn_report r = report_for(f, 2, original);
	char *text = build(&r, &eight_bit);
	assert_false(eight_bit);
	parse(text, &p);
	has(text, "Date: Sat, 21 Nov 2026 ");
	has(text, "\r\nFrom: Mail Delivery System <MAILER-DAEMON@gw.test>\r\n");
	has(text, "\r\nTo: <alice@a.test>\r\n");
	has(text, "\r\nSubject: Undelivered Mail Returned to Sender\r\n");
	has(text, "\r\nAuto-Submitted: auto-replied\r\n");
	has(text, "\r\nMIME-Version: 1.0\r\n");
	has(text, "\r\nMessage-ID: <3ZkQ.0000000000001234@gw.test>\r\n");
	has(text,
		"\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary=");
	assert_int_equal(p.n, 3);
	has(p.part[0], "Content-Type: text/plain");
	has(p.part[0], "<bob@b.test>:\r\n    host mx.b.test[192.0.2.7] said: 550 5.1.1");
	has(p.part[0], "The time for delivery is over.");
	has(p.part[1],
		"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; gw.test\r\n");
	has(p.part[1], "\r\nX-Penstock-Queue-ID: 3ZkQ\r\n");
	has(p.part[1], "\r\nX-Penstock-Sender: rfc822; alice@a.test\r\n");
	has(p.part[1], "\r\nArrival-Date: Sat, 21 Nov 2026 ");
	has(p.part[1], "\r\n\r\nOriginal-Recipient: rfc822; bob@b.test\r\n"
		       "Final-Recipient: rfc822; bob@b.test\r\nAction: failed\r\n"
		       "Status: 5.1.1\r\nRemote-MTA: dns; mx.b.test\r\n"
		       "Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n");
	has(p.part[1], "\r\n\r\nOriginal-Recipient: rfc822; eve@b.test\r\n"
		       "Final-Recipient: rfc822; eve@b.test\r\nAction: failed\r\n"
		       "Status: 4.4.1\r\nDiagnostic-Code: X-Penstock; connect to");
	// The original follows byte for byte.
	const char *body = strstr(p.part[2], "\r\n\r\n");
	has(p.part[2], "Content-Type: message/rfc822\r\n");
	assert_non_null(body);
	assert_string_equal(body + 4, original);
	free(text);
}

static void what_the_sender_gave_is_returned_decoded(void **state)
{
	struct pen_dsn_rcpt f[2] = {
		refused("bob@b.test", "550 no"), refused("eve@b.test", "550 no")};
	struct pen_dsn_report r = report_for(f, 2, "Subject: hi\r\n\r\nbye\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	r.envid = PEN_SPAN_LIT("QQ+2B1+3D2+zz+2");
	f[0].orcpt = PEN_SPAN_LIT("rfc822;Robert+2Bx@b.test");
	f[1].orcpt = PEN_SPAN_LIT("no type");
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	has(p.part[1], "\r\n\r\nOriginal-Envelope-Id: QQ+1=2+zz+2\r\nReporting-MTA: dns;");
	has(p.part[1], "\r\nOriginal-Recipient: rfc822; Robert+x@b.test\r\n"
		       "Final-Recipient: rfc822; bob@b.test\r\n");
	has(p.part[1], "\r\nOriginal-Recipient: rfc822; eve@b.test\r\n");
	free(text);
}

static void a_redacted_notification_has_no_body(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	struct pen_dsn_report r = report_for(&f, 1, "Subject: hi\r\n\r\nsecret\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	r.headers_only = true;
	char *text = build(&r, &eight_bit);
	assert_null(strstr(text, "secret"));
	assert_null(strstr(text, "TLS-Required"));
	parse(text, &p);
	has(p.part[2], "Content-Type: text/rfc822-headers\r\n\r\nSubject: hi\r\n");
	free(text);
}

static void tls_required_no_is_passed_on(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	struct pen_dsn_report r = report_for(&f, 1, "Subject: hi\r\n\r\nbye\r\n");
	bool eight_bit;

	(void)state;
	r.tls_optional = true;
	char *text = build(&r, &eight_bit);
	char *at = strstr(text, "\r\nTLS-Required: no\r\n");
	assert_non_null(at);
	assert_true(at < strstr(text, "\r\n\r\n"));
	free(text);
}

static void success_is_reported_as_relayed(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "250 2.0.0 Ok");
	struct pen_dsn_report r = report_for(&f, 1, "Subject: hi\r\n\r\nbye\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	pen_dsn_set(&f.dsn, 2, 0, 0, PEN_SCOPE_MESSAGE, PEN_ORIGIN_PEER, PEN_STAGE_DOT,
		"250 2.0.0 Ok: queued");
	f.dsn.reply = 250;
	r.kind = PEN_DSN_RELAYED;
	r.headers_only = true;
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	has(text, "\r\nSubject: Successful Mail Delivery Report\r\n");
	has(p.part[1], "\r\nAction: relayed\r\nStatus: 2.0.0\r\nRemote-MTA: dns; mx.b.test\r\n"
		       "Diagnostic-Code: smtp; 250 2.0.0 Ok: queued\r\n");
	assert_null(strstr(text, "Undelivered"));
	free(text);
}

static void a_delay_says_until_when_and_never_takes_the_body_along(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "450 4.2.0 later");
	struct pen_dsn_report r = report_for(&f, 1, "Subject: hi\r\n\r\nsecret\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	f.dsn.klass = 4;
	f.dsn.reply = 450;
	r.kind = PEN_DSN_DELAYED;
	r.retry_until = 1795664580000000;
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	has(text, "\r\nSubject: Delayed Mail (still being retried)\r\n");
	has(p.part[0], "nothing needs to be sent again");
	has(p.part[0], "It will be given up after Thu, 26 Nov 2026 ");
	has(p.part[1], "\r\nAction: delayed\r\nStatus: 4.1.1\r\n");
	has(p.part[1], "\r\nWill-Retry-Until: Thu, 26 Nov 2026 ");
	has(p.part[2], "Content-Type: text/rfc822-headers\r\n");
	assert_null(strstr(text, "secret"));
	free(text);
	r.kind = PEN_DSN_POSTMASTER_DELAYED;
	r.to = PEN_SPAN_LIT("postmaster@gw.test");
	text = build(&r, &eight_bit);
	parse(text, &p);
	has(p.part[0], "A message of the sender below is late. The sender was told.");
	has(p.part[1], "\r\nAction: delayed\r\n");
	free(text);
}

static void one_notification_may_tell_of_several_fates(void **state)
{
	struct pen_dsn_rcpt f[3] = {refused("ok@b.test", "250 2.0.0 Ok"),
		refused("bob@b.test", "550 no"), refused("box@b.test", "250 2.0.0 Ok")};
	struct pen_dsn_report r = report_for(f, 3, "Subject: hi\r\n\r\nb\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	f[0].action = PEN_ACTION_RELAYED;
	f[2].action = PEN_ACTION_DELIVERED;
	f[1].doubts = 1;
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	// For people the failure stands first; for programs the order stays.
	assert_true(strstr(p.part[0], "<bob@b.test>") < strstr(p.part[0], "<ok@b.test>"));
	has(p.part[0], "It may have arrived all the same");
	assert_int_equal(count(p.part[0], "It may have arrived"), 1);
	assert_true(strstr(p.part[1], "Action: relayed") < strstr(p.part[1], "Action: failed"));
	assert_true(strstr(p.part[1], "Action: failed") < strstr(p.part[1], "Action: delivered"));
	has(p.part[1], "\r\nX-Penstock-In-Doubt: 1\r\n");
	assert_int_equal(count(p.part[1], "X-Penstock-In-Doubt"), 1);
	free(text);
}

static void an_operators_text_replaces_ours(void **state)
{
	static const struct pen_dsn_templates templates = {
		.failure = {.charset = "utf-8",
			.from = "Postbote@post.test (Die Post)",
			.subject = "Nicht zugestellt",
			.postmaster_subject = "Kopie",
			.text = "Es ging nicht: \xc3\xa4\r\n"},
		.delay = {.from = "\"Late, very\" <late>"}};
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	struct pen_dsn_report r = report_for(&f, 1, "Subject: hi\r\n\r\nb\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	r.templates = &templates;
	char *text = build(&r, &eight_bit);
	assert_true(eight_bit);
	parse(text, &p);
	has(text, "\r\nFrom: Die Post <Postbote@post.test>\r\n");
	has(text, "\r\nSubject: Nicht zugestellt\r\n");
	has(p.part[0], "Content-Type: text/plain; charset=utf-8\r\n"
		       "Content-Transfer-Encoding: 8bit\r\n\r\nEs ging nicht: \xc3\xa4\r\n");
	has(p.part[0], "<bob@b.test>:");
	free(text);
	// The postmaster reads our own words.
	r.kind = PEN_DSN_POSTMASTER;
	text = build(&r, &eight_bit);
	parse(text, &p);
	has(text, "\r\nSubject: Kopie\r\n");
	has(p.part[0], "Nobody else is told.");
	free(text);
	r.kind = PEN_DSN_DELAYED;
	text = build(&r, &eight_bit);
	has(text, "\r\nFrom: \"Late, very\" <late@gw.test>\r\n");
	has(text, "\r\nSubject: Delayed Mail (still being retried)\r\n");
	free(text);
}

static void smtputf8_mail_gets_the_form_of_rfc_6533_when_it_needs_it(void **state)
{
	struct pen_dsn_rcpt f[2] = {
		refused("j\xc3\xb6rg@b.test", "550 no"), refused("bob@b.test", "550 no")};
	struct pen_dsn_report r = report_for(f, 2, "Subject: hi\r\n\r\nb\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	f[0].orcpt = PEN_SPAN_LIT("utf-8;J\\x{F6}rg+2B\\x{1F600}\\x{zz}@b.test");
	r.smtputf8 = true;
	char *text = build(&r, &eight_bit);
	assert_true(eight_bit);
	parse(text, &p);
	has(text, "report-type=global-delivery-status;");
	has(p.part[0], "<j\xc3\xb6rg@b.test>:");
	has(p.part[1], "Content-Type: message/global-delivery-status\r\n"
		       "Content-Transfer-Encoding: 8bit\r\n\r\n");
	has(p.part[1],
		"\r\nOriginal-Recipient: utf-8; J\xc3\xb6rg+\xf0\x9f\x98\x80\\x{zz}@b.test\r\n"
		"Final-Recipient: utf-8; j\xc3\xb6rg@b.test\r\n");
	has(p.part[1], "\r\nFinal-Recipient: rfc822; bob@b.test\r\n");
	has(p.part[2], "Content-Type: message/global\r\n");
	free(text);
	r.headers_only = true;
	text = build(&r, &eight_bit);
	parse(text, &p);
	has(p.part[2], "Content-Type: message/global-headers\r\n");
	free(text);
	// All of it ASCII: the plain form, with what RFC 6533 has for it.
	f[0].addr = PEN_SPAN_LIT("eve@b.test");
	text = build(&r, &eight_bit);
	assert_false(eight_bit);
	parse(text, &p);
	has(text, "report-type=delivery-status;");
	has(p.part[1], "Original-Recipient: utf-8; J\\x{F6}rg+\\x{1F600}\\x{zz}@b.test\r\n");
	free(text);
	// Without SMTPUTF8 nothing beyond ASCII gets out, whatever came in.
	f[0].addr = PEN_SPAN_LIT("j\xc3\xb6rg@b.test");
	r.smtputf8 = false;
	text = build(&r, &eight_bit);
	assert_false(eight_bit);
	has(text, "rfc822; j??rg@b.test");
	free(text);
	// Bytes that are no UTF-8, and controls, are replaced there too.
	r.smtputf8 = true;
	f[0].addr = PEN_SPAN_LIT("\xc3\x28\xe2\x80\xa8\xc2\x85\xed\xa0\x80\xc3\xb6\r\n@b.test");
	text = build(&r, &eight_bit);
	has(text, "utf-8; ?(????????\xc3\xb6??@b.test");
	free(text);
}

static void a_large_original_comes_as_its_header(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	char original[400] = "Subject: hi\r\nX-Long: yes\r\n\r\n";
	struct parts p;
	bool eight_bit;

	(void)state;
	for (int i = 0; i < 10; i++)
		strcat(original, "secret body line\r\n");
	struct pen_dsn_report r = report_for(&f, 1, original);
	r.size_limit = 60;
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	assert_int_equal(p.n, 3);
	has(p.part[2], "Content-Type: text/rfc822-headers\r\n\r\nSubject: hi\r\nX-Long: yes\r\n");
	assert_null(strstr(p.part[2], "secret"));
	free(text);
	// Even a header is cut at the limit, at a line end.
	r.size_limit = 20;
	text = build(&r, &eight_bit);
	parse(text, &p);
	has(p.part[2], "Subject: hi\r\n");
	assert_null(strstr(p.part[2], "X-Long"));
	free(text);
}

static void eight_bit_originals_are_marked(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	struct pen_dsn_report r = report_for(&f, 1, "Subject: x\r\n\r\nna\xc3\xafve\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	char *text = build(&r, &eight_bit);
	assert_true(eight_bit);
	parse(text, &p);
	assert_int_equal(count(text, "Content-Transfer-Encoding: 8bit\r\n"), 1);
	assert_int_equal(count(p.part[2], "Content-Transfer-Encoding: 8bit\r\n"), 1);
	free(text);
}

static void an_unreadable_original_is_left_out(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	struct pen_dsn_report r = report_for(&f, 1, "");
	struct parts p;
	bool eight_bit;

	(void)state;
	r.original = pen_span(NULL, 0);
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	assert_int_equal(p.n, 2);
	has(p.part[0], "could no longer be read");
	free(text);
}

static void the_boundary_avoids_the_original(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "550 no");
	// Exactly what the first choice would be, as a forged end of the report.
	struct pen_dsn_report r = report_for(&f, 1,
		"Subject: x\r\n\r\n--=_3ZkQ.0000000000001234--\r\n--=_3ZkQ.0000000000001234\r\n");
	struct parts p;
	bool eight_bit;

	(void)state;
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	assert_int_equal(p.n, 3);
	assert_string_not_equal(p.boundary, "=_3ZkQ.0000000000001234");
	has(p.part[2], "--=_3ZkQ.0000000000001234--\r\n");
	free(text);
}

// Bytes that pen_dsn_set would have replaced, as if a parser had let them by.
static void hostile_text_cannot_add_lines_or_parts(void **state)
{
	struct pen_dsn_rcpt f =
		refused("x\r\nBcc: victim@c.test\r\n\r\n<html>@b.test", "placeholder");
	struct parts p;
	bool eight_bit;

	(void)state;
	static const char evil[] = "550 no\r\nFinal-Recipient: rfc822; forged@c.test\r\n\r\n"
				   "--=_3ZkQ\r\n\xff\xfe tail";
	memcpy(f.dsn.text, evil, sizeof(evil));
	f.dsn.text_len = sizeof(evil) - 1;
	snprintf(f.relay, sizeof(f.relay), "mx\r\nEvil: yes[192.0.2.7]");
	f.mta_len = 13;
	struct pen_dsn_report r = report_for(&f, 1, "Subject: x\r\n\r\nb\r\n");
	r.to = r.sender = PEN_SPAN_LIT("a\r\nCc: other@c.test\r\n@a.test");
	r.envid = PEN_SPAN_LIT("a+0D+0AX-Evil: 1");
	f.orcpt = PEN_SPAN_LIT("rfc822;a+0D+0AX-Evil: 2");
	char *text = build(&r, &eight_bit);
	assert_false(eight_bit);
	parse(text, &p);
	assert_int_equal(p.n, 3);
	for (uint32_t i = 0; i < 3; i++) {
		assert_null(strstr(p.part[i], "\nBcc:"));
		assert_null(strstr(p.part[i], "\nEvil:"));
		assert_null(strstr(p.part[i], "\nFinal-Recipient: rfc822; forged"));
	}
	assert_null(strstr(text, "\nCc:"));
	assert_int_equal(count(p.part[1], "\nFinal-Recipient:"), 1);
	free(text);
}

static void long_texts_are_folded(void **state)
{
	struct pen_dsn_rcpt f = refused("bob@b.test", "x");
	struct parts p;
	bool eight_bit;

	(void)state;
	memset(f.dsn.text, 'w', PEN_DSN_TEXT_MAX - 1);
	f.dsn.text_len = PEN_DSN_TEXT_MAX - 1;
	for (int i = 9; i < 200; i += 10)
		f.dsn.text[i] = ' ';
	struct pen_dsn_report r = report_for(&f, 1, "Subject: x\r\n\r\nb\r\n");
	char *text = build(&r, &eight_bit);
	parse(text, &p);
	uint32_t lines = 0;
	for (const char *line = strstr(p.part[1], "Diagnostic-Code:"); *line != '\0';) {
		const char *nl = strchr(line, '\n');
		if (nl == NULL)
			break;
		assert_true(nl - line <= 78);
		assert_true(lines == 0 || line[0] == ' ' || line[0] == '\r');
		lines++;
		line = nl + 1;
	}
	assert_true(lines > 6);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bounce_has_the_three_parts_of_a_report),
		cmocka_unit_test(what_the_sender_gave_is_returned_decoded),
		cmocka_unit_test(a_redacted_notification_has_no_body),
		cmocka_unit_test(tls_required_no_is_passed_on),
		cmocka_unit_test(success_is_reported_as_relayed),
		cmocka_unit_test(a_delay_says_until_when_and_never_takes_the_body_along),
		cmocka_unit_test(one_notification_may_tell_of_several_fates),
		cmocka_unit_test(an_operators_text_replaces_ours),
		cmocka_unit_test(smtputf8_mail_gets_the_form_of_rfc_6533_when_it_needs_it),
		cmocka_unit_test(a_large_original_comes_as_its_header),
		cmocka_unit_test(eight_bit_originals_are_marked),
		cmocka_unit_test(an_unreadable_original_is_left_out),
		cmocka_unit_test(the_boundary_avoids_the_original),
		cmocka_unit_test(hostile_text_cannot_add_lines_or_parts),
		cmocka_unit_test(long_texts_are_folded),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
