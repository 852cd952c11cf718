// SPDX-License-Identifier: BSD-3-Clause

// A resolver from the dns_* and smtp_* parameters.

#include "resolver.h"

#include "dns_wire.h"
#include "unbound_setup.h"

#include <errno.h>
#include <event2/event.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unbound.h>
#include <unistd.h>

// The order of names in pen_params.def.
enum { PROTOCOLS_ALL, PROTOCOLS_IP4, PROTOCOLS_IP6 };
enum { SUPPORT_DISABLED, SUPPORT_ENABLED, SUPPORT_DNSSEC };
enum { NULL_MX_RFC7505, NULL_MX_POSTFIX };

static struct mx_options options_of(const struct pen_params *p)
{
	return (struct mx_options){
		.pick = {.limit = (uint32_t)p->smtp_mx_address_limit,
			.randomize = p->smtp_randomize_addresses,
			.balance = p->smtp_balance_inet_protocols,
			.prefer = (enum mx_prefer)p->smtp_address_preference},
		.no_dns = p->disable_dns_lookups || p->smtp_dns_support_level == SUPPORT_DISABLED,
		.validated = p->smtp_dns_support_level == SUPPORT_DNSSEC &&
			     p->dns_trust_anchor_file[0] != '\0',
		.host_lookup = (enum mx_lookup)p->smtp_host_lookup,
		.ip4 = p->inet_protocols != PROTOCOLS_IP6,
		.ip6 = p->inet_protocols != PROTOCOLS_IP4,
		.null_mx_postfix = p->smtp_null_mx_status == NULL_MX_POSTFIX,
		.ignore_mx_lookup_error = p->ignore_mx_lookup_error,
		.defer_if_no_address = p->smtp_defer_if_no_mx_address_found,
	};
}

static int add_own(struct pen_dns *d, const struct pen_cidr *net)
{
	struct pen_cidr *more = realloc(d->own.net, (d->own.n + 1) * sizeof(*more));

	if (more == NULL)
		return -ENOMEM;
	more[d->own.n++] = *net;
	d->own.net = more;
	return 0;
}

int pen_dns_add_own(struct pen_dns *dns, const struct pen_addr *addr)
{
	struct pen_cidr one = {*addr, addr->family == PEN_FAMILY_IP4 ? 32 : 128};

	return add_own(dns, &one);
}

static bool unspecified(const struct pen_addr *a)
{
	const struct pen_addr none = {.family = a->family};

	return pen_addr_eq(a, &none);
}

// add_interfaces: who listens everywhere is at every address of this machine.
static int add_interfaces(struct pen_dns *d)
{
	struct ifaddrs *all = NULL;
	int err = getifaddrs(&all) == 0 ? 0 : -errno;

	for (struct ifaddrs *i = all; err == 0 && i != NULL; i = i->ifa_next) {
		struct pen_addr a = {0};
		if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET) {
			a.family = PEN_FAMILY_IP4;
			memcpy(a.ip, &((struct sockaddr_in *)i->ifa_addr)->sin_addr, 4);
		} else if (i->ifa_addr != NULL && i->ifa_addr->sa_family == AF_INET6) {
			a.family = PEN_FAMILY_IP6;
			memcpy(a.ip, &((struct sockaddr_in6 *)i->ifa_addr)->sin6_addr, 16);
		} else {
			continue;
		}
		err = pen_dns_add_own(d, &a);
	}
	if (all != NULL)
		freeifaddrs(all);
	return err;
}

static int own_addresses(struct pen_dns *d, const struct pen_params *p)
{
	// What an MX to them would reach is this machine, or nothing.
	static const char *const always[] = {"127.0.0.0/8", "0.0.0.0/32", "::1", "::"};
	struct pen_cidr net;
	bool everywhere = false;
	int err = 0;

	for (size_t i = 0; err == 0 && i < sizeof(always) / sizeof(always[0]); i++) {
		err = pen_cidr_parse(&net, pen_span_cstr(always[i]), true);
		if (err == 0)
			err = add_own(d, &net);
	}
	for (size_t i = 0; err == 0 && i < p->proxy_interfaces.n; i++)
		err = add_own(d, &p->proxy_interfaces.item[i]);
	for (size_t i = 0; err == 0 && i < p->smtpd_listen.n; i++) {
		const struct pen_addr *a = &p->smtpd_listen.item[i].addr;
		everywhere = everywhere || unspecified(a);
		err = pen_dns_add_own(d, a);
	}
	return err == 0 && everywhere ? add_interfaces(d) : err;
}

static bool needs_native(const struct mx_options *o)
{
	return o->no_dns || o->host_lookup != MX_LOOKUP_DNS;
}

// set_up fills the rest; false with one sentence in err.
static bool set_up(struct pen_dns *d, const struct pen_params *params, char *err, size_t cap)
{
	int wrong = own_addresses(d, params);

	if (wrong != 0) {
		snprintf(err, cap, "dns: cannot list our own addresses: %s", strerror(-wrong));
		return false;
	}
	d->options = options_of(params);
	d->options.own = &d->own;
	d->no_dns = d->options.no_dns;
	d->no_trust = params->smtp_dns_support_level != SUPPORT_DNSSEC;
	d->timeout = params->dns_timeout;
	d->concurrency = (uint32_t)params->dns_concurrency;
	d->scratch = malloc(sizeof(*d->scratch));
	d->prefetch = params->dns_prefetch;
	d->hot = hot_names_new();
	if (d->scratch == NULL || d->hot == NULL) {
		snprintf(err, cap, "out of memory");
		return false;
	}
	if (!resolver_events(d)) {
		snprintf(err, cap, "dns: cannot make an event loop: %s", strerror(errno));
		return false;
	}
	d->ub = unbound_setup(params, d->base, err, cap);
	if (d->ub == NULL)
		return false;
	d->native = needs_native(&d->options) ? native_new(d) : NULL;
	if (needs_native(&d->options) && d->native == NULL) {
		snprintf(err, cap, "dns: cannot start a thread for smtp_host_lookup");
		return false;
	}
	return true;
}

struct pen_dns *pen_dns_new(const struct pen_params *params, uint64_t seed, char *err, size_t cap)
{
	struct pen_dns *d = calloc(1, sizeof(*d));

	if (d == NULL) {
		snprintf(err, cap, "out of memory");
		return NULL;
	}
	d->wake_fd = -1;
	STAILQ_INIT(&d->posts);
	TAILQ_INIT(&d->running);
	TAILQ_INIT(&d->ready);
	TAILQ_INIT(&d->fresh);
	TAILQ_INIT(&d->waiting);
	TAILQ_INIT(&d->in_flight);
	TAILQ_INIT(&d->answered);
	TAILQ_INIT(&d->asked);
	pen_rand_seed(&d->rand, seed);
	pthread_mutex_init(&d->lock, NULL);
	if (set_up(d, params, err, cap))
		return d;
	pen_dns_free(d);
	return NULL;
}

void pen_dns_free(struct pen_dns *dns)
{
	if (dns == NULL)
		return;
	resolver_stop(dns);
	native_free(dns->native);
	if (dns->ub != NULL)
		ub_ctx_delete(dns->ub);
	lookups_free(dns);
	if (dns->tick != NULL)
		event_free(dns->tick);
	if (dns->kick != NULL)
		event_free(dns->kick);
	if (dns->wake != NULL)
		event_free(dns->wake);
	if (dns->base != NULL)
		event_base_free(dns->base);
	if (dns->wake_fd >= 0)
		close(dns->wake_fd);
	hot_names_free(dns->hot);
	free(dns->scratch);
	free(dns->own.net);
	pthread_mutex_destroy(&dns->lock);
	free(dns);
}

struct pen_counter_set pen_dns_counters_of(const struct pen_dns *dns)
{
	return pen_dns_counter_set(&dns->counters);
}
