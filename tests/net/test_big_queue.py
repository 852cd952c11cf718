# SPDX-License-Identifier: BSD-3-Clause
"""A queue of 50,000 recipients at 1,000 sites; big_queue.py does the same with millions."""

import json

import big_queue
import pytest


@pytest.mark.alone
def test_a_large_queue_is_listed_deleted_from_and_found_again(build, folder, closing):
    q = big_queue.BigQueue(build, folder, 50_000, 1000, False, closing)
    q.inject(60)
    q.memory("full")
    q.look()
    q.delete("t7")
    q.restart()
    _, each = q.memory("after a restart")
    print(json.dumps(q.timed.numbers))
    # All in all: 18 MB of it are there for a queue of any size.
    assert each < 800
    assert q.timed.numbers["queue list: resident bytes"] < 64 << 20
    for what in ("queue list: seconds", "stop: seconds", "start: seconds", "start after kill -9: seconds"):
        assert q.timed.numbers[what] < 15, what
