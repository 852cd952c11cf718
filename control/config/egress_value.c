// SPDX-License-Identifier: BSD-3-Clause
#include "egress_priv.h"

#include "pen_params.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void egress_refuse(struct egress_reader *rd, const struct pen_ucl_node *n, const char *accepted)
{
	const char *key = n->key != NULL ? n->key : "value";

	if (n->text != NULL)
		pen_report_error(rd->report, rd->file, n->line, "%s = %.120s: accepted is %s", key,
			n->text, accepted);
	else
		pen_report_error(rd->report, rd->file, n->line, "%s: %s is here, accepted is %s",
			key, pen_ucl_type_name(n->type), accepted);
}

static bool number_in(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, uint64_t *out)
{
	char text[96];

	if (pen_ucl_number(n, out) && *out >= k->min && *out <= k->max)
		return true;
	snprintf(text, sizeof(text), "a number from %" PRIu64 " to %" PRIu64, k->min, k->max);
	egress_refuse(rd, n, text);
	return false;
}

void egress_read_u32(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (number_in(rd, k, n, &v))
		*(uint32_t *)out = (uint32_t)v;
}

void egress_read_u16(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (number_in(rd, k, n, &v))
		*(uint16_t *)out = (uint16_t)v;
}

void egress_read_u8(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (number_in(rd, k, n, &v))
		*(uint8_t *)out = (uint8_t)v;
}

void egress_read_bool(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	(void)k;
	if (!pen_ucl_bool(n, out))
		egress_refuse(rd, n, "yes or no");
}

void egress_read_power(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	uint64_t v;

	if (!number_in(rd, k, n, &v))
		return;
	if ((v & (v - 1)) != 0)
		egress_refuse(rd, n, "a power of two");
	else
		*(uint32_t *)out = (uint32_t)v;
}

// egress_read_text fills a char array of k->max bytes, NUL included.
void egress_read_text(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	char text[96];

	if (n->text == NULL || strlen(n->text) >= k->max || n->text[0] == '\0') {
		snprintf(text, sizeof(text), "a text of 1 to %" PRIu64 " bytes", k->max - 1);
		egress_refuse(rd, n, text);
		return;
	}
	strcpy(out, n->text);
}

void egress_read_addr(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_addr a;

	(void)k;
	if (n->text == NULL || pen_addr_parse(&a, pen_span_cstr(n->text)) != 0)
		egress_refuse(rd, n, "an IP address such as \"10.0.0.1\" or \"2001:db8::1\"");
	else
		*(struct pen_addr *)out = a;
}

void egress_read_addr_of(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_addr a;

	if (n->text != NULL && pen_addr_parse(&a, pen_span_cstr(n->text)) == 0 &&
		a.family == k->min)
		*(struct pen_addr *)out = a;
	else if (k->min == PEN_FAMILY_IP6)
		egress_refuse(rd, n, "an IPv6 address such as \"fe80::1\"");
	else
		egress_refuse(rd, n, "an IPv4 address such as \"10.0.0.1\"");
}

void egress_read_mac(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	unsigned m[6];
	int used = 0;
	uint8_t *mac = out;

	(void)k;
	if (n->text == NULL || strlen(n->text) != 17 ||
		sscanf(n->text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &m[0], &m[1], &m[2], &m[3], &m[4],
			&m[5], &used) != 6 ||
		used != 17 || (m[0] & 1)) {
		egress_refuse(rd, n, "a unicast Ethernet address such as \"02:00:00:00:00:01\"");
		return;
	}
	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)m[i];
}

void egress_read_helo(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	if (n->text == NULL || !pen_hostname_valid(pen_span_cstr(n->text)))
		egress_refuse(rd, n, "a host name");
	else
		egress_read_text(rd, k, n, out);
}

void egress_read_hugepages(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	bool b;

	(void)k;
	if (n->type == PEN_UCL_WORD && strcmp(n->text, "auto") == 0)
		*(enum pen_hugepages *)out = PEN_HUGEPAGES_AUTO;
	else if (pen_ucl_bool(n, &b))
		*(enum pen_hugepages *)out = b ? PEN_HUGEPAGES_YES : PEN_HUGEPAGES_NO;
	else
		egress_refuse(rd, n, "auto, yes or no");
}

void egress_read_cores(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	uint16_t *core = out;
	uint32_t count = 0;
	uint64_t v;

	if (n->type != PEN_UCL_ARRAY || n->child == NULL) {
		egress_refuse(rd, n, "an array of core numbers, one for each worker: [0, 1]");
		return;
	}
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		if (count == PEN_WORKERS_MAX) {
			egress_refuse(rd, n, "at most 64 cores");
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

void egress_read_eal(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	struct pen_egress *e = rd->e;

	(void)k;
	(void)out;
	if (n->type != PEN_UCL_ARRAY) {
		egress_refuse(rd, n, "an array of texts: [\"--log-level=lib.eal:debug\"]");
		return;
	}
	for (const struct pen_ucl_node *c = n->child; c != NULL; c = c->next) {
		if (c->text == NULL) {
			egress_refuse(rd, c, "a text");
		} else if (e->dataplane.neal == PEN_EAL_OPTIONS_MAX) {
			egress_refuse(rd, n, "at most 32 options");
			return;
		} else {
			char *copy = strdup(c->text);
			e->eal_text[e->dataplane.neal] = copy;
			if (copy != NULL)
				e->dataplane.eal_option[e->dataplane.neal++] = copy;
		}
	}
}

void egress_read_port_ref(struct egress_reader *rd, const struct egress_key *k,
	const struct pen_ucl_node *n, void *out)
{
	const struct pen_dataplane_config *d = &rd->e->dataplane;

	(void)k;
	for (uint32_t i = 0; n->text != NULL && i < d->nports; i++) {
		if (strcmp(d->port[i].name, n->text) == 0) {
			*(uint16_t *)out = (uint16_t)i;
			return;
		}
	}
	egress_refuse(rd, n, "the name of a port of this file");
}
