// SPDX-License-Identifier: BSD-3-Clause

// Draws thousands of operations from a seed and compares each answer with a naive model: a
// list of all uses that ever were. Safety is asked of every permission, over reloads and
// crashes: uses that are open, or ended less than a period ago, never exceed the limit.
// Without crashes, every refusal must have a reason, and nothing that may go on waits.
#include "pen_rand.h"
#include "shape_core.h"
#include "shape_world.h"

#define S PEN_US_PER_S
#define SITES 6
#define SOURCES 4 // 0 and 1 IPv4, 2 and 3 IPv6
#define TENANTS 3
#define CONNS 60
#define MSGS 120
#define WAITERS 80
#define USES 60000

enum { K_SITE, K_PROVIDER, K_POOL, K_SOURCE, K_AT_SITE, K_AT_PROVIDER, K_TENANT, KINDS };
enum { R_CRATE, R_MRATE, R_BRATE, RATES };

struct use {
	pen_time_us ends; // NEVER: open
	uint64_t n;
	uint32_t conn; // or message
	uint8_t rate;
	uint8_t node;
};

struct mconn {
	bool used, ready;
	uint32_t site, id;
	struct pen_shape_conn c;
};

struct mmsg {
	bool used;
	uint32_t conn, id;
	int tenant;
	uint64_t bytes;
};

struct mwaiter {
	struct pen_shape_waiter w;
	struct model *m;
	bool send;
	uint32_t site, families, conn;
	int tenant;
	uint64_t bytes;
	bool live;
};

struct model {
	struct pen_rand rand;
	struct pen_shape *sh;
	struct pen_shape_site *site[SITES];
	struct pen_shape_class *tenant[TENANTS];
	struct pen_limits limit[KINDS];
	pen_time_us now, wall; // wall - now
	struct mconn conn[CONNS];
	struct mmsg msg[MSGS];
	struct mwaiter waiter[WAITERS];
	struct use *use;
	size_t uses;
	uint32_t ids, granted, refused, woken, crashes;
	bool strict; // no crash, no reload: a refusal needs a reason
	bool defer;  // those that are woken ask later
	struct pen_buf disk, writing;
	bool has_disk, is_writing;
	uint64_t generation;
};

static struct pen_shape_section section, provider;
static struct pen_shape_owner tenant;

// ---- the naive side

static unsigned node_of(unsigned kind, unsigned a, unsigned b)
{
	static const unsigned base[KINDS] = {0, 10, 20, 30, 40, 80, 90};

	return base[kind] + a + b * 4;
}

static uint32_t nodes_of(const struct model *m, uint32_t site, const int32_t source[2], int tn,
	unsigned out[16], unsigned kinds[16])
{
	uint32_t n = 0;

	(void)m;
	kinds[n] = K_SITE, out[n++] = node_of(K_SITE, site, 0);
	if (site < 3)
		kinds[n] = K_PROVIDER, out[n++] = node_of(K_PROVIDER, 0, 0);
	kinds[n] = K_POOL, out[n++] = node_of(K_POOL, 0, 0);
	for (unsigned f = 0; f < 2; f++) {
		if (source[f] < 0)
			continue;
		unsigned s = (unsigned)source[f];
		kinds[n] = K_SOURCE, out[n++] = node_of(K_SOURCE, s, 0);
		kinds[n] = K_AT_SITE, out[n++] = node_of(K_AT_SITE, s, site);
		if (site < 3)
			kinds[n] = K_AT_PROVIDER, out[n++] = node_of(K_AT_PROVIDER, s, 0);
	}
	if (tn >= 0)
		kinds[n] = K_TENANT, out[n++] = node_of(K_TENANT, (unsigned)tn, 0);
	return n;
}

static const struct pen_rate *rate_of(const struct model *m, unsigned kind, unsigned r)
{
	const struct pen_limits *l = &m->limit[kind];

	if ((l->given & (PEN_LIMIT_CONNECTION_RATE << r)) == 0)
		return NULL;
	return r == R_CRATE ? &l->connection_rate : r == R_MRATE ? &l->message_rate : &l->byte_rate;
}

// What counts at a node now; a use counts for `period` after its end.
static uint64_t counts(
	const struct model *m, unsigned node, unsigned r, pen_time_us period, uint32_t *others)
{
	uint64_t sum = 0;

	*others = 0;
	for (size_t i = 0; i < m->uses; i++) {
		const struct use *u = &m->use[i];
		if (u->node == node && u->rate == r &&
			(u->ends == PEN_TIME_NEVER || u->ends + period > m->now)) {
			sum += u->n;
			++*others;
		}
	}
	return sum;
}

static bool rate_room(
	const struct model *m, unsigned node, unsigned kind, unsigned r, uint64_t n, bool loose)
{
	const struct pen_rate *rate = rate_of(m, kind, r);
	uint32_t others;

	if (rate == NULL)
		return true;
	uint64_t used = counts(
		m, node, r, loose ? rate->period + rate->period / 30 : rate->period, &others);
	return used + n <= rate->count || (others == 0 && rate->count > 0);
}

static uint32_t conns_at(const struct model *m, unsigned node)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < CONNS; i++) {
		unsigned nodes[16], kinds[16];
		const struct mconn *c = &m->conn[i];
		if (!c->used)
			continue;
		uint32_t k = nodes_of(m, c->site, c->c.source, -1, nodes, kinds);
		for (uint32_t j = 0; j < k; j++)
			n += nodes[j] == node;
	}
	return n;
}

static uint32_t msgs_of(const struct model *m, int tn)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < MSGS; i++)
		n += m->msg[i].used && m->msg[i].tenant == tn;
	return n;
}

static bool open_room_at(const struct model *m, unsigned node, unsigned kind, bool loose)
{
	const struct pen_limits *l = &m->limit[kind];

	return ((l->given & PEN_LIMIT_CONNECTIONS) == 0 || kind == K_TENANT ||
		       conns_at(m, node) < l->connections) &&
	       rate_room(m, node, kind, R_CRATE, 1, loose);
}

static bool send_room_at(
	const struct model *m, unsigned node, unsigned kind, int tn, uint64_t bytes, bool loose)
{
	const struct pen_limits *l = &m->limit[kind];

	return (kind != K_TENANT || (l->given & PEN_LIMIT_CONNECTIONS) == 0 ||
		       msgs_of(m, tn) < l->connections) &&
	       rate_room(m, node, kind, R_MRATE, 1, loose) &&
	       rate_room(m, node, kind, R_BRATE, bytes, loose);
}

// Could a connection begin, from any source?
static bool open_room(const struct model *m, uint32_t site, unsigned families, bool loose)
{
	unsigned nodes[16], kinds[16];
	const int32_t nothing[2] = {-1, -1};
	uint32_t n = nodes_of(m, site, nothing, -1, nodes, kinds);

	for (uint32_t i = 0; i < n; i++) {
		if (!open_room_at(m, nodes[i], kinds[i], loose))
			return false;
	}
	for (int32_t s = 0; s < SOURCES; s++) {
		const int32_t one[2] = {s < 2 ? s : -1, s < 2 ? -1 : s};
		bool good = (families & (s < 2 ? PEN_SHAPE_IP4 : PEN_SHAPE_IP6)) != 0;
		n = nodes_of(m, site, one, -1, nodes, kinds);
		for (uint32_t i = 0; i < n; i++)
			good = good && open_room_at(m, nodes[i], kinds[i], loose);
		if (good)
			return true;
	}
	return false;
}

static bool send_room(const struct model *m, uint32_t conn, int tn, uint64_t bytes, bool loose)
{
	unsigned nodes[16], kinds[16];
	uint32_t n = nodes_of(m, m->conn[conn].site, m->conn[conn].c.source, tn, nodes, kinds);

	for (uint32_t i = 0; i < n; i++) {
		if (!send_room_at(m, nodes[i], kinds[i], tn, bytes, loose))
			return false;
	}
	return true;
}

static void add_use(struct model *m, unsigned node, unsigned r, uint32_t id, uint64_t n)
{
	if (m->uses == USES) { // forget the oldest that cannot matter
		size_t out = 0;
		for (size_t i = 0; i < m->uses; i++) {
			if (m->use[i].ends == PEN_TIME_NEVER || m->use[i].ends + 7200 * S > m->now)
				m->use[out++] = m->use[i];
		}
		m->uses = out;
		assert_true(m->uses < USES);
	}
	m->use[m->uses++] = (struct use){PEN_TIME_NEVER, n, id, (uint8_t)r, (uint8_t)node};
}

static void end_uses(struct model *m, uint32_t id, bool happened, bool dial)
{
	for (size_t i = 0; i < m->uses; i++) {
		struct use *u = &m->use[i];
		if (u->conn != id || u->ends != PEN_TIME_NEVER || (u->rate == R_CRATE) != dial)
			continue;
		u->ends = happened ? m->now : INT64_MIN / 2;
	}
}

static void fail_too_many(
	const struct model *m, unsigned node, unsigned kind, unsigned first, const char *what)
{
	fprintf(stderr, "node %u of kind %u has %u connections of %u (%u)\n", node, kind,
		conns_at(m, node), m->limit[kind].connections,
		m->limit[kind].given & PEN_LIMIT_CONNECTIONS);
	for (unsigned r = first; r < RATES; r++) {
		const struct pen_rate *rate = rate_of(m, kind, r);
		uint32_t others;
		if (rate != NULL)
			fprintf(stderr, "rate %u: %llu of %llu in %lld s\n", r,
				(unsigned long long)counts(m, node, r, rate->period, &others),
				(unsigned long long)rate->count, (long long)(rate->period / S));
	}
	fail_msg("a %s too many, after %u crashes", what, m->crashes);
}

// ---- operations

static void granted_conn(
	struct model *m, uint32_t site, const struct pen_shape_conn *c, uint32_t id)
{
	unsigned nodes[16], kinds[16];
	uint32_t n = nodes_of(m, site, c->source, -1, nodes, kinds);

	for (uint32_t i = 0; i < n; i++) {
		if (!open_room_at(m, nodes[i], kinds[i], false))
			fail_too_many(m, nodes[i], kinds[i], R_CRATE, "connection");
		add_use(m, nodes[i], R_CRATE, id, 1);
	}
}

static bool try_open(
	struct model *m, uint32_t site, unsigned families, bool first, struct pen_shape_block *b)
{
	uint32_t i = 0;

	while (i < CONNS && m->conn[i].used)
		i++;
	if (i == CONNS) {
		b->node = NULL;
		return false;
	}
	struct mconn *c = &m->conn[i];
	if (!pen_shape_open(m->sh, m->site[site], 0, families, m->now, &c->c, b)) {
		m->refused++;
		if (m->strict && first && !m->sh->starved && open_room(m, site, families, true))
			fail_msg("refused: holder %d, reason %d", b->holder, b->reason);
		return false;
	}
	m->granted++;
	c->id = ++m->ids;
	granted_conn(m, site, &c->c, c->id);
	c->used = true;
	c->ready = false;
	c->site = site;
	return true;
}

static bool try_send(struct model *m, uint32_t conn, int tn, uint64_t bytes, bool first,
	struct pen_shape_block *b)
{
	unsigned nodes[16], kinds[16];
	uint32_t i = 0;

	while (i < MSGS && m->msg[i].used)
		i++;
	if (i == MSGS) {
		b->node = NULL;
		return false;
	}
	struct mconn *c = &m->conn[conn];
	if (!pen_shape_send(m->sh, &c->c, tn >= 0 ? m->tenant[tn] : NULL, bytes, m->now, b)) {
		m->refused++;
		if (m->strict && first && !m->sh->starved && send_room(m, conn, tn, bytes, true))
			fail_msg("refused: holder %d, reason %d", b->holder, b->reason);
		return false;
	}
	m->granted++;
	struct mmsg *g = &m->msg[i];
	*g = (struct mmsg){true, conn, ++m->ids, tn, bytes};
	g->used = false;
	uint32_t n = nodes_of(m, c->site, c->c.source, tn, nodes, kinds);
	for (uint32_t k = 0; k < n; k++) {
		if (!send_room_at(m, nodes[k], kinds[k], tn, bytes, false))
			fail_too_many(m, nodes[k], kinds[k], R_MRATE, "message");
		add_use(m, nodes[k], R_MRATE, g->id, 1);
		add_use(m, nodes[k], R_BRATE, g->id, bytes);
	}
	g->used = true;
	return true;
}

static void done_msg(struct model *m, struct mmsg *g, bool happened)
{
	pen_shape_done(m->sh, &m->conn[g->conn].c, g->tenant >= 0 ? m->tenant[g->tenant] : NULL,
		g->bytes, m->now, happened);
	end_uses(m, g->id, happened, false);
	g->used = false;
}

static void cancel(struct model *m, struct mwaiter *w)
{
	pen_shape_cancel(m->sh, &w->w);
	w->live = false;
}

static void close_conn(struct model *m, struct mconn *c, bool tried)
{
	uint32_t i = (uint32_t)(c - m->conn);

	for (uint32_t k = 0; k < MSGS; k++) {
		if (m->msg[k].used && m->msg[k].conn == i)
			done_msg(m, &m->msg[k], true);
	}
	for (uint32_t k = 0; k < WAITERS; k++) {
		if (m->waiter[k].live && m->waiter[k].send && m->waiter[k].conn == i)
			cancel(m, &m->waiter[k]);
	}
	pen_shape_close(m->sh, &c->c, m->now, tried);
	if (!c->ready)
		end_uses(m, c->id, tried, true);
	c->used = false;
}

static void ready_conn(struct model *m, struct mconn *c)
{
	unsigned f = c->c.source[0] < 0 ? 1 : c->c.source[1] < 0 ? 0 : pen_rand_below(&m->rand, 2);

	pen_shape_ready(m->sh, &c->c, f, m->now);
	end_uses(m, c->id, true, true);
	c->ready = true;
}

static bool nobody_waits(const struct model *m)
{
	for (uint32_t i = 0; i < WAITERS; i++) {
		if (m->waiter[i].live)
			return false;
	}
	return true;
}

static void go_on(struct mwaiter *w)
{
	struct model *m = w->m;
	struct pen_shape_block b;
	bool good = w->send ? try_send(m, w->conn, w->tenant, w->bytes, false, &b)
			    : try_open(m, w->site, w->families, false, &b);

	if (good || b.node == NULL)
		w->live = false;
	else
		pen_shape_wait(m->sh, &w->w, &b);
}

static void woken(void *ctx, struct pen_shape_waiter *sw)
{
	struct mwaiter *w = (struct mwaiter *)sw;
	struct model *m = ctx;

	m->woken++;
	assert_true(w->live);
	if (pen_rand_below(&m->rand, 10) == 0)
		w->live = false; // does not want any more
	else if (!m->defer || pen_rand_below(&m->rand, 2) == 0)
		go_on(w);
}

static void ask_later(struct model *m)
{
	for (uint32_t i = 0; i < WAITERS; i++) {
		struct mwaiter *w = &m->waiter[i];
		if (w->live && !pen_shape_waiting(&w->w))
			go_on(w);
	}
}

static void wait_for(struct model *m, const struct mwaiter *like, const struct pen_shape_block *b)
{
	if (b->node == NULL)
		return;
	for (uint32_t i = 0; i < WAITERS; i++) {
		struct mwaiter *w = &m->waiter[i];
		if (w->live)
			continue;
		struct pen_shape_waiter keep = w->w;
		*w = *like;
		w->w = keep;
		w->m = m;
		w->live = true;
		pen_shape_wait(m->sh, &w->w, b);
		return;
	}
}

static void save(struct model *m)
{
	if (!pen_shape_save_wanted(m->sh, m->now) || m->is_writing)
		return;
	pen_buf_reset(&m->writing);
	assert_int_equal(
		pen_shape_save(m->sh, m->now, m->now + m->wall, &m->writing, &m->generation), 0);
	m->is_writing = true;
}

// It may be on disk long before we hear of it.
static void write_done(struct model *m, bool told)
{
	if (!m->is_writing)
		return;
	pen_buf_reset(&m->disk);
	pen_buf_add_span(&m->disk, pen_buf_span(&m->writing));
	m->has_disk = true;
	if (told) {
		m->is_writing = false;
		pen_shape_saved(m->sh, m->generation, m->now);
	}
}

static void poll_all(struct model *m)
{
	for (unsigned round = 0; round < 5000; round++) {
		if (pen_shape_save_wanted(m->sh, m->now) && m->strict) {
			save(m);
			write_done(m, true);
		}
		pen_shape_poll(m->sh, m->now, m->now + m->wall,
			1 + (uint32_t)pen_rand_below(&m->rand, 20), woken, m);
		ask_later(m);
		if (pen_shape_next(m->sh) > m->now &&
			!(m->strict && pen_shape_save_wanted(m->sh, m->now)))
			return;
	}
	fail_msg("poll never ends");
}

// Nothing that waits could go on.
static void check_quiet(struct model *m)
{
	for (uint32_t i = 0; i < WAITERS; i++) {
		struct mwaiter *w = &m->waiter[i];
		if (!w->live)
			continue;
		assert_true(pen_shape_waiting(&w->w));
		bool room = w->send ? send_room(m, w->conn, w->tenant, w->bytes, true)
				    : open_room(m, w->site, w->families, true);
		// A large mail at the head holds small ones back.
		const struct pen_shape_waiter *head = w->w.node->q[w->w.queue];
		if (room && (head == &w->w || (w->w.node->flags & N_BRATE) == 0))
			fail_msg("waits for nothing: %s, reason %d at node %d",
				w->send ? "send" : "open", w->w.reason, w->w.node->kind);
	}
}

// ---- configurations

static struct pen_rate draw_rate(struct model *m, bool bytes)
{
	static const pen_time_us periods[] = {S, 5 * S, 60 * S, 600 * S};
	struct pen_rate r = {.period = periods[pen_rand_below(&m->rand, 4)]};

	r.count = 1 + pen_rand_below(&m->rand, 40);
	if (bytes)
		r.count = 1000 + pen_rand_below(&m->rand, 100000);
	r.burst = r.count;
	return r;
}

static void draw_limits(struct model *m, bool again)
{
	for (unsigned k = 0; k < KINDS; k++) {
		struct pen_limits *l = &m->limit[k];
		uint32_t given = l->given;
		struct pen_limits was = *l;
		memset(l, 0, sizeof(*l));
		l->given = again ? given
				 : (uint32_t)pen_rand_below(&m->rand, 16) &
					   (uint32_t)pen_rand_below(&m->rand, 16);
		l->connections = 1 + (uint32_t)pen_rand_below(&m->rand, 8);
		l->connection_rate = draw_rate(m, false);
		l->message_rate = draw_rate(m, false);
		l->byte_rate = draw_rate(m, true);
		if (again) { // of a longer period not all would be known
			l->connection_rate.period = was.connection_rate.period;
			l->message_rate.period = was.message_rate.period;
			l->byte_rate.period = was.byte_rate.period;
		}
	}
}

static struct pen_shape_config *config(struct model *m)
{
	static const char *group[] = {"*.p.test"}, *all[] = {"*"};
	struct pen_shape_config *c = world_config(2, 2);

	provider = (struct pen_shape_section){.name = "p",
		.match = {.nmx = 1, .mx = group},
		.limits = m->limit[K_PROVIDER],
		.source_limits = m->limit[K_AT_PROVIDER]};
	section = (struct pen_shape_section){.name = "all",
		.match = {.nmx = 1, .mx = all},
		.limits = m->limit[K_SITE],
		.source_limits = m->limit[K_AT_SITE]};
	tenant = (struct pen_shape_owner){.name = "*", .limits = m->limit[K_TENANT]};
	c->provider = &provider;
	c->nproviders = 1;
	c->site = &section;
	c->nsites = 1;
	c->tenant = &tenant;
	c->ntenants = 1;
	c->pool[0].limits = m->limit[K_POOL];
	for (uint32_t i = 0; i < SOURCES; i++)
		c->source[i].limits = m->limit[K_SOURCE];
	return c;
}

static void start(struct model *m)
{
	uint32_t bad;

	m->sh = pen_shape_new(config(m), m->now, m->now + m->wall);
	assert_non_null(m->sh);
	if (m->has_disk) {
		assert_int_equal(pen_shape_load(m->sh, pen_buf_span(&m->disk), m->now,
					 m->now + m->wall, &bad),
			0);
		assert_int_equal(bad, 0);
	} else { // before the first question
		save(m);
		write_done(m, true);
	}
	for (uint32_t i = 0; i < SITES; i++) {
		char mx[32];
		snprintf(mx, sizeof(mx), i < 3 ? "mx%u.p.test" : "mx%u.test", i);
		m->site[i] = world_site(m->sh, mx, m->now);
	}
	for (uint32_t i = 0; i < TENANTS; i++) {
		char name[16];
		snprintf(name, sizeof(name), "t%u", i);
		m->tenant[i] = pen_shape_class_get(m->sh, world_class(name, ""));
	}
}

static void stop(struct model *m)
{
	for (uint32_t i = 0; i < WAITERS; i++)
		cancel(m, &m->waiter[i]);
	for (uint32_t i = 0; i < CONNS; i++) {
		if (m->conn[i].used)
			close_conn(m, &m->conn[i], true);
	}
	for (uint32_t i = 0; i < SITES; i++)
		pen_shape_site_put(m->sh, m->site[i]);
	pen_shape_free(m->sh);
}

// All that was not on disk is gone; connections are cut.
static void crash(struct model *m)
{
	if (m->is_writing && pen_rand_below(&m->rand, 2) == 0)
		write_done(m, false);
	m->is_writing = false;
	stop(m);
	m->crashes++;
	// A start takes some time; the monotonic clock may begin anew.
	m->now += (pen_time_us)pen_rand_below(&m->rand, 5 * S);
	start(m);
}

static void operate(struct model *m)
{
	struct pen_shape_block b;
	uint32_t i;

	switch (pen_rand_below(&m->rand, 10)) {
	case 0:
	case 1: {
		struct mwaiter w = {.site = (uint32_t)pen_rand_below(&m->rand, SITES),
			.families = 1 + (uint32_t)pen_rand_below(&m->rand, 3)};
		if (!try_open(m, w.site, w.families, nobody_waits(m), &b))
			wait_for(m, &w, &b);
		break;
	}
	case 2:
	case 3:
	case 4: {
		i = (uint32_t)pen_rand_below(&m->rand, CONNS);
		if (!m->conn[i].used || !m->conn[i].ready)
			break;
		struct mwaiter w = {.send = true,
			.conn = i,
			.tenant = (int)pen_rand_below(&m->rand, TENANTS + 1) - 1,
			.bytes = 1 + pen_rand_below(&m->rand, 20000)};
		if (!try_send(m, i, w.tenant, w.bytes, nobody_waits(m), &b))
			wait_for(m, &w, &b);
		break;
	}
	case 5:
	case 6:
		i = (uint32_t)pen_rand_below(&m->rand, CONNS);
		if (m->conn[i].used && !m->conn[i].ready && pen_rand_below(&m->rand, 8) != 0)
			ready_conn(m, &m->conn[i]);
		else if (m->conn[i].used && pen_rand_below(&m->rand, 3) == 0)
			close_conn(m, &m->conn[i], pen_rand_below(&m->rand, 4) != 0);
		break;
	case 7:
	case 8:
		for (i = 0; i < 4; i++) {
			struct mmsg *g = &m->msg[pen_rand_below(&m->rand, MSGS)];
			if (g->used)
				done_msg(m, g, pen_rand_below(&m->rand, 8) != 0);
		}
		break;
	default:
		i = (uint32_t)pen_rand_below(&m->rand, WAITERS);
		if (pen_rand_below(&m->rand, 4) == 0 && m->waiter[i].live)
			cancel(m, &m->waiter[i]);
	}
}

static void pass_time(struct model *m)
{
	static const pen_time_us steps[] = {0, 0, 1000, 20000, 300000, 3 * S, 40 * S};
	pen_time_us d = (pen_time_us)pen_rand_below(
		&m->rand, (uint64_t)steps[pen_rand_below(&m->rand, 7)] + 1);
	pen_time_us next = pen_shape_next(m->sh);

	if (next > m->now && next != PEN_TIME_NEVER && pen_rand_below(&m->rand, 3) == 0)
		d = next - m->now; // exactly then somebody is woken
	m->now += d;
}

static void run(uint64_t seed, bool strict, bool defer, unsigned steps)
{
	struct model *m = calloc(1, sizeof(*m));

	if (getenv("PENSTOCK_VERBOSE") != NULL)
		fprintf(stderr, "run %llu\n", (unsigned long long)seed);
	pen_rand_seed(&m->rand, seed);
	m->use = calloc(USES, sizeof(*m->use));
	m->strict = strict;
	m->defer = defer;
	m->now = 1000 * S;
	m->wall = WORLD_WALL;
	draw_limits(m, false);
	start(m);
	for (unsigned i = 0; i < steps; i++) {
		operate(m);
		if (pen_rand_below(&m->rand, 4) == 0) {
			poll_all(m);
			if (strict)
				check_quiet(m);
			pass_time(m);
		}
		if (strict)
			continue;
		if (pen_rand_below(&m->rand, 5) == 0)
			save(m);
		if (pen_rand_below(&m->rand, 5) == 0)
			write_done(m, pen_rand_below(&m->rand, 3) != 0);
		if (pen_rand_below(&m->rand, 300) == 0)
			crash(m);
		if (pen_rand_below(&m->rand, 300) == 0) {
			draw_limits(m, true);
			assert_int_equal(pen_shape_apply(m->sh, config(m), m->now), 0);
		}
	}
	assert_true(m->granted > 0);
	stop(m);
	pen_buf_fini(&m->disk);
	pen_buf_fini(&m->writing);
	free(m->use);
	free(m);
}

static unsigned rounds(void)
{
	const char *env = getenv("PENSTOCK_ROUNDS");

	return env != NULL ? (unsigned)atoi(env) : 40;
}

static void answers_agree_with_the_model(void **state)
{
	uint64_t seed = pen_test_seed();

	(void)state;
	for (unsigned i = 0; i < rounds(); i++)
		run(seed + i, true, (seed + i) % 3 == 2, 3000);
}

static void limits_hold_over_reloads_and_crashes(void **state)
{
	uint64_t seed = pen_test_seed();

	(void)state;
	for (unsigned i = 0; i < rounds(); i++)
		run(seed + i, false, (seed + i) % 3 == 2, 3000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(answers_agree_with_the_model),
		cmocka_unit_test(limits_hold_over_reloads_and_crashes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
