// SPDX-License-Identifier: BSD-3-Clause

// Failures in words: which side gave up, and why. Texts come from wolfSSL's
// error codes and the alert registry, never from the bytes of the connection.

#include "tls_client.h"

#include <stdio.h>

static const struct alert_name {
	uint8_t code;
	const char *name;
} alert_names[] = {
	{0, "close notify"},
	{10, "unexpected message"},
	{20, "bad record MAC"},
	{22, "record overflow"},
	{40, "handshake failure"},
	{42, "bad certificate"},
	{43, "unsupported certificate"},
	{44, "certificate revoked"},
	{45, "certificate expired"},
	{46, "certificate unknown"},
	{47, "illegal parameter"},
	{48, "unknown CA"},
	{49, "access denied"},
	{50, "decode error"},
	{51, "decrypt error"},
	{70, "protocol version"},
	{71, "insufficient security"},
	{80, "internal error"},
	{86, "inappropriate fallback"},
	{90, "user cancelled"},
	{109, "missing extension"},
	{110, "unsupported extension"},
	{112, "unrecognized name"},
	{113, "bad certificate status response"},
	{116, "certificate required"},
	{120, "no application protocol"},
};

static const char *alert_name(int code)
{
	for (size_t i = 0; i < sizeof(alert_names) / sizeof(alert_names[0]); i++) {
		if (alert_names[i].code == code)
			return alert_names[i].name;
	}
	return "unregistered alert";
}

static const char *reason(int wolf_error)
{
	return wolfSSL_ERR_reason_error_string((unsigned long)wolf_error);
}

enum pen_tls_status tls_fail(struct pen_tls *t, int wolf_error)
{
	WOLFSSL_ALERT_HISTORY h = {{-1, -1}, {-1, -1}};
	const char *during = t->handshaken ? "" : " during the handshake";
	size_t n;

	t->state = TLS_FAILED;
	if (t->client != NULL)
		tls_client_failed(t, wolf_error);
	wolfSSL_get_alert_history(t->wolf, &h);
	if (wolf_error == FATAL_ERROR && h.last_rx.level == alert_fatal) {
		snprintf(t->error, sizeof(t->error), "TLS: the peer sent alert %d (%s)%s",
			h.last_rx.code, alert_name(h.last_rx.code), during);
		return PEN_TLS_FAILED;
	}
	if (t->verify_error != 0)
		snprintf(t->error, sizeof(t->error),
			"TLS: certificate verification failed: %s (%d)", reason(t->verify_error),
			t->verify_error);
	else
		snprintf(t->error, sizeof(t->error), "TLS: %s (%d)%s", reason(wolf_error),
			wolf_error, during);
	n = strlen(t->error);
	if (h.last_tx.code > 0)
		snprintf(t->error + n, sizeof(t->error) - n, "; sent alert %d (%s)", h.last_tx.code,
			alert_name(h.last_tx.code));
	return PEN_TLS_FAILED;
}

// wolfSSL calls this once per certificate, and the last call is not the verdict:
// an intermediate of an unknown issuer is reported without an error. So the
// first error stays.
int tls_on_verify(int preverify, WOLFSSL_X509_STORE_CTX *store)
{
	struct pen_tls *t = store->userCtx;

	if (t != NULL && t->verify_error == 0 && (preverify == 0 || store->error != 0))
		t->verify_error = store->error != 0 ? store->error : VERIFY_CERT_ERROR;
	return preverify;
}
