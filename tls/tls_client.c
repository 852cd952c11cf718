// SPDX-License-Identifier: BSD-3-Clause

// A client's stream under a policy: the session it may continue, the certificate
// it is shown, the session it leaves behind.

#include "tls_client.h"

#include "pen_err.h"

#include <wolfssl/wolfcrypt/sha256.h>

#include <stdlib.h>

#define WOLFSSL_TLS12 0x0303 // what wolfSSL_version says

// ---- sessions

static void offer_session(struct pen_tls *t)
{
	struct tls_client *c = t->client;
	const struct tls_session *stored;
	uint64_t dropped;

	if (c->worker->sessions == NULL)
		return;
	dropped = tls_sessions_dropped(c->worker->sessions);
	stored = tls_sessions_find(c->worker->sessions, &c->key, c->profile->clock());
	PEN_COUNT_N(c->ctr->sessions_dropped, tls_sessions_dropped(c->worker->sessions) - dropped);
	if (stored == NULL)
		return;
	const unsigned char *p = stored->bytes;
	WOLFSSL_SESSION *session = NULL;
	bool fits = stored->matched || !pen_tls_must_match(c->policy->level);
	if (fits)
		session = wolfSSL_d2i_SSL_SESSION(NULL, &p, stored->n);
	if (session != NULL && wolfSSL_set_session(t->wolf, session) == WOLFSSL_SUCCESS) {
		c->offered = true;
		c->verified_at = stored->born;
		c->peer = (struct pen_tls_peer){.certificate = stored->certificate,
			.trusted = stored->trusted,
			.matched = stored->matched};
		PEN_COUNT(c->ctr->resume_offered);
	} else {
		tls_sessions_drop(c->worker->sessions, &c->key);
		PEN_COUNT(c->ctr->sessions_dropped);
	}
	wolfSSL_SESSION_free(session);
}

// Takes the session id out of the session's serialized form: side, birth and
// timeout (9 bytes), the id's length and the id, the rest. For a TLS 1.2 ticket
// wolfSSL makes an id up, and then takes a server that refuses the ticket, as any
// restarted one does, for an attack; without an id it goes on in full, as RFC
// 5077 3.4 says. tls_openssl_test meets such a server.
static int without_id(uint8_t *bytes, int n)
{
	int id = n > 10 ? bytes[9] : 0;

	if (id == 0 || n < 10 + id)
		return n;
	memmove(bytes + 10, bytes + 10 + id, (size_t)(n - 10 - id));
	bytes[9] = 0;
	return n - id;
}

static bool has_ticket(WOLFSSL *wolf)
{
	uint8_t ticket[TLS_SESSION_MAX];
	word32 n = sizeof(ticket);

	return wolfSSL_get_SessionTicket(wolf, ticket, &n) == WOLFSSL_SUCCESS && n > 0;
}

// wolfSSL calls this at the end of a TLS 1.2 handshake, and for each ticket of
// TLS 1.3; the newest replaces the one before. 0: we keep no reference.
int tls_on_session(WOLFSSL *wolf, WOLFSSL_SESSION *session)
{
	struct pen_tls *t = wolfSSL_GetIOReadCtx(wolf);
	struct tls_client *c = t->client;
	uint8_t bytes[TLS_SESSION_MAX];
	unsigned char *p = bytes;
	uint64_t dropped;

	if (c == NULL || c->worker->sessions == NULL || !c->peer.matched || c->peer.tlsa_unusable)
		return 0;
	int n = wolfSSL_i2d_SSL_SESSION(session, NULL);
	if (n <= 0 || n > (int)sizeof(bytes) || wolfSSL_i2d_SSL_SESSION(session, &p) != n)
		return 0;
	if (wolfSSL_version(wolf) == WOLFSSL_TLS12 && has_ticket(wolf))
		n = without_id(bytes, n);
	dropped = tls_sessions_dropped(c->worker->sessions);
	// The age counts from the certificate, not from the ticket: renewed tickets
	// must not carry an old verdict on for ever.
	if (tls_sessions_put(c->worker->sessions, &c->key, c->verified_at,
		    pen_span(bytes, (size_t)n), &c->peer))
		PEN_COUNT(c->ctr->sessions_stored);
	PEN_COUNT_N(c->ctr->sessions_dropped, tls_sessions_dropped(c->worker->sessions) - dropped);
	explicit_bzero(bytes, sizeof(bytes));
	return 0;
}

// ---- certificates

static void keep_chain(struct tls_kept_chain *k, const WOLFSSL_BUFFER_INFO *certs, int n)
{
	for (int i = 0; i < n && k->n < TLS_CHAIN_MAX; i++) {
		uint8_t *copy = malloc(certs[i].length > 0 ? certs[i].length : 1);

		if (copy == NULL)
			return;
		memcpy(copy, certs[i].buffer, certs[i].length);
		k->cert[k->n++] = pen_span(copy, certs[i].length);
	}
}

static void judge(struct tls_client *c, const WOLFSSL_BUFFER_INFO *certs, int n)
{
	struct tls_chain chain = {.n = 0};

	for (int i = 0; i < n && chain.n < TLS_CHAIN_MAX; i++) {
		if (tls_cert_read(&chain.cert[chain.n], pen_span(certs[i].buffer, certs[i].length)))
			chain.n++;
		else if (i == 0)
			break; // what follows is not the peer's
	}
	if (chain.n < (uint32_t)n)
		PEN_COUNT(c->ctr->certificates_odd);
	if (c->kept != NULL)
		keep_chain(c->kept, certs, n);
	tls_verify(c->profile, c->policy, &chain, &c->peer, c->ctr);
	if (c->offered) // and refused
		tls_sessions_drop(c->worker->sessions, &c->key);
	c->judged = true;
	c->offered = false;
	c->verified_at = c->profile->clock();
	c->refused = c->profile->trust == PEN_TLS_PROFILE_PKIX && !c->peer.trusted;
}

// What wolfSSL holds against a certificate that it could use: for us to judge. A
// key usage without "digital signature" is none of ours: others take it too.
static bool is_opinion(int error)
{
	switch (error) {
	case 0:
	case ASN_BEFORE_DATE_E:
	case ASN_AFTER_DATE_E:
	case ASN_NO_SIGNER_E:
	case ASN_SELF_SIGNED_E:
	case ASN_CRIT_EXT_E:
	case KEYUSAGE_E:
	case KEYUSE_SIGNATURE_E:
	case KEYUSE_ENCIPHER_E:
	case EXTKEYUSE_AUTH_E:
		return true;
	default:
		return false;
	}
}

// Called for each certificate, the peer's last; the first call already has all.
int tls_on_peer(int preverify, WOLFSSL_X509_STORE_CTX *store)
{
	struct pen_tls *t = store->userCtx;
	struct tls_client *c = t->client;
	bool own = store->error_depth == 0;

	if (!c->judged)
		judge(c, store->certs, store->totalCerts);
	if (own && preverify == 0 && !is_opinion(store->error)) {
		t->verify_error = store->error; // no key to go on with
		return 0;
	}
	if (!c->refused)
		return 1;
	// From here on the library may act as if it verified: it sends the alert.
	wolfSSL_set_verify(t->wolf, WOLFSSL_VERIFY_PEER, tls_on_peer);
	t->verify_error = VERIFY_CERT_ERROR;
	return 0;
}

// ---- the stream

void pen_tls_session_key(const struct pen_span *part, uint32_t n, uint64_t key[2])
{
	uint8_t digest[WC_SHA256_DIGEST_SIZE] = {0};
	wc_Sha256 sha;

	memset(key, 0, 2 * sizeof(*key));
	if (wc_InitSha256(&sha) != 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		uint64_t len = part[i].n;

		wc_Sha256Update(&sha, (const uint8_t *)&len, sizeof(len));
		wc_Sha256Update(&sha, part[i].p, (word32)part[i].n);
	}
	wc_Sha256Final(&sha, digest);
	wc_Sha256Free(&sha);
	memcpy(key, digest, 2 * sizeof(*key));
}

struct pen_tls *pen_tls_client_new(uint32_t worker, const struct pen_tls_client_config *cfg,
	pen_tls_send_fn *send, void *send_ctx)
{
	struct pen_tls_profile *profile = (void *)(uintptr_t)cfg->policy->profile;
	struct tls_client *c;
	struct pen_tls *t;

	if (profile == NULL)
		return NULL;
	PEN_ASSERT(worker < profile->workers);
	t = pen_tls_new(profile->worker[worker].ctx, cfg->policy->servername, send, send_ctx);
	c = t != NULL ? calloc(1, sizeof(*c)) : NULL;
	if (c == NULL) {
		pen_tls_free(t);
		return NULL;
	}
	*c = (struct tls_client){
		.profile = profile,
		.policy = cfg->policy,
		.worker = &profile->worker[worker],
		.ctr = tls_counters(worker),
		.key = {{cfg->policy->identity, cfg->session_key[0], cfg->session_key[1]}},
	};
	t->client = c;
	offer_session(t);
	return t;
}

void tls_client_established(struct pen_tls *t)
{
	struct tls_client *c = t->client;

	PEN_COUNT(c->ctr->handshakes);
	c->peer.resumed = c->offered && wolfSSL_session_reused(t->wolf);
	if (c->peer.resumed) {
		PEN_COUNT(c->ctr->resumed);
	} else if (!c->judged) {
		// Nothing was shown and nothing is continued: worth nothing.
		c->peer = (struct pen_tls_peer){.matched = !pen_tls_must_match(c->policy->level)};
	}
}

// A server that could not go on with a session must not be offered it again.
void tls_client_failed(struct pen_tls *t, int wolf_error)
{
	struct tls_client *c = t->client;

	if (wolf_error == MAX_CHAIN_ERROR)
		PEN_COUNT(c->ctr->chains_too_long);
	if (t->handshaken || c->judged)
		return;
	c->peer = (struct pen_tls_peer){.certificate = false};
	if (c->offered && tls_sessions_drop(c->worker->sessions, &c->key))
		PEN_COUNT(c->ctr->sessions_dropped);
}

void tls_client_free(struct tls_client *c)
{
	if (c == NULL)
		return;
	for (uint32_t i = 0; c->kept != NULL && i < c->kept->n; i++)
		free((void *)(uintptr_t)c->kept->cert[i].p);
	free(c->kept);
	free(c);
}

void pen_tls_peer_result(const struct pen_tls *t, struct pen_tls_peer *out)
{
	*out = t->client != NULL ? t->client->peer
				 : (struct pen_tls_peer){.certificate = true, .matched = true};
}

void pen_tls_keep_chain(struct pen_tls *t)
{
	if (t->client != NULL && t->client->kept == NULL)
		t->client->kept = calloc(1, sizeof(*t->client->kept));
}

uint32_t pen_tls_chain(const struct pen_tls *t, struct pen_span *cert, uint32_t cap)
{
	const struct tls_kept_chain *k = t->client != NULL ? t->client->kept : NULL;
	uint32_t n = k == NULL ? 0 : k->n < cap ? k->n : cap;

	for (uint32_t i = 0; i < n; i++)
		cert[i] = k->cert[i];
	return n;
}
