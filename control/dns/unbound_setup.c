// SPDX-License-Identifier: BSD-3-Clause
#include "unbound_setup.h"

#include <errno.h>
#include <event2/event.h>
#include <inttypes.h>
#include <stdio.h>
#include <unbound-event.h>
#include <unbound.h>
#include <unistd.h>

static const struct {
	const char *name, *value;
} options[] = {
	// A resolver or test zone on this machine is legitimate.
	{"do-not-query-localhost:", "no"},
	// Equal records are shuffled by us, from our seed.
	{"rrset-roundrobin:", "no"},
	{"msg-cache-slabs:", "1"},
	{"rrset-cache-slabs:", "1"},
	{"infra-cache-slabs:", "1"},
	{"key-cache-slabs:", "1"},
	{"cache-max-negative-ttl:", "900"},
	// A chain of CNAMEs ends here; so does an answer that points to itself.
	{"max-query-restarts:", "11"},
};
// dns_concurrency questions may need more packets each (referrals, keys), and
// sockets are files, of which a process has so many.
#define SOCKETS_MAX 4096
enum { SUPPORT_DNSSEC = 2 }; // of smtp_dns_support_level

static const char *server_text(const struct pen_endpoint *e, char out[64])
{
	char addr[PEN_ADDR_STR_MAX];

	snprintf(out, 64, "%s@%u", pen_addr_str(&e->addr, addr), e->port);
	return out;
}

static int set_option(struct ub_ctx *ub, const char *name, const char *value, char *err, size_t cap)
{
	int e = ub_ctx_set_option(ub, name, value);

	if (e != 0)
		snprintf(
			err, cap, "dns: libunbound refuses %s %s: %s", name, value, ub_strerror(e));
	return e;
}

static int set_number(struct ub_ctx *ub, const char *name, int64_t value, char *err, size_t cap)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64, value);
	return set_option(ub, name, text, err, cap);
}

static int set_options(const struct pen_params *p, struct ub_ctx *ub, char *err, size_t cap)
{
	int64_t sockets = p->dns_concurrency * 2;
	int e = 0;

	for (size_t i = 0; e == 0 && i < sizeof(options) / sizeof(options[0]); i++)
		e = set_option(ub, options[i].name, options[i].value, err, cap);
	if (sockets > SOCKETS_MAX)
		sockets = SOCKETS_MAX;
	if (sockets < 64)
		sockets = 64;
	// Records take about twice the room of the messages that name them.
	if (e == 0)
		e = set_number(ub, "msg-cache-size:", p->dns_cache_size / 3, err, cap);
	if (e == 0)
		e = set_number(ub, "rrset-cache-size:", p->dns_cache_size / 3 * 2, err, cap);
	if (e == 0)
		e = set_number(ub, "outgoing-range:", sockets, err, cap);
	if (e == 0)
		e = set_number(ub, "num-queries-per-thread:", p->dns_concurrency + 512, err, cap);
	if (e == 0 && p->dns_prefetch)
		e = set_option(ub, "prefetch-key:", "yes", err, cap);
	return e;
}

static int set_upstream(const struct pen_params *p, struct ub_ctx *ub, char *err, size_t cap)
{
	char server[64];
	int e = 0;

	for (size_t i = 0; e == 0 && i < p->dns_forwarders.n; i++) {
		e = ub_ctx_set_fwd(ub, server_text(&p->dns_forwarders.item[i], server));
		if (e != 0)
			snprintf(err, cap, "dns_forwarders = %s: %s", server, ub_strerror(e));
	}
	if (p->dns_forwarders.n > 0 || p->dns_resolv_conf[0] == '\0')
		return e;
	e = ub_ctx_resolvconf(ub, p->dns_resolv_conf);
	if (e != 0)
		snprintf(err, cap,
			"dns_resolv_conf = %s: %s; write the resolvers into dns_forwarders, or "
			"leave "
			"dns_resolv_conf empty to resolve from the root",
			p->dns_resolv_conf, errno != 0 ? strerror(errno) : ub_strerror(e));
	return e;
}

static int set_stubs(const struct pen_params *p, struct ub_ctx *ub, char *err, size_t cap)
{
	char server[64];

	for (size_t i = 0; i < p->dns_stub_zones.n; i++) {
		const struct pen_stub *s = &p->dns_stub_zones.item[i];
		int e = ub_ctx_set_stub(ub, s->zone, server_text(&s->server, server), 0);
		if (e != 0) {
			snprintf(err, cap, "dns_stub_zones = %s=%s: %s", s->zone, server,
				ub_strerror(e));
			return e;
		}
	}
	return 0;
}

static int set_anchors(const struct pen_params *p, struct ub_ctx *ub, char *err, size_t cap)
{
	const char *file = p->dns_trust_anchor_file;

	if (file[0] == '\0' || p->smtp_dns_support_level != SUPPORT_DNSSEC)
		return 0;
	if (access(file, R_OK) != 0) {
		snprintf(err, cap, "dns_trust_anchor_file = %s: %s", file, strerror(errno));
		return -1;
	}
	int e = ub_ctx_add_ta_file(ub, file);
	if (e != 0)
		snprintf(err, cap, "dns_trust_anchor_file = %s: %s", file, ub_strerror(e));
	return e;
}

// open_zones: libunbound answers names under "test." and some others by itself.
// What the operator points at a server must go there. The first of these calls
// also makes libunbound read everything that was set.
static int open_zones(const struct pen_params *p, struct ub_ctx *ub, char *err, size_t cap)
{
	int e = 0;

	if (p->dns_forwarders.n > 0)
		e = ub_ctx_zone_remove(ub, "test.");
	for (size_t i = 0; e == 0 && i < p->dns_stub_zones.n; i++) {
		if (strcmp(p->dns_stub_zones.item[i].zone, ".") != 0)
			e = ub_ctx_zone_add(ub, p->dns_stub_zones.item[i].zone, "transparent");
		else
			e = ub_ctx_zone_remove(ub, "test.");
	}
	if (e == 0)
		e = ub_ctx_zone_remove(ub, "penstock.invalid.");
	if (e != 0)
		snprintf(err, cap, "dns: libunbound does not start: %s%s", ub_strerror(e),
			p->dns_trust_anchor_file[0] != '\0'
				? " (is dns_trust_anchor_file a file of DS or DNSKEY records?)"
				: "");
	return e;
}

struct ub_ctx *unbound_setup(
	const struct pen_params *params, struct event_base *base, char *err, size_t cap)
{
	struct ub_ctx *ub = ub_ctx_create_event(base);

	if (ub == NULL) {
		snprintf(err, cap, "dns: libunbound gives no context: %s", strerror(errno));
		return NULL;
	}
	ub_ctx_debugout(ub, NULL);
	if (set_options(params, ub, err, cap) == 0 && set_upstream(params, ub, err, cap) == 0 &&
		set_stubs(params, ub, err, cap) == 0 && set_anchors(params, ub, err, cap) == 0 &&
		open_zones(params, ub, err, cap) == 0)
		return ub;
	ub_ctx_delete(ub);
	return NULL;
}
