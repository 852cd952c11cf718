// SPDX-License-Identifier: BSD-3-Clause

// What the SMTP client does with the verdicts of the TLS policy: STARTTLS,
// certificates, REQUIRETLS, TLS from the first byte, plaintext retries.

#include "pen_test.h"
#include "smtp_client_script.h"

static struct pen_smtp_client_counters ctr;

#define WITH(...) (&(struct smtp_script_options){__VA_ARGS__})
#define RUN(opt, ...) smtp_script_run(__func__, opt, (const char *const[]){__VA_ARGS__, NULL}, &ctr)

#define MX "mx[192.0.2.1]"
#define OFFER "S: 220 mx ESMTP", "C: EHLO me.example", "S: 250-mx\r\n250-REQUIRETLS\r\n250 STARTTLS"
#define GO OFFER, "C: STARTTLS", "S: 220 go", "E: starttls"
#define TLS GO, "U", "C: EHLO me.example"
#define READY "E: ready tls=1 size=0"
#define BYE "Q", "C: QUIT", "S: 221 bye", "E: end 2.0.0 session ended"
#define QUIT "C: QUIT", "S: 221 bye"
#define REFUSED "C: STARTTLS", "S: 502 5.5.1 no"

static void the_field_and_the_report_follow_the_session(void **state)
{
	(void)state;
	RUN(WITH(.tls = PEN_TLS_NONE), OFFER, "E: ready tls=0 size=0", "B: none", "M: none", BYE);
	RUN(WITH(.tls = PEN_TLS_MAY), TLS, "S: 250 mx", READY, "B: may", "M: success", BYE);
	RUN(WITH(.tls = PEN_TLS_MAY), OFFER, REFUSED, "E: ready tls=0 size=0", "B: may:none",
		"M: starttls-not-supported", BYE);
	RUN(WITH(.tls = PEN_TLS_MAY, .no_engine = true), OFFER, "E: ready tls=0 size=0",
		"B: may:none", "M: none", BYE);
	RUN(WITH(.tls = PEN_TLS_ENCRYPT, .no_engine = true), OFFER, QUIT,
		"E: end 4.7.5 TLS is required, but our TLS engine is unavailable for host " MX,
		"M: none");
	RUN(WITH(.tls = PEN_TLS_MAY, .discard = PEN_EHLO_STARTTLS), OFFER, "E: ready tls=0 size=0",
		"B: may:none", BYE);
}

static void a_certificate_that_does_not_match_is_answered_with_quit(void **state)
{
	(void)state;
	RUN(WITH(.tls = PEN_TLS_SECURE), GO, "V: trusted", "U", QUIT,
		"E: end 4.7.5 Server certificate not verified: " MX ": certificate-host-mismatch",
		"A: end", "B: !secure", "M: certificate-host-mismatch");
	assert_int_equal(ctr.tls_unwanted, 1);
	RUN(WITH(.tls = PEN_TLS_SECURE), GO, "V: untidy", "U", QUIT,
		"E: end 4.7.5 Server certificate not trusted: " MX ": certificate-host-mismatch");
	// The engine may have ended the handshake for it: then nothing is said.
	RUN(WITH(.tls = PEN_TLS_SECURE, .plain_retry = true), GO, "V: trusted", "F: bad",
		"E: end 4.7.5 Server certificate not verified: " MX ": certificate-host-mismatch",
		"B: !secure");
	RUN(WITH(.tls = PEN_TLS_DANE), GO, "V: trusted unusable", "U", "C: EHLO me.example",
		"S: 250 mx", READY, "B: dane:encrypt", BYE);
}

static void a_failed_handshake_may_be_followed_by_a_plaintext_retry(void **state)
{
	(void)state;
#define BROKEN "E: end 4.7.5 Cannot start TLS with " MX ": handshake failure: no cipher"
	RUN(WITH(.tls = PEN_TLS_MAY, .plain_retry = true), GO, "V: none", "F: no cipher", BROKEN,
		"A: retry", "B: may?", "M: validation-failure tls-handshake-failure");
	assert_int_equal(ctr.tls_broken, 1);
	RUN(WITH(.tls = PEN_TLS_MAY), GO, "V: none", "F: no cipher", BROKEN, "A: end");
	RUN(WITH(.tls = PEN_TLS_ENCRYPT, .plain_retry = true), GO, "V: none", "F: no cipher",
		BROKEN, "A: end");
	RUN(WITH(.tls = PEN_TLS_MAY, .plain_retry = true, .requiretls = PEN_REQUIRETLS_STARTTLS),
		GO, "V: none", "F: no cipher", BROKEN, "A: end", "B: may?/requiretls?");
}

static void a_connection_lost_before_ehlo_inside_tls_counts_as_its_failure(void **state)
{
	(void)state;
	const struct smtp_script_options *may = WITH(.tls = PEN_TLS_MAY, .plain_retry = true);
	RUN(may, GO, "X",
		"E: end 4.4.2 lost connection with " MX " while performing the TLS handshake",
		"A: retry", "M: validation-failure tls-handshake-failure");
	RUN(may, GO, "T: 300",
		"E: end 4.4.2 conversation with " MX
		" timed out while performing the TLS handshake",
		"A: retry");
	// The handshake itself was fine: that is what the report says.
	RUN(may, TLS, "X",
		"E: end 4.4.2 lost connection with " MX " while performing the EHLO handshake",
		"A: retry", "M: success");
	RUN(may, TLS, "F: alert 40", "E: end 4.4.2 TLS connection with " MX " failed: alert 40",
		"A: retry");
	// Later than that, and before, TLS is not to blame.
	RUN(may, TLS, "S: 250 mx", READY, "F: alert 40",
		"E: end 4.4.2 TLS connection with " MX " failed: alert 40", "A: end");
	RUN(may, OFFER, "C: STARTTLS", "X",
		"E: end 4.4.2 lost connection with " MX " while receiving the STARTTLS response",
		"A: end", "M: none");
}

static void a_plaintext_retry_does_not_try_tls_again(void **state)
{
	(void)state;
	RUN(WITH(.tls = PEN_TLS_MAY, .plain_retry = true, .plain = true), OFFER,
		"E: ready tls=0 size=0", "B: may:none", BYE);
}

static void a_5xx_to_starttls_keeps_the_status_of_the_server(void **state)
{
	(void)state;
#define TEXT "TLS is required, but host " MX " refused to start TLS: 502 5.5.1 no"
	RUN(WITH(.tls = PEN_TLS_ENCRYPT), OFFER, REFUSED, QUIT, "E: end 5.5.1 " TEXT,
		"B: !encrypt:none", "M: starttls-not-supported");
	RUN(WITH(.tls = PEN_TLS_DANE, .requiretls = PEN_REQUIRETLS_ENFORCE), OFFER, REFUSED, QUIT,
		"E: end 5.7.10 " TEXT, "B: !dane/!requiretls:nostarttls");
}

static void requiretls_is_asked_for_inside_tls_only(void **state)
{
	(void)state;
#define DELIVER(mail)                                                                              \
	"D: a 1 - x\r\n", "C: MAIL FROM:<s@a.example>" mail, "S: 450 no",                          \
		"E: done a tried=1 dot=0 use=1", "E: rcpt 4.0.0 M*"
#define REQ "S: 250-mx\r\n250-DSN\r\n250 requiretls"
#define NOT_REQ "S: 250-mx\r\n250 DSN"
	RUN(WITH(.tls = PEN_TLS_SECURE, .requiretls = PEN_REQUIRETLS_ENFORCE), TLS, REQ, READY,
		DELIVER(" REQUIRETLS"), "B: secure/requiretls", BYE);
	assert_int_equal(ctr.requiretls, 1);
	RUN(WITH(.tls = PEN_TLS_SECURE, .requiretls = PEN_REQUIRETLS_ENFORCE), TLS, NOT_REQ, QUIT,
		"E: end 5.7.30 REQUIRETLS is required, but was not offered by host " MX,
		"A: passed", "B: secure/!requiretls:none", "M: success");
	assert_int_equal(ctr.requiretls_missing, 1);
	RUN(WITH(.tls = PEN_TLS_SECURE, .requiretls = PEN_REQUIRETLS_ENFORCE,
		    .discard = PEN_EHLO_REQUIRETLS),
		TLS, REQ, QUIT, "E: end 5.7.30*");
	// Where it may be left out, a bounce takes headers only.
	RUN(WITH(.tls = PEN_TLS_MAY, .requiretls = PEN_REQUIRETLS_STARTTLS), TLS, NOT_REQ, READY,
		DELIVER(" RET=HDRS"), "B: may/requiretls:none", BYE);
	RUN(WITH(.tls = PEN_TLS_MAY, .requiretls = PEN_REQUIRETLS_OPPORTUNISTIC,
		    .ret = PEN_RET_FULL),
		"S: 220 mx", "C: EHLO me.example", REQ, "E: ready tls=0 size=0",
		DELIVER(" RET=HDRS"), "B: may:none/requiretls:none", BYE);
	// Mail without the demand never carries it.
	RUN(WITH(.tls = PEN_TLS_SECURE), TLS, REQ, READY, DELIVER(""), "B: secure", BYE);
}

static void a_wrapped_session_begins_with_tls(void **state)
{
	(void)state;
	const struct smtp_script_options *wrapped = WITH(.tls = PEN_TLS_ENCRYPT, .wrapper = true);
	RUN(wrapped, "E: starttls", "N", "L: 300", "U", "S: 220 mx", "C: EHLO me.example",
		"S: 250-mx\r\n250 STARTTLS", READY, "B: encrypt", BYE);
	RUN(wrapped, "E: starttls", "S: 220 mx", "V: none", "F: no TLS here",
		"E: end 4.7.5 Cannot start TLS with " MX ": handshake failure: no TLS here");
	assert_int_equal(ctr.starttls_injected_bytes, 8);
	RUN(WITH(.tls = PEN_TLS_SECURE, .wrapper = true), "E: starttls", "V: trusted", "U", "N",
		"E: end 4.7.5 Server certificate not verified: " MX ": certificate-host-mismatch");
	RUN(WITH(.tls = PEN_TLS_ENCRYPT, .wrapper = true, .no_engine = true), "N",
		"E: end 4.7.5 TLS is required, but our TLS engine is unavailable for host " MX);
}

static void a_reply_that_comes_before_mail_inside_tls_can_end_the_session(void **state)
{
	(void)state;
#define EARLY "E: end 4.7.0 host " MX " replied before the MAIL command was sent"
	const struct smtp_script_options *block = WITH(.tls = PEN_TLS_MAY, .block_early = true);
	RUN(block, TLS, "S: 250 mx\r\n250 2.1.0 ok", READY, EARLY);
	assert_int_equal(ctr.early_blocked, 1);
	// The beginning of one is enough.
	RUN(block, TLS, "S: 250 mx", READY, "S-: 250 2.1.", "D: a 1 - x\r\n", EARLY);
	RUN(WITH(.tls = PEN_TLS_MAY), TLS, "S: 250 mx\r\n250 2.1.0 ok", READY,
		"E: end 4.5.0 protocol error: host " MX " said: 250 2.1.0 ok");
	// Outside TLS, and after the first MAIL, it means nothing.
	RUN(WITH(.block_early = true), OFFER, "E: ready tls=0 size=0", "S: 250 2.1.0 ok",
		"E: end 4.5.0*");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_field_and_the_report_follow_the_session),
		cmocka_unit_test(a_certificate_that_does_not_match_is_answered_with_quit),
		cmocka_unit_test(a_failed_handshake_may_be_followed_by_a_plaintext_retry),
		cmocka_unit_test(a_connection_lost_before_ehlo_inside_tls_counts_as_its_failure),
		cmocka_unit_test(a_plaintext_retry_does_not_try_tls_again),
		cmocka_unit_test(a_5xx_to_starttls_keeps_the_status_of_the_server),
		cmocka_unit_test(requiretls_is_asked_for_inside_tls_only),
		cmocka_unit_test(a_wrapped_session_begins_with_tls),
		cmocka_unit_test(a_reply_that_comes_before_mail_inside_tls_can_end_the_session),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
