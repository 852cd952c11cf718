// SPDX-License-Identifier: BSD-3-Clause
#include "peer_chain.h"

#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static json_t *name_json(const X509_NAME *name)
{
	char line[512] = "";
	BIO *b = BIO_new(BIO_s_mem());
	int n;

	if (b != NULL &&
		X509_NAME_print_ex(b, name, 0, XN_FLAG_RFC2253 | ASN1_STRFLGS_ESC_CTRL) >= 0 &&
		(n = BIO_read(b, line, sizeof(line) - 1)) > 0)
		line[n] = '\0';
	BIO_free(b);
	json_t *text = json_string(line);
	return text != NULL ? text : json_string("?");
}

static json_t *time_json(const ASN1_TIME *t)
{
	struct tm tm;
	char text[32] = "?";

	if (ASN1_TIME_to_tm(t, &tm) == 1)
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return json_string(text);
}

static json_t *digest_json(const uint8_t *p, size_t n)
{
	uint8_t digest[SHA256_DIGEST_LENGTH];
	char hex[2 * SHA256_DIGEST_LENGTH + 1];

	SHA256(p, n, digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(hex + 2 * i, 3, "%02x", digest[i]);
	return json_string(hex);
}

static json_t *key_digest(X509 *x)
{
	uint8_t *der = NULL;
	int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(x), &der);
	json_t *out = n > 0 ? digest_json(der, (size_t)n) : json_string("?");

	OPENSSL_free(der);
	return out;
}

static json_t *names_json(X509 *x)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
	json_t *list = json_array();

	for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < 100; i++) {
		const GENERAL_NAME *g = sk_GENERAL_NAME_value(names, i);
		if (g->type != GEN_DNS)
			continue;
		json_t *text = json_stringn((const char *)ASN1_STRING_get0_data(g->d.dNSName),
			(size_t)ASN1_STRING_length(g->d.dNSName));
		json_array_append_new(list, text != NULL ? text : json_string("?"));
	}
	GENERAL_NAMES_free(names);
	return list;
}

static json_t *certificate_json(const uint8_t *der, size_t n)
{
	const uint8_t *at = der;
	X509 *x = d2i_X509(NULL, &at, (long)n);

	if (x == NULL)
		return json_pack(
			"{s:s,s:o}", "subject", "unreadable", "sha256", digest_json(der, n));
	json_t *o = json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "subject",
		name_json(X509_get_subject_name(x)), "issuer", name_json(X509_get_issuer_name(x)),
		"not_before", time_json(X509_get0_notBefore(x)), "not_after",
		time_json(X509_get0_notAfter(x)), "names", names_json(x), "sha256",
		digest_json(der, n), "key_sha256", key_digest(x));
	X509_free(x);
	return o;
}

json_t *peer_chain_json(const struct pen_peer_chain *chain)
{
	json_t *list = json_array();
	size_t at = 0;

	for (uint32_t i = 0; i < chain->n; i++) {
		json_array_append_new(list, certificate_json(chain->der + at, chain->length[i]));
		at += chain->length[i];
	}
	return list;
}
