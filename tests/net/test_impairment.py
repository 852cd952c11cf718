# SPDX-License-Identifier: BSD-3-Clause
"""A bad network between gateway and receiver costs time, not mail."""

import json

import penstock_run as run
import pytest

SIZES = [(100, 700), (4000, 700), (20000, 400), (150000, 200)]


@pytest.mark.long
def test_loss_reordering_and_duplication_lose_duplicate_and_corrupt_nothing(build, folder, closing):
    near, far = folder / "near.sock", folder / "far.sock"
    sink = closing(run.Sink(build, folder, far))
    impair = closing(run.Impair(build, folder, near, far, "--loss", 5, "--reorder", 5, "--dup", 2, "--seed", 20261121))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(near), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
        "initial_destination_concurrency": 60, "default_destination_concurrency_limit": 60}))
    wanted = 0
    for size, count in SIZES:
        source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", count, "-l", size, "-f",
                                    "s@bulk.example", "-t", "r@example.test"))
        assert source.result(60)["accepted"] == count
        wanted += count
    run.wait_until(lambda: sink.status()["unique"] == wanted, 120, "all mail at the sink", gateway.alive)
    gateway.wait_empty()
    totals = gateway.json("status")["totals"]
    gateway.stop()  # while it still reaches its receiver
    counts, status = impair.counts(), sink.status(fresh=True)
    print(json.dumps({"impair": counts, "sink": {k: status[k] for k in (
        "messages", "unique", "duplicates", "corrupted", "verified", "connections", "seconds")}, "gateway": totals}))
    assert (status["unique"], status["verified"], status["corrupted"]) == (wanted, wanted, 0)
    # A second copy is right only where the receiver's 250 could not be known.
    assert status["duplicates"] <= totals["in_doubt"]
    assert totals["delivered"] == totals["accepted"] == wanted
    assert counts["lost"] > counts["frames"] * 0.03 > 100
    assert counts["reordered"] > counts["frames"] * 0.03
    assert counts["duplicated"] > counts["frames"] * 0.01
