// SPDX-License-Identifier: BSD-3-Clause
#include "pen_suppression.h"

#include "pen_err.h"

#include <errno.h>
#include <lmdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAP_FIRST ((size_t)1 << 30)
// A batch copies a page for each of its entries at worst, and the tree above.
#define ROOM ((size_t)512 << 20)
#define VALUE_VERSION 1
#define VALUE_HEAD 10
#define KEY_MAX (PEN_CLASS_NAME_MAX + 1 + PEN_SUPPRESSION_ADDRESS_MAX)

struct pen_suppression {
	MDB_env *env;
	MDB_dbi dbi;
	MDB_txn *batch;
	size_t room;
	// Read: somebody uses the map. Written: it is being moved.
	pthread_rwlock_t map;
};

// LMDB's own codes are negative, those of the system positive.
static int to_errno(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_PANIC:
		return -EBADMSG;
	default:
		return rc > 0 ? -rc : -EIO;
	}
}

static size_t key_make(uint8_t out[KEY_MAX], struct pen_span tenant, struct pen_span address)
{
	if (tenant.n > PEN_CLASS_NAME_MAX || address.n > PEN_SUPPRESSION_ADDRESS_MAX)
		return 0;
	if (tenant.n > 0)
		memcpy(out, tenant.p, tenant.n);
	out[tenant.n] = '\0';
	if (address.n > 0)
		memcpy(out + tenant.n + 1, address.p, address.n);
	return tenant.n + 1 + address.n;
}

static bool entry_read(const MDB_val *key, const MDB_val *value, struct pen_suppression_entry *e)
{
	struct pen_span k = pen_span(key->mv_data, key->mv_size);
	const uint8_t *v = value->mv_data;
	ptrdiff_t nul = pen_span_find(k, '\0');
	uint64_t since = 0;

	if (nul < 0 || value->mv_size < VALUE_HEAD || v[0] != VALUE_VERSION ||
		v[1] >= PEN_SUPPRESSION_SOURCES)
		return false;
	for (int i = 0; i < 8; i++)
		since |= (uint64_t)v[2 + i] << (8 * i);
	*e = (struct pen_suppression_entry){
		.tenant = pen_span(k.p, (size_t)nul),
		.address = pen_span_from(k, (size_t)nul + 1),
		.source = v[1],
		.since = (pen_wall_us)since,
		.reason = pen_span(v + VALUE_HEAD, value->mv_size - VALUE_HEAD),
	};
	return true;
}

int pen_suppression_open(
	const char *folder, size_t map_size, struct pen_suppression **out, char *err, size_t cap)
{
	struct pen_suppression *s = calloc(1, sizeof(*s));
	MDB_txn *txn = NULL;
	const char *doing = "cannot be made";

	if (s == NULL)
		return -ENOMEM;
	pthread_rwlockattr_t attr;
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&s->map, &attr);
	pthread_rwlockattr_destroy(&attr);
	s->room = map_size != 0 ? map_size / 2 : ROOM;
	int rc = mkdir(folder, 0750) != 0 && errno != EEXIST ? errno : 0;
	if (rc == 0) {
		doing = "cannot be opened";
		rc = mdb_env_create(&s->env);
	}
	if (rc == 0)
		rc = mdb_env_set_mapsize(s->env, map_size != 0 ? map_size : MAP_FIRST);
	// Readers have a slot for as long as they read, whatever thread they are.
	if (rc == 0)
		rc = mdb_env_open(s->env, folder, MDB_NOTLS, 0640);
	if (rc == 0)
		rc = mdb_txn_begin(s->env, NULL, 0, &txn);
	if (rc == 0)
		rc = mdb_dbi_open(txn, NULL, 0, &s->dbi);
	if (rc == 0)
		rc = mdb_txn_commit(txn);
	else if (txn != NULL)
		mdb_txn_abort(txn);
	if (rc == 0) {
		*out = s;
		return 0;
	}
	snprintf(err, cap, "%s: the suppression list %s: %s", folder, doing, mdb_strerror(rc));
	pen_suppression_close(s);
	return to_errno(rc);
}

void pen_suppression_close(struct pen_suppression *s)
{
	if (s == NULL)
		return;
	pen_suppression_batch_drop(s);
	if (s->env != NULL)
		mdb_env_close(s->env);
	pthread_rwlock_destroy(&s->map);
	free(s);
}

// ---- reading

static MDB_txn *read_begin(struct pen_suppression *s)
{
	MDB_txn *txn = NULL;

	pthread_rwlock_rdlock(&s->map);
	if (mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn) == 0)
		return txn;
	pthread_rwlock_unlock(&s->map);
	return NULL;
}

static void read_end(struct pen_suppression *s, MDB_txn *txn)
{
	mdb_txn_abort(txn);
	pthread_rwlock_unlock(&s->map);
}

static bool find_one(struct pen_suppression *s, MDB_txn *txn, struct pen_span tenant,
	struct pen_span address, struct pen_suppression_hit *hit)
{
	struct pen_suppression_entry e;
	uint8_t text[KEY_MAX];
	MDB_val key = {.mv_data = text}, value;

	key.mv_size = key_make(text, tenant, address);
	if (key.mv_size == 0 || mdb_get(txn, s->dbi, &key, &value) != 0 ||
		!entry_read(&key, &value, &e))
		return false;
	size_t n =
		e.reason.n < PEN_SUPPRESSION_REASON_MAX ? e.reason.n : PEN_SUPPRESSION_REASON_MAX;
	hit->of_tenant = tenant.n > 0;
	hit->source = e.source;
	hit->since = e.since;
	snprintf(hit->address, sizeof(hit->address), "%.*s", PEN_SPAN_ARG(address));
	snprintf(hit->reason, sizeof(hit->reason), "%.*s", (int)n, (const char *)e.reason.p);
	return true;
}

// The address, "@domain", and ".parent" for each domain above it.
static bool find_any(struct pen_suppression *s, MDB_txn *txn, struct pen_span tenant,
	struct pen_span address, struct pen_suppression_hit *hit)
{
	const uint8_t *at = memrchr(address.p, '@', address.n);

	if (find_one(s, txn, tenant, address, hit))
		return true;
	if (at == NULL)
		return false;
	struct pen_span domain = pen_span_from(address, (size_t)(at - address.p));
	if (find_one(s, txn, tenant, domain, hit))
		return true;
	for (domain = pen_span_from(domain, 1);;) {
		ptrdiff_t dot = pen_span_find(domain, '.');
		if (dot < 0)
			return false;
		if (find_one(s, txn, tenant, pen_span_from(domain, (size_t)dot), hit))
			return true;
		domain = pen_span_from(domain, (size_t)dot + 1);
	}
}

bool pen_suppression_find(struct pen_suppression *s, struct pen_span tenant, struct pen_span rcpt,
	struct pen_suppression_hit *hit)
{
	char kept[PEN_SUPPRESSION_ADDRESS_MAX + 1];

	if (pen_suppression_address(kept, rcpt) != NULL)
		return false;
	MDB_txn *txn = read_begin(s);
	if (txn == NULL)
		return false;
	struct pen_span address = pen_span_cstr(kept);
	bool found = (tenant.n > 0 && find_any(s, txn, tenant, address, hit)) ||
		     find_any(s, txn, pen_span(NULL, 0), address, hit);
	read_end(s, txn);
	return found;
}

static bool visit(MDB_val *key, MDB_val *value, const struct pen_span *only,
	bool (*fn)(void *ctx, const struct pen_suppression_entry *e), void *ctx)
{
	struct pen_suppression_entry e;

	if (!entry_read(key, value, &e))
		return true; // of a version that is not ours
	if (only != NULL && !pen_span_eq(e.tenant, *only))
		return false;
	return fn(ctx, &e);
}

int pen_suppression_list(struct pen_suppression *s, const struct pen_span *only,
	const struct pen_suppression_entry *after,
	bool (*fn)(void *ctx, const struct pen_suppression_entry *e), void *ctx)
{
	const struct pen_span none = pen_span(NULL, 0);
	MDB_val key, value;
	uint8_t text[KEY_MAX];
	MDB_cursor *cursor;

	size_t n = key_make(text,
		after != NULL  ? after->tenant
		: only != NULL ? *only
			       : none,
		after != NULL ? after->address : none);
	if (n == 0)
		return -EINVAL;
	MDB_txn *txn = read_begin(s);
	if (txn == NULL)
		return -EIO;
	int rc = mdb_cursor_open(txn, s->dbi, &cursor);
	if (rc != 0) {
		read_end(s, txn);
		return to_errno(rc);
	}
	key = (MDB_val){n, text};
	rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE);
	if (rc == 0 && after != NULL && key.mv_size == n && memcmp(key.mv_data, text, n) == 0)
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	while (rc == 0 && visit(&key, &value, only, fn, ctx))
		rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	mdb_cursor_close(cursor);
	read_end(s, txn);
	return rc == MDB_NOTFOUND ? 0 : to_errno(rc);
}

uint64_t pen_suppression_count(struct pen_suppression *s)
{
	MDB_txn *txn = read_begin(s);
	MDB_stat st = {0};

	if (txn == NULL)
		return 0;
	mdb_stat(txn, s->dbi, &st);
	read_end(s, txn);
	return st.ms_entries;
}

// ---- writing

// The map is addresses, not memory: there is always room for a batch in it.
static int make_room(struct pen_suppression *s)
{
	MDB_envinfo info;
	MDB_stat st;

	mdb_env_info(s->env, &info);
	mdb_env_stat(s->env, &st);
	size_t used = (info.me_last_pgno + 1) * st.ms_psize, size = info.me_mapsize;
	while (size - used < s->room)
		size *= 2;
	if (size == info.me_mapsize)
		return 0;
	pthread_rwlock_wrlock(&s->map);
	int rc = mdb_env_set_mapsize(s->env, size);
	pthread_rwlock_unlock(&s->map);
	return rc;
}

int pen_suppression_batch_begin(struct pen_suppression *s)
{
	PEN_ASSERT(s->batch == NULL);
	int rc = make_room(s);

	if (rc == 0)
		rc = mdb_txn_begin(s->env, NULL, 0, &s->batch);
	if (rc != 0)
		s->batch = NULL;
	return to_errno(rc);
}

int pen_suppression_batch_put(
	struct pen_suppression *s, const struct pen_suppression_entry *e, bool *fresh)
{
	uint8_t text[KEY_MAX], bytes[VALUE_HEAD + PEN_SUPPRESSION_REASON_MAX];
	size_t reason =
		e->reason.n < PEN_SUPPRESSION_REASON_MAX ? e->reason.n : PEN_SUPPRESSION_REASON_MAX;
	MDB_val key = {.mv_data = text}, value = {VALUE_HEAD + reason, bytes};

	key.mv_size = key_make(text, e->tenant, e->address);
	if (key.mv_size == 0 || e->address.n == 0)
		return -EINVAL;
	bytes[0] = VALUE_VERSION;
	bytes[1] = (uint8_t)e->source;
	for (int i = 0; i < 8; i++)
		bytes[2 + i] = (uint8_t)((uint64_t)e->since >> (8 * i));
	if (reason > 0)
		memcpy(bytes + VALUE_HEAD, e->reason.p, reason);
	MDB_val there = value;
	int rc = mdb_put(s->batch, s->dbi, &key, &there, MDB_NOOVERWRITE);
	*fresh = rc == 0;
	if (rc == MDB_KEYEXIST)
		rc = mdb_put(s->batch, s->dbi, &key, &value, 0);
	return to_errno(rc);
}

int pen_suppression_batch_commit(struct pen_suppression *s)
{
	int rc = mdb_txn_commit(s->batch);

	s->batch = NULL;
	return to_errno(rc);
}

void pen_suppression_batch_drop(struct pen_suppression *s)
{
	if (s->batch != NULL)
		mdb_txn_abort(s->batch);
	s->batch = NULL;
}

int pen_suppression_put(struct pen_suppression *s, const struct pen_suppression_entry *e)
{
	bool fresh;
	int err = pen_suppression_batch_begin(s);

	if (err == 0)
		err = pen_suppression_batch_put(s, e, &fresh);
	if (err == 0)
		return pen_suppression_batch_commit(s);
	pen_suppression_batch_drop(s);
	return err;
}

int pen_suppression_remove(
	struct pen_suppression *s, struct pen_span tenant, struct pen_span address)
{
	uint8_t text[KEY_MAX];
	MDB_val key = {.mv_data = text};

	key.mv_size = key_make(text, tenant, address);
	if (key.mv_size == 0)
		return -ENOENT;
	int err = pen_suppression_batch_begin(s);
	if (err == 0)
		err = to_errno(mdb_del(s->batch, s->dbi, &key, NULL));
	if (err == 0)
		return pen_suppression_batch_commit(s);
	pen_suppression_batch_drop(s);
	return err;
}
