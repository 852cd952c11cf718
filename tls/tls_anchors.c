// SPDX-License-Identifier: BSD-3-Clause

#include "tls_anchors.h"

#include "tls_signature.h"

#include <wolfssl/options.h>

#include <wolfssl/wolfcrypt/asn_public.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const system_bundles[] = {
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
};

static int compare(const void *a, const void *b)
{
	const struct tls_cert *x = a, *y = b;

	return memcmp(x->subject, y->subject, TLS_NAME_HASH);
}

bool tls_anchors_has(const struct tls_anchors *a, const struct tls_cert *c)
{
	uint32_t n;
	const struct tls_cert *same = tls_anchors_find(a, c->subject, &n);

	for (uint32_t i = 0; i < n; i++) {
		if (pen_span_eq(same[i].der, c->der))
			return true;
	}
	return false;
}

// Takes over `der`, which comes from malloc.
static bool add_cert(struct tls_anchors *a, uint8_t *der, size_t n)
{
	struct tls_cert c, *grown;

	if (a->n < TLS_ANCHORS_MAX && tls_cert_read(&c, pen_span(der, n)) &&
		(grown = reallocarray(a->cert, a->n + 1, sizeof(*grown))) != NULL) {
		a->cert = grown;
		a->cert[a->n++] = c;
		return true;
	}
	free(der);
	return false;
}

static bool add_key(struct tls_anchors *a, uint8_t *der, size_t n)
{
	struct pen_span *grown;

	if (a->nkeys < TLS_ANCHORS_MAX && tls_key_usable(pen_span(der, n)) &&
		(grown = reallocarray(a->key, a->nkeys + 1, sizeof(*grown))) != NULL) {
		a->key = grown;
		a->key[a->nkeys++] = pen_span(der, n);
		return true;
	}
	free(der);
	return false;
}

static bool add_block(struct tls_anchors *a, const char *pem, size_t n, bool key)
{
	uint8_t *der = malloc(n);

	if (der == NULL)
		return false;
	int len = key ? wc_PubKeyPemToDer((const uint8_t *)pem, (int)n, der, (int)n)
		      : wc_CertPemToDer((const uint8_t *)pem, (int)n, der, (int)n, CA_TYPE);
	if (len <= 0) {
		free(der);
		return false;
	}
	return key ? add_key(a, der, (size_t)len) : add_cert(a, der, (size_t)len);
}

static int add_pem(struct tls_anchors *a, const char *text)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	int added = 0;

	for (const char *p = text; (p = strstr(p, begin)) != NULL;) {
		const char *stop = strstr(p, end);
		const char *line = stop != NULL ? strchr(stop, '\n') : NULL;
		const char *kind = p + sizeof(begin) - 1;

		if (stop == NULL)
			break;
		const char *after = line != NULL ? line + 1 : stop + strlen(stop);
		bool key = strncmp(kind, "PUBLIC KEY-----", 15) == 0;
		if (key || strncmp(kind, "CERTIFICATE-----", 16) == 0)
			added += add_block(a, p, (size_t)(after - p), key);
		p = after;
	}
	return added;
}

// NULL with errno. NUL-terminated.
static char *slurp(int fd)
{
	struct stat st;
	char *text;
	size_t have = 0;

	if (fstat(fd, &st) != 0)
		return NULL;
	if (!S_ISREG(st.st_mode) || st.st_size > TLS_ANCHOR_FILE_MAX) {
		errno = S_ISREG(st.st_mode) ? EFBIG : EINVAL;
		return NULL;
	}
	text = malloc((size_t)st.st_size + 1);
	while (text != NULL && have < (size_t)st.st_size) {
		ssize_t n = read(fd, text + have, (size_t)st.st_size - have);

		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (text != NULL)
		text[have] = '\0';
	return text;
}

static int add_fd(struct tls_anchors *a, int fd)
{
	char *text = fd >= 0 ? slurp(fd) : NULL;
	int added = text != NULL ? add_pem(a, text) : -errno;

	free(text);
	if (fd >= 0)
		close(fd);
	return added;
}

int tls_anchors_add_file(struct tls_anchors *a, const char *file)
{
	return add_fd(a, open(file, O_RDONLY | O_CLOEXEC));
}

int tls_anchors_add_folder(struct tls_anchors *a, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *e;
	int added = 0, files = 0;

	if (dir == NULL)
		return -errno;
	while ((e = readdir(dir)) != NULL && files++ < TLS_ANCHORS_MAX) {
		int n = add_fd(a, openat(dirfd(dir), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK));

		added += n > 0 ? n : 0;
	}
	closedir(dir);
	return added;
}

int tls_anchors_add_system(struct tls_anchors *a)
{
	int rc = -ENOENT;

	for (size_t i = 0; i < sizeof(system_bundles) / sizeof(system_bundles[0]) && rc <= 0; i++)
		rc = tls_anchors_add_file(a, system_bundles[i]);
	return rc;
}

void tls_anchors_order(struct tls_anchors *a)
{
	if (a->n > 1)
		qsort(a->cert, a->n, sizeof(*a->cert), compare);
}

void tls_anchors_sort(struct tls_anchors *a)
{
	struct tls_anchors kept = {.cert = a->cert};

	tls_anchors_order(a);
	// A folder of links holds each anchor several times.
	for (uint32_t i = 0; i < a->n; i++) {
		if (tls_anchors_has(&kept, &a->cert[i]))
			free((void *)(uintptr_t)a->cert[i].der.p);
		else
			a->cert[kept.n++] = a->cert[i];
	}
	a->n = kept.n;
}

void tls_anchors_fini(struct tls_anchors *a)
{
	for (uint32_t i = 0; i < a->n; i++)
		free((void *)(uintptr_t)a->cert[i].der.p);
	for (uint32_t i = 0; i < a->nkeys; i++)
		free((void *)(uintptr_t)a->key[i].p);
	free(a->cert);
	free(a->key);
	*a = (struct tls_anchors){0};
}

const struct tls_cert *tls_anchors_find(
	const struct tls_anchors *a, const uint8_t subject[TLS_NAME_HASH], uint32_t *n)
{
	uint32_t low = 0, high = a->n;

	while (low < high) {
		uint32_t mid = low + (high - low) / 2;

		if (memcmp(a->cert[mid].subject, subject, TLS_NAME_HASH) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	*n = 0;
	while (low + *n < a->n && memcmp(a->cert[low + *n].subject, subject, TLS_NAME_HASH) == 0)
		++*n;
	return &a->cert[low];
}
