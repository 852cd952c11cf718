// SPDX-License-Identifier: BSD-3-Clause

#include "tls_signature.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/asn.h>
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/signature.h>

enum key_kind { KEY_NONE, KEY_RSA, KEY_EC, KEY_ED25519 };

struct key {
	enum key_kind kind;
	union {
		RsaKey rsa;
		ecc_key ec;
		ed25519_key ed;
	};
};

static bool try_rsa(struct key *k, struct pen_span spki)
{
	word32 at = 0;

	if (wc_InitRsaKey(&k->rsa, NULL) != 0)
		return false;
	if (wc_RsaPublicKeyDecode(spki.p, &at, &k->rsa, (word32)spki.n) == 0 && at == spki.n) {
		k->kind = KEY_RSA;
		return true;
	}
	wc_FreeRsaKey(&k->rsa);
	return false;
}

static bool try_ec(struct key *k, struct pen_span spki)
{
	word32 at = 0;

	if (wc_ecc_init(&k->ec) != 0)
		return false;
	if (wc_EccPublicKeyDecode(spki.p, &at, &k->ec, (word32)spki.n) == 0 && at == spki.n) {
		k->kind = KEY_EC;
		return true;
	}
	wc_ecc_free(&k->ec);
	return false;
}

static bool try_ed25519(struct key *k, struct pen_span spki)
{
	word32 at = 0;

	if (wc_ed25519_init(&k->ed) != 0)
		return false;
	if (wc_Ed25519PublicKeyDecode(spki.p, &at, &k->ed, (word32)spki.n) == 0 && at == spki.n) {
		k->kind = KEY_ED25519;
		return true;
	}
	wc_ed25519_free(&k->ed);
	return false;
}

static bool key_read(struct key *k, struct pen_span spki)
{
	k->kind = KEY_NONE;
	// The RSA decoder also takes a bare PKCS #1 key, which is no SPKI: that has
	// an INTEGER where the algorithm's SEQUENCE belongs.
	if (spki.n < 8 || spki.n > UINT16_MAX || spki.p[0] != 0x30)
		return false;
	size_t head = spki.p[1] < 0x80 ? 2 : 2 + (spki.p[1] & 0x7f);
	if (head >= spki.n || spki.p[head] != 0x30)
		return false;
	return try_ec(k, spki) || try_ed25519(k, spki) || try_rsa(k, spki);
}

static void key_free(struct key *k)
{
	if (k->kind == KEY_RSA)
		wc_FreeRsaKey(&k->rsa);
	else if (k->kind == KEY_EC)
		wc_ecc_free(&k->ec);
	else if (k->kind == KEY_ED25519)
		wc_ed25519_free(&k->ed);
}

bool tls_key_usable(struct pen_span spki)
{
	struct key k;
	bool ok = key_read(&k, spki);

	key_free(&k);
	return ok;
}

static const struct algorithm {
	word32 oid;
	enum key_kind kind;
	enum wc_HashType hash;
} algorithms[] = {
	{CTC_SHA256wRSA, KEY_RSA, WC_HASH_TYPE_SHA256},
	{CTC_SHA384wRSA, KEY_RSA, WC_HASH_TYPE_SHA384},
	{CTC_SHA512wRSA, KEY_RSA, WC_HASH_TYPE_SHA512},
	{CTC_SHA256wECDSA, KEY_EC, WC_HASH_TYPE_SHA256},
	{CTC_SHA384wECDSA, KEY_EC, WC_HASH_TYPE_SHA384},
	{CTC_SHA512wECDSA, KEY_EC, WC_HASH_TYPE_SHA512},
	{CTC_ED25519, KEY_ED25519, WC_HASH_TYPE_NONE},
};

static bool verify(struct key *k, const struct algorithm *a, const DecodedCert *d)
{
	const byte *body = d->source + d->certBegin;
	word32 n = d->sigIndex - d->certBegin;
	int good = 0;

	if (a->kind == KEY_RSA)
		return wc_SignatureVerify(a->hash, WC_SIGNATURE_TYPE_RSA_W_ENC, body, n,
			       d->signature, d->sigLength, &k->rsa, sizeof(k->rsa)) == 0;
	if (a->kind == KEY_EC)
		return wc_SignatureVerify(a->hash, WC_SIGNATURE_TYPE_ECC, body, n, d->signature,
			       d->sigLength, &k->ec, sizeof(k->ec)) == 0;
	return wc_ed25519_verify_msg(d->signature, d->sigLength, body, n, &good, &k->ed) == 0 &&
	       good == 1;
}

bool tls_key_signed(struct pen_span spki, struct pen_span certificate)
{
	const struct algorithm *a = NULL;
	DecodedCert d;
	struct key k;
	bool ok = false;

	if (!key_read(&k, spki))
		return false;
	wc_InitDecodedCert(&d, certificate.p, (word32)certificate.n, NULL);
	int rc = wc_ParseCert(&d, CERT_TYPE, NO_VERIFY, NULL);
	for (size_t i = 0; rc == 0 && i < sizeof(algorithms) / sizeof(algorithms[0]); i++) {
		if (algorithms[i].oid == d.signatureOID && algorithms[i].kind == k.kind)
			a = &algorithms[i];
	}
	if (a != NULL && d.sigIndex > d.certBegin)
		ok = verify(&k, a, &d);
	wc_FreeDecodedCert(&d);
	key_free(&k);
	return ok;
}
