// SPDX-License-Identifier: BSD-3-Clause

#include "tls_cert.h"

#include "tls_alabel.h"
#include "tls_der.h"
#include "tls_name_match.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hash.h>

_Static_assert(KEYID_SIZE <= TLS_NAME_HASH, "wolfSSL's hash of a name fits");

static bool parse(DecodedCert *d, struct pen_span der)
{
	wc_InitDecodedCert(d, der.p, (word32)der.n, NULL);
	int rc = wc_ParseCert(d, CERT_TYPE, NO_VERIFY, NULL);
	// Opinions of the library on what it could read; not its inability to.
	return rc == 0 || rc == ASN_CRIT_EXT_E || rc == KEYUSAGE_E || rc == ASN_BEFORE_DATE_E ||
	       rc == ASN_AFTER_DATE_E;
}

bool tls_cert_read(struct tls_cert *c, struct pen_span der)
{
	DecodedCert d;

	*c = (struct tls_cert){.der = der};
	if (der.n == 0 || der.n > TLS_CERT_MAX || !tls_der_spki(der, &c->spki))
		return false;
	bool ok = parse(&d, der);
	if (ok) {
		memcpy(c->subject, d.subjectHash, KEYID_SIZE);
		memcpy(c->issuer, d.issuerHash, KEYID_SIZE);
		c->self_issued = memcmp(d.subjectHash, d.issuerHash, KEYID_SIZE) == 0;
		// As wolfSSL takes CAs from a chain: without the key usage it would
		// not count them against a path length.
		c->issues = d.isCA && d.extKeyUsageSet && (d.extKeyUsage & KEYUSE_KEY_CERT_SIGN);
		c->root = c->issues || (c->self_issued && (d.isCA || d.version < 2));
		c->constrained = d.permittedNames != NULL || d.excludedNames != NULL;
		c->server = !d.extExtKeyUsageSet ||
			    (d.extExtKeyUsage & (EXTKEYUSE_ANY | EXTKEYUSE_SERVER_AUTH)) != 0;
	}
	wc_FreeDecodedCert(&d);
	return ok;
}

static bool matches(
	const struct pen_tls_name *reference, uint32_t n, const void *p, int len, bool *odd)
{
	char name[TLS_NAME_MAX + 1];

	if (len <= 0 || !tls_alabel(pen_span(p, (size_t)len), name)) {
		*odd = true;
		return false;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (tls_name_match(&reference[i], name))
			return true;
	}
	return false;
}

bool tls_cert_has_name(const struct tls_cert *c, const struct pen_tls_name *reference, uint32_t n,
	bool common_name, bool *odd)
{
	bool any = false, found = false;
	DecodedCert d;

	if (parse(&d, c->der)) {
		for (const DNS_entry *e = d.altNames; e != NULL && !found; e = e->next) {
			if (e->type != ASN_DNS_TYPE)
				continue;
			any = true;
			found = matches(reference, n, e->name, e->len, odd);
		}
		if (!any && common_name && d.subjectCN != NULL && d.subjectCNLen > 0)
			found = matches(reference, n, d.subjectCN, d.subjectCNLen, odd);
	}
	wc_FreeDecodedCert(&d);
	return found;
}

uint32_t tls_digest(enum pen_tls_digest digest, struct pen_span data, uint8_t out[64])
{
	static const struct {
		enum wc_HashType type;
		uint32_t n;
	} kinds[] = {
		[PEN_DIGEST_MD5] = {WC_HASH_TYPE_MD5, 16},
		[PEN_DIGEST_SHA1] = {WC_HASH_TYPE_SHA, 20},
		[PEN_DIGEST_SHA256] = {WC_HASH_TYPE_SHA256, 32},
		[PEN_DIGEST_SHA384] = {WC_HASH_TYPE_SHA384, 48},
		[PEN_DIGEST_SHA512] = {WC_HASH_TYPE_SHA512, 64},
	};

	if ((size_t)digest >= sizeof(kinds) / sizeof(kinds[0]) || data.n > UINT32_MAX ||
		wc_Hash(kinds[digest].type, data.p, (word32)data.n, out, kinds[digest].n) != 0)
		return 0;
	return kinds[digest].n;
}

static bool listed(
	const struct pen_tls_fingerprint *f, uint32_t n, const uint8_t *digest, uint32_t digest_n)
{
	for (uint32_t i = 0; i < n; i++) {
		if (f[i].n == digest_n && memcmp(f[i].digest, digest, digest_n) == 0)
			return true;
	}
	return false;
}

bool tls_cert_has_fingerprint(const struct tls_cert *c, enum pen_tls_digest digest,
	const struct pen_tls_fingerprint *fingerprint, uint32_t n)
{
	uint8_t out[64];
	uint32_t len = tls_digest(digest, c->der, out);

	if (len > 0 && listed(fingerprint, n, out, len))
		return true;
	len = tls_digest(digest, c->spki, out);
	return len > 0 && listed(fingerprint, n, out, len);
}
