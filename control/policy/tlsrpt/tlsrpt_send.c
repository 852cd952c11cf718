// SPDX-License-Identifier: BSD-3-Clause
#include "tlsrpt_send.h"

#include "pen_tlsrpt_record.h"
#include "tlsrpt_ask.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define DNS_LIMIT (30 * PEN_US_PER_S)
#define HTTPS_LIMIT_S 60

static enum pen_dns_status find_record(
	const struct tlsrpt_sender *s, const char *domain, struct pen_tlsrpt_rua *rua, bool *found)
{
	struct tlsrpt_answer a;
	struct pen_span txt[16];
	char name[300];

	snprintf(name, sizeof(name), "_smtp._tls.%s", domain);
	tlsrpt_ask(s->cfg->dns, name, PEN_DNS_TXT, DNS_LIMIT, &a);
	for (uint32_t i = 0; i < a.n; i++)
		txt[i] = a.record[i].text;
	*found = a.status == PEN_DNS_OK && pen_tlsrpt_record(txt, a.n, rua);
	tlsrpt_answer_fini(&a);
	return a.status;
}

// "host:port:addr,addr" for curl, which would ask a resolver of its own.
static struct curl_slist *resolve_host(const struct tlsrpt_sender *s, const char *uri)
{
	static const enum pen_dns_type types[] = {PEN_DNS_AAAA, PEN_DNS_A};
	CURLU *u = curl_url();
	char *host = NULL, *port = NULL, line[2048];
	struct curl_slist *list = NULL;
	char addr[PEN_ADDR_STR_MAX];
	size_t n = 0;
	bool some = false;

	if (u != NULL && curl_url_set(u, CURLUPART_URL, uri, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
		n = (size_t)snprintf(line, sizeof(line), "%.255s:%.5s:", host, port);
	for (int t = 0; n > 0 && t < 2; t++) {
		struct tlsrpt_answer a;
		tlsrpt_ask(s->cfg->dns, host, types[t], DNS_LIMIT, &a);
		for (uint32_t i = 0; i < a.n && n < sizeof(line) - 64; i++) {
			n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s", some ? "," : "",
				pen_addr_str(&a.record[i].addr, addr));
			some = true;
		}
		tlsrpt_answer_fini(&a);
	}
	if (some)
		list = curl_slist_append(NULL, line);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(u);
	return list;
}

static size_t ignore_body(char *p, size_t size, size_t n, void *ctx)
{
	size_t *left = ctx;

	(void)p;
	if (size * n > *left)
		return 0; // more than anybody has to say
	*left -= size * n;
	return size * n;
}

static bool post_https(
	const struct tlsrpt_sender *s, const char *uri, struct pen_span gzip, char *why, size_t cap)
{
	struct curl_slist *resolve = resolve_host(s, uri), *headers = NULL;
	CURL *c = curl_easy_init();
	size_t left = 65536;
	long status = 0;

	if (resolve == NULL || c == NULL) {
		snprintf(why, cap, "%.200s: the host has no address", uri);
		curl_slist_free_all(resolve);
		curl_easy_cleanup(c);
		return false;
	}
	headers = curl_slist_append(NULL, "Content-Type: application/tlsrpt+gzip");
	curl_easy_setopt(c, CURLOPT_URL, uri);
	curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "https");
	curl_easy_setopt(c, CURLOPT_RESOLVE, resolve);
	curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(c, CURLOPT_POSTFIELDS, (const char *)gzip.p);
	curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)gzip.n);
	curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, ignore_body);
	curl_easy_setopt(c, CURLOPT_WRITEDATA, &left);
	curl_easy_setopt(c, CURLOPT_TIMEOUT, (long)HTTPS_LIMIT_S);
	curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(c, CURLOPT_NOPROXY, "*");
	if (s->ca_file[0] != '\0')
		curl_easy_setopt(c, CURLOPT_CAINFO, s->ca_file);
	CURLcode rc = curl_easy_perform(c);
	curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(c);
	curl_slist_free_all(headers);
	curl_slist_free_all(resolve);
	if (rc != CURLE_OK)
		snprintf(why, cap, "%.200s: %s", uri, curl_easy_strerror(rc));
	else if (status < 200 || status > 299)
		snprintf(why, cap, "%.200s: status %ld", uri, status);
	return rc == CURLE_OK && status >= 200 && status <= 299;
}

static bool send_mail(const struct tlsrpt_sender *s, const char *domain, const char *rcpt,
	const char *report_id, const char *file, struct pen_span gzip, char *why, size_t cap)
{
	struct pen_buf mail = PEN_BUF_INIT;
	int rc = tlsrpt_report_mail(&s->who, domain, rcpt, report_id, file, gzip,
		pen_clock_wall() / PEN_US_PER_S, &mail);

	if (rc == 0) // takes the content over
		rc = s->cfg->mail(s->cfg->ctx, s->who.sender, rcpt, mail.p, (uint32_t)mail.n);
	else
		pen_buf_fini(&mail);
	if (rc != 0)
		snprintf(why, cap, "mail to %.200s: %s", rcpt, strerror(-rc));
	return rc == 0;
}

enum tlsrpt_sent tlsrpt_send(const struct tlsrpt_sender *s, const char *domain, const char *day,
	json_t *report, uint32_t *taken, char *why, size_t cap)
{
	struct pen_tlsrpt_rua *rua = calloc(1, sizeof(*rua));
	struct pen_buf gzip = PEN_BUF_INIT;
	char file[800];
	bool found = false, all = true;

	if (rua == NULL)
		return TLSRPT_LATER;
	enum pen_dns_status st = find_record(s, domain, rua, &found);
	if (!found) {
		bool later = st == PEN_DNS_FAILED || st == PEN_DNS_BOGUS;
		snprintf(why, cap, "_smtp._tls.%s: %s", domain,
			later ? "the lookup failed" : "the record is gone");
		free(rua);
		return later ? TLSRPT_LATER : TLSRPT_NOT_ASKED;
	}
	char *text = json_dumps(report, JSON_COMPACT);
	const char *id = json_string_value(json_object_get(report, "report-id"));
	tlsrpt_report_file(&s->who, domain, day, "1", file, sizeof(file));
	if (text == NULL || id == NULL || tlsrpt_gzip(pen_span_cstr(text), &gzip) != 0) {
		snprintf(why, cap, "out of memory");
		all = false;
	}
	for (uint32_t i = 0; i < rua->n && gzip.n > 0; i++) {
		const char *to = rua->to[i].uri;
		struct pen_span z = pen_buf_span(&gzip);
		if (*taken & 1u << i)
			continue; // an earlier try got it there
		bool ok = rua->to[i].https ? post_https(s, to, z, why, cap)
					   : send_mail(s, domain, to, id, file, z, why, cap);
		*taken |= ok ? 1u << i : 0;
		all &= ok;
	}
	free(text);
	free(rua);
	pen_buf_fini(&gzip);
	return all ? TLSRPT_SENT : TLSRPT_LATER;
}
