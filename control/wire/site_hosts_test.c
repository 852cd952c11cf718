// SPDX-License-Identifier: BSD-3-Clause
#include "pen_test.h"
#include "site_hosts.h"

static struct site_hosts hosts;

static void expect(uint32_t i, const char *name)
{
	assert_true(i < hosts.n);
	assert_true(pen_span_eq(hosts.mx[i], pen_span_cstr(name)));
}

static void the_names_are_those_of_the_set(void **state)
{
	char name[PEN_SITE_NAME_MAX + 1];

	(void)state;
	site_hosts_find(&hosts, "alt1.mx.example,alt2.mx.example:25", 25);
	assert_int_equal(hosts.n, 2);
	expect(0, "alt1.mx.example");
	expect(1, "alt2.mx.example");
	size_t n = pen_site_rollup(hosts.mx, hosts.n, name);
	assert_int_equal(strlen(hosts.name), n);
	assert_memory_equal(hosts.name, name, n);
}

static void another_port_is_another_site(void **state)
{
	char plain[sizeof(hosts.name) + 8];

	(void)state;
	site_hosts_find(&hosts, "mx.example:25", 25);
	strcpy(plain, hosts.name);
	site_hosts_find(&hosts, "mx.example:587", 587);
	strcat(plain, ":587");
	assert_string_equal(hosts.name, plain);
	expect(0, "mx.example");
}

static void an_address_of_ipv6_keeps_its_colons(void **state)
{
	(void)state;
	site_hosts_find(&hosts, "2001:db8::1:25", 25);
	assert_int_equal(hosts.n, 1);
	expect(0, "2001:db8::1");
}

static void a_set_without_hosts_has_no_names(void **state)
{
	(void)state;
	site_hosts_find(&hosts, "", 25);
	assert_int_equal(hosts.n, 0);
}

static void more_hosts_than_fit_are_left_out(void **state)
{
	static char site[8 * (SITE_HOSTS_MAX + 50)];
	size_t n = 0;

	(void)state;
	for (int i = 0; i < SITE_HOSTS_MAX + 50; i++)
		n += (size_t)snprintf(site + n, sizeof(site) - n, "%sm%d.e", i > 0 ? "," : "", i);
	strcat(site, ":25");
	site_hosts_find(&hosts, site, 25);
	assert_int_equal(hosts.n, SITE_HOSTS_MAX);
}

int main(void)
{
	const struct CMUnitTest all[] = {
		cmocka_unit_test(the_names_are_those_of_the_set),
		cmocka_unit_test(another_port_is_another_site),
		cmocka_unit_test(an_address_of_ipv6_keeps_its_colons),
		cmocka_unit_test(a_set_without_hosts_has_no_names),
		cmocka_unit_test(more_hosts_than_fit_are_left_out),
	};
	return cmocka_run_group_tests(all, NULL, NULL);
}
