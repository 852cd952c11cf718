// SPDX-License-Identifier: BSD-3-Clause
#include "pen_wire_tls_profiles.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct entry {
	uint8_t trust;
	bool judged;
	uint32_t exclude_protocols;
	char *ciphers, *anchor_file; // own copies: settings may be loaded again
	struct pen_tls_profile *profile;
};

struct pen_wire_tls_profiles {
	struct pen_wire_tls_globals globals;
	pthread_mutex_t lock;
	uint32_t n;
	struct entry entry[PEN_WIRE_PROFILES_MAX];
};

struct pen_wire_tls_profiles *pen_wire_tls_profiles_new(const struct pen_wire_tls_globals *g)
{
	struct pen_wire_tls_profiles *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->globals = *g;
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

static void entry_fini(struct entry *e)
{
	pen_tls_profile_free(e->profile);
	free(e->ciphers);
	free(e->anchor_file);
}

void pen_wire_tls_profiles_free(struct pen_wire_tls_profiles *p)
{
	if (p == NULL)
		return;
	for (uint32_t i = 0; i < p->n; i++)
		entry_fini(&p->entry[i]);
	pthread_mutex_destroy(&p->lock);
	free(p);
}

static const char *given(const char *s)
{
	return s != NULL && s[0] != '\0' ? s : NULL;
}

static bool equal(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static bool fits(const struct entry *e, const struct pen_tls_profile_spec *spec)
{
	return e->trust == spec->trust && e->judged == spec->judged &&
	       e->exclude_protocols == spec->exclude_protocols &&
	       equal(e->ciphers, spec->ciphers) && equal(e->anchor_file, given(spec->anchor_file));
}

static bool copy(char **to, const char *from)
{
	*to = from != NULL ? strdup(from) : NULL;
	return from == NULL || *to != NULL;
}

static struct pen_tls_profile *make(struct pen_wire_tls_profiles *p,
	const struct pen_tls_profile_spec *spec, char *err, size_t cap)
{
	const struct pen_wire_tls_globals *g = &p->globals;
	bool verifies = spec->trust == PEN_TLS_PROFILE_PKIX || spec->judged;
	bool configured = given(g->ca_file) != NULL || given(g->ca_path) != NULL ||
			  given(spec->anchor_file) != NULL;
	struct pen_tls_profile_config cfg = {
		.trust = (enum pen_tls_profile_trust)spec->trust,
		.workers = g->workers,
		.exclude_protocols = spec->exclude_protocols,
		.ciphers = spec->ciphers,
		.ca_file = given(g->ca_file),
		.ca_path = given(g->ca_path),
		.anchor_file = given(spec->anchor_file),
		// With nothing configured, what has to be verified is verified by what
		// the system trusts: MTA-STS and the level secure need some authority.
		.system_store = g->system_store || (verifies && !configured),
		.verify_depth = g->verify_depth,
		.cert_file = given(g->cert_file),
		.key_file = given(g->key_file),
		.sessions = g->sessions,
		.session_lifetime = g->session_lifetime,
	};
	struct entry e = {.trust = spec->trust,
		.judged = spec->judged,
		.exclude_protocols = spec->exclude_protocols};

	if (p->n == PEN_WIRE_PROFILES_MAX) {
		snprintf(err, cap,
			"TLS: more than %d different profiles (trust, protocols, "
			"ciphers, trust anchors)",
			PEN_WIRE_PROFILES_MAX);
		return NULL;
	}
	if (copy(&e.ciphers, spec->ciphers) && copy(&e.anchor_file, given(spec->anchor_file)))
		e.profile = pen_tls_profile_new(&cfg, err, cap);
	else
		snprintf(err, cap, "TLS: out of memory");
	if (e.profile == NULL) {
		entry_fini(&e);
		return NULL;
	}
	p->entry[p->n++] = e;
	return e.profile;
}

const void *pen_wire_tls_profile(
	void *ctx, const struct pen_tls_profile_spec *spec, char *err, size_t cap)
{
	struct pen_wire_tls_profiles *p = ctx;
	struct pen_tls_profile *found = NULL;

	pthread_mutex_lock(&p->lock);
	for (uint32_t i = 0; i < p->n && found == NULL; i++) {
		if (fits(&p->entry[i], spec))
			found = p->entry[i].profile;
	}
	if (found == NULL)
		found = make(p, spec, err, cap);
	pthread_mutex_unlock(&p->lock);
	return found;
}

uint32_t pen_wire_tls_profiles_count(struct pen_wire_tls_profiles *p)
{
	pthread_mutex_lock(&p->lock);
	uint32_t n = p->n;
	pthread_mutex_unlock(&p->lock);
	return n;
}
