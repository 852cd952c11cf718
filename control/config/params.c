// SPDX-License-Identifier: BSD-3-Clause
#include "pen_params.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define AT(field) offsetof(struct pen_params, field)
#define S PEN_US_PER_S
#define PEN_STR(n, d, doc_)                                                                        \
	{.name = #n, .type = PEN_PARAM_STR, .dflt = d, .doc = doc_, .offset = AT(n)},
#define PEN_HOST(n, d, doc_)                                                                       \
	{.name = #n, .type = PEN_PARAM_HOST, .dflt = d, .doc = doc_, .offset = AT(n)},
#define PEN_BOOL(n, d, doc_)                                                                       \
	{.name = #n, .type = PEN_PARAM_BOOL, .dflt = d, .doc = doc_, .offset = AT(n)},
#define PEN_INT(n, d, lo, hi, doc_)                                                                \
	{.name = #n,                                                                               \
		.type = PEN_PARAM_INT,                                                             \
		.dflt = d,                                                                         \
		.doc = doc_,                                                                       \
		.offset = AT(n),                                                                   \
		.min = lo,                                                                         \
		.max = hi},
#define PEN_SIZE(n, d, lo, hi, doc_)                                                               \
	{.name = #n,                                                                               \
		.type = PEN_PARAM_SIZE,                                                            \
		.dflt = d,                                                                         \
		.doc = doc_,                                                                       \
		.offset = AT(n),                                                                   \
		.min = lo,                                                                         \
		.max = hi},
#define PEN_DURATION(n, d, u, lo, hi, doc_)                                                        \
	{.name = #n,                                                                               \
		.type = PEN_PARAM_DURATION,                                                        \
		.dflt = d,                                                                         \
		.doc = doc_,                                                                       \
		.offset = AT(n),                                                                   \
		.min = lo * S,                                                                     \
		.max = hi * S,                                                                     \
		.unit = u},
#define PEN_ENUM(n, d, e, doc_)                                                                    \
	{.name = #n, .type = PEN_PARAM_ENUM, .dflt = d, .doc = doc_, .offset = AT(n), .names = e},
#define PEN_NETS(n, d, doc_)                                                                       \
	{.name = #n, .type = PEN_PARAM_NETS, .dflt = d, .doc = doc_, .offset = AT(n)},
#define PEN_ENDPOINTS(n, d, p, doc_)                                                               \
	{.name = #n,                                                                               \
		.type = PEN_PARAM_ENDPOINTS,                                                       \
		.dflt = d,                                                                         \
		.doc = doc_,                                                                       \
		.offset = AT(n),                                                                   \
		.port = p},
#define PEN_SERVERS(n, d, doc_)                                                                    \
	{.name = #n, .type = PEN_PARAM_SERVERS, .dflt = d, .doc = doc_, .offset = AT(n)},
#define PEN_STUBS(n, d, doc_)                                                                      \
	{.name = #n, .type = PEN_PARAM_STUBS, .dflt = d, .doc = doc_, .offset = AT(n)},
const struct pen_param_desc pen_param_table[] = {
#include "pen_params.def"
};
const size_t pen_param_count = sizeof(pen_param_table) / sizeof(pen_param_table[0]);

// The lists share one shape, which pen_param_parse relies on.
_Static_assert(sizeof(struct pen_param_nets) == sizeof(struct pen_param_endpoints) &&
		       sizeof(struct pen_param_nets) == sizeof(struct pen_param_stubs) &&
		       offsetof(struct pen_param_nets, n) == offsetof(struct pen_param_stubs, n),
	"list shapes");

struct loading {
	struct pen_params *p;
	struct pen_main_cf *cf;
	struct pen_report *r;
	// Defaults that the system decides.
	char myhostname[PEN_HOST_NAME_MAX + 16];
	char mydomain[PEN_HOST_NAME_MAX + 16];
	const char *config_directory;
};

static ptrdiff_t param_index(const char *name)
{
	for (size_t i = 0; i < pen_param_count; i++) {
		if (strcmp(pen_param_table[i].name, name) == 0)
			return (ptrdiff_t)i;
	}
	return -1;
}

static const char *default_text(const struct loading *l, size_t index)
{
	const struct pen_param_desc *d = &pen_param_table[index];

	if (d->offset == AT(myhostname))
		return l->myhostname;
	if (d->offset == AT(mydomain))
		return l->mydomain;
	if (d->offset == AT(config_directory))
		return l->config_directory;
	return d->dflt;
}

static const char *find_text(void *ctx, const char *name)
{
	struct loading *l = ctx;
	struct pen_main_cf_def *def = pen_main_cf_find(l->cf, name);
	ptrdiff_t i = param_index(name);

	if (def != NULL) {
		def->used = true;
		return def->value;
	}
	return i >= 0 ? default_text(l, (size_t)i) : NULL;
}

// load_value stores `text` (raw) as the value of a parameter.
static bool load_value(struct loading *l, size_t i, const char *text, unsigned line)
{
	const struct pen_param_desc *d = &pen_param_table[i];
	struct pen_main_cf_scope scope = {find_text, l, l->cf->file, line, l->r};
	struct pen_buf value = PEN_BUF_INIT;
	char why[512];
	bool ok = pen_main_cf_expand(&scope, d->name, text, &value);

	if (ok) {
		pen_buf_add(&value, "", 1);
		struct pen_span t = pen_span_trim(pen_span(value.p, value.n - 1));
		value.p[t.p - value.p + (ptrdiff_t)t.n] = '\0';
		ok = !value.failed && pen_param_parse(l->p, d, (const char *)t.p, why, sizeof(why));
		if (!ok)
			pen_report_error(l->r, l->cf->file, line, "%s = %.200s: accepted is %s",
				d->name, (const char *)t.p, value.failed ? "less text" : why);
		else if ((const char *)t.p != NULL) {
			free(l->p->expanded[i]);
			l->p->expanded[i] = strdup((const char *)t.p);
		}
	}
	pen_buf_fini(&value);
	return ok;
}

// load_fallback fills a field with its default, or at worst with something
// harmless, so that a caller may look at any field.
static void load_fallback(struct loading *l, size_t i)
{
	const struct pen_param_desc *d = &pen_param_table[i];
	struct pen_report quiet = {0}, *r = l->r;
	char why[512];

	l->r = &quiet;
	if (!load_value(l, i, default_text(l, i), 0) && d->type == PEN_PARAM_STR)
		pen_param_parse(l->p, d, "", why, sizeof(why));
	else if (quiet.errors > 0 && d->type == PEN_PARAM_HOST)
		pen_param_parse(l->p, d, "localhost", why, sizeof(why));
	l->r = r;
}

static void load_one(struct loading *l, size_t i)
{
	const struct pen_param_desc *d = &pen_param_table[i];
	struct pen_main_cf_def *def = pen_main_cf_find(l->cf, d->name);

	if (def == NULL) {
		// A default fails only through a name that it refers to, and the
		// fault of that is reported where it is written.
		load_fallback(l, i);
		return;
	}
	def->used = true;
	l->p->line[i] = def->line;
	l->p->written[i] = strdup(def->value);
	if (!load_value(l, i, def->value, def->line))
		load_fallback(l, i);
}

// The system's name decides myhostname, and that decides mydomain.
static void load_identity(struct loading *l, const struct pen_params_env *env)
{
	const char *host = env->hostname != NULL ? env->hostname : "";

	if (!pen_hostname_valid(pen_span_cstr(host)))
		host = "localhost";
	snprintf(l->myhostname, sizeof(l->myhostname), "%s%s", host,
		strchr(host, '.') == NULL ? ".localdomain" : "");
	snprintf(l->mydomain, sizeof(l->mydomain), "localdomain");
	load_one(l, (size_t)param_index("myhostname"));
	const char *dot = l->p->myhostname != NULL ? strchr(l->p->myhostname, '.') : NULL;
	if (dot != NULL && dot[1] != '\0')
		snprintf(l->mydomain, sizeof(l->mydomain), "%s", dot + 1);
}

static const char *next_name(void *ctx, size_t index)
{
	(void)ctx;
	return index < pen_param_count ? pen_param_table[index].name : NULL;
}

// A name of the operator's own is legal when a value refers to it.
static void report_unknown(struct loading *l)
{
	for (size_t i = 0; i < l->cf->ndefs; i++) {
		struct pen_main_cf_def *def = &l->cf->def[i];
		if (def->used)
			continue;
		const char *like = pen_closest_name(def->name, next_name, NULL);
		pen_report_warning(l->r, l->cf->file, def->line, "unused parameter: %s=%.80s%s%s%s",
			def->name, def->value, like != NULL ? " (did you mean " : "",
			like != NULL ? like : "", like != NULL ? "?)" : "");
	}
}

int pen_params_load(struct pen_params *p, struct pen_main_cf *cf, const struct pen_params_env *env,
	struct pen_report *r)
{
	struct loading l = {.p = p,
		.cf = cf,
		.r = r,
		.config_directory = env->config_directory != NULL ? env->config_directory : "."};
	unsigned errors = r->errors;

	*p = (struct pen_params){.written = calloc(pen_param_count, sizeof(char *)),
		.line = calloc(pen_param_count, sizeof(unsigned)),
		.expanded = calloc(pen_param_count, sizeof(char *))};
	if (p->written == NULL || p->line == NULL || p->expanded == NULL)
		return -ENOMEM;
	load_identity(&l, env);
	for (size_t i = 0; i < pen_param_count; i++) {
		if (pen_param_table[i].offset != AT(myhostname))
			load_one(&l, i);
	}
	report_unknown(&l);
	return r->errors > errors ? -EINVAL : 0;
}

void pen_params_fini(struct pen_params *p)
{
	for (size_t i = 0; i < pen_param_count; i++) {
		pen_param_free(p, &pen_param_table[i]);
		if (p->written != NULL)
			free(p->written[i]);
		if (p->expanded != NULL)
			free(p->expanded[i]);
	}
	free(p->written);
	free(p->line);
	free(p->expanded);
	*p = (struct pen_params){0};
}

unsigned pen_params_line(const struct pen_params *p, const char *name)
{
	ptrdiff_t i = param_index(name);

	return i >= 0 && p->line != NULL ? p->line[i] : 0;
}

static int by_name(const void *a, const void *b)
{
	const struct pen_param_desc *x = &pen_param_table[*(const size_t *)a];
	const struct pen_param_desc *y = &pen_param_table[*(const size_t *)b];

	return strcmp(x->name, y->name);
}

void pen_params_each(const struct pen_params *p, unsigned flags,
	void (*fn)(void *ctx, const struct pen_param_desc *desc, const char *value), void *ctx)
{
	size_t order[sizeof(pen_param_table) / sizeof(pen_param_table[0])];

	for (size_t i = 0; i < pen_param_count; i++)
		order[i] = i;
	qsort(order, pen_param_count, sizeof(order[0]), by_name);
	for (size_t k = 0; k < pen_param_count; k++) {
		size_t i = order[k];
		const struct pen_param_desc *d = &pen_param_table[i];
		const char *value = p->written[i] != NULL ? p->written[i] : d->dflt;
		// Defaults that the system decides have no text in the table.
		if ((flags & PEN_SHOW_EXPANDED) || (p->written[i] == NULL && value[0] == '\0'))
			value = p->expanded[i] != NULL ? p->expanded[i] : "";
		if ((flags & PEN_SHOW_CHANGED) && p->line[i] == 0)
			continue;
		fn(ctx, d, value);
	}
}

struct pen_smtp_timeouts pen_params_timeouts(const struct pen_params *p)
{
	return (struct pen_smtp_timeouts){
		.connect = p->smtp_connect_timeout,
		.helo = p->smtp_helo_timeout,
		.starttls = p->smtp_starttls_timeout,
		.mail = p->smtp_mail_timeout,
		.rcpt = p->smtp_rcpt_timeout,
		.data_init = p->smtp_data_init_timeout,
		.data_xfer = p->smtp_data_xfer_timeout,
		.data_done = p->smtp_data_done_timeout,
		.rset = p->smtp_rset_timeout,
		.quit = p->smtp_quit_timeout,
		.idle = p->smtp_connection_cache_time_limit,
	};
}
