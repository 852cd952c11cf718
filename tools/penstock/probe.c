// SPDX-License-Identifier: BSD-3-Clause

// penstock tls probe: what TLS with a host looks like.

#include "penstock.h"

#include <string.h>

static void put(FILE *out, const char *s)
{
	for (; s != NULL && *s != '\0'; s++)
		fputc((unsigned char)*s >= ' ' && *s != 0x7f ? *s : '?', out);
}

static void put_line(FILE *out, const char *label, json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);

	if (v == NULL)
		return;
	fprintf(out, "%-14s ", label);
	if (json_is_string(v))
		put(out, json_string_value(v));
	else if (json_is_integer(v))
		fprintf(out, "%lld", (long long)json_integer_value(v));
	else
		fputs(json_is_true(v) ? "yes" : "no", out);
	fputc('\n', out);
}

static void show_certificate(FILE *out, size_t i, json_t *c)
{
	json_t *v;
	size_t k;

	fprintf(out, "certificate %zu\n", i);
	put_line(out, "  subject", c, "subject");
	put_line(out, "  issuer", c, "issuer");
	put_line(out, "  valid from", c, "not_before");
	put_line(out, "  valid until", c, "not_after");
	json_array_foreach(json_object_get(c, "names"), k, v)
	{
		fprintf(out, "  %-12s ", k == 0 ? "names" : "");
		put(out, json_string_value(v));
		fputc('\n', out);
	}
	put_line(out, "  sha256", c, "sha256");
	put_line(out, "  key sha256", c, "key_sha256");
}

static void show_probe(FILE *out, json_t *r)
{
	json_t *s = json_object_get(r, "session"), *second = json_object_get(r, "second"), *c;
	size_t i;

	put_line(out, "host", s, "host");
	put_line(out, "address", s, "address");
	put_line(out, "port", s, "port");
	put_line(out, "level", s, "level");
	put_line(out, "rule", s, "rule");
	put_line(out, "encrypted", s, "encrypted");
	put_line(out, "match", s, "match");
	put_line(out, "reason", s, "reason");
	put_line(out, "protocol", s, "protocol");
	put_line(out, "cipher", s, "cipher");
	put_line(out, "bits", s, "bits");
	put_line(out, "tls=", s, "tls");
	put_line(out, "usable", s, "usable");
	put_line(out, "status", s, "status");
	put_line(out, "", s, "text");
	if (second != NULL)
		put_line(out, "resumption", second, "resumed");
	json_array_foreach(json_object_get(s, "chain"), i, c) show_certificate(out, i, c);
}

int verb_tls_probe(struct cli *cli)
{
	json_t *args = json_object();

	for (int i = 0; i < cli->argc; i++) {
		const char *a = cli->argv[i];
		if (strcmp(a, "--requiretls") == 0) {
			json_object_set_new(args, "requiretls", json_true());
		} else if (a[0] != '-' && json_object_get(args, "host") == NULL) {
			json_object_set_new(args, "host", json_string(a));
		} else {
			fprintf(stderr, "penstock: tls probe: unexpected %s\nTry --help.\n", a);
			json_decref(args);
			return EXIT_USAGE;
		}
	}
	if (json_object_get(args, "host") == NULL) {
		fputs("penstock: tls probe wants a domain, [host] or [host]:port\nTry --help.\n",
			stderr);
		json_decref(args);
		return EXIT_USAGE;
	}
	return ask_and_show(cli, "tls.probe", args, show_probe);
}
