// SPDX-License-Identifier: BSD-3-Clause

// What submission asks about tenants and suppressed recipients, and what the logs say
// of recipients that were deleted for it.

#include "pen_gateway.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

// "bounce: bad-mailbox", or only the source.
static void describe(const struct pen_suppression_hit *hit, char *why, size_t cap)
{
	snprintf(why, cap, "%s%s%s", pen_suppression_source_word(hit->source),
		hit->reason[0] != '\0' ? ": " : "", hit->reason);
}

bool pen_suppressed(void *ctx, struct pen_span tenant, struct pen_span rcpt, char *why, size_t cap)
{
	struct pen_gateway *g = ctx;
	struct pen_suppression_hit hit;

	if (!pen_suppression_find(g->suppression, tenant, rcpt, &hit))
		return false;
	describe(&hit, why, cap);
	return true;
}

static bool take(char out[PEN_CLASS_NAME_MAX + 1], struct pen_span name)
{
	if (!pen_class_name_valid(name))
		return false;
	memcpy(out, name.p, name.n);
	out[name.n] = '\0';
	return true;
}

static int no_tenant(
	struct pen_gateway *g, const char *param, const char *what, struct pen_span name)
{
	pen_maillog_line(g->maillog, "cleanup",
		"warning: %s: %s for <%.*s>: the mail is refused for now", param, what,
		PEN_SPAN_ARG(name));
	return -EIO;
}

// The name, then "@domain"; "tenant" or "tenant/campaign".
static int find_class(struct pen_gateway *g, const char *param, const struct pen_maps *maps,
	struct pen_span name, struct pen_submission_class *out)
{
	const uint8_t *at = name.n > 0 ? memrchr(name.p, '@', name.n) : NULL;
	struct pen_map_hit hit;

	if (maps->n == 0)
		return 0;
	enum pen_map_status st =
		pen_maps_lookup(maps, name.n > 0 ? name : PEN_SPAN_LIT("<>"), &hit);
	if (st == PEN_MAP_MISSING && at != NULL)
		st = pen_maps_lookup(maps, pen_span(at, name.n - (size_t)(at - name.p)), &hit);
	if (st == PEN_MAP_MISSING)
		return 0;
	struct pen_span value = st == PEN_MAP_FOUND ? hit.value : pen_span(NULL, 0);
	ptrdiff_t slash = pen_span_find(value, '/');
	struct pen_span tenant = slash >= 0 ? pen_span(value.p, (size_t)slash) : value;
	// What a pattern made is looked at here for the first time.
	if (st == PEN_MAP_FOUND && take(out->tenant, tenant) &&
		(slash < 0 || take(out->campaign, pen_span_from(value, (size_t)slash + 1))))
		return 0;
	return no_tenant(
		g, param, st == PEN_MAP_FOUND ? "the value is no tenant" : "lookup failed", name);
}

int pen_sender_class(void *ctx, struct pen_span sender, struct pen_submission_class *out)
{
	struct pen_gateway *g = ctx;
	struct pen_live *live = pen_live_get(g); // a reload may bring other maps
	int err =
		find_class(g, "sender_tenant_maps", &live->config->sender_tenant_maps, sender, out);

	pen_live_put(g, live);
	return err;
}

// Without tables the user is the tenant.
int pen_user_class(void *ctx, struct pen_span user, struct pen_submission_class *out)
{
	struct pen_gateway *g = ctx;
	struct pen_live *live = pen_live_get(g);
	const struct pen_maps *maps = &live->config->smtpd_sasl_tenant_maps;
	int err = 0;

	if (maps->n > 0)
		err = find_class(g, "smtpd_sasl_tenant_maps", maps, user, out);
	else if (!take(out->tenant, user))
		err = no_tenant(g, "smtpd_sasl_tenant_maps", "the user's name is no tenant", user);
	pen_live_put(g, live);
	return err;
}

bool pen_zone_known(void *ctx, const char *zone)
{
	char path[128];
	struct stat st;

	(void)ctx;
	if (zone == NULL || strcmp(zone, "UTC") == 0)
		return zone != NULL;
	snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", zone);
	return strstr(zone, "..") == NULL && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

// ---- logs

static void log_deleted(
	struct pen_gateway *g, const char *queue_id, struct pen_span rcpt, const char *why)
{
	pen_maillog_line(g->maillog, "cleanup",
		"%s: to=<%.*s>, relay=none, delay=0, delays=0/0/0/0, dsn=5.7.1, status=deleted "
		"(suppressed: %s)",
		queue_id, PEN_SPAN_ARG(rcpt), why);
}

void pen_suppression_log(struct pen_gateway *g, const struct pen_message *m)
{
	char why[PEN_SUPPRESSION_REASON_MAX + 40];

	for (uint32_t i = 0; i < m->nrcpt; i++) {
		if (m->rcpt[i].fate != PEN_FATE_DELETED)
			continue;
		if (!pen_suppressed(
			    g, m->klass->tenant, pen_recipient_addr(&m->rcpt[i]), why, sizeof(why)))
			snprintf(why, sizeof(why), "no longer listed"); // in this moment
		log_deleted(g, PEN_QUEUE_ID(m), pen_recipient_addr(&m->rcpt[i]), why);
	}
}

void pen_suppression_dropped(
	void *ctx, const struct pen_submission_mail *mail, struct pen_span rcpt, const char *why)
{
	log_deleted(ctx, mail->queue_id, rcpt, why);
	pen_event_suppressed(ctx, mail->queue_id, mail->sender, rcpt, -1, NULL, why);
}
