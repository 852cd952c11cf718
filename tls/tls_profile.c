// SPDX-License-Identifier: BSD-3-Clause

// Profiles: a context and a store of sessions for each worker, anchors for all.

#include "tls_client.h"

#include "pen_err.h"
#include "pen_time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

PEN_COUNTERS_DEFINE(pen_tls, PEN_TLS_COUNTERS);

#define WORKERS_MAX 256

static struct {
	struct pen_tls_counters c;
} __attribute__((aligned(64))) counters[WORKERS_MAX];

struct pen_tls_counters *tls_counters(uint32_t worker)
{
	PEN_ASSERT(worker < WORKERS_MAX);
	return &counters[worker].c;
}

struct pen_counter_set pen_tls_counters_of(uint32_t worker)
{
	return pen_tls_counter_set(tls_counters(worker));
}

static int64_t seconds(void)
{
	return pen_clock_wall() / 1000000;
}

static bool loaded(int rc, const char *what, const char *path, char *err, size_t cap)
{
	if (rc > 0)
		return true;
	snprintf(err, cap, "TLS %s %s: %s", what, path,
		rc < 0 ? strerror(-rc) : "no certificate in it can be used");
	return false;
}

// Several tafile attributes come as lines.
static bool load_anchor_files(struct tls_anchors *a, const char *list, char *err, size_t cap)
{
	char path[4096];

	while (*list != '\0') {
		size_t n = strcspn(list, "\n");
		snprintf(path, sizeof(path), "%.*s", (int)(n < sizeof(path) ? n : sizeof(path) - 1),
			list);
		if (!loaded(tls_anchors_add_file(a, path), "trust anchor file", path, err, cap))
			return false;
		list += n + (list[n] == '\n');
	}
	return true;
}

static bool load_anchors(
	struct tls_anchors *a, const struct pen_tls_profile_config *cfg, char *err, size_t cap)
{
	if (cfg->anchor_file != NULL) {
		if (!load_anchor_files(a, cfg->anchor_file, err, cap))
			return false;
	} else {
		if (cfg->ca_file != NULL && !loaded(tls_anchors_add_file(a, cfg->ca_file),
						    "CA file", cfg->ca_file, err, cap))
			return false;
		if (cfg->ca_path != NULL && !loaded(tls_anchors_add_folder(a, cfg->ca_path),
						    "CA folder", cfg->ca_path, err, cap))
			return false;
		if (cfg->system_store &&
			!loaded(tls_anchors_add_system(a), "CA bundle", "of the system", err, cap))
			return false;
	}
	tls_anchors_sort(a);
	return true;
}

static bool make_worker(
	struct tls_worker *w, const struct pen_tls_profile_config *cfg, char *err, size_t cap)
{
	struct tls_client_spec spec = {
		.exclude_protocols = cfg->exclude_protocols,
		.ciphers = cfg->ciphers,
		.cert_file = cfg->cert_file,
		.key_file = cfg->key_file != NULL ? cfg->key_file : cfg->cert_file,
		.session_lifetime = cfg->sessions > 0 ? cfg->session_lifetime : 0,
	};

	w->ctx = tls_client_ctx_new(&spec, err, cap);
	if (w->ctx == NULL)
		return false;
	if (spec.session_lifetime <= 0)
		return true;
	w->sessions = tls_sessions_new(cfg->sessions, cfg->session_lifetime);
	if (w->sessions == NULL)
		snprintf(err, cap, "TLS: out of memory");
	return w->sessions != NULL;
}

struct pen_tls_profile *pen_tls_profile_new(
	const struct pen_tls_profile_config *cfg, char *err, size_t err_cap)
{
	PEN_ASSERT(cfg->workers > 0 && cfg->workers <= WORKERS_MAX);
	struct pen_tls_profile *p = calloc(1, sizeof(*p) + cfg->workers * sizeof(p->worker[0]));
	bool ok = p != NULL;

	if (p == NULL) {
		snprintf(err, err_cap, "TLS: out of memory");
		return NULL;
	}
	p->trust = cfg->trust;
	p->clock = seconds;
	p->workers = cfg->workers;
	// The library that Postfix hands its parameter to counts intermediates only,
	// and Postfix adds one: N admits N + 1 of them.
	p->intermediates =
		cfg->verify_depth < TLS_CHAIN_MAX ? cfg->verify_depth + 1 : TLS_CHAIN_MAX;
	ok = load_anchors(&p->anchors, cfg, err, err_cap);
	for (uint32_t i = 0; ok && i < p->workers; i++)
		ok = make_worker(&p->worker[i], cfg, err, err_cap);
	if (ok)
		return p;
	pen_tls_profile_free(p);
	return NULL;
}

void pen_tls_profile_free(struct pen_tls_profile *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->workers; i++) {
		tls_sessions_free(p->worker[i].sessions);
		pen_tls_ctx_free(p->worker[i].ctx);
	}
	tls_anchors_fini(&p->anchors);
	free(p);
}
