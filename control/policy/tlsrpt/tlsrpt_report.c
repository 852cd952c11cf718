// SPDX-License-Identifier: BSD-3-Clause
#include "tlsrpt_report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

void tlsrpt_day(int64_t unix_s, char out[TLSRPT_DAY_MAX])
{
	time_t t = unix_s;
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, TLSRPT_DAY_MAX, "%Y-%m-%d", &tm);
}

bool tlsrpt_day_start(const char *day, int64_t *unix_s)
{
	struct tm tm = {0};
	char again[TLSRPT_DAY_MAX];
	int used = 0;

	if (sscanf(day, "%4d-%2d-%2d%n", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &used) != 3 ||
		used != 10 || day[10] != '\0')
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	*unix_s = timegm(&tm);
	tlsrpt_day(*unix_s, again);
	return strcmp(day, again) == 0; // not the 31st of February
}

static json_t *policy_entry(json_t *counted)
{
	json_t *details = json_array(), *f;
	json_int_t failures = 0;
	const char *key;

	json_object_foreach(json_object_get(counted, "failures"), key, f)
	{
		failures += json_integer_value(json_object_get(f, "failed-session-count"));
		json_array_append(details, f);
	}
	json_t *o = json_pack("{s:O,s:{s:O,s:I}}", "policy", json_object_get(counted, "policy"),
		"summary", "total-successful-session-count", json_object_get(counted, "ok"),
		"total-failure-session-count", failures);
	if (failures > 0)
		json_object_set(o, "failure-details", details);
	json_decref(details);
	return o;
}

json_t *tlsrpt_report_json(
	const struct tlsrpt_identity *who, const char *name, json_t *domain, const char *day)
{
	json_t *policies = json_array(), *p;
	const char *key;
	char from[32], to[32], id[600];

	json_object_foreach(domain, key, p) json_array_append_new(policies, policy_entry(p));
	snprintf(from, sizeof(from), "%sT00:00:00Z", day);
	snprintf(to, sizeof(to), "%sT23:59:59Z", day);
	snprintf(id, sizeof(id), "%s.%.255s@%.255s", day, name, who->submitter);
	return json_pack("{s:s,s:{s:s,s:s},s:s,s:s,s:o}", "organization-name", who->organization,
		"date-range", "start-datetime", from, "end-datetime", to, "contact-info",
		who->contact, "report-id", id, "policies", policies);
}

void tlsrpt_report_file(const struct tlsrpt_identity *who, const char *domain, const char *day,
	const char *unique, char *out, size_t cap)
{
	int64_t start = 0;

	tlsrpt_day_start(day, &start);
	snprintf(out, cap, "%s!%s!%lld!%lld!%s.json.gz", who->submitter, domain, (long long)start,
		(long long)(start + 86399), unique);
}

int tlsrpt_gzip(struct pen_span in, struct pen_buf *out)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)in.p, .avail_in = (uInt)in.n};
	uint8_t chunk[16384];
	int rc;

	// 16 added to the window bits: gzip's framing instead of zlib's.
	if (deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	do {
		z.next_out = chunk;
		z.avail_out = sizeof(chunk);
		rc = deflate(&z, Z_FINISH);
		pen_buf_add(out, chunk, sizeof(chunk) - z.avail_out);
	} while (rc == Z_OK);
	deflateEnd(&z);
	return rc == Z_STREAM_END && !out->failed ? 0 : -ENOMEM;
}

static void add_base64(struct pen_buf *b, struct pen_span in)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char line[80];
	size_t n = 0;

	for (size_t i = 0; i < in.n; i += 3) {
		uint32_t v = (uint32_t)in.p[i] << 16;
		v |= i + 1 < in.n ? (uint32_t)in.p[i + 1] << 8 : 0;
		v |= i + 2 < in.n ? in.p[i + 2] : 0;
		line[n++] = digits[v >> 18];
		line[n++] = digits[v >> 12 & 63];
		line[n++] = i + 1 < in.n ? digits[v >> 6 & 63] : '=';
		line[n++] = i + 2 < in.n ? digits[v & 63] : '=';
		if (n == 76 || i + 3 >= in.n) {
			pen_buf_add(b, line, n);
			pen_buf_add(b, "\r\n", 2);
			n = 0;
		}
	}
}

static void add_header(struct pen_buf *b, const struct tlsrpt_identity *who, const char *domain,
	const char *rcpt, const char *report_id, const char *boundary, int64_t now_s)
{
	time_t t = now_s;
	struct tm tm;
	char date[64];

	gmtime_r(&t, &tm);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S +0000", &tm);
	// RFC 8460 5.3; TLS-Required: no, because a domain whose TLS is broken must
	// be able to hear of it (RFC 8689 5).
	pen_buf_addf(b,
		"From: <%s>\r\nTo: <%s>\r\nDate: %s\r\n"
		"Message-ID: <%lld.%s>\r\n"
		"Subject: Report Domain: %s\r\n Submitter: %s\r\n Report-ID: <%s>\r\n"
		"TLS-Report-Domain: %s\r\nTLS-Report-Submitter: %s\r\nTLS-Required: No\r\n"
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n"
		"Content-Type: multipart/report; "
		"report-type=\"tlsrpt\";\r\n\tboundary=\"%s\"\r\n\r\n",
		who->sender, rcpt, date, (long long)now_s, report_id, domain, who->submitter,
		report_id, domain, who->submitter, boundary);
}

int tlsrpt_report_mail(const struct tlsrpt_identity *who, const char *domain, const char *rcpt,
	const char *report_id, const char *file, struct pen_span gzip, int64_t now_s,
	struct pen_buf *out)
{
	char boundary[64];

	// No line of base64 or of the text below begins like this.
	snprintf(boundary, sizeof(boundary), "=_tlsrpt_%lld", (long long)now_s);
	add_header(out, who, domain, rcpt, report_id, boundary, now_s);
	pen_buf_addf(out,
		"--%s\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"
		"This is an aggregate report about TLS sessions with the mail servers of\r\n"
		"%s, as RFC 8460 describes it.\r\n\r\n"
		"--%s\r\nContent-Type: application/tlsrpt+gzip\r\n"
		"Content-Transfer-Encoding: base64\r\n"
		"Content-Disposition: attachment;\r\n\tfilename=\"%s\"\r\n\r\n",
		boundary, domain, boundary, file);
	add_base64(out, gzip);
	pen_buf_addf(out, "--%s--\r\n", boundary);
	return out->failed ? -ENOMEM : 0;
}
