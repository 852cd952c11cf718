// SPDX-License-Identifier: BSD-3-Clause
#include "pen_rand.h"
#include "pen_test.h"
#include "share.h"
#include "table.h"

#include <stdlib.h>

static void shares_follow_weights(void **state)
{
	struct share_node root;
	struct share n[3];
	uint32_t weight[3] = {1, 3, 6}, got[3] = {0};

	(void)state;
	share_node_init(&root, NULL, 1);
	for (int i = 0; i < 3; i++) {
		share_init(&n[i], &root, weight[i]);
		share_enter(&n[i]);
	}
	for (int i = 0; i < 10000; i++) {
		struct share *s = share_pick(&root);
		got[s - n]++;
		share_charge(s, 1);
		// At every moment each is within one turn of its share.
		for (int k = 0; k < 3; k++) {
			int64_t due = (int64_t)(i + 1) * weight[k] / 10;
			assert_true(llabs((int64_t)got[k] - due) <= 2);
		}
	}
}

static void a_large_cost_is_paid_for_in_turns(void **state)
{
	struct share_node root;
	struct share large, small;
	uint32_t sent[2] = {0};

	(void)state;
	share_node_init(&root, NULL, 1);
	share_init(&large, &root, 10);
	share_init(&small, &root, 10);
	share_enter(&large);
	share_enter(&small);
	for (int i = 0; i < 5100; i++) {
		struct share *s = share_pick(&root);
		sent[s == &large] += s == &large ? 50 : 1;
		share_charge(s, s == &large ? 50 : 1);
	}
	assert_in_range(sent[1], sent[0] - 50, sent[0] + 50);
}

static void who_had_nothing_saved_nothing_up(void **state)
{
	struct share_node root;
	struct share a, b;
	int got = 0;

	(void)state;
	share_node_init(&root, NULL, 1);
	share_init(&a, &root, 1);
	share_init(&b, &root, 1);
	share_enter(&a);
	for (int i = 0; i < 1000; i++)
		share_charge(share_pick(&root), 1);
	share_enter(&b);
	for (int i = 0; i < 100; i++) {
		struct share *s = share_pick(&root);
		got += s == &b;
		share_charge(s, 1);
	}
	assert_in_range(got, 49, 51);
}

// A tree of 50 leaves that come and go, against a plain search for the minimum.
static void the_heap_finds_the_earliest_whatever_leaves(void **state)
{
	struct share_node root, mid[5];
	struct share leaf[50];
	struct pen_rand r;

	(void)state;
	pen_rand_seed(&r, pen_test_seed());
	share_node_init(&root, NULL, 1);
	for (int i = 0; i < 5; i++)
		share_node_init(&mid[i], &root, 1 + (uint32_t)pen_rand_below(&r, 20));
	for (int i = 0; i < 50; i++)
		share_init(&leaf[i], &mid[i / 10], 1 + (uint32_t)pen_rand_below(&r, 20));
	for (int step = 0; step < 20000; step++) {
		struct share *l = &leaf[pen_rand_below(&r, 50)];
		if (pen_rand_below(&r, 3) == 0)
			l->in ? share_leave(l) : share_enter(l);
		struct share *got = share_pick(&root);
		for (int i = 0; i < 50; i++) {
			assert_int_equal(leaf[i].in, leaf[i].at != NULL && leaf[i].in);
			if (leaf[i].in) {
				assert_non_null(got);
				assert_true(leaf[i].parent->share.in);
				assert_true(leaf[i].parent->top->start <= leaf[i].start);
				assert_true(root.top->start <= leaf[i].parent->share.start);
			}
		}
		if (got != NULL) {
			assert_true(got->in);
			share_charge(got, 1 + (uint32_t)pen_rand_below(&r, 50));
		}
	}
}

struct thing {
	uint64_t id;
	bool in;
};

static uint64_t thing_id(const void *object)
{
	return ((const struct thing *)object)->id;
}

static void ids_are_found_until_they_are_removed(void **state)
{
	enum { N = 30000 };
	struct thing *t[N];
	struct id_table table;
	struct pen_rand r;

	(void)state;
	pen_rand_seed(&r, pen_test_seed());
	assert_true(id_table_init(&table, thing_id));
	for (int i = 0; i < N; i++) {
		t[i] = calloc(1, sizeof(*t[i]));
		// Half of them one after the other, half anywhere.
		t[i]->id = i % 2 == 0 ? 1000 + (uint64_t)i : pen_rand_u64(&r) | 1ull << 63;
	}
	for (int step = 0; step < 20 * N; step++) {
		struct thing *x = t[pen_rand_below(&r, N)];
		assert_ptr_equal(id_table_find(&table, x->id), x->in ? x : NULL);
		if (!x->in)
			assert_true(id_table_put(&table, x->id, x));
		else
			id_table_remove(&table, x->id, x);
		x->in = !x->in;
	}
	uint32_t n = 0;
	for (int i = 0; i < N; i++) {
		assert_ptr_equal(id_table_find(&table, t[i]->id), t[i]->in ? t[i] : NULL);
		n += t[i]->in;
	}
	assert_int_equal(table.n, n);
	id_table_fini(&table);
	for (int i = 0; i < N; i++)
		free(t[i]);
}

// As if it had always been alone under a node of its own.
static void a_leaf_that_gets_company_keeps_its_turn(void **state)
{
	struct share_node root, node;
	struct share leaf[20], beside;
	uint32_t got[21] = {0};

	(void)state;
	share_node_init(&root, NULL, 1);
	for (int i = 0; i < 20; i++) {
		share_init(&leaf[i], &root, 1);
		share_enter(&leaf[i]);
	}
	for (int i = 0; i < 1000; i++)
		share_charge(share_pick(&root), 1);
	share_insert(&node, &leaf[7], 3);
	share_init(&beside, &node, 1);
	share_enter(&beside);
	for (int i = 0; i < 20 * 40; i++) {
		struct share *s = share_pick(&root);
		got[s != &beside ? s - leaf : 20]++;
		share_charge(s, 1);
	}
	for (int i = 0; i < 20; i++)
		assert_in_range(got[i], i == 7 ? 29 : 39, i == 7 ? 31 : 41);
	assert_in_range(got[20], 9, 11);
	// One that has nothing at this moment gets company too.
	struct share_node late;
	share_leave(&leaf[3]);
	share_insert(&late, &leaf[3], 1);
	assert_false(late.share.in);
	for (int i = 0; i < 20; i++)
		share_leave(&leaf[i]);
	assert_ptr_equal(share_pick(&root), &beside);
	share_leave(&beside);
	assert_null(share_pick(&root));
	share_enter(&leaf[3]);
	assert_ptr_equal(share_pick(&root), &leaf[3]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leaf_that_gets_company_keeps_its_turn),
		cmocka_unit_test(shares_follow_weights),
		cmocka_unit_test(a_large_cost_is_paid_for_in_turns),
		cmocka_unit_test(who_had_nothing_saved_nothing_up),
		cmocka_unit_test(the_heap_finds_the_earliest_whatever_leaves),
		cmocka_unit_test(ids_are_found_until_they_are_removed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
