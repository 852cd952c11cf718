// SPDX-License-Identifier: BSD-3-Clause

// The resolver against a name server of our own: questions, next hops, what is
// cached, what is forged, what never answers.

#include "fake_dns.h"
#include "pen_dns_query.h"
#include "pen_test.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static struct fake_dns *server;
static struct pen_dns *dns;
static struct pen_params params;
static struct pen_main_cf cf;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned done;
static char anchor_file[] = "/tmp/pen_query_test_XXXXXX";

static void zone(void *ctx, struct fake_dns_reply *r)
{
	(void)ctx;
	const char *n = r->name;
	unsigned i;

	if (strstr(n, "silent") != NULL) {
		r->silent = true;
	} else if (strstr(n, "servfail") != NULL) {
		r->rcode = 2;
	} else if (sscanf(n, "endless%u.example", &i) == 1) {
		char next[64];
		snprintf(next, sizeof(next), "endless%u.example", i + 1);
		fake_dns_cname(r, next);
	} else if (strcmp(n, "alias.example") == 0) {
		fake_dns_cname(r, "mx1.example");
	} else if (strcmp(n, "hot.example") == 0 && r->type == PEN_DNS_TXT) {
		r->ttl_s = 1;
		fake_dns_add(r, PEN_DNS_TXT, "\3hot", 4);
	} else if (strcmp(n, "null.example") == 0 && r->type == PEN_DNS_MX) {
		fake_dns_mx(r, 0, "");
	} else if (strcmp(n, "self.example") == 0 && r->type == PEN_DNS_MX) {
		fake_dns_mx(r, 10, "own.example");
	} else if (strcmp(n, "own.example") == 0 && r->type == PEN_DNS_A) {
		fake_dns_a(r, 0xc0000264);
	} else if (strcmp(n, "proxy.example") == 0) {
		if (r->type == PEN_DNS_A)
			fake_dns_a(r, 0xc6336401);
	} else if (strcmp(n, "example.com") == 0 || strcmp(n, "xn--bcher-kva.example") == 0) {
		if (r->type == PEN_DNS_MX) {
			fake_dns_mx(r, 20, "alias.example");
			fake_dns_mx(r, 10, "mx1.example");
		} else if (r->type == PEN_DNS_TXT) {
			fake_dns_add(r, PEN_DNS_TXT, "\2ab\1c", 5);
		} else if (r->type == PEN_DNS_TLSA) {
			fake_dns_add(r, PEN_DNS_TLSA, "\3\1\1digest", 9);
		}
	} else if (strcmp(n, "mx1.example") == 0 || strncmp(n, "many", 4) == 0) {
		if (r->type == PEN_DNS_A)
			fake_dns_a(r, 0xc0000201);
		else if (r->type == PEN_DNS_AAAA)
			fake_dns_aaaa(r, 1);
	} else {
		r->rcode = 3;
	}
}

static void start(const char *settings)
{
	char text[1024], err[256];
	struct pen_params_env env = {"gw.example.com", "/etc/penstock"};
	struct pen_report report = {0};

	server = fake_dns_new(zone, NULL);
	snprintf(text, sizeof(text), "dns_forwarders = 127.0.0.1@%u\n%s", fake_dns_port(server),
		settings);
	assert_int_equal(pen_main_cf_parse(&cf, pen_span_cstr(text), "main.cf", &report), 0);
	assert_int_equal(pen_params_load(&params, &cf, &env, &report), 0);
	dns = pen_dns_new(&params, 1, err, sizeof(err));
	if (dns == NULL)
		fail_msg("%s", err);
	const struct pen_addr own = pen_addr_ip4(0xc0000264);
	assert_int_equal(pen_dns_add_own(dns, &own), 0);
	assert_int_equal(pen_dns_start(dns), 0);
	done = 0;
}

static int end(void **state)
{
	(void)state;
	pen_dns_free(dns);
	dns = NULL;
	fake_dns_free(server);
	server = NULL;
	pen_params_fini(&params);
	pen_main_cf_fini(&cf);
	return 0;
}

static void tell(void)
{
	pthread_mutex_lock(&lock);
	done++;
	pthread_cond_signal(&changed);
	pthread_mutex_unlock(&lock);
}

static void await(unsigned n)
{
	pthread_mutex_lock(&lock);
	while (done < n)
		pthread_cond_wait(&changed, &lock);
	done -= n;
	pthread_mutex_unlock(&lock);
}

// One question, put on the resolver's thread, and its answer as text.
struct question {
	const char *name;
	enum pen_dns_type type;
	bool inside; // the asking call
	char text[512];
};

static void on_answer(void *ctx, const struct pen_dns_answer *a)
{
	struct question *q = ctx;
	char ip[PEN_ADDR_STR_MAX];
	int n;

	assert_false(q->inside);
	n = snprintf(q->text, sizeof(q->text), "%s%s%s%s", pen_dns_status_name(a->status),
		a->secure ? " secure" : "", strcmp(a->canonical, a->name) != 0 ? " at " : "",
		strcmp(a->canonical, a->name) != 0 ? a->canonical : "");
	for (uint32_t i = 0; i < a->n; i++) {
		const struct pen_dns_record *r = &a->record[i];
		n += snprintf(q->text + n, sizeof(q->text) - (size_t)n, " %u:%s:%s:%.*s:%u%u%u",
			r->preference, r->name,
			r->addr.family != 0 ? pen_addr_str(&r->addr, ip) : "", (int)r->data.n,
			r->data.n > 0 ? (const char *)r->data.p : "", r->usage, r->selector,
			r->mtype);
	}
	tell();
}

static void put_question(void *ctx)
{
	struct question *q = ctx;

	q->inside = true;
	assert_int_equal(pen_dns_query(dns, q->name, q->type, on_answer, q), 0);
	q->inside = false;
}

static const char *ask(const char *name, enum pen_dns_type type)
{
	static struct question q;

	q = (struct question){.name = name, .type = type};
	assert_int_equal(pen_dns_post(dns, put_question, &q), 0);
	await(1);
	return q.text;
}

static struct pen_dns_hosts *hosts;

static void on_hosts(void *ctx, struct pen_dns_hosts *h)
{
	(void)ctx;
	hosts = h;
	tell();
}

static const char *resolve(const char *nexthop)
{
	static char text[1024];
	char ip[PEN_ADDR_STR_MAX];
	int n = 0;

	assert_int_equal(pen_dns_resolve(dns, pen_span_cstr(nexthop), on_hosts, NULL), 0);
	await(1);
	if (hosts->dsn.klass != 2)
		n = snprintf(text, sizeof(text), "%u.%u.%u %s", hosts->dsn.klass,
			hosts->dsn.subject, hosts->dsn.detail, hosts->dsn.text);
	for (uint32_t i = 0; i < hosts->nhosts; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%s/%s/%s", i > 0 ? " " : "",
			hosts->host[i].name, pen_addr_str(&hosts->host[i].addr, ip),
			hosts->host[i].canonical);
	pen_dns_hosts_free(hosts);
	return text;
}

static uint64_t counter(const char *name)
{
	struct pen_counter_set set = pen_dns_counters_of(dns);

	for (uint32_t i = 0; i < set.n; i++) {
		if (strcmp(set.desc[i].name, name) == 0)
			return pen_counter_read(&set.value[i]);
	}
	fail_msg("no counter %s", name);
	return 0;
}

static void every_type_of_question_is_answered(void **state)
{
	(void)state;
	start("");
	assert_string_equal(
		ask("Example.COM.", PEN_DNS_MX), "ok 20:alias.example:::000 10:mx1.example:::000");
	assert_string_equal(ask("example.com", PEN_DNS_TXT), "ok 0:::abc:000");
	assert_string_equal(ask("example.com", PEN_DNS_TLSA), "ok 0:::digest:311");
	assert_string_equal(ask("mx1.example", PEN_DNS_A), "ok 0::192.0.2.1::000");
	assert_string_equal(ask("mx1.example", PEN_DNS_AAAA), "ok 0::2001:db8::1::000");
	assert_string_equal(
		ask("alias.example", PEN_DNS_AAAA), "ok at mx1.example 0::2001:db8::1::000");
	assert_string_equal(ask("alias.example", PEN_DNS_CNAME), "ok 0:mx1.example:::000");
	assert_string_equal(ask("alias.example", PEN_DNS_TXT), "nodata at mx1.example");
	assert_string_equal(ask("example.com", PEN_DNS_A), "nodata");
	assert_string_equal(ask("gone.example", PEN_DNS_A), "nxdomain");
	assert_string_equal(ask("servfail.example", PEN_DNS_A), "failed");
}

static void names_that_cannot_exist_are_malformed(void **state)
{
	(void)state;
	char name[400];

	start("");
	memset(name, 'a', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_string_equal(ask(name, PEN_DNS_A), "malformed");
	name[100] = '\0'; // one label of 100
	assert_string_equal(ask(name, PEN_DNS_A), "malformed");
	assert_string_equal(ask("a..b", PEN_DNS_A), "malformed");
	assert_int_equal(fake_dns_questions(server), 0);
}

static void answers_are_cached_also_negative_ones(void **state)
{
	(void)state;
	start("");
	ask("example.com", PEN_DNS_TXT);
	ask("gone.example", PEN_DNS_TXT);
	uint64_t asked = fake_dns_questions(server);
	// The callback never comes inside the call, even now: on_answer looks.
	for (int i = 0; i < 50; i++) {
		assert_string_equal(ask("example.com", PEN_DNS_TXT), "ok 0:::abc:000");
		assert_string_equal(ask("gone.example", PEN_DNS_TXT), "nxdomain");
	}
	assert_int_equal(fake_dns_questions(server), asked);
	assert_int_equal(counter("cached"), 100);
}

static void endless_aliases_fail_for_now_and_end(void **state)
{
	(void)state;
	start("");
	assert_string_equal(ask("endless1.example", PEN_DNS_A), "failed");
	assert_in_range(fake_dns_questions(server), 5, 100);
	assert_int_equal(strncmp(resolve("endless1.example"), "4.4.3 ", 6), 0);
}

static void forged_answers_are_told_and_defer_mail(void **state)
{
	(void)state;
	// An anchor whose key nobody has: nothing below it can be validated.
	static const char anchor[] =
		"example.com. IN DS 12345 13 2 "
		"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
	char settings[256];
	int fd = mkstemp(anchor_file);

	assert_true(fd >= 0 && write(fd, anchor, strlen(anchor)) == (ssize_t)strlen(anchor));
	close(fd);
	snprintf(settings, sizeof(settings), "dns_trust_anchor_file = %s\n", anchor_file);
	start(settings);
	assert_string_equal(ask("example.com", PEN_DNS_TXT), "bogus");
	assert_string_equal(ask("mx1.example", PEN_DNS_A), "ok 0::192.0.2.1::000");
	assert_string_equal(resolve("example.com"),
		"4.4.3 Host or domain name not found. Name service error for name=example.com "
		"type=MX: Host not found, try again (DNSSEC validation failed)");
	assert_true(counter("bogus") >= 1);
	end(NULL);
	// Without security the same answers count.
	snprintf(settings, sizeof(settings),
		"dns_trust_anchor_file = %s\nsmtp_dns_support_level = enabled\n", anchor_file);
	start(settings);
	assert_string_equal(ask("example.com", PEN_DNS_TXT), "ok 0:::abc:000");
	unlink(anchor_file);
}

static void next_hops_are_resolved_in_both_families(void **state)
{
	(void)state;
	static const char want[] = "mx1.example/192.0.2.1/ mx1.example/2001:db8::1/";

	start("smtp_randomize_addresses = no\n");
	// The alias has the same addresses: they are tried once.
	assert_string_equal(resolve("example.com"), want);
	assert_string_equal(resolve("B\303\274cher.example"), want);
	assert_string_equal(resolve("[alias.example]"),
		"alias.example/192.0.2.1/mx1.example alias.example/2001:db8::1/mx1.example");
	end(NULL);
	start("inet_protocols = ipv6\n");
	assert_string_equal(resolve("example.com"), "mx1.example/2001:db8::1/");
}

static void what_cannot_be_a_domain_is_refused(void **state)
{
	(void)state;
	start("");
	assert_int_equal(strncmp(resolve("\377.example"), "5.1.2 ", 6), 0);
	assert_int_equal(strncmp(resolve("a b"), "5.4.4 ", 6), 0);
	assert_string_equal(resolve("null.example"),
		"5.1.10 Domain null.example does not accept mail (nullMX)");
	assert_int_equal(counter("null_mx"), 1);
	assert_int_equal(
		pen_dns_resolve_for(dns, PEN_SPAN_LIT("a b"), PEN_DNS_RELAYHOST, on_hosts, NULL),
		0);
	await(1);
	assert_int_equal(hosts->dsn.klass, 4);
	assert_int_equal(hosts->dsn.subject, 3);
	assert_int_equal(hosts->dsn.detail, 5);
	pen_dns_hosts_free(hosts);
}

static void all_our_addresses_are_known(void **state)
{
	(void)state;
	start("proxy_interfaces = 198.51.100.0/24\nsmtpd_listen = 203.0.113.9:25\n");
	assert_string_equal(
		resolve("self.example"), "5.4.6 mail for self.example loops back to myself");
	assert_string_equal(
		resolve("proxy.example"), "5.4.6 mail for proxy.example loops back to myself");
	assert_string_equal(
		resolve("[203.0.113.9]"), "5.4.6 mail for 203.0.113.9 loops back to myself");
	assert_string_equal(
		resolve("[127.0.0.5]"), "5.4.6 mail for 127.0.0.5 loops back to myself");
	assert_string_equal(resolve("[::1]"), "5.4.6 mail for ::1 loops back to myself");
	assert_string_equal(resolve("[127.0.0.5]:26"), "127.0.0.5/127.0.0.5/");
	assert_string_equal(resolve("[203.0.113.8]"), "203.0.113.8/203.0.113.8/");
	assert_int_equal(counter("loops"), 5);
}

static void without_dns_only_the_system_is_asked(void **state)
{
	(void)state;
	start("disable_dns_lookups = yes\ninet_protocols = ipv4\n");
	assert_string_equal(resolve("localhost:26"), "localhost/127.0.0.1/");
	assert_string_equal(ask("example.com", PEN_DNS_TXT), "failed");
	assert_int_equal(fake_dns_questions(server), 0);
	assert_int_equal(counter("native"), 1);
}

static void a_server_that_never_answers_ends_in_time(void **state)
{
	(void)state;
	start("dns_timeout = 1s\n");
	int64_t begin = pen_clock_mono();
	assert_string_equal(ask("silent.example", PEN_DNS_A), "failed");
	assert_string_equal(resolve("silent.example"),
		"4.4.3 Host or domain name not found. Name service error for name=silent.example: "
		"Host not found, try again (no answer in time)");
	assert_in_range(pen_clock_mono() - begin, 1900000, 6000000);
	assert_int_equal(counter("deadlines"), 1);
	assert_int_equal(counter("query_deadlines"), 1);
}

static struct question many[300];

static void put_many(void *ctx)
{
	static char name[300][32];

	(void)ctx;
	for (unsigned i = 0; i < 300; i++) {
		snprintf(name[i], sizeof(name[i]), "many%u.example", i);
		many[i] = (struct question){.name = name[i], .type = PEN_DNS_A};
		put_question(&many[i]);
	}
}

static void more_questions_than_may_be_in_flight_wait_their_turn(void **state)
{
	(void)state;
	start("dns_concurrency = 2\n");
	assert_int_equal(pen_dns_post(dns, put_many, NULL), 0);
	await(300);
	for (unsigned i = 0; i < 300; i++)
		assert_string_equal(many[i].text, "ok 0::192.0.2.1::000");
}

static void put_silent(void *ctx)
{
	static struct question q = {.name = "silent2.example", .type = PEN_DNS_A};

	(void)ctx;
	assert_int_equal(pen_dns_query(dns, "silent1.example", q.type, on_answer, &q), 0);
	assert_int_equal(pen_dns_query(dns, q.name, q.type, on_answer, &q), 0);
}

static void what_is_cached_does_not_wait_behind_slow_servers(void **state)
{
	(void)state;
	start("dns_concurrency = 1\ninet_protocols = ipv4\n");
	assert_string_equal(ask("example.com", PEN_DNS_TXT), "ok 0:::abc:000");
	resolve("mx1.example");
	// One takes the only place and one waits for it, both for dns_timeout.
	assert_int_equal(pen_dns_post(dns, put_silent, NULL), 0);
	assert_string_equal(ask("example.com", PEN_DNS_TXT), "ok 0:::abc:000");
	assert_string_equal(resolve("mx1.example"), "mx1.example/192.0.2.1/");
	assert_int_equal(done, 0);
}

static void put_too_many(void *ctx)
{
	static struct question q = {.name = "silent.example", .type = PEN_DNS_A};

	(void)ctx;
	for (unsigned i = 0; i < PEN_DNS_LOOKUPS_MAX; i++)
		assert_int_equal(pen_dns_query(dns, q.name, q.type, on_answer, &q), 0);
	assert_int_equal(pen_dns_query(dns, q.name, q.type, on_answer, &q), -EAGAIN);
	tell();
}

static void too_many_questions_are_refused_and_all_end_with_the_thread(void **state)
{
	(void)state;
	start("");
	assert_int_equal(pen_dns_post(dns, put_too_many, NULL), 0);
	await(1);
	pen_dns_free(dns);
	dns = NULL;
	assert_int_equal(done, PEN_DNS_LOOKUPS_MAX);
}

static void names_in_use_are_asked_for_before_anybody_needs_them(void **state)
{
	(void)state;
	start("");
	for (int i = 0; i < 5; i++)
		assert_string_equal(ask("hot.example", PEN_DNS_TXT), "ok 0:::hot:000");
	assert_int_equal(fake_dns_questions(server), 1);
	int64_t begin = pen_clock_mono();
	while (fake_dns_questions(server) < 2 && pen_clock_mono() - begin < 10 * PEN_US_PER_S)
		usleep(10000);
	assert_int_equal(fake_dns_questions(server), 2);
	assert_int_equal(counter("prefetches"), 1);
}

#define TEST(f) cmocka_unit_test_teardown(f, end)

int main(void)
{
	const struct CMUnitTest all[] = {
		TEST(every_type_of_question_is_answered),
		TEST(names_that_cannot_exist_are_malformed),
		TEST(answers_are_cached_also_negative_ones),
		TEST(endless_aliases_fail_for_now_and_end),
		TEST(forged_answers_are_told_and_defer_mail),
		TEST(next_hops_are_resolved_in_both_families),
		TEST(what_cannot_be_a_domain_is_refused),
		TEST(all_our_addresses_are_known),
		TEST(without_dns_only_the_system_is_asked),
		TEST(a_server_that_never_answers_ends_in_time),
		TEST(more_questions_than_may_be_in_flight_wait_their_turn),
		TEST(what_is_cached_does_not_wait_behind_slow_servers),
		TEST(too_many_questions_are_refused_and_all_end_with_the_thread),
		TEST(names_in_use_are_asked_for_before_anybody_needs_them),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
