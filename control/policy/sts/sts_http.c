// SPDX-License-Identifier: BSD-3-Clause

// Diagnostics: refuses to start with a libcurl that is not built on OpenSSL, as
// the rule about the common name is enforced there.

#include "sts_http.h"

#include "pen_buf.h"
#include "pen_err.h"
#include "pen_sts.h"
#include "sts_http_loop.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEADERS_MAX 65536
#define CONNECT_MS 20000L
#define STALL_S 20L

struct sts_http {
	struct sts_http_loop loop;
	char *ca_file;       // NULL: libcurl's default
	bool default_bundle; // that default is a file, which libcurl caches once read
	struct sts_http_get *gets;
};

struct sts_http_get {
	struct sts_http_get *next, *prev;
	struct sts_http *http;
	CURL *easy;
	struct curl_slist *resolve;
	// The addresses live in a cache of the request's own: they neither stay
	// behind nor serve another request.
	CURLSH *names;
	struct pen_buf body;
	size_t header_bytes;
	const char *why; // refused by us
	char host[8 + 256];
	sts_http_fn *fn;
	void *ctx;
};

static void on_done(void *ctx, CURL *easy, CURLcode code);

static bool backend_is_openssl(void)
{
	const char *ssl = curl_version_info(CURLVERSION_NOW)->ssl_version;

	return ssl != NULL && strncmp(ssl, "OpenSSL/", 8) == 0;
}

static const char *set_up(struct sts_http *h, const char *ca_file)
{
	const char *bundle = curl_version_info(CURLVERSION_NOW)->cainfo;

	if (!backend_is_openssl())
		return "libcurl is not built on OpenSSL";
	h->default_bundle = bundle != NULL && access(bundle, R_OK) == 0;
	if (ca_file[0] != '\0' && (h->ca_file = strdup(ca_file)) == NULL)
		return "out of memory";
	return sts_http_loop_init(&h->loop, on_done, h) == 0 ? NULL : "out of memory";
}

struct sts_http *sts_http_new(const char *ca_file, char *err, size_t cap)
{
	struct sts_http *h = calloc(1, sizeof(*h));

	if (ca_file[0] != '\0' && access(ca_file, R_OK) != 0) {
		snprintf(err, cap, "mta_sts_CAfile = %s: %s", ca_file, strerror(errno));
		free(h);
		return NULL;
	}
	if (h == NULL || curl_global_init(CURL_GLOBAL_DEFAULT) != 0) {
		snprintf(err, cap, "mta-sts: cannot set up libcurl");
		free(h);
		return NULL;
	}
	const char *wrong = set_up(h, ca_file);
	if (wrong != NULL) {
		snprintf(err, cap, "mta-sts: %s", wrong);
		sts_http_free(h);
		return NULL;
	}
	return h;
}

void sts_http_set_base(struct sts_http *h, struct event_base *base)
{
	h->loop.base = base;
}

static void get_free(struct sts_http_get *g)
{
	g->prev->next = g->next;
	if (g->next != NULL)
		g->next->prev = g->prev;
	if (g->easy != NULL) {
		sts_http_loop_remove(&g->http->loop, g->easy);
		curl_easy_cleanup(g->easy);
	}
	if (g->names != NULL)
		curl_share_cleanup(g->names);
	curl_slist_free_all(g->resolve);
	pen_buf_fini(&g->body);
	free(g);
}

void sts_http_free(struct sts_http *h)
{
	if (h == NULL)
		return;
	h->loop.closing = true;
	while (h->gets != NULL && h->gets->next != NULL)
		get_free(h->gets->next);
	sts_http_loop_fini(&h->loop);
	free(h->gets);
	free(h->ca_file);
	free(h);
	curl_global_cleanup();
}

static size_t on_header(char *p, size_t size, size_t n, void *arg)
{
	struct sts_http_get *g = arg;

	(void)p;
	g->header_bytes += size * n;
	if (g->header_bytes <= HEADERS_MAX)
		return size * n;
	g->why = "the answer's header is longer than 64 KiB";
	return 0;
}

static bool is_text_plain(const char *type)
{
	struct pen_span s = pen_span_cstr(type);
	ptrdiff_t end = pen_span_find(s, ';');

	if (end >= 0)
		s.n = (size_t)end;
	return pen_span_ieq(pen_span_trim(s), PEN_SPAN_LIT("text/plain"));
}

// head_check: NULL, or why the answer is refused before its body is read.
static const char *head_check(CURL *easy)
{
	char *type = NULL;
	long status = 0;

	curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	if (status >= 300 && status < 400)
		return "the HTTP status is a redirect";
	if (status != 200)
		return "the HTTP status is not 200";
	return is_text_plain(type) ? NULL : "the Content-Type is not text/plain";
}

static size_t on_body(char *p, size_t size, size_t n, void *arg)
{
	struct sts_http_get *g = arg;

	if (g->body.n == 0 && g->why == NULL)
		g->why = head_check(g->easy);
	if (g->why == NULL && size * n > PEN_STS_BODY_MAX - g->body.n)
		g->why = "the policy is longer than 64 KiB";
	if (g->why == NULL) {
		pen_buf_add(&g->body, p, size * n);
		if (g->body.failed)
			g->why = "out of memory";
	}
	return g->why == NULL ? size * n : 0;
}

// RFC 8461 3.3 wants a dNSName. Left alone, libcurl and OpenSSL take the common
// name of a certificate that has none.
static CURLcode on_ssl_ctx(CURL *easy, void *ctx, void *arg)
{
	const struct sts_http_get *g = arg;
	X509_VERIFY_PARAM *v = SSL_CTX_get0_param(ctx);

	(void)easy;
	X509_VERIFY_PARAM_set_hostflags(
		v, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(v, g->host, 0) == 1 ? CURLE_OK : CURLE_OUT_OF_MEMORY;
}

static const char *explain(CURL *easy, CURLcode code)
{
	long verify = X509_V_OK;

	curl_easy_getinfo(easy, CURLINFO_SSL_VERIFYRESULT, &verify);
	if (code == CURLE_PEER_FAILED_VERIFICATION && verify != X509_V_OK)
		return X509_verify_cert_error_string(verify);
	if (code == CURLE_FILESIZE_EXCEEDED)
		return "the policy is longer than 64 KiB";
	return curl_easy_strerror(code);
}

static bool is_webpki(CURLcode code)
{
	return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_ISSUER_ERROR ||
	       code == CURLE_SSL_INVALIDCERTSTATUS;
}

static void on_done(void *ctx, CURL *easy, CURLcode code)
{
	struct sts_http_get *g;
	struct sts_http_result r = {PEN_TLSRPT_NONE, {0}, NULL};

	(void)ctx;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &g);
	if (g->why == NULL && code != CURLE_OK)
		g->why = explain(easy, code);
	if (g->why == NULL)
		g->why = head_check(easy);
	r.why = g->why;
	r.body = pen_buf_span(&g->body);
	if (is_webpki(code))
		r.failure = PEN_TLSRPT_STS_WEBPKI_INVALID;
	else if (g->why != NULL)
		r.failure = PEN_TLSRPT_STS_POLICY_FETCH_ERROR;
	g->fn(g->ctx, &r);
	get_free(g);
}

static bool set_addresses(struct sts_http_get *g, const struct sts_http_request *r)
{
	struct pen_buf line = PEN_BUF_INIT;
	char text[PEN_ADDR_STR_MAX];

	pen_buf_addf(&line, "%s:%u:", g->host, r->port);
	for (uint32_t i = 0; i < r->naddrs && i < STS_HTTP_ADDRS_MAX; i++) {
		bool six = r->addr[i].family == PEN_FAMILY_IP6;
		pen_buf_addf(&line, "%s%s%s%s", i > 0 ? "," : "", six ? "[" : "",
			pen_addr_str(&r->addr[i], text), six ? "]" : "");
	}
	pen_buf_add(&line, "", 1);
	if (!line.failed)
		g->resolve = curl_slist_append(NULL, (const char *)line.p);
	pen_buf_fini(&line);
	g->names = curl_share_init();
	if (g->resolve == NULL || g->names == NULL ||
		curl_share_setopt(g->names, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS) != CURLSHE_OK)
		return false;
	curl_easy_setopt(g->easy, CURLOPT_SHARE, g->names);
	curl_easy_setopt(g->easy, CURLOPT_RESOLVE, g->resolve);
	return true;
}

static bool set_tls(struct sts_http_get *g)
{
	const struct sts_http *h = g->http;
	CURLcode err = CURLE_OK;

	err |= curl_easy_setopt(g->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	err |= curl_easy_setopt(g->easy, CURLOPT_SSL_VERIFYPEER, 1L);
	err |= curl_easy_setopt(g->easy, CURLOPT_SSL_VERIFYHOST, 2L);
	err |= curl_easy_setopt(g->easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);
	err |= curl_easy_setopt(g->easy, CURLOPT_SSL_CTX_FUNCTION, on_ssl_ctx);
	err |= curl_easy_setopt(g->easy, CURLOPT_SSL_CTX_DATA, g);
	if (h->ca_file != NULL)
		err |= curl_easy_setopt(g->easy, CURLOPT_CAINFO, h->ca_file);
	// Without a directory libcurl keeps the store of authorities for a day,
	// rather than read it for each request.
	if (h->ca_file != NULL || h->default_bundle)
		err |= curl_easy_setopt(g->easy, CURLOPT_CAPATH, NULL);
	return err == CURLE_OK;
}

static bool set_limits(struct sts_http_get *g, uint32_t timeout_ms)
{
	CURLcode err = CURLE_OK;

	err |= curl_easy_setopt(g->easy, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
	err |= curl_easy_setopt(g->easy, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
	err |= curl_easy_setopt(g->easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	err |= curl_easy_setopt(g->easy, CURLOPT_LOW_SPEED_TIME, STALL_S);
	err |= curl_easy_setopt(g->easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)PEN_STS_BODY_MAX);
	err |= curl_easy_setopt(g->easy, CURLOPT_FRESH_CONNECT, 1L);
	err |= curl_easy_setopt(g->easy, CURLOPT_FORBID_REUSE, 1L);
	err |= curl_easy_setopt(g->easy, CURLOPT_NOSIGNAL, 1L);
	return err == CURLE_OK;
}

static bool set_request(struct sts_http_get *g, const struct sts_http_request *r)
{
	char url[sizeof(g->host) + 64];
	CURLcode err = CURLE_OK;

	snprintf(url, sizeof(url), "https://%s:%u/.well-known/mta-sts.txt", g->host, r->port);
	err |= curl_easy_setopt(g->easy, CURLOPT_URL, url);
	err |= curl_easy_setopt(g->easy, CURLOPT_PROTOCOLS_STR, "https");
	err |= curl_easy_setopt(g->easy, CURLOPT_FOLLOWLOCATION, 0L);
	err |= curl_easy_setopt(g->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	err |= curl_easy_setopt(g->easy, CURLOPT_PROXY, "");
	err |= curl_easy_setopt(g->easy, CURLOPT_USERAGENT, "penstock");
	err |= curl_easy_setopt(g->easy, CURLOPT_HEADERFUNCTION, on_header);
	err |= curl_easy_setopt(g->easy, CURLOPT_HEADERDATA, g);
	err |= curl_easy_setopt(g->easy, CURLOPT_WRITEFUNCTION, on_body);
	err |= curl_easy_setopt(g->easy, CURLOPT_WRITEDATA, g);
	err |= curl_easy_setopt(g->easy, CURLOPT_PRIVATE, g);
	return err == CURLE_OK && set_addresses(g, r) && set_tls(g) && set_limits(g, r->timeout_ms);
}

struct sts_http_get *sts_http_get(struct sts_http *h, const struct sts_http_request *r)
{
	struct sts_http_get *g;

	if (h->gets == NULL && (h->gets = calloc(1, sizeof(*g))) == NULL) // list head
		return NULL;
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return NULL;
	*g = (struct sts_http_get){
		.next = h->gets->next, .prev = h->gets, .http = h, .fn = r->fn, .ctx = r->ctx};
	if (g->next != NULL)
		g->next->prev = g;
	h->gets->next = g;
	snprintf(g->host, sizeof(g->host), "mta-sts.%s", r->domain);
	g->easy = curl_easy_init();
	if (g->easy == NULL || !set_request(g, r) || sts_http_loop_add(&h->loop, g->easy) != 0) {
		get_free(g);
		return NULL;
	}
	return g;
}
