// SPDX-License-Identifier: BSD-3-Clause
#include "egress_priv.h"

#include "pen_mail_class.h"
#include "pen_main_cf.h"
#include "pen_provider_rules.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CORE_MAX 1023

static void read_shipped_rules(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)out;
	egress_read_bool(rd, k, n, &rd->shipped_rules);
}

#define TOP(f) offsetof(struct pen_dataplane_config, f)
static const struct egress_key top_keys[] = {
	{"workers", egress_read_u32, TOP(nworkers), 1, PEN_WORKERS_MAX, NULL},
	{"cores", egress_read_cores, TOP(worker_core), 0, CORE_MAX, NULL},
	{"hugepages", egress_read_hugepages, TOP(hugepages), 0, 0, NULL},
	{"memory_mb", egress_read_u32, TOP(memory_mb), 16, 1048576, NULL},
	{"eal_options", egress_read_eal, 0, 0, 0, NULL},
	{"file_prefix", egress_read_text, TOP(file_prefix), 0, 64, NULL},
	{"connections", egress_read_u32, TOP(max_connections), 1, 4000000, NULL},
	{"buffer_mb", egress_read_u32, TOP(buffer_mb), 1, 1048576, NULL},
	{"ring_depth", egress_read_power, TOP(ring_depth), 64, 1 << 20, NULL},
	{"rx_window", egress_read_u32, TOP(rx_window), 2048, 1 << 24, NULL},
	{"tx_limit", egress_read_u32, TOP(tx_limit), 4096, 1 << 26, NULL},
	{"shipped_rules", read_shipped_rules, 0, 0, 0, NULL},
	{0},
};
static const char *const top_sections[] = {"port", "source", "default", "site", "provider", "pool",
	"tenant", "campaign", "warmup", "rule", NULL};

#define PORT(f) offsetof(struct pen_port_config, f)
static const struct egress_key port_keys[] = {
	{"device", egress_read_text, PORT(device), 0, 256, NULL},
	{"mtu", egress_read_u16, PORT(mtu), 576, 9216, NULL},
	{"prefix", egress_read_u8, PORT(prefix_bits), 1, 32, NULL},
	{"gateway", egress_read_addr_of, PORT(gateway), PEN_FAMILY_IP4, 0, NULL},
	{"prefix6", egress_read_u8, PORT(prefix6_bits), 1, 128, NULL},
	{"gateway6", egress_read_addr_of, PORT(gateway6), PEN_FAMILY_IP6, 0, NULL},
	{"mac", egress_read_mac, PORT(mac), 0, 0, NULL},
	{"trust_rx_checksum", egress_read_bool, PORT(trust_rx_checksum), 0, 0, NULL},
	{0},
};

// A source of the dataplane, and what shaping knows of it.
struct both {
	struct pen_source_config source;
	struct pen_limits limits;
};

#define SOURCE(f) offsetof(struct both, source.f)
static const struct egress_key source_keys[] = {
	{"port", egress_read_port_ref, SOURCE(port), 0, 0, NULL},
	{"address", egress_read_addr, SOURCE(addr), 0, 0, NULL},
	{"helo", egress_read_helo, SOURCE(helo), 0, 256, NULL},
	EGRESS_FLOW_LIMITS(offsetof(struct both, limits)),
	{0},
};

// The names that an object may have: keys, then sections.
struct known {
	const struct egress_key *keys;
	const char *const *skip;
};

static const char *next_key(void *ctx, size_t index)
{
	const struct known *k = ctx;
	size_t n = 0;

	while (k->keys[n].name != NULL)
		n++;
	if (index < n)
		return k->keys[index].name;
	return k->skip != NULL ? k->skip[index - n] : NULL;
}

static void refuse_unknown(struct egress_reader *rd, const struct egress_key *keys,
	const char *const *skip, const struct pen_ucl_node *n, const char *within)
{
	struct known known = {keys, skip};
	const char *like = pen_closest_name(n->key, next_key, &known), *name;
	char list[512] = "";

	if (like != NULL) {
		pen_report_error(rd->report, rd->file, n->line,
			"unknown key \"%.60s\"%s: did you mean \"%s\"?", n->key, within, like);
		return;
	}
	for (size_t i = 0, used = 0; (name = next_key(&known, i)) != NULL && used < sizeof(list);
		i++)
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", name);
	pen_report_error(rd->report, rd->file, n->line, "unknown key \"%.60s\"%s: accepted are %s",
		n->key, within, list);
}

static bool is_in(const char *const *list, const char *name)
{
	for (; list != NULL && *list != NULL; list++) {
		if (strcmp(*list, name) == 0)
			return true;
	}
	return false;
}

void egress_read_keys(struct egress_reader *rd, const struct egress_key *keys,
	const struct pen_ucl_node *object, void *out, const char *const *skip, const char *within)
{
	for (const struct pen_ucl_node *n = object->child; n != NULL; n = n->next) {
		if (is_in(skip, n->key))
			continue;
		const struct egress_key *k = keys;
		while (k->name != NULL && strcmp(k->name, n->key) != 0)
			k++;
		if (k->name == NULL) {
			refuse_unknown(rd, keys, skip, n, within);
			continue;
		}
		const struct pen_ucl_node *first = egress_member(object, n->key);
		if (first != n)
			pen_report_error(rd->report, rd->file, n->line,
				"%s is given in line %u already", n->key, first->line);
		rd->within = within; // a nested object has changed it
		k->read(rd, k, n, (char *)out + k->offset);
	}
}

const struct pen_ucl_node *egress_member(const struct pen_ucl_node *object, const char *key)
{
	const struct pen_ucl_node *n = object->child;

	while (n != NULL && strcmp(n->key, key) != 0)
		n = n->next;
	return n;
}

static bool section_name(const char *name)
{
	size_t len = strlen(name);
	bool good = len > 0 && len < 32;

	for (size_t i = 0; i < len; i++)
		good = good && (isalnum((unsigned char)name[i]) || strchr("_-.", name[i]) != NULL);
	return good;
}

static bool name_check(
	struct egress_reader *rd, const struct pen_ucl_node *n, const char *what, bool owner)
{
	bool good = owner ? strcmp(n->key, "*") == 0 || pen_class_name_valid(pen_span_cstr(n->key))
			  : section_name(n->key);

	if (!good && owner)
		pen_report_error(rd->report, rd->file, n->line,
			"%s name \"%.80s\": accepted are 1 to %d letters, digits and \"._-@+\", or "
			"\"*\" for all others",
			what, n->key, PEN_CLASS_NAME_MAX);
	else if (!good)
		pen_report_error(rd->report, rd->file, n->line,
			"%s name \"%.60s\": accepted are 1 to 31 letters, digits, \"_\", \"-\" and "
			"\".\"",
			what, n->key);
	else if (n->type != PEN_UCL_OBJECT)
		pen_report_error(rd->report, rd->file, n->line,
			"write %s NAME { ... }: \"%.60s\" is no section", what, n->key);
	return good && n->type == PEN_UCL_OBJECT;
}

void egress_each(struct egress_reader *rd, const struct pen_ucl_node *root, const char *what,
	bool owner, void (*fn)(struct egress_reader *rd, const struct pen_ucl_node *n))
{
	for (const struct pen_ucl_node *group = root->child; group != NULL; group = group->next) {
		if (strcmp(group->key, what) != 0)
			continue;
		if (group->type != PEN_UCL_OBJECT) {
			char accepted[64];
			snprintf(accepted, sizeof(accepted), "%s NAME { ... }", what);
			egress_refuse(rd, group, accepted);
			continue;
		}
		for (const struct pen_ucl_node *n = group->child; n != NULL; n = n->next) {
			if (name_check(rd, n, what, owner))
				fn(rd, n);
		}
	}
}

uint32_t egress_count(const struct pen_ucl_node *root, const char *what)
{
	uint32_t count = 0;

	for (const struct pen_ucl_node *g = root->child; g != NULL; g = g->next) {
		for (const struct pen_ucl_node *n = g->child;
			strcmp(g->key, what) == 0 && n != NULL; n = n->next)
			count++;
	}
	return count;
}

static void read_port(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;
	char within[64];

	for (uint32_t i = 0; i < d->nports; i++) {
		if (strcmp(d->port[i].name, n->key) == 0) {
			pen_report_error(
				rd->report, rd->file, n->line, "port %s is there already", n->key);
			return;
		}
	}
	if (d->nports == PEN_PORTS_MAX) {
		pen_report_error(
			rd->report, rd->file, n->line, "more than %d ports", PEN_PORTS_MAX);
		return;
	}
	struct pen_port_config *port = &d->port[d->nports++];
	*port = (struct pen_port_config){.mtu = 1500, .prefix_bits = 24, .prefix6_bits = 64};
	strcpy(port->name, n->key);
	snprintf(within, sizeof(within), " in port %s", n->key);
	egress_read_keys(rd, port_keys, n, port, NULL, within);
	if (egress_member(n, "device") == NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"port %s has no device: write device = \"net_af_packet0,iface=eth1\", or "
			"the PCI "
			"address of a network card",
			n->key);
}

// What a port cannot send from, whatever the rest of the file says.
static const char *unusable(const struct pen_addr *a)
{
	static const uint8_t zeros[16];
	bool low = memcmp(a->ip, zeros, 10) == 0; // ::, ::1, ::a.b.c.d, ::ffff:a.b.c.d

	if (a->family == PEN_FAMILY_IP6)
		return a->ip[0] == 0xff                                ? "a multicast address"
		       : a->ip[0] == 0xfe && (a->ip[1] & 0xc0) == 0x80 ? "a link-local address"
		       : low ? "no address that a network card may have"
			     : NULL;
	return a->ip[0] >= 224                    ? "a multicast or reserved address"
	       : a->ip[0] == 0 || a->ip[0] == 127 ? "no address that a network card may have"
						  : NULL;
}

// A gateway must be a neighbour of the port's sources: on their prefix or, for
// IPv6, link-local.
static void check_gateway(
	struct egress_reader *rd, const struct pen_source_config *s, unsigned line)
{
	const struct pen_port_config *port = &rd->e->dataplane.port[s->port];
	bool six = s->addr.family == PEN_FAMILY_IP6;
	const struct pen_addr *gateway = six ? &port->gateway6 : &port->gateway;
	uint8_t bits = six ? port->prefix6_bits : port->prefix_bits;
	char a[PEN_ADDR_STR_MAX], b[PEN_ADDR_STR_MAX];

	if (gateway->family == PEN_FAMILY_NONE ||
		(six && gateway->ip[0] == 0xfe && (gateway->ip[1] & 0xc0) == 0x80))
		return;
	if (!pen_cidr_has(&(struct pen_cidr){s->addr, bits}, gateway))
		pen_report_error(rd->report, rd->file, line,
			"source %s: the gateway %s of port %s is not in %s/%u", s->name,
			pen_addr_str(gateway, a), port->name, pen_addr_str(&s->addr, b), bits);
}

static void check_source(struct egress_reader *rd, const struct pen_source_config *s, unsigned line)
{
	const struct pen_dataplane_config *d = &rd->e->dataplane;
	char text[PEN_ADDR_STR_MAX];

	if (s->addr.family == PEN_FAMILY_NONE)
		return;
	const char *why = unusable(&s->addr);
	if (why != NULL)
		pen_report_error(rd->report, rd->file, line, "source %s: address = %s is %s",
			s->name, pen_addr_str(&s->addr, text), why);
	if (d->nports == 0)
		return;
	const struct pen_port_config *port = &d->port[s->port];
	// RFC 8200 5.
	if (s->addr.family == PEN_FAMILY_IP6 && port->mtu < 1280)
		pen_report_error(rd->report, rd->file, line,
			"source %s: the mtu %u of port %s is too small for IPv6: accepted is 1280 "
			"or more",
			s->name, port->mtu, port->name);
	if (why == NULL)
		check_gateway(rd, s, line);
}

static void read_source(struct egress_reader *rd, const struct pen_ucl_node *n)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;
	struct pen_source_config *s = &rd->e->sources[d->nsources];
	struct both both = {0};
	char within[64], text[PEN_ADDR_STR_MAX];

	strcpy(both.source.name, n->key);
	snprintf(within, sizeof(within), " in source %s", n->key);
	egress_read_keys(rd, source_keys, n, &both, NULL, within);
	*s = both.source;
	rd->source_limits[d->nsources] = both.limits;
	if (egress_member(n, "address") == NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"source %s has no address: write address = \"10.0.0.2\"", n->key);
	if (egress_member(n, "port") == NULL && d->nports > 1)
		pen_report_error(rd->report, rd->file, n->line,
			"source %s does not say which port it is on: write port = %s", n->key,
			d->port[0].name);
	for (uint32_t i = 0; i < d->nsources; i++) {
		const struct pen_source_config *o = &rd->e->sources[i];
		if (strcmp(o->name, s->name) == 0)
			pen_report_error(rd->report, rd->file, n->line,
				"source %s is there already", s->name);
		else if (s->addr.family != PEN_FAMILY_NONE && pen_addr_eq(&o->addr, &s->addr))
			pen_report_error(rd->report, rd->file, n->line,
				"source %s has the address %s of source %s", s->name,
				pen_addr_str(&s->addr, text), o->name);
	}
	check_source(rd, s, n->line);
	d->nsources++;
}

static void check_cores(struct egress_reader *rd, const struct pen_ucl_node *root)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;
	const struct pen_ucl_node *cores = egress_member(root, "cores"),
				  *workers = egress_member(root, "workers");
	uint32_t n = 0;

	if (!rd->cores_given) {
		for (uint32_t i = 0; i < PEN_WORKERS_MAX; i++)
			d->worker_core[i] = (uint16_t)i;
		return;
	}
	while (n < PEN_WORKERS_MAX && d->worker_core[n] != UINT16_MAX)
		n++;
	if (workers == NULL)
		d->nworkers = n;
	else if (n != d->nworkers && cores->type == PEN_UCL_ARRAY)
		pen_report_error(rd->report, rd->file, cores->line,
			"cores: %u cores for workers = %u: accepted is one core for each worker", n,
			d->nworkers);
}

static void set_defaults(struct pen_dataplane_config *d)
{
	*d = (struct pen_dataplane_config){
		.nworkers = 1,
		.hugepages = PEN_HUGEPAGES_AUTO,
		.memory_mb = 256,
		.file_prefix = "penstock",
		.max_connections = 10000,
		.buffer_mb = 64,
		.ring_depth = 4096,
		.rx_window = 65535,
		.tx_limit = 256 * 1024,
	};
}

static void read_root(struct egress_reader *rd, const struct pen_ucl_node *root)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;

	egress_read_keys(rd, top_keys, root, d, top_sections, "");
	check_cores(rd, root);
	egress_each(rd, root, "port", false, read_port);
	egress_each(rd, root, "source", false, read_source);
	d->source = rd->e->sources;
	if (d->nports == 0)
		pen_report_error(
			rd->report, rd->file, 0, "no port: write port p0 { device = \"...\" }");
	if (d->nsources == 0)
		pen_report_error(rd->report, rd->file, 0,
			"no source: write source s0 { port = p0; address = \"...\" }");
}

static int read_shaping(
	struct egress_reader *rd, const struct pen_ucl_node *root, struct pen_span shipped)
{
	struct pen_ucl_node *rules = NULL;

	if (rd->shipped_rules && shipped.n > 0) {
		rules = pen_ucl_parse(shipped, PEN_PROVIDER_RULES_NAME, rd->report);
		if (rules == NULL)
			return -EINVAL;
	}
	int err = egress_shape_build(rd, root, rules);
	pen_ucl_free(rules);
	return err;
}

static int read_all(
	struct egress_reader *rd, const struct pen_ucl_node *root, struct pen_span shipped)
{
	uint32_t n = egress_count(root, "source");

	if (n > PEN_SOURCES_MAX) {
		pen_report_error(rd->report, rd->file, 0, "%u sources: accepted are at most %d", n,
			PEN_SOURCES_MAX);
		return -EINVAL;
	}
	rd->e->sources = calloc(n + 1, sizeof(*rd->e->sources));
	rd->source_limits = calloc(n + 1, sizeof(*rd->source_limits));
	if (rd->e->sources == NULL || rd->source_limits == NULL)
		return -ENOMEM;
	read_root(rd, root);
	return read_shaping(rd, root, shipped);
}

// FNV-1a.
static uint64_t hash_text(struct pen_span s)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < s.n; i++)
		h = (h ^ s.p[i]) * 0x100000001b3u;
	return h;
}

int pen_egress_parse_with(struct pen_egress *e, struct pen_span text, const char *file,
	struct pen_span shipped, struct pen_report *r)
{
	struct egress_reader rd = {
		.e = e, .file = file, .report = r, .shipped_rules = true, .within = ""};
	unsigned errors = r->errors;

	*e = (struct pen_egress){.text_hash = hash_text(text)};
	set_defaults(&e->dataplane);
	struct pen_ucl_node *root = pen_ucl_parse(text, file, r);
	if (root == NULL)
		return -EINVAL;
	int err = read_all(&rd, root, shipped);
	free(rd.source_limits);
	pen_ucl_free(root);
	return err == 0 && r->errors > errors ? -EINVAL : err;
}

int pen_egress_parse(
	struct pen_egress *e, struct pen_span text, const char *file, struct pen_report *r)
{
	return pen_egress_parse_with(e, text, file, pen_provider_rules_text(), r);
}

struct pen_shape_config *pen_egress_take_shape(struct pen_egress *e)
{
	struct pen_shape_config *c = e->shape;

	e->shape = NULL;
	return c;
}

int pen_egress_read(struct pen_egress *e, const char *file, struct pen_report *r)
{
	struct pen_buf text = PEN_BUF_INIT;
	struct pen_report quiet = {0};
	int err = pen_read_file(file, PEN_UCL_FILE_MAX, &text, &quiet);

	*e = (struct pen_egress){0};
	if (err == -ENOENT)
		pen_report_error(r, file, 0,
			"is missing; it names the network ports and the addresses to send from: "
			"port p0 { device = \"net_af_packet0,iface=eth1\"; prefix = 24; gateway = "
			"\"10.0.0.1\"; } source s0 { port = p0; address = \"10.0.0.2\"; }");
	else if (err != 0)
		pen_report_error(r, file, 0, "cannot be read: %s", strerror(-err));
	else
		err = pen_egress_parse(e, pen_buf_span(&text), file, r);
	pen_buf_fini(&text);
	return err;
}

void pen_egress_fini(struct pen_egress *e)
{
	for (size_t i = 0; i < PEN_EAL_OPTIONS_MAX; i++)
		free(e->eal_text[i]);
	free(e->sources);
	pen_shape_config_free(e->shape);
	*e = (struct pen_egress){0};
}
