// SPDX-License-Identifier: BSD-3-Clause
#include "pen_config.h"

#include "pen_mail_class.h"
#include "pen_sasl_params.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

// join makes "DIR/NAME"; an absolute NAME stays.
static char *join(const char *directory, const char *name)
{
	struct pen_buf b = PEN_BUF_INIT;

	if (name[0] == '/')
		return strdup(name);
	pen_buf_addf(&b, "%s/%s", directory, name);
	pen_buf_add(&b, "", 1);
	if (!b.failed)
		return (char *)b.p;
	pen_buf_fini(&b);
	return NULL;
}

// check_order refuses a pair of times that contradict each other.
static void check_order(const struct pen_params *p, const char *file, const char *low,
	pen_time_us low_us, const char *high, pen_time_us high_us, struct pen_report *r)
{
	unsigned line = pen_params_line(p, low);

	if (line == 0)
		line = pen_params_line(p, high);
	if (low_us > high_us)
		pen_report_error(r, file, line,
			"%s (%llds) is larger than %s (%llds): accepted is at most that", low,
			(long long)(low_us / PEN_US_PER_S), high,
			(long long)(high_us / PEN_US_PER_S));
}

// An EHLO name is a host name or an address in brackets (RFC 5321 4.1.3).
static void check_helo(const struct pen_params *p, const char *file, struct pen_report *r)
{
	struct pen_span name = pen_span_cstr(p->smtp_helo_name);
	struct pen_addr addr;

	if (pen_hostname_valid(name))
		return;
	if (name.n > 2 && name.p[0] == '[' && name.p[name.n - 1] == ']') {
		struct pen_span in = pen_span(name.p + 1, name.n - 2);
		if (pen_span_istarts(in, PEN_SPAN_LIT("IPv6:")))
			in = pen_span_from(in, 5);
		if (pen_addr_parse(&addr, in) == 0)
			return;
	}
	pen_report_error(r, file, pen_params_line(p, "smtp_helo_name"),
		"smtp_helo_name = %s: accepted is a host name or an [address]", p->smtp_helo_name);
}

static void check_absolute(const struct pen_params *p, const char *file, const char *name,
	const char *value, struct pen_report *r)
{
	if (value[0] != '\0' && value[0] != '/')
		pen_report_error(r, file, pen_params_line(p, name),
			"%s = %.200s: accepted is an absolute path", name, value);
}

static void check_verp(const struct pen_params *p, const char *file, struct pen_report *r)
{
	const char *d = p->default_verp_delimiters, *filter = p->verp_delimiter_filter;

	if (strlen(d) != 2 || strchr(filter, d[0]) == NULL || strchr(filter, d[1]) == NULL)
		pen_report_error(r, file, pen_params_line(p, "default_verp_delimiters"),
			"default_verp_delimiters = %.40s: accepted are two characters of "
			"verp_delimiter_filter (%.40s)",
			d, filter);
}

static void check_utf8_classes(const struct pen_params *p, const char *file, struct pen_report *r)
{
	static const char *const words[] = {
		"sendmail", "smtpd", "qmqpd", "forward", "bounce", "notify", "verify", "all"};
	struct pen_span rest = pen_span_cstr(p->smtputf8_autodetect_classes), word;

	while (pen_list_next(&rest, &word)) {
		bool known = false;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			known = known || pen_span_ieq(word, pen_span_cstr(words[i]));
		if (!known)
			pen_report_error(r, file, pen_params_line(p, "smtputf8_autodetect_classes"),
				"smtputf8_autodetect_classes: %.*s: accepted is sendmail, smtpd, "
				"qmqpd, forward, bounce, notify, verify or all",
				PEN_SPAN_ARG(word));
	}
}

static void check_notify_classes(const struct pen_params *p, const char *file, struct pen_report *r)
{
	static const char *const words[] = {"2bounce", "bounce", "delay", // followed; then not
		"data", "policy", "protocol", "resource", "software"};
	struct pen_span rest = pen_span_cstr(p->notify_classes), word;
	unsigned line = pen_params_line(p, "notify_classes");

	while (pen_list_next(&rest, &word)) {
		size_t i = 0;
		while (i < sizeof(words) / sizeof(words[0]) &&
			!pen_span_ieq(word, pen_span_cstr(words[i])))
			i++;
		if (i == sizeof(words) / sizeof(words[0]))
			pen_report_error(r, file, line,
				"notify_classes: %.*s: accepted is 2bounce, bounce, data, delay, "
				"policy, protocol, resource or software",
				PEN_SPAN_ARG(word));
		else if (i > 2 && line != 0)
			pen_report_warning(r, file, line,
				"notify_classes: %.*s has no effect: the postmaster hears of "
				"2bounce, bounce and delay only; see the mail log and penstock "
				"status",
				PEN_SPAN_ARG(word));
	}
}

static void check_params(const struct pen_params *p, const char *file, struct pen_report *r)
{
	check_order(p, file, "minimal_backoff_time", p->minimal_backoff_time,
		"maximal_backoff_time", p->maximal_backoff_time, r);
	if (p->maximal_host_backoff_time > 0)
		check_order(p, file, "minimal_host_backoff_time", p->minimal_host_backoff_time,
			"maximal_host_backoff_time", p->maximal_host_backoff_time, r);
	check_helo(p, file, r);
	check_verp(p, file, r);
	check_utf8_classes(p, file, r);
	pen_sasl_check(p, file, r);
	check_notify_classes(p, file, r);
	check_absolute(p, file, "queue_directory", p->queue_directory, r);
	check_absolute(p, file, "control_socket", p->control_socket, r);
	check_absolute(p, file, "maillog_file", p->maillog_file, r);
	check_absolute(p, file, "dns_trust_anchor_file", p->dns_trust_anchor_file, r);
	check_absolute(p, file, "dns_resolv_conf", p->dns_resolv_conf, r);
	if (p->queue_directory[0] == '\0')
		pen_report_error(r, file, pen_params_line(p, "queue_directory"),
			"queue_directory is empty: accepted is an absolute path");
	if (p->smtpd_soft_error_limit > p->smtpd_hard_error_limit)
		pen_report_warning(r, file, pen_params_line(p, "smtpd_soft_error_limit"),
			"smtpd_soft_error_limit is above smtpd_hard_error_limit and never acts");
	// The spool keeps whole messages: below this not even a few fit.
	if (p->spool_segment_size % 4096 != 0)
		pen_report_error(r, file, pen_params_line(p, "spool_segment_size"),
			"spool_segment_size (%lld bytes): must be a multiple of 4096",
			(long long)p->spool_segment_size);
	if (p->message_size_limit > p->spool_segment_size / 4 * 3)
		pen_report_warning(r, file, pen_params_line(p, "spool_segment_size"),
			"message_size_limit (%lld bytes) is more than three quarters of "
			"spool_segment_size (%lld bytes): larger mail is refused",
			(long long)p->message_size_limit, (long long)p->spool_segment_size);
	if (p->message_size_limit * 4 > p->spool_size_limit)
		pen_report_error(r, file, pen_params_line(p, "spool_size_limit"),
			"spool_size_limit (%lld bytes) is less than four times message_size_limit "
			"(%lld)",
			(long long)p->spool_size_limit, (long long)p->message_size_limit);
}

struct class_check {
	const struct pen_map_where *where;
	struct pen_report *r;
};

// "tenant" or "tenant/campaign".
static void check_class(
	void *ctx, struct pen_span key, struct pen_span value, const char *file, unsigned line)
{
	const struct class_check *c = ctx;
	ptrdiff_t slash = pen_span_find(value, '/');
	struct pen_span tenant = slash >= 0 ? pen_span(value.p, (size_t)slash) : value;
	struct pen_span campaign = pen_span_from(value, tenant.n + 1);

	if (memchr(value.p, '$', value.n) != NULL)
		return; // of a pattern: what it becomes is looked at when it is used
	if (pen_class_name_valid(tenant) && (slash < 0 || pen_class_name_valid(campaign)))
		return;
	pen_report_error(c->r, file != NULL ? file : c->where->file,
		line != 0 ? line : c->where->line,
		"%s: %.*s %.*s: accepted is tenant or tenant/campaign, of letters, digits and . _ "
		"- @ +",
		c->where->param, PEN_SPAN_ARG(key), PEN_SPAN_ARG(value));
}

static void load_tenants(const struct pen_config *c, const char *file, const char *param,
	const char *value, struct pen_maps *maps, struct pen_report *r)
{
	const struct pen_map_where where = {file, pen_params_line(&c->params, param), param};
	struct class_check check = {&where, r};

	pen_maps_open(maps, value, &where, r);
	for (size_t i = 0; i < maps->n; i++)
		pen_map_each(maps->map[i], check_class, &check);
}

static void load_templates(struct pen_config *c, const char *file, struct pen_report *r)
{
	const char *name = c->params.bounce_template_file;

	if (name[0] == '\0')
		return;
	char *path = join(c->directory, name);
	if (path != NULL)
		c->bounce_templates = pen_bounce_templates_read(path, &c->params, r);
	else
		pen_report_error(r, file, 0, "out of memory");
	free(path);
}

// A message ends with maximal_queue_lifetime, before any route of it is known; a site can
// only give up earlier.
static void check_lifetime(
	const struct pen_config *c, const struct pen_shape_section *section, struct pen_report *r)
{
	pen_time_us most = c->params.maximal_queue_lifetime;

	if (section->retry.lifetime > most)
		pen_report_error(r, c->egress_file, section->retry.lifetime_line,
			"lifetime (%llds) is larger than maximal_queue_lifetime (%llds) of "
			"main.cf: accepted is at most that",
			(long long)(section->retry.lifetime / PEN_US_PER_S),
			(long long)(most / PEN_US_PER_S));
}

static void check_lifetimes(const struct pen_config *c, struct pen_report *r)
{
	const struct pen_shape_config *s = c->egress.shape;

	if (s == NULL)
		return;
	check_lifetime(c, &s->defaults, r);
	for (uint32_t i = 0; i < s->nsites; i++)
		check_lifetime(c, &s->site[i], r);
	for (uint32_t i = 0; i < s->nproviders; i++)
		check_lifetime(c, &s->provider[i], r);
}

static void load_tables(struct pen_config *c, const char *file, struct pen_report *r)
{
	const struct pen_map_where where = {
		file, pen_params_line(&c->params, "transport_maps"), "transport_maps"};

	c->egress_file = join(c->directory, c->params.egress_config);
	pen_maps_open_plain(&c->transport_maps, c->params.transport_maps, &where, r);
	load_tenants(c, file, "sender_tenant_maps", c->params.sender_tenant_maps,
		&c->sender_tenant_maps, r);
	load_tenants(c, file, "smtpd_sasl_tenant_maps", c->params.smtpd_sasl_tenant_maps,
		&c->smtpd_sasl_tenant_maps, r);
	load_templates(c, file, r);
	if (c->egress_file == NULL || pen_egress_read(&c->egress, c->egress_file, r) == -ENOMEM)
		pen_report_error(r, file, 0, "out of memory");
	check_lifetimes(c, r);
}

static void load_all(struct pen_config *c, const char *file, struct pen_report *r)
{
	struct pen_main_cf cf;
	char hostname[256] = "";

	gethostname(hostname, sizeof(hostname) - 1);
	struct pen_params_env env = {hostname, c->directory};
	int err = pen_main_cf_read(&cf, file, r);
	if (err == 0)
		err = pen_params_load(&c->params, &cf, &env, r);
	if (err == -ENOMEM) {
		pen_report_error(r, file, 0, "out of memory");
	} else if (c->params.line != NULL) {
		check_params(&c->params, file, r);
		load_tables(c, file, r);
	}
	pen_main_cf_fini(&cf);
}

struct pen_config *pen_config_load(const char *directory, struct pen_report *r)
{
	struct pen_config *c = calloc(1, sizeof(*c));
	unsigned errors = r->errors;

	// $config_directory names tables, which must be absolute.
	char *file = NULL;
	if (c != NULL)
		c->directory = realpath(directory, NULL);
	if (c != NULL && c->directory == NULL)
		c->directory = strdup(directory);
	if (c != NULL && c->directory != NULL)
		file = join(c->directory, "main.cf");
	if (file == NULL)
		pen_report_error(r, directory, 0, "out of memory");
	else
		load_all(c, file, r);
	free(file);
	if (r->errors == errors)
		return c;
	pen_config_free(c);
	return NULL;
}

void pen_config_free(struct pen_config *c)
{
	if (c == NULL)
		return;
	pen_maps_fini(&c->transport_maps);
	pen_maps_fini(&c->sender_tenant_maps);
	pen_maps_fini(&c->smtpd_sasl_tenant_maps);
	pen_bounce_templates_free(c->bounce_templates);
	pen_egress_fini(&c->egress);
	pen_params_fini(&c->params);
	free(c->egress_file);
	free(c->directory);
	free(c);
}

static void show_one(void *ctx, const struct pen_param_desc *desc, const char *value)
{
	pen_buf_addf(ctx, "%s =%s%s\n", desc->name, value[0] != '\0' ? " " : "", value);
}

void pen_config_show(const struct pen_config *c, unsigned flags, struct pen_buf *out)
{
	pen_params_each(&c->params, flags, show_one, out);
}
