// SPDX-License-Identifier: BSD-3-Clause
#include "pen_tls_policy.h"

#include <stdio.h>
#include <stdlib.h>

static const char *const level_names[PEN_TLS_LEVELS] = {
	[PEN_TLS_NONE] = "none",
	[PEN_TLS_MAY] = "may",
	[PEN_TLS_ENCRYPT] = "encrypt",
	[PEN_TLS_FINGERPRINT] = "fingerprint",
	[PEN_TLS_HALFDANE] = "halfdane",
	[PEN_TLS_DANE] = "dane",
	[PEN_TLS_DANE_ONLY] = "dane-only",
	[PEN_TLS_VERIFY] = "verify",
	[PEN_TLS_SECURE] = "secure",
};

const char *pen_tls_level_name(enum pen_tls_level l)
{
	return l >= 0 && l < PEN_TLS_LEVELS ? level_names[l] : "unknown";
}

enum pen_tls_level pen_tls_level_parse(struct pen_span text)
{
	for (int l = 0; l < PEN_TLS_LEVELS; l++) {
		if (l != PEN_TLS_HALFDANE && pen_span_ieq(text, pen_span_cstr(level_names[l])))
			return (enum pen_tls_level)l;
	}
	return PEN_TLS_INVALID;
}

const char *pen_tlsrpt_result_name(enum pen_tlsrpt_result r)
{
	static const char *const names[PEN_TLSRPT_RESULTS] = {
		[PEN_TLSRPT_NONE] = "none",
		[PEN_TLSRPT_SUCCESS] = "success",
		[PEN_TLSRPT_STARTTLS_NOT_SUPPORTED] = "starttls-not-supported",
		[PEN_TLSRPT_CERTIFICATE_HOST_MISMATCH] = "certificate-host-mismatch",
		[PEN_TLSRPT_CERTIFICATE_NOT_TRUSTED] = "certificate-not-trusted",
		[PEN_TLSRPT_CERTIFICATE_EXPIRED] = "certificate-expired",
		[PEN_TLSRPT_VALIDATION_FAILURE] = "validation-failure",
		[PEN_TLSRPT_TLSA_INVALID] = "tlsa-invalid",
		[PEN_TLSRPT_DNSSEC_INVALID] = "dnssec-invalid",
		[PEN_TLSRPT_DANE_REQUIRED] = "dane-required",
		[PEN_TLSRPT_STS_POLICY_FETCH_ERROR] = "sts-policy-fetch-error",
		[PEN_TLSRPT_STS_POLICY_INVALID] = "sts-policy-invalid",
		[PEN_TLSRPT_STS_WEBPKI_INVALID] = "sts-webpki-invalid",
	};

	return (unsigned)r < PEN_TLSRPT_RESULTS ? names[r] : "none";
}

struct pen_tls_policy *pen_tls_policy_new(void)
{
	struct pen_tls_policy *p = calloc(1, sizeof(*p));

	if (p != NULL)
		p->refs = 1;
	return p;
}

struct pen_tls_policy *pen_tls_policy_plain(enum pen_tls_level level, const char *host)
{
	struct pen_tls_policy *p = pen_tls_policy_new();

	if (p != NULL) {
		p->level = level;
		p->identity = (uint64_t)level;
		snprintf(p->host, sizeof(p->host), "%s", host);
	}
	return p;
}

struct pen_tls_policy *pen_tls_policy_ref(const struct pen_tls_policy *p)
{
	struct pen_tls_policy *mine = (struct pen_tls_policy *)(uintptr_t)p;

	if (mine != NULL)
		__atomic_fetch_add(&mine->refs, 1, __ATOMIC_RELAXED);
	return mine;
}

static void free_list(char **list)
{
	for (char **s = list; s != NULL && *s != NULL; s++)
		free(*s);
	free(list);
}

void pen_tls_policy_unref(const struct pen_tls_policy *p)
{
	struct pen_tls_policy *mine = (struct pen_tls_policy *)(uintptr_t)p;

	if (mine == NULL || __atomic_sub_fetch(&mine->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	for (uint32_t i = 0; i < mine->nnames; i++)
		free(mine->name[i].name);
	for (uint32_t i = 0; i < mine->ntlsa; i++)
		free((void *)(uintptr_t)mine->tlsa[i].data);
	free(mine->name);
	free(mine->fingerprint);
	free(mine->tlsa);
	free(mine->servername);
	free(mine->rule);
	free(mine->report.domain);
	free(mine->report.policy_domain);
	free_list(mine->report.string);
	free_list(mine->report.mx);
	free(mine);
}
