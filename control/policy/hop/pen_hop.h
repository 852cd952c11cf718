// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// Everything that has to be known before mail for a next hop may leave: its
// hosts, what DNS says about their certificates, the domain's MTA-STS policy,
// and the TLS policy that follows for each host.
//
//   hosts (pen_dns.h) -> site decision -> TLSA, MTA-STS, TLSRPT record, in
//   parallel -> host decisions -> answer
//
// Threads: pen_hop_lookup from any thread. Lookups live on the resolver's
//          thread, and the callback runs there.
// Memory:  the answer belongs to the callee; pen_hop_answer_free, any thread.
// Limits:  as pen_dns.h; the lookups behind the hosts get dns_timeout together.
//          What is late counts as failed: TLSA then defers (tls-policy D8), a
//          missing MTA-STS or TLSRPT record does not.

#include "pen_dns.h"
#include "pen_nexthop.h"
#include "pen_sts_service.h"
#include "pen_tls_decide.h"
#include "pen_tlsrpt_record.h"

struct pen_hop_service {
	struct pen_dns *dns;
	const struct pen_tls_settings *settings;
	struct pen_sts_service *sts; // NULL: MTA-STS is off
	pen_time_us timeout;
	bool engine;                   // TLS can be had
	char best_mx[PEN_NEXTHOP_MAX]; // next hop of best_mx_transport, or ""
};

// One name among the hosts: several addresses may share it.
struct pen_hop_name {
	struct pen_tls_host_facts facts;
	struct pen_tls_policy *policy; // a reference
	char warning[512];
};

struct pen_hop_answer {
	struct pen_nexthop nexthop;
	char text[PEN_NEXTHOP_MAX]; // as routed
	enum pen_tls_demand demand;
	bool lmtp;
	struct pen_dsn status;       // class 2: the rest is there
	struct pen_dns_hosts *hosts; // NULL when the text is no next hop
	struct pen_tls_site_decision site;
	bool sts_asked, tlsrpt_asked, tlsrpt;
	struct pen_sts_policy *sts; // a copy, or NULL: none
	struct pen_tlsrpt_rua rua;  // tlsrpt
	char *site_key;             // hosts, port, TLS identity, demand
	uint32_t ttl_s;
	uint32_t nnames;
	struct pen_hop_name *name;
	uint8_t name_of[PEN_LEASE_HOSTS_MAX]; // hosts->host[i] has name[name_of[i]]
};

typedef void pen_hop_fn(void *ctx, struct pen_hop_answer *answer);

struct pen_hop_question {
	struct pen_span nexthop;
	enum pen_tls_demand demand;
	bool lmtp; // lmtp_requiretls_policy, port 24
	// A configured next hop (relayhost): what is wrong with it is our fault and
	// defers (4.3.5).
	bool relay;
};

// 0: the callback will come; -EAGAIN: too many lookups; -ENOMEM.
int pen_hop_lookup(const struct pen_hop_service *s, const struct pen_hop_question *q,
	pen_hop_fn *fn, void *ctx);
void pen_hop_answer_free(struct pen_hop_answer *a);
