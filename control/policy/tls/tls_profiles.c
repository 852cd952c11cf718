// SPDX-License-Identifier: BSD-3-Clause

// From attributes and a level to the profile: protocols, ciphers, anchors.

#include "tls_private.h"

#include "pen_rand.h"
#include "pen_tls_profile.h"

#include <stdio.h>
#include <stdlib.h>

static const struct pen_siphash_key hash_key = {0x70656e73746f636bULL, 0x746c7370726f6600ULL};

enum tls_class tls_class_of(enum pen_tls_level level)
{
	if (level <= PEN_TLS_MAY)
		return TLS_CLASS_MAY;
	if (pen_tls_is_dane(level))
		return TLS_CLASS_DANE;
	return level == PEN_TLS_ENCRYPT       ? TLS_CLASS_ENCRYPT
	       : level == PEN_TLS_FINGERPRINT ? TLS_CLASS_FINGERPRINT
					      : TLS_CLASS_PKIX;
}

static uint64_t hash_spec(const struct pen_tls_profile_spec *spec)
{
	uint64_t part[4] = {spec->trust | (uint64_t)spec->judged << 8, spec->exclude_protocols,
		pen_siphash(&hash_key, spec->ciphers, strlen(spec->ciphers))};

	if (spec->anchor_file != NULL)
		part[3] = pen_siphash(&hash_key, spec->anchor_file, strlen(spec->anchor_file));
	return pen_siphash(&hash_key, part, sizeof(part));
}

static bool fail(struct tls_profile *made, const char *what, const char *value)
{
	snprintf(made->why, sizeof(made->why), "%s%.100s", what, value);
	return false;
}

static const char *const grades[] = {"medium", "high", "null", "low", "export"};

// Fills the spec; false: there can be no session under it.
static bool resolve(const struct pen_tls_settings *s, const struct pen_tls_attributes *a,
	enum tls_class c, char ciphers[TLS_CIPHERS_MAX], struct tls_profile *made)
{
	const struct pen_params *p = s->params;
	bool may = c <= TLS_CLASS_MAY;
	const char *grade = a->ciphers != NULL ? a->ciphers
			    : may              ? grades[p->smtp_tls_ciphers]
					       : grades[p->smtp_tls_mandatory_ciphers];
	const char *protocols = a->protocols != NULL ? a->protocols
				: may                ? p->smtp_tls_protocols
						     : p->smtp_tls_mandatory_protocols;
	struct pen_span exclude[4];
	size_t n = 0;

	ciphers[0] = '\0';
	made->spec = (struct pen_tls_profile_spec){
		.trust = c == TLS_CLASS_PKIX   ? PEN_TLS_PROFILE_PKIX
			 : c == TLS_CLASS_DANE ? PEN_TLS_PROFILE_DANE
					       : PEN_TLS_PROFILE_ANY,
		.judged = c == TLS_CLASS_TESTING,
		.ciphers = ciphers,
	};
	if (c == TLS_CLASS_PKIX || c == TLS_CLASS_TESTING)
		made->spec.anchor_file = a->anchors != NULL ? a->anchors
					 : *p->smtp_tls_trust_anchor_file
						 ? p->smtp_tls_trust_anchor_file
						 : NULL;
	if (!tls_protocols_parse(pen_span_cstr(protocols), &made->spec.exclude_protocols))
		return fail(made, "invalid TLS protocol list: ", protocols);
	exclude[n++] = pen_span_cstr(a->exclude != NULL ? a->exclude : p->smtp_tls_exclude_ciphers);
	if (a->exclude == NULL && !may)
		exclude[n++] = pen_span_cstr(p->smtp_tls_mandatory_exclude_ciphers);
	if (!may)
		exclude[n++] = PEN_SPAN_LIT("eNULL");
	if (c >= TLS_CLASS_FINGERPRINT)
		exclude[n++] = PEN_SPAN_LIT("aNULL");
	if (!tls_ciphers_resolve(
		    pen_span_cstr(grade), made->spec.exclude_protocols, exclude, n, ciphers))
		return fail(made, "invalid TLS cipher grade: ", grade);
	if (ciphers[0] == '\0')
		return fail(made, "no TLS cipher is left of grade ", grade);
	return true;
}

// One that was made before; equal hashes are taken for equal specs.
static struct tls_profile *known(const struct pen_tls_settings *s, uint64_t hash)
{
	for (size_t i = 0; i < s->nprofiles; i++) {
		if (s->profile[i]->hash == hash)
			return s->profile[i];
	}
	return NULL;
}

static void make(const struct pen_tls_settings *s, struct tls_profile *p)
{
	// Without a function a tool only wants decisions.
	if (!p->usable || s->profile_fn == NULL)
		return;
	p->profile = s->profile_fn(s->profile_ctx, &p->spec, p->why, sizeof(p->why));
	p->usable = p->profile != NULL;
}

void tls_profile_make(const struct pen_tls_settings *s, const struct pen_tls_attributes *a,
	enum tls_class c, char ciphers[TLS_CIPHERS_MAX], struct tls_profile *made)
{
	*made = (struct tls_profile){0};
	made->usable = resolve(s, a, c, ciphers, made);
	made->hash = hash_spec(&made->spec);
	const struct tls_profile *old = known(s, made->hash);
	if (old == NULL) {
		make(s, made);
	} else if (made->usable) {
		made->profile = old->profile;
		made->usable = old->usable;
		memcpy(made->why, old->why, sizeof(made->why));
	}
}

// Takes `made` with strings of its own. NULL: no memory.
static struct tls_profile *keep(struct pen_tls_settings *s, const struct tls_profile *made)
{
	struct tls_profile *own = malloc(sizeof(*own));
	void *grown = realloc(s->profile, (s->nprofiles + 1) * sizeof(struct tls_profile *));

	if (grown != NULL)
		s->profile = grown;
	if (own == NULL || grown == NULL) {
		free(own);
		return NULL;
	}
	*own = *made;
	own->spec.ciphers = strdup(made->spec.ciphers);
	own->spec.anchor_file =
		made->spec.anchor_file != NULL ? strdup(made->spec.anchor_file) : NULL;
	s->profile[s->nprofiles++] = own;
	bool whole = own->spec.ciphers != NULL &&
		     (made->spec.anchor_file == NULL || own->spec.anchor_file != NULL);
	return whole ? own : NULL;
}

static bool prepare(struct pen_tls_settings *s, struct pen_tls_attributes *a, enum tls_class c)
{
	char ciphers[TLS_CIPHERS_MAX];
	struct tls_profile made = {0};

	if (a->profile[c] != NULL)
		return true;
	made.usable = resolve(s, a, c, ciphers, &made);
	made.hash = hash_spec(&made.spec);
	// A spec that cannot be used says why in its own words: it is not shared.
	struct tls_profile *own = made.usable ? known(s, made.hash) : NULL;
	if (own == NULL && (own = keep(s, &made)) != NULL)
		make(s, own);
	a->profile[c] = own;
	return own != NULL;
}

bool tls_profiles_prepare_testing(struct pen_tls_settings *s, struct pen_tls_attributes *a)
{
	return prepare(s, a, TLS_CLASS_TESTING);
}

bool tls_profiles_prepare(
	struct pen_tls_settings *s, struct pen_tls_attributes *a, enum pen_tls_level level)
{
	if (level <= PEN_TLS_NONE)
		return true;
	bool ok = prepare(s, a, tls_class_of(level));
	if (level == PEN_TLS_DANE)
		ok = ok && prepare(s, a, TLS_CLASS_MAY) && prepare(s, a, TLS_CLASS_ENCRYPT);
	return ok;
}

void tls_profiles_free(struct pen_tls_settings *s)
{
	for (size_t i = 0; i < s->nprofiles; i++) {
		free((void *)(uintptr_t)s->profile[i]->spec.ciphers);
		free((void *)(uintptr_t)s->profile[i]->spec.anchor_file);
		free(s->profile[i]);
	}
	free(s->profile);
}
