// SPDX-License-Identifier: BSD-3-Clause
#include "pen_err.h"
#include "shape_world.h"

#define S PEN_US_PER_S
#define T0 ((pen_time_us)1000 * S)
#define IP4 PEN_SHAPE_IP4
#define BOTH (PEN_SHAPE_IP4 | PEN_SHAPE_IP6)

static struct pen_shape *shape_of(struct pen_shape_config *c)
{
	struct pen_shape *sh = pen_shape_new(c, T0, T0 + WORLD_WALL);

	assert_non_null(sh);
	return sh;
}

static struct pen_shape_conn open_one(
	struct pen_shape *sh, struct pen_shape_site *s, pen_time_us now)
{
	struct pen_shape_conn c;
	struct pen_shape_block b;
	char text[512];

	if (!pen_shape_open(sh, s, 0, BOTH, now, &c, &b)) {
		pen_shape_block_text(&b, now, now + WORLD_WALL, text, sizeof(text));
		fail_msg("blocked: %s", text);
	}
	return c;
}

static void blocked(struct pen_shape *sh, struct pen_shape_site *s, pen_time_us now,
	enum pen_shape_holder holder, enum pen_shape_reason reason, const char *text)
{
	struct pen_shape_conn c;
	struct pen_shape_block b;
	char out[600];

	assert_false(pen_shape_open(sh, s, 0, BOTH, now, &c, &b));
	pen_shape_block_text(&b, now, now + WORLD_WALL, out, sizeof(out));
	if (b.holder != holder || b.reason != reason || strcmp(out, text) != 0)
		fail_msg("%d %d: %s", b.holder, b.reason, out);
}

static bool sends(struct pen_shape *sh, struct pen_shape_conn *c, struct pen_shape_class *k,
	uint64_t bytes, pen_time_us now, struct pen_shape_block *b)
{
	if (!pen_shape_send(sh, c, k, bytes, now, b))
		return false;
	pen_shape_done(sh, c, k, bytes, now, true);
	return true;
}

// ---- limits

static void without_limits_everything_passes(void **state)
{
	struct pen_shape *sh = shape_of(world_config(1, 1));
	struct pen_shape_site *s = world_site(sh, "mx.example", T0);
	struct pen_shape_conn c[100];
	struct pen_shape_block b;

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		c[i] = open_one(sh, s, T0);
		assert_int_equal(c[i].family, -1);
		assert_int_equal(c[i].source[0], 0);
		assert_int_equal(c[i].source[1], 1);
		pen_shape_ready(sh, &c[i], i % 2, T0);
		assert_int_equal(c[i].family, i % 2);
		assert_int_equal(c[i].source[i % 2 == 0], -1);
		assert_true(sends(sh, &c[i], NULL, 1u << 30, T0, &b));
	}
	for (unsigned i = 0; i < 100; i++)
		pen_shape_close(sh, &c[i], T0, true);
	assert_true(pen_shape_next(sh) == PEN_TIME_NEVER);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

static void a_site_keeps_its_connections(void **state)
{
	struct pen_shape_config *cfg = world_config(1, 0);
	(void)state;
	cfg->defaults.limits = world_limits("connections=2");
	cfg->defaults.line = 12;
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "mx.example", T0),
			      *t = world_site(sh, "b.test", T0);
	struct pen_shape_conn a = open_one(sh, s, T0), b = open_one(sh, s, T0);

	blocked(sh, s, T0, PEN_HELD_SITE, PEN_WHY_CONNECTIONS,
		"site mx.example. has its 2 connections (egress.conf line 12)");
	struct pen_shape_conn o = open_one(sh, t, T0); // each site its own
	pen_shape_ready(sh, &a, 0, T0);
	pen_shape_close(sh, &a, T0, true);
	a = open_one(sh, s, T0);
	pen_shape_close(sh, &a, T0, false);
	pen_shape_close(sh, &b, T0, true);
	pen_shape_close(sh, &o, T0, true);
	pen_shape_site_put(sh, s);
	pen_shape_site_put(sh, t);
	pen_shape_free(sh);
}

static void limits_are_merged_default_provider_sections_in_order(void **state)
{
	static struct pen_shape_section provider, site[3];
	struct pen_shape_config *cfg = world_config(1, 0);

	(void)state;
	cfg->defaults.limits = world_limits("connections=1 messages=100 recipients=50 time=300");
	provider = (struct pen_shape_section){.name = "google",
		.line = 5,
		.match = {.nmx = 1, .mx = WORLD_MATCH("*.google.com")},
		.limits = world_limits("connections=200 messages=60"),
		.site_limits = world_limits("connections=2 messages=90")};
	site[0] = (struct pen_shape_section){.name = "a",
		.line = 10,
		.match = {.nmx = 1, .mx = WORLD_MATCH("*.l.google.com")},
		.limits = world_limits("connections=3 messages=70")};
	site[1] = (struct pen_shape_section){.name = "b",
		.line = 20,
		.match = {.ndomains = 1, .domains = WORLD_MATCH("gmail.com")},
		.limits = world_limits("connections=4")};
	site[2] = (struct pen_shape_section){.name = "c",
		.line = 30,
		.match = {.nmx = 1, .mx = WORLD_MATCH("other.test")},
		.limits = world_limits("connections=9")};
	cfg->provider = &provider;
	cfg->nproviders = 1;
	cfg->site = site;
	cfg->nsites = 3;
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *g = world_site(sh, "alt1.mx.L.Google.com. mx.l.google.com", T0);
	const struct pen_limits *l = pen_shape_site_limits(sh, g, T0);
	assert_string_equal(pen_shape_site_provider(g), "google");
	assert_int_equal(l->connections, 3);
	assert_int_equal(l->connection_messages, 60); // of all its connections
	assert_int_equal(l->recipients, 50);
	assert_int_equal(l->connection_time, 300 * S);
	// From the first next hop of that name on, for the whole site.
	pen_shape_site_domain(sh, g, PEN_SPAN_LIT("example.org"));
	assert_int_equal(pen_shape_site_limits(sh, g, T0)->connections, 3);
	pen_shape_site_domain(sh, g, PEN_SPAN_LIT("GMail.com."));
	assert_int_equal(pen_shape_site_limits(sh, g, T0)->connections, 4);
	struct pen_shape_site *plain = world_site(sh, "mx.example", T0);
	assert_int_equal(pen_shape_site_limits(sh, plain, T0)->connections, 1);
	assert_string_equal(pen_shape_site_provider(plain), "");
	pen_shape_site_put(sh, g);
	pen_shape_site_put(sh, plain);
	pen_shape_free(sh);
}

static void patterns_match_names_and_their_parents(void **state)
{
	static struct pen_shape_section site[4];
	static const struct {
		const char *mx, *domain;
		unsigned connections;
	} cases[] = {
		{"google.com", NULL, 10},
		{"x.GOOGLE.com.", NULL, 10},
		{"a.b.c.google.com", NULL, 10},
		{"notgoogle.com", NULL, 1},
		{"google.com.evil.test", NULL, 1},
		{"mx.exact.test", NULL, 20},
		{"a.mx.exact.test", NULL, 1},
		{"q.test", "shop.example", 30},
		{"r.test", "mail.shop.example.", 30},
		{"t.test", "shop.example.org", 1},
		{"u.test", "the.domain", 40},
		{"v.test", "sub.the.domain", 1},
	};
	struct pen_shape_config *cfg = world_config(1, 0);

	(void)state;
	cfg->defaults.limits = world_limits("connections=1");
	site[0] = (struct pen_shape_section){.name = "a",
		.match = {.nmx = 1, .mx = WORLD_MATCH("*.google.com")},
		.limits = world_limits("connections=10")};
	site[1] = (struct pen_shape_section){.name = "b",
		.match = {.nmx = 1, .mx = WORLD_MATCH("mx.exact.test.")},
		.limits = world_limits("connections=20")};
	site[2] = (struct pen_shape_section){.name = "c",
		.match = {.ndomains = 1, .domains = WORLD_MATCH("*.shop.example")},
		.limits = world_limits("connections=30")};
	site[3] = (struct pen_shape_section){.name = "d",
		.match = {.ndomains = 1, .domains = WORLD_MATCH("The.Domain")},
		.limits = world_limits("connections=40")};
	cfg->site = site;
	cfg->nsites = 4;
	struct pen_shape *sh = shape_of(cfg);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_shape_site *s = world_site(sh, cases[i].mx, T0);
		if (cases[i].domain != NULL)
			pen_shape_site_domain(sh, s, pen_span_cstr(cases[i].domain));
		assert_int_equal(
			pen_shape_site_limits(sh, s, T0)->connections, cases[i].connections);
		pen_shape_site_put(sh, s);
	}
	pen_shape_free(sh);
}

static void ten_thousand_sections_are_as_fast_as_ten(void **state)
{
	enum { N = 10000 };
	struct pen_shape_section *site = calloc(N, sizeof(*site));
	char(*name)[32] = calloc(N, sizeof(*name));
	const char **mx = calloc(N, sizeof(*mx));
	struct pen_shape_config *cfg = world_config(1, 0);

	(void)state;
	for (unsigned i = 0; i < N; i++) {
		snprintf(name[i], sizeof(name[i]), "*.host%u.example", i);
		mx[i] = name[i];
		site[i] = (struct pen_shape_section){.name = name[i],
			.match = {.nmx = 1, .mx = &mx[i]},
			.limits = world_limits("connections=5")};
		site[i].limits.connections = i + 1;
	}
	cfg->site = site;
	cfg->nsites = N;
	struct pen_shape *sh = shape_of(cfg);
	clock_t begin = clock();
	for (unsigned i = 0; i < N; i++) {
		char host[64];
		snprintf(host, sizeof(host), "mx1.host%u.example mx2.host%u.example", i, i);
		struct pen_shape_site *s = world_site(sh, host, T0);
		assert_int_equal(pen_shape_site_limits(sh, s, T0)->connections, i + 1);
		pen_shape_site_put(sh, s);
	}
	// 10^8 comparisons would take longer, whatever the machine.
	assert_true((clock() - begin) / (CLOCKS_PER_SEC / 1000) < 2000);
	pen_shape_free(sh);
	free(site);
	free(name);
	free(mx);
}

static void every_node_has_its_own_limits(void **state)
{
	static const struct {
		const char *provider, *provider_source, *source, *pool;
		enum pen_shape_holder holder;
	} cases[] = {
		{"connections=1", "", "", "", PEN_HELD_PROVIDER},
		{"", "connections=1", "", "", PEN_HELD_SOURCE_AT_PROVIDER},
		{"", "", "connections=1", "", PEN_HELD_SOURCE},
		{"", "", "", "connections=1", PEN_HELD_POOL},
	};
	static struct pen_shape_section provider;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pen_shape_config *cfg = world_config(1, 0);
		provider = (struct pen_shape_section){.name = "p",
			.match = {.nmx = 1, .mx = WORLD_MATCH("*.p.test")},
			.limits = world_limits(cases[i].provider),
			.source_limits = world_limits(cases[i].provider_source)};
		cfg->provider = &provider;
		cfg->nproviders = 1;
		cfg->source[0].limits = world_limits(cases[i].source);
		cfg->pool[0].limits = world_limits(cases[i].pool);
		struct pen_shape *sh = shape_of(cfg);
		struct pen_shape_site *a = world_site(sh, "a.p.test", T0);
		struct pen_shape_site *b = world_site(sh, "b.p.test", T0);
		struct pen_shape_conn c = open_one(sh, a, T0), d;
		struct pen_shape_block why;
		assert_false(pen_shape_open(sh, b, 0, BOTH, T0, &d, &why));
		assert_int_equal(why.holder, cases[i].holder);
		assert_int_equal(why.limit, 1);
		assert_int_equal(why.used, 1);
		pen_shape_close(sh, &c, T0, true);
		c = open_one(sh, b, T0);
		pen_shape_close(sh, &c, T0, true);
		pen_shape_site_put(sh, a);
		pen_shape_site_put(sh, b);
		pen_shape_free(sh);
	}
}

static void a_source_has_limits_at_each_site(void **state)
{
	struct pen_shape_config *cfg = world_config(2, 0);

	(void)state;
	cfg->defaults.source_limits = world_limits("connections=1");
	cfg->defaults.line = 3;
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0), *t = world_site(sh, "b.test", T0);
	struct pen_shape_conn a = open_one(sh, s, T0), b = open_one(sh, s, T0);

	assert_int_not_equal(a.source[0], b.source[0]);
	blocked(sh, s, T0, PEN_HELD_SOURCE_AT_SITE, PEN_WHY_CONNECTIONS,
		"at this site source s0 has its 1 connections (egress.conf line 3)");
	struct pen_shape_conn c = open_one(sh, t, T0);
	pen_shape_close(sh, &a, T0, true);
	pen_shape_close(sh, &b, T0, true);
	pen_shape_close(sh, &c, T0, true);
	pen_shape_site_put(sh, s);
	pen_shape_site_put(sh, t);
	pen_shape_free(sh);
}

static void tenants_and_campaigns_have_limits(void **state)
{
	static struct pen_shape_owner tenant[2], campaign[1];
	struct pen_shape_config *cfg = world_config(1, 0);
	struct pen_shape_block b;

	(void)state;
	tenant[0] = (struct pen_shape_owner){.name = "acme",
		.weight = 20,
		.line = 7,
		.limits = world_limits("message_rate=2/s connections=2")};
	tenant[1] = (struct pen_shape_owner){
		.name = "*", .weight = 3, .limits = world_limits("message_rate=1/s")};
	campaign[0] = (struct pen_shape_owner){.name = "xmas",
		.tenant = "acme",
		.weight = 5,
		.limits = world_limits("connections=1")};
	cfg->tenant = tenant;
	cfg->ntenants = 2;
	cfg->campaign = campaign;
	cfg->ncampaigns = 1;
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	struct pen_shape_class *acme = pen_shape_class_get(sh, world_class("acme", ""));
	struct pen_shape_class *xmas = pen_shape_class_get(sh, world_class("acme", "xmas"));
	struct pen_shape_class *other = pen_shape_class_get(sh, world_class("b", "xmas"));
	assert_ptr_equal(acme, pen_shape_class_get(sh, world_class("acme", "")));
	assert_int_equal(pen_shape_tenant_weight(sh, xmas), 20);
	assert_int_equal(pen_shape_campaign_weight(sh, xmas), 5);
	assert_int_equal(pen_shape_tenant_weight(sh, other), 3);
	assert_int_equal(pen_shape_campaign_weight(sh, other), 10);
	struct pen_shape_conn c = open_one(sh, s, T0);
	pen_shape_ready(sh, &c, 0, T0);
	assert_true(pen_shape_send(sh, &c, xmas, 100, T0, &b));
	assert_false(pen_shape_send(sh, &c, xmas, 100, T0, &b));
	assert_int_equal(b.holder, PEN_HELD_CAMPAIGN);
	assert_int_equal(b.reason, PEN_WHY_CONNECTIONS);
	assert_true(pen_shape_send(sh, &c, acme, 100, T0, &b));
	assert_false(pen_shape_send(sh, &c, acme, 100, T0, &b));
	assert_int_equal(b.holder, PEN_HELD_TENANT);
	pen_shape_done(sh, &c, xmas, 100, T0, true);
	assert_false(pen_shape_send(sh, &c, acme, 100, T0, &b));
	assert_int_equal(b.reason, PEN_WHY_MESSAGE_RATE);
	assert_string_equal(b.name, "acme");
	assert_string_equal(b.by, "egress.conf line 7");
	pen_shape_done(sh, &c, acme, 100, T0, false); // never sent: room for one more
	assert_true(sends(sh, &c, acme, 100, T0, &b));
	assert_true(sends(sh, &c, other, 100, T0, &b));
	assert_false(sends(sh, &c, other, 100, T0, &b));
	assert_true(b.until > T0 + S && b.until < T0 + S + S / 20);
	assert_true(sends(sh, &c, other, 100, b.until, &b));
	pen_shape_close(sh, &c, T0, true);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

static void a_mail_larger_than_the_byte_rate_passes_alone(void **state)
{
	struct pen_shape_config *cfg = world_config(1, 0);
	struct pen_shape_block b;

	(void)state;
	cfg->defaults.limits = world_limits("byte_rate=1M/s");
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	struct pen_shape_conn c = open_one(sh, s, T0);
	assert_true(pen_shape_send(sh, &c, NULL, 400000, T0, &b));
	assert_false(pen_shape_send(sh, &c, NULL, 50000000, T0, &b));
	assert_int_equal(b.reason, PEN_WHY_BYTE_RATE);
	assert_true(b.until == PEN_TIME_NEVER); // the open one must end before
	pen_shape_done(sh, &c, NULL, 400000, T0 + S, true);
	assert_false(pen_shape_send(sh, &c, NULL, 50000000, T0 + S, &b));
	assert_true(pen_shape_send(sh, &c, NULL, 50000000, b.until, &b));
	assert_false(pen_shape_send(sh, &c, NULL, 1, b.until, &b));
	pen_shape_done(sh, &c, NULL, 50000000, T0 + 9 * S, true);
	assert_false(pen_shape_send(sh, &c, NULL, 1, T0 + 9 * S, &b));
	assert_true(sends(sh, &c, NULL, 1, b.until, &b));
	pen_shape_close(sh, &c, T0 + 20 * S, true);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

// ---- sources

static void sources_are_used_by_weight_and_smoothly(void **state)
{
	struct pen_shape_config *cfg = world_config(3, 0);
	unsigned count[3] = {0}, run = 0;
	int last = -1;

	(void)state;
	cfg->pool[0].member[0].weight = 50;
	cfg->pool[0].member[1].weight = 30;
	cfg->pool[0].member[2].weight = 20;
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	for (unsigned i = 0; i < 1000; i++) {
		struct pen_shape_conn c = open_one(sh, s, T0);
		count[c.source[0]]++;
		run = c.source[0] == last ? run + 1 : 1;
		last = c.source[0];
		assert_true(run <= 3);
		pen_shape_close(sh, &c, T0, true);
	}
	assert_int_equal(count[0], 500);
	assert_int_equal(count[1], 300);
	assert_int_equal(count[2], 200);
	pen_shape_site_put(sh, s);
	// Sites with one connection each use them by weight, too.
	memset(count, 0, sizeof(count));
	for (unsigned i = 0; i < 1000; i++) {
		char name[32];
		snprintf(name, sizeof(name), "mx.site%u.test", i);
		s = world_site(sh, name, T0);
		struct pen_shape_conn c = open_one(sh, s, T0);
		count[c.source[0]]++;
		pen_shape_close(sh, &c, T0, true);
		pen_shape_site_put(sh, s);
	}
	assert_in_range(count[0], 470, 530);
	assert_in_range(count[1], 270, 330);
	pen_shape_free(sh);
}

static void a_full_source_leaves_the_others_their_shares(void **state)
{
	struct pen_shape_config *cfg = world_config(3, 0);
	unsigned count[3] = {0};

	(void)state;
	cfg->pool[0].member[2].weight = 2;
	cfg->source[0].limits = world_limits("connections=0");
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	for (unsigned i = 0; i < 300; i++) {
		struct pen_shape_conn c = open_one(sh, s, T0);
		count[c.source[0]]++;
		pen_shape_close(sh, &c, T0, true);
	}
	assert_int_equal(count[0], 0);
	assert_int_equal(count[1], 100);
	assert_int_equal(count[2], 200);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

static void a_family_without_source_is_said_so(void **state)
{
	struct pen_shape *sh = shape_of(world_config(1, 0));
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	struct pen_shape_conn c;
	struct pen_shape_block b;
	char out[300];

	(void)state;
	assert_false(pen_shape_open(sh, s, 0, PEN_SHAPE_IP6, T0, &c, &b));
	assert_int_equal(b.reason, PEN_WHY_NO_SOURCE);
	assert_true(b.until == PEN_TIME_NEVER);
	pen_shape_block_text(&b, T0, WORLD_WALL, out, sizeof(out));
	assert_string_equal(out,
		"pool default has no source of the address family of these hosts (egress.conf)");
	assert_true(pen_shape_open(sh, s, 0, BOTH, T0, &c, &b));
	assert_int_equal(c.family, 0);
	pen_shape_close(sh, &c, T0, true);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

static void the_source_that_is_not_used_is_given_back(void **state)
{
	struct pen_shape_config *cfg = world_config(1, 1);

	(void)state;
	cfg->source[0].limits = world_limits("connections=1");
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	struct pen_shape_conn a = open_one(sh, s, T0), b;
	assert_int_equal(a.family, -1);
	b = open_one(sh, s, T0);
	assert_int_equal(b.family, 1); // IPv4's is taken
	pen_shape_ready(sh, &a, 1, T0);
	pen_shape_close(sh, &b, T0, true);
	b = open_one(sh, s, T0);
	assert_int_equal(b.family, -1);
	pen_shape_close(sh, &a, T0, true);
	pen_shape_close(sh, &b, T0, true);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

// ---- reload

static void a_reload_counts_what_is_open_and_used(void **state)
{
	struct pen_shape_config *cfg = world_config(2, 0);
	struct pen_shape_block b;
	struct pen_shape_conn c[6];

	(void)state;
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.p.test", T0);
	pen_shape_site_domain(sh, s, PEN_SPAN_LIT("shop.example"));
	for (unsigned i = 0; i < 6; i++) {
		c[i] = open_one(sh, s, T0);
		pen_shape_ready(sh, &c[i], 0, T0);
	}
	static struct pen_shape_section provider, site;
	provider = (struct pen_shape_section){.name = "p",
		.match = {.nmx = 1, .mx = WORLD_MATCH("*.p.test")},
		.limits = world_limits("connections=6"),
		.source_limits = world_limits("connections=3")};
	site = (struct pen_shape_section){.name = "shop",
		.match = {.ndomains = 1, .domains = WORLD_MATCH("shop.example")},
		.limits = world_limits("connections=5 message_rate=5/s"),
		.source_limits = world_limits("connections=4")};
	cfg = world_config(2, 0);
	cfg->provider = &provider;
	cfg->nproviders = 1;
	cfg->site = &site;
	cfg->nsites = 1;
	assert_int_equal(pen_shape_apply(sh, cfg, T0 + S), 0);
	blocked(sh, s, T0 + S, PEN_HELD_SITE, PEN_WHY_CONNECTIONS,
		"site a.p.test. has its 5 connections (egress.conf)");
	pen_shape_close(sh, &c[0], T0 + S, true);
	blocked(sh, s, T0 + S, PEN_HELD_SITE, PEN_WHY_CONNECTIONS,
		"site a.p.test. has its 5 connections (egress.conf)");
	pen_shape_close(sh, &c[1], T0 + S, true);
	c[0] = open_one(sh, s, T0 + S);
	struct pen_shape_site *t = world_site(sh, "b.p.test", T0);
	c[1] = open_one(sh, t, T0 + S); // the sixth of the provider
	struct pen_shape_conn d;
	assert_false(pen_shape_open(sh, t, 0, BOTH, T0 + S, &d, &b));
	assert_int_equal(b.holder, PEN_HELD_PROVIDER);
	// A new short rate begins full: what was sent just before is not known.
	assert_false(pen_shape_send(sh, &c[2], NULL, 1, T0 + S, &b));
	assert_int_equal(b.reason, PEN_WHY_MESSAGE_RATE);
	for (unsigned i = 0; i < 5; i++)
		assert_true(sends(sh, &c[2], NULL, 1, T0 + 3 * S, &b));
	// Fewer from now on: the five still count.
	site.limits = world_limits("connections=5 message_rate=3/s");
	struct pen_shape_config *less = world_config(2, 0);
	less->site = &site;
	less->nsites = 1;
	assert_int_equal(pen_shape_apply(sh, less, T0 + 3 * S), 0);
	assert_false(pen_shape_send(sh, &c[2], NULL, 1, T0 + 3 * S + S / 2, &b));
	assert_int_equal(b.limit, 3);
	assert_int_equal(b.used, 5);
	assert_string_equal(pen_shape_site_provider(s), "");
	for (unsigned i = 0; i < 6; i++)
		pen_shape_close(sh, &c[i], T0 + 3 * S, true);
	pen_shape_site_put(sh, s);
	pen_shape_site_put(sh, t);
	pen_shape_free(sh);
}

static void what_is_open_counts_at_a_new_provider(void **state)
{
	static struct pen_shape_section section;
	struct pen_shape *sh = shape_of(world_config(1, 0));
	struct pen_shape_site *s = world_site(sh, "a.p.test", T0);
	struct pen_shape_conn c = open_one(sh, s, T0), dialing = open_one(sh, s, T0), d;
	struct pen_shape_block b;

	(void)state;
	pen_shape_ready(sh, &c, 0, T0);
	assert_true(pen_shape_send(sh, &c, NULL, 10, T0, &b));
	assert_true(pen_shape_send(sh, &c, NULL, 10, T0, &b));
	section = (struct pen_shape_section){.name = "p",
		.match = {.nmx = 1, .mx = WORLD_MATCH("*.p.test")},
		.limits = world_limits("message_rate=3/s byte_rate=50/s connection_rate=2/s")};
	struct pen_shape_config *cfg = world_config(1, 0);
	cfg->provider = &section;
	cfg->nproviders = 1;
	assert_int_equal(pen_shape_apply(sh, cfg, T0), 0);
	pen_time_us now = T0 + 3 * S; // whatever it began with is over
	assert_false(pen_shape_send(sh, &c, NULL, 40, now, &b));
	assert_int_equal(b.reason, PEN_WHY_BYTE_RATE);
	assert_true(pen_shape_send(sh, &c, NULL, 10, now, &b));
	assert_false(pen_shape_send(sh, &c, NULL, 10, now, &b));
	assert_int_equal(b.reason, PEN_WHY_MESSAGE_RATE);
	assert_int_equal(b.used, 3);
	assert_true(b.until == PEN_TIME_NEVER);
	assert_true(pen_shape_open(sh, s, 0, BOTH, now, &d, &b));
	pen_shape_close(sh, &d, now, true);
	assert_false(pen_shape_open(sh, s, 0, BOTH, now, &d, &b)); // one counts, one dials
	assert_int_equal(b.reason, PEN_WHY_CONNECTION_RATE);
	for (unsigned i = 0; i < 3; i++)
		pen_shape_done(sh, &c, NULL, 10, now, true);
	pen_shape_close(sh, &c, now, true);
	pen_shape_close(sh, &dialing, now, true);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

static bool show(void *ctx, const struct pen_limit_view *v)
{
	char line[128];

	snprintf(line, sizeof(line), "%d %s %s=%s %llu %s\n", v->holder, v->name, v->limit,
		v->value, (unsigned long long)v->used, v->by);
	strcat(ctx, line);
	return true;
}

static void the_view_names_each_limit_its_use_and_its_line(void **state)
{
	struct pen_shape_config *cfg = world_config(1, 0);
	struct pen_shape_block b;
	char text[2048] = "";

	(void)state;
	cfg->defaults.line = 4;
	cfg->defaults.limits = world_limits(
		"connections=20 message_rate=100/s byte_rate=10M/s messages=50 time=300");
	cfg->defaults.source_limits = world_limits("connections=5");
	cfg->pool[0].line = 9;
	cfg->pool[0].limits = world_limits("connections=40");
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	struct pen_shape_conn c = open_one(sh, s, T0);
	assert_true(sends(sh, &c, NULL, 1000, T0, &b));
	pen_shape_site_view(sh, s, T0, show, text);
	assert_string_equal(text, "0 a.test. connections=20 1 egress.conf line 4\n"
				  "0 a.test. message_rate=100/s 1 egress.conf line 4\n"
				  "0 a.test. byte_rate=10000000/s 1000 egress.conf line 4\n"
				  "0 a.test. connection_messages=50 0 egress.conf line 4\n"
				  "0 a.test. connection_time=300s 0 egress.conf line 4\n"
				  "3 s0 connections=5 1 egress.conf line 4\n"
				  "5 default connections=40 1 egress.conf line 9\n");
	pen_shape_close(sh, &c, T0, true);
	pen_shape_site_put(sh, s);
	pen_shape_free(sh);
}

static void none(void *ctx, struct pen_shape_waiter *w)
{
	(void)ctx;
	(void)w;
}

static void sites_are_forgotten_after_an_hour(void **state)
{
	struct pen_shape_config *cfg = world_config(1, 0);

	(void)state;
	cfg->defaults.limits = world_limits("connections=20 message_rate=100/s");
	struct pen_shape *sh = shape_of(cfg);
	struct pen_shape_site *s = world_site(sh, "a.test", T0);
	struct pen_shape_conn c = open_one(sh, s, T0);
	pen_shape_site_put(sh, s);
	pen_shape_poll(sh, T0 + 7200 * S, T0 + 7200 * S + WORLD_WALL, 10, none, NULL);
	struct pen_shape_site *again = world_site(sh, "a.test", T0);
	assert_ptr_equal(again, s); // the connection holds it
	pen_shape_close(sh, &c, T0 + 7200 * S, true);
	pen_shape_site_put(sh, s);
	pen_shape_poll(sh, T0 + 20000 * S, T0 + 20000 * S + WORLD_WALL, 10, none, NULL);
	pen_shape_free(sh); // ASan knows the rest
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_limits_everything_passes),
		cmocka_unit_test(a_site_keeps_its_connections),
		cmocka_unit_test(limits_are_merged_default_provider_sections_in_order),
		cmocka_unit_test(patterns_match_names_and_their_parents),
		cmocka_unit_test(ten_thousand_sections_are_as_fast_as_ten),
		cmocka_unit_test(every_node_has_its_own_limits),
		cmocka_unit_test(a_source_has_limits_at_each_site),
		cmocka_unit_test(tenants_and_campaigns_have_limits),
		cmocka_unit_test(a_mail_larger_than_the_byte_rate_passes_alone),
		cmocka_unit_test(sources_are_used_by_weight_and_smoothly),
		cmocka_unit_test(a_full_source_leaves_the_others_their_shares),
		cmocka_unit_test(a_family_without_source_is_said_so),
		cmocka_unit_test(the_source_that_is_not_used_is_given_back),
		cmocka_unit_test(a_reload_counts_what_is_open_and_used),
		cmocka_unit_test(what_is_open_counts_at_a_new_provider),
		cmocka_unit_test(the_view_names_each_limit_its_use_and_its_line),
		cmocka_unit_test(sites_are_forgotten_after_an_hour),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
