// SPDX-License-Identifier: BSD-3-Clause
#pragma once

// The TLS profiles of the daemon: found or made for what policies ask
// (pen_tls_profile_spec) together with what holds for all of them.
//
// Threads: pen_wire_tls_profile from any control thread; a lock is held while a
//          profile is made, which reads files. Workers get profiles by way of
//          leases.
// Memory:  at most PEN_WIRE_PROFILES_MAX; none is freed before
//          pen_wire_tls_profiles_free, which comes after the workers have ended.

#include "pen_tls_decide.h"
#include "pen_tls_profile.h"

#define PEN_WIRE_PROFILES_MAX 256

// From main.cf; the strings must outlive the profiles.
struct pen_wire_tls_globals {
	uint32_t workers;
	const char *ca_file, *ca_path;    // smtp_tls_CAfile, smtp_tls_CApath; NULL or "": none
	bool system_store;                // tls_append_default_CA
	uint32_t verify_depth;            // smtp_tls_scert_verifydepth
	const char *cert_file, *key_file; // smtp_tls_cert_file, smtp_tls_key_file
	uint32_t sessions;                // smtp_tls_session_cache_size
	int64_t session_lifetime;         // smtp_tls_session_cache_timeout, seconds
};

struct pen_wire_tls_profiles;

struct pen_wire_tls_profiles *pen_wire_tls_profiles_new(const struct pen_wire_tls_globals *g);
void pen_wire_tls_profiles_free(struct pen_wire_tls_profiles *p);

// A pen_tls_profile_fn; ctx is the struct pen_wire_tls_profiles.
const void *pen_wire_tls_profile(
	void *ctx, const struct pen_tls_profile_spec *spec, char *err, size_t cap);
uint32_t pen_wire_tls_profiles_count(struct pen_wire_tls_profiles *p);
