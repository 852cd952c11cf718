// SPDX-License-Identifier: BSD-3-Clause
#include "reload_diff.h"

#include <inttypes.h>
#include <stdio.h>

// What is looked up where it is needed, on the queue thread, or given to the scheduler anew.
// Everything else was handed to a part that keeps it: a listener, DNS, TLS.
static const char *const live[] = {
	"bounce_template_file",
	"bounce_queue_lifetime",
	"bounce_size_limit",
	"compatibility_level",
	"confirm_delay_cleared",
	"default_delivery_slot_cost",
	"default_delivery_slot_discount",
	"default_delivery_slot_loan",
	"default_destination_concurrency_failed_cohort_limit",
	"default_destination_concurrency_limit",
	"default_destination_concurrency_negative_feedback",
	"default_destination_concurrency_positive_feedback",
	"default_destination_recipient_limit",
	"default_minimum_delivery_slots",
	"delay_notice_recipient",
	"delay_warning_time",
	"destination_ready_limit",
	"disable_verp_bounces",
	"egress_config",
	"error_notice_recipient",
	"greylist_retry_time",
	"header_checks",
	"in_doubt_delay",
	"in_doubt_policy",
	"initial_destination_concurrency",
	"lmtp_assume_final",
	"lmtp_destination_concurrency_limit",
	"lmtp_destination_recipient_limit",
	"lmtp_initial_destination_concurrency",
	"maximal_backoff_time",
	"maximal_host_backoff_time",
	"maximal_queue_lifetime",
	"minimal_backoff_time",
	"minimal_host_backoff_time",
	"notify_classes",
	"queue_memory_limit",
	"queue_minfree",
	"relayhost",
	"requiretls_redact_dsn",
	"sender_tenant_maps",
	"smtp_connect_timeout",
	"smtp_connection_cache_time_limit",
	"smtp_connection_reuse_count_limit",
	"smtp_connection_reuse_time_limit",
	"smtp_data_done_timeout",
	"smtp_data_init_timeout",
	"smtp_data_xfer_timeout",
	"smtp_destination_concurrency_limit",
	"smtp_destination_recipient_limit",
	"smtp_helo_timeout",
	"smtp_initial_destination_concurrency",
	"smtp_log_tls_feature_status",
	"smtp_mail_timeout",
	"smtp_quit_timeout",
	"smtp_randomize_addresses",
	"smtp_rcpt_timeout",
	"smtp_result_barrier",
	"smtp_rset_timeout",
	"smtp_starttls_timeout",
	"smtp_tls_fallback_delay",
	"smtp_tls_loglevel",
	"smtp_tls_note_starttls_offer",
	"smtpd_sasl_tenant_maps",
	"soft_bounce",
	"tlsrpt_skip_reused_handshakes",
	"transport_maps",
};

bool reload_is_live(const char *name)
{
	for (size_t i = 0; i < sizeof(live) / sizeof(live[0]); i++) {
		if (strcmp(live[i], name) == 0)
			return true;
	}
	return false;
}

size_t reload_live_count(void)
{
	return sizeof(live) / sizeof(live[0]);
}

static const char *value_of(const struct pen_config *c, size_t i)
{
	return c->params.expanded[i] != NULL ? c->params.expanded[i] : "";
}

static void add_restart(struct reload_diff *out, const char *name, const char *value,
	const char *in_effect, const char *file, unsigned line)
{
	json_t *one = json_pack("{s:s,s:s,s:s,s:s,s:i}", "name", name, "value", value, "in_effect",
		in_effect, "file", file, "line", (int)line);

	if (one != NULL) // else: not UTF-8
		json_array_append_new(out->restart, one);
}

static void compare_params(const struct pen_config *boot, const struct pen_config *now,
	const struct pen_config *next, struct reload_diff *out)
{
	for (size_t i = 0; i < pen_param_count; i++) {
		const char *name = pen_param_table[i].name, *value = value_of(next, i);
		if (reload_is_live(name)) {
			if (strcmp(value_of(now, i), value) != 0)
				json_array_append_new(out->changed, json_string(name));
		} else if (strcmp(value_of(boot, i), value) != 0) {
			add_restart(out, name, value, value_of(boot, i), "main.cf",
				next->params.line[i]);
		}
	}
}

static void restart_number(
	struct reload_diff *out, const char *name, uint64_t next, uint64_t in_effect)
{
	char a[24], b[24];

	if (next == in_effect)
		return;
	snprintf(a, sizeof(a), "%" PRIu64, next);
	snprintf(b, sizeof(b), "%" PRIu64, in_effect);
	add_restart(out, name, a, b, "egress.conf", 0);
}

static void compare_ports(const struct pen_dataplane_config *boot,
	const struct pen_dataplane_config *next, struct reload_diff *out)
{
	restart_number(out, "ports", next->nports, boot->nports);
	for (uint32_t i = 0; i < next->nports && i < boot->nports; i++) {
		const struct pen_port_config *a = &next->port[i], *b = &boot->port[i];
		bool same = strcmp(a->name, b->name) == 0 && strcmp(a->device, b->device) == 0 &&
			    a->mtu == b->mtu && a->prefix_bits == b->prefix_bits &&
			    a->prefix6_bits == b->prefix6_bits &&
			    pen_addr_eq(&a->gateway, &b->gateway) &&
			    pen_addr_eq(&a->gateway6, &b->gateway6) &&
			    memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 &&
			    a->trust_rx_checksum == b->trust_rx_checksum;
		if (!same)
			add_restart(out, "port", a->name, b->name, "egress.conf", 0);
	}
}

static bool same_options(const struct pen_dataplane_config *a, const struct pen_dataplane_config *b)
{
	if (a->neal != b->neal)
		return false;
	for (uint32_t i = 0; i < a->neal; i++) {
		if (strcmp(a->eal_option[i], b->eal_option[i]) != 0)
			return false;
	}
	return true;
}

static void compare_dataplane(const struct pen_dataplane_config *boot,
	const struct pen_dataplane_config *next, struct reload_diff *out)
{
	restart_number(out, "workers", next->nworkers, boot->nworkers);
	for (uint32_t i = 0; i < next->nworkers && i < boot->nworkers; i++)
		restart_number(out, "cores", next->worker_core[i], boot->worker_core[i]);
	restart_number(out, "hugepages", next->hugepages, boot->hugepages);
	restart_number(out, "memory_mb", next->memory_mb, boot->memory_mb);
	restart_number(out, "connections", next->max_connections, boot->max_connections);
	restart_number(out, "buffer_mb", next->buffer_mb, boot->buffer_mb);
	restart_number(out, "ring_depth", next->ring_depth, boot->ring_depth);
	restart_number(out, "rx_window", next->rx_window, boot->rx_window);
	restart_number(out, "tx_limit", next->tx_limit, boot->tx_limit);
	if (strcmp(next->file_prefix, boot->file_prefix) != 0)
		add_restart(
			out, "file_prefix", next->file_prefix, boot->file_prefix, "egress.conf", 0);
	if (!same_options(next, boot))
		add_restart(out, "eal_options", "", "", "egress.conf", 0);
	compare_ports(boot, next, out);
}

// ---- sources and pools, which shaping knows by their indexes

static bool same_sources(const struct pen_egress *boot, const struct pen_egress *next,
	const char *file, struct pen_report *r)
{
	const struct pen_dataplane_config *a = &next->dataplane, *b = &boot->dataplane;

	for (uint32_t i = 0; i < a->nsources && i < b->nsources; i++) {
		const struct pen_source_config *s = &a->source[i], *was = &b->source[i];
		char text[PEN_ADDR_STR_MAX], old[PEN_ADDR_STR_MAX];
		if (strcmp(s->name, was->name) == 0 && pen_addr_eq(&s->addr, &was->addr))
			continue;
		pen_report_error(r, file, 0,
			"source %s (%s) stands where source %s (%s) is in use: a change of sources "
			"or of their order needs a restart",
			s->name, pen_addr_str(&s->addr, text), was->name,
			pen_addr_str(&was->addr, old));
		return false;
	}
	if (a->nsources == b->nsources)
		return true;
	pen_report_error(r, file, 0,
		"%u sources, %u are in use: a change of sources needs a restart", a->nsources,
		b->nsources);
	return false;
}

static void compare_sources(
	const struct pen_config *boot, const struct pen_config *next, struct reload_diff *out)
{
	const struct pen_dataplane_config *a = &next->egress.dataplane,
					  *b = &boot->egress.dataplane;

	for (uint32_t i = 0; i < a->nsources; i++) {
		char name[64];
		snprintf(name, sizeof(name), "source %s: helo", a->source[i].name);
		if (strcmp(a->source[i].helo, b->source[i].helo) != 0)
			add_restart(
				out, name, a->source[i].helo, b->source[i].helo, "egress.conf", 0);
		snprintf(name, sizeof(name), "source %s: port", a->source[i].name);
		restart_number(out, name, a->source[i].port, b->source[i].port);
	}
}

static bool match_pools(const struct pen_shape_config *shape, struct pen_shape_config *next,
	const char *file, struct pen_report *r)
{
	for (uint32_t i = 0; i < shape->npools; i++) {
		uint32_t k = i;
		while (k < next->npools && strcmp(next->pool[k].name, shape->pool[i].name) != 0)
			k++;
		if (k == next->npools) {
			pen_report_error(r, file, 0,
				"pool %s is in use and not there any more: a change of pools needs "
				"a restart",
				shape->pool[i].name);
			return false;
		}
		struct pen_shape_pool moved = next->pool[k];
		next->pool[k] = next->pool[i];
		next->pool[i] = moved;
	}
	if (next->npools == shape->npools)
		return true;
	const struct pen_shape_pool *fresh = &next->pool[shape->npools];
	pen_report_error(r, file, fresh->line, "pool %s is new: a change of pools needs a restart",
		fresh->name);
	return false;
}

bool reload_compare(const struct pen_config *boot, const struct pen_config *now,
	const struct pen_shape_config *shape, struct pen_config *next, struct reload_diff *out,
	struct pen_report *r)
{
	const char *file = next->egress_file;

	*out = (struct reload_diff){json_array(), json_array()};
	compare_params(boot, now, next, out);
	if (next->egress.text_hash != now->egress.text_hash)
		json_array_append_new(out->changed, json_string("egress.conf"));
	compare_dataplane(&boot->egress.dataplane, &next->egress.dataplane, out);
	if (!same_sources(&boot->egress, &next->egress, file, r))
		return false;
	compare_sources(boot, next, out);
	return match_pools(shape, next->egress.shape, file, r);
}
