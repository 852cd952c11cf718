// SPDX-License-Identifier: BSD-3-Clause
#include "pen_egress.h"

#include "pen_main_cf.h"
#include "pen_params.h"
#include "pen_ucl.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define CORE_MAX 1023

struct reader {
	struct pen_egress *e;
	const char *file;
	struct pen_report *report;
	bool cores_given;
};

// One key of an object: how to read it, with its range.
struct key {
	const char *name;
	void (*read)(
		struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out);
	size_t offset;
	uint64_t min, max;
	const char *accepted;
};

static void refuse(struct reader *rd, const struct pen_ucl_node *n, const char *accepted)
{
	const char *key = n->key != NULL ? n->key : "value";

	if (n->text != NULL)
		pen_report_error(rd->report, rd->file, n->line, "%s = %.120s: accepted is %s", key,
			n->text, accepted);
	else
		pen_report_error(rd->report, rd->file, n->line, "%s: %s is here, accepted is %s",
			key, pen_ucl_type_name(n->type), accepted);
}

static bool number_in(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, uint64_t *out)
{
	char text[96];

	if (pen_ucl_number(n, out) && *out >= k->min && *out <= k->max)
		return true;
	snprintf(text, sizeof(text), "a number from %" PRIu64 " to %" PRIu64, k->min, k->max);
	refuse(rd, n, text);
	return false;
}

static void read_u32(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (number_in(rd, k, n, &v))
		*(uint32_t *)out = (uint32_t)v;
}

static void read_u16(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (number_in(rd, k, n, &v))
		*(uint16_t *)out = (uint16_t)v;
}

static void read_u8(struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (number_in(rd, k, n, &v))
		*(uint8_t *)out = (uint8_t)v;
}

static void read_bool(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	(void)k;
	if (!pen_ucl_bool(n, out))
		refuse(rd, n, "yes or no");
}

static void read_power(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (!number_in(rd, k, n, &v))
		return;
	if ((v & (v - 1)) != 0)
		refuse(rd, n, "a power of two");
	else
		*(uint32_t *)out = (uint32_t)v;
}

// read_text fills a char array of k->max bytes, NUL included.
static void read_text(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	char text[96];

	if (n->text == NULL || strlen(n->text) >= k->max || n->text[0] == '\0') {
		snprintf(text, sizeof(text), "a text of 1 to %" PRIu64 " bytes", k->max - 1);
		refuse(rd, n, text);
		return;
	}
	strcpy(out, n->text);
}

static void read_addr(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	struct pen_addr a;

	(void)k;
	if (n->text == NULL || pen_addr_parse(&a, pen_span_cstr(n->text)) != 0)
		refuse(rd, n, "an IP address such as \"10.0.0.1\"");
	else
		*(struct pen_addr *)out = a;
}

static void read_mac(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	unsigned m[6];
	int used = 0;
	uint8_t *mac = out;

	(void)k;
	if (n->text == NULL || strlen(n->text) != 17 ||
		sscanf(n->text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4],
			&m[5], &used) != 6 ||
		used != 17 || (m[0] & 1)) {
		refuse(rd, n, "a unicast Ethernet address such as \"02:00:00:00:00:01\"");
		return;
	}
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)m[i];
}

static void read_helo(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	if (n->text == NULL || !pen_hostname_valid(pen_span_cstr(n->text)))
		refuse(rd, n, "a host name");
	else
		read_text(rd, k, n, out);
}

static void read_hugepages(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	bool b;

	(void)k;
	if (n->type == PEN_UCL_WORD && strcmp(n->text, "auto") == 0)
		*(enum pen_hugepages *)out = PEN_HUGEPAGES_AUTO;
	else if (pen_ucl_bool(n, &b))
		*(enum pen_hugepages *)out = b ? PEN_HUGEPAGES_YES : PEN_HUGEPAGES_NO;
	else
		refuse(rd, n, "auto, yes or no");
}

static void read_cores(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	uint16_t *core = out;
	uint32_t count = 0;
	uint64_t v;

	if (n->type != PEN_UCL_ARRAY || n->child == NULL) {
		refuse(rd, n, "an array of core numbers, one for each worker: [0, 1]");
		return;
	}
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		if (count == PEN_WORKERS_MAX) {
			refuse(rd, n, "at most 64 cores");
			return;
		}
		if (!number_in(rd, k, c, &v))
			return;
		for (uint32_t i = 0; i < count; i++) {
			if (core[i] == v) {
				pen_report_error(rd->report, rd->file, c->line,
					"cores: core %" PRIu64 " is there twice", v);
				return;
			}
		}
		core[count++] = (uint16_t)v;
	}
	// Until `workers` is compared, remember how many there are in the unused tail.
	for (uint32_t i = count; i < PEN_WORKERS_MAX; i++)
		core[i] = UINT16_MAX;
	rd->cores_given = true;
}

static void read_eal(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	struct pen_egress *e = rd->e;

	(void)k;
	(void)out;
	if (n->type != PEN_UCL_ARRAY) {
		refuse(rd, n, "an array of texts: [\"--log-level=lib.eal:debug\"]");
		return;
	}
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		if (c->text == NULL) {
			refuse(rd, c, "a text");
		} else if (e->dataplane.neal == PEN_EAL_OPTIONS_MAX) {
			refuse(rd, n, "at most 32 options");
			return;
		} else {
			char *copy = strdup(c->text);
			e->eal_text[e->dataplane.neal] = copy;
			if (copy != NULL)
				e->dataplane.eal_option[e->dataplane.neal++] = copy;
		}
	}
}

static void read_port_ref(
	struct reader *rd, const struct key *k, const struct pen_ucl_node *n, void *out)
{
	const struct pen_dataplane_config *d = &rd->e->dataplane;

	(void)k;
	for (uint32_t i = 0; n->text != NULL && i < d->nports; i++) {
		if (strcmp(d->port[i].name, n->text) == 0) {
			*(uint16_t *)out = (uint16_t)i;
			return;
		}
	}
	refuse(rd, n, "the name of a port of this file");
}

#define TOP(f) offsetof(struct pen_dataplane_config, f)
static const struct key top_keys[] = {
	{"workers", read_u32, TOP(nworkers), 1, PEN_WORKERS_MAX, NULL},
	{"cores", read_cores, TOP(worker_core), 0, CORE_MAX, NULL},
	{"hugepages", read_hugepages, TOP(hugepages), 0, 0, NULL},
	{"memory_mb", read_u32, TOP(memory_mb), 16, 1048576, NULL},
	{"eal_options", read_eal, 0, 0, 0, NULL},
	{"file_prefix", read_text, TOP(file_prefix), 0, 64, NULL},
	{"connections", read_u32, TOP(max_connections), 1, 4000000, NULL},
	{"buffer_mb", read_u32, TOP(buffer_mb), 1, 1048576, NULL},
	{"ring_depth", read_power, TOP(ring_depth), 64, 1 << 20, NULL},
	{"rx_window", read_u32, TOP(rx_window), 2048, 1 << 24, NULL},
	{"tx_limit", read_u32, TOP(tx_limit), 4096, 1 << 26, NULL},
	{0},
};

#define PORT(f) offsetof(struct pen_port_config, f)
static const struct key port_keys[] = {
	{"device", read_text, PORT(device), 0, 256, NULL},
	{"mtu", read_u16, PORT(mtu), 576, 9216, NULL},
	{"prefix", read_u8, PORT(prefix_bits), 1, 128, NULL},
	{"gateway", read_addr, PORT(gateway), 0, 0, NULL},
	{"mac", read_mac, PORT(mac), 0, 0, NULL},
	{"trust_rx_checksum", read_bool, PORT(trust_rx_checksum), 0, 0, NULL},
	{0},
};

#define SOURCE(f) offsetof(struct pen_source_config, f)
static const struct key source_keys[] = {
	{"port", read_port_ref, SOURCE(port), 0, 0, NULL},
	{"address", read_addr, SOURCE(addr), 0, 0, NULL},
	{"helo", read_helo, SOURCE(helo), 0, 256, NULL},
	{0},
};

static const char *next_key(void *ctx, size_t index)
{
	const struct key *keys = ctx;

	if (keys[index].name != NULL)
		return keys[index].name;
	return NULL;
}

static void refuse_unknown(
	struct reader *rd, const struct key *keys, const struct pen_ucl_node *n, const char *within)
{
	union {
		const struct key *in;
		void *out;
	} ctx = {.in = keys};
	const char *like = pen_closest_name(n->key, next_key, ctx.out);
	char list[256] = "";

	for (size_t i = 0, used = 0; keys[i].name != NULL && used < sizeof(list); i++)
		used += (size_t)snprintf(
			list + used, sizeof(list) - used, "%s%s", i > 0 ? ", " : "", keys[i].name);
	if (like != NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"unknown key \"%.60s\"%s: did you mean \"%s\"?", n->key, within, like);
	else
		pen_report_error(rd->report, rd->file, n->line,
			"unknown key \"%.60s\"%s: accepted are %s", n->key, within, list);
}

// read_keys reads the members of one object that `keys` names; those named in
// `sections` are left to the caller.
static void read_keys(struct reader *rd, const struct key *keys, const struct pen_ucl_node *object,
	void *out, bool sections, const char *within)
{
	for (const struct pen_ucl_node *n = object->child; n != NULL; n = n->next) {
		if (sections && (strcmp(n->key, "port") == 0 || strcmp(n->key, "source") == 0))
			continue;
		const struct key *k = keys;
		while (k->name != NULL && strcmp(k->name, n->key) != 0)
			k++;
		if (k->name == NULL) {
			refuse_unknown(rd, keys, n, within);
			continue;
		}
		for (const struct pen_ucl_node *b = object->child; b != n; b = b->next) {
			if (strcmp(b->key, n->key) == 0) {
				pen_report_error(rd->report, rd->file, n->line,
					"%s is given in line %u already", n->key, b->line);
				break;
			}
		}
		k->read(rd, k, n, (char *)out + k->offset);
	}
}

static const struct pen_ucl_node *member(const struct pen_ucl_node *object, const char *key)
{
	const struct pen_ucl_node *n = object->child;

	while (n != NULL && strcmp(n->key, key) != 0)
		n = n->next;
	return n;
}

static bool name_check(struct reader *rd, const struct pen_ucl_node *n, const char *what)
{
	size_t len = strlen(n->key);
	bool good = len > 0 && len < 32;

	for (size_t i = 0; i < len; i++)
		good = good &&
		       (isalnum((unsigned char)n->key[i]) || strchr("_-.", n->key[i]) != NULL);
	if (!good)
		pen_report_error(rd->report, rd->file, n->line,
			"%s name \"%.60s\": accepted are 1 to 31 letters, digits, \"_\", \"-\" and "
			"\".\"",
			what, n->key);
	else if (n->type != PEN_UCL_OBJECT)
		pen_report_error(rd->report, rd->file, n->line,
			"write %s NAME { ... }: \"%.60s\" is no section", what, n->key);
	return good && n->type == PEN_UCL_OBJECT;
}

// each_section calls fn for every `what NAME { }`.
static void each_section(struct reader *rd, const struct pen_ucl_node *root, const char *what,
	void (*fn)(struct reader *rd, const struct pen_ucl_node *n))
{
	for (const struct pen_ucl_node *group = root->child; group != NULL; group = group->next) {
		if (strcmp(group->key, what) != 0)
			continue;
		if (group->type != PEN_UCL_OBJECT) {
			char accepted[64];
			snprintf(accepted, sizeof(accepted), "%s NAME { ... }", what);
			refuse(rd, group, accepted);
			continue;
		}
		for (const struct pen_ucl_node *n = group->child; n != NULL; n = n->next) {
			if (name_check(rd, n, what))
				fn(rd, n);
		}
	}
}

static void read_port(struct reader *rd, const struct pen_ucl_node *n)
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
	*port = (struct pen_port_config){.mtu = 1500, .prefix_bits = 24};
	strcpy(port->name, n->key);
	snprintf(within, sizeof(within), " in port %s", n->key);
	read_keys(rd, port_keys, n, port, false, within);
	if (member(n, "device") == NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"port %s has no device: write device = \"net_af_packet0,iface=eth1\", or "
			"the PCI "
			"address of a network card",
			n->key);
}

static void read_source(struct reader *rd, const struct pen_ucl_node *n)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;
	struct pen_source_config *s = &rd->e->sources[d->nsources];
	char within[64], text[PEN_ADDR_STR_MAX];

	*s = (struct pen_source_config){0};
	strcpy(s->name, n->key);
	snprintf(within, sizeof(within), " in source %s", n->key);
	read_keys(rd, source_keys, n, s, false, within);
	if (member(n, "address") == NULL)
		pen_report_error(rd->report, rd->file, n->line,
			"source %s has no address: write address = \"10.0.0.2\"", n->key);
	if (member(n, "port") == NULL && d->nports > 1)
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
	d->nsources++;
}

// A gateway must be a neighbour of the port's sources.
static void check_gateway(struct reader *rd, const struct pen_source_config *s, unsigned line)
{
	const struct pen_port_config *port = &rd->e->dataplane.port[s->port];
	char a[PEN_ADDR_STR_MAX], b[PEN_ADDR_STR_MAX];

	if (s->addr.family == PEN_FAMILY_NONE || port->gateway.family != s->addr.family)
		return;
	if (s->addr.family == PEN_FAMILY_IP4 && port->prefix_bits > 32)
		pen_report_error(rd->report, rd->file, line,
			"prefix = %u of port %s: accepted for IPv4 is 1 to 32", port->prefix_bits,
			port->name);
	else if (!pen_cidr_has(&(struct pen_cidr){s->addr, port->prefix_bits}, &port->gateway))
		pen_report_error(rd->report, rd->file, line,
			"source %s: the gateway %s of port %s is not in %s/%u", s->name,
			pen_addr_str(&port->gateway, a), port->name, pen_addr_str(&s->addr, b),
			port->prefix_bits);
}

static uint32_t count_sections(const struct pen_ucl_node *root, const char *what)
{
	uint32_t count = 0;

	for (const struct pen_ucl_node *g = root->child; g != NULL; g = g->next) {
		for (const struct pen_ucl_node *n = g->child;
			strcmp(g->key, what) == 0 && n != NULL; n = n->next)
			count++;
	}
	return count;
}

static void check_cores(struct reader *rd, const struct pen_ucl_node *root)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;
	const struct pen_ucl_node *cores = member(root, "cores"),
				  *workers = member(root, "workers");
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

static void read_root(struct reader *rd, const struct pen_ucl_node *root)
{
	struct pen_dataplane_config *d = &rd->e->dataplane;

	read_keys(rd, top_keys, root, d, true, "");
	check_cores(rd, root);
	each_section(rd, root, "port", read_port);
	each_section(rd, root, "source", read_source);
	d->source = rd->e->sources;
	if (d->nports == 0)
		pen_report_error(
			rd->report, rd->file, 0, "no port: write port p0 { device = \"...\" }");
	if (d->nsources == 0)
		pen_report_error(rd->report, rd->file, 0,
			"no source: write source s0 { port = p0; address = \"...\" }");
	if (d->nports == 0)
		return;
	for (uint32_t i = 0; i < d->nsources; i++)
		check_gateway(rd, &rd->e->sources[i], 0);
}

int pen_egress_parse(
	struct pen_egress *e, struct pen_span text, const char *file, struct pen_report *r)
{
	struct reader rd = {.e = e, .file = file, .report = r};
	unsigned errors = r->errors;

	*e = (struct pen_egress){0};
	set_defaults(&e->dataplane);
	struct pen_ucl_node *root = pen_ucl_parse(text, file, r);
	if (root == NULL)
		return -EINVAL;
	uint32_t n = count_sections(root, "source");
	if (n > PEN_SOURCES_MAX) {
		pen_report_error(
			r, file, 0, "%u sources: accepted are at most %d", n, PEN_SOURCES_MAX);
	} else {
		e->sources = calloc(n > 0 ? n : 1, sizeof(*e->sources));
		if (e->sources == NULL) {
			pen_ucl_free(root);
			return -ENOMEM;
		}
		read_root(&rd, root);
	}
	pen_ucl_free(root);
	return r->errors > errors ? -EINVAL : 0;
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
	*e = (struct pen_egress){0};
}
