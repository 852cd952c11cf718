# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 in the middle of the work loses nothing that was accepted."""

import json
import os
import random
import re
import time

import crash_campaign
import penstock_run as run
import pytest

MESSAGES = 10000
KILLS = 10
CONCURRENCY = 20


def acked_numbers(path):
    return [int(n) for n in path.read_text().split()] if path.exists() else []


def received_numbers(folder):
    return [int(re.search(rb"X-Penstock-Id: k-(\d+)", p.read_bytes())[1]) for p in folder.glob("*.eml")]


@pytest.mark.long
def test_ten_kills_lose_nothing_and_duplicate_at_most_the_open_deliveries(build, folder, pair, closing):
    seed = int(os.environ.get("PENSTOCK_SEED", time.time_ns() % 10**9))
    print(f"PENSTOCK_SEED={seed}")
    rng = random.Random(seed)
    sink, gateway = pair("--dump-dir", folder / "dump", minimal_backoff_time="1s", maximal_backoff_time="2s",
                         default_destination_concurrency_limit=CONCURRENCY)
    acked = folder / "acked"
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", MESSAGES, "-l", 2048, "--run", "k",
                                "--first", 1, "--no-resend", "--acked-file", acked, "--give-up", 60, "-f",
                                "s@bulk.example", "-t", "r@example.test"))
    open_at_kills = downtime = 0
    for kill in range(KILLS):
        # Spread over the whole run, each at a point of its own.
        goal = int(MESSAGES * (kill + rng.uniform(0.2, 0.9)) / (KILLS + 1))
        run.wait_until(lambda: acked.exists() and acked.read_bytes().count(b"\n") >= goal, 60,
                       f"{goal} accepted messages", gateway.alive)
        open_at_kills += min(gateway.json("status")["leases"] + 2, CONCURRENCY)
        gateway.kill()
        started = time.monotonic()
        gateway.start()
        downtime += time.monotonic() - started
    outcome = source.result(120, codes=(0, 1))
    gateway.wait_empty(120)
    status = sink.status(fresh=True)
    accepted, received = set(acked_numbers(acked)), received_numbers(folder / "dump")
    lost = accepted - set(received)
    duplicates = len(received) - len(set(received))
    print(json.dumps({
        "kills": KILLS, "submitted": MESSAGES, "accepted": len(accepted), "unanswered": outcome["unknown"],
        "received": len(set(received)), "lost": len(lost), "duplicates": duplicates, "bound": open_at_kills,
        "corrupted": status["corrupted"], "restart_seconds": round(downtime / KILLS, 2)}))
    assert len(accepted) + outcome["unknown"] == MESSAGES
    assert len(accepted) == outcome["accepted"] > MESSAGES * 0.97
    assert not lost, f"lost {sorted(lost)[:10]}"
    assert status["corrupted"] == status["dump_failed"] == 0
    assert (status["unique"], status["duplicates"]) == (len(set(received)), duplicates)
    assert duplicates <= open_at_kills


@pytest.mark.long
def test_kills_over_a_failing_disk_have_every_copy_explained(build, folder, closing):
    """PENSTOCK_CRASH_KILLS=200 for the whole campaign."""
    seed = int(os.environ.get("PENSTOCK_SEED", time.time_ns() % 10**9))
    print(f"PENSTOCK_SEED={seed}")
    c = crash_campaign.Campaign(build, folder, int(os.environ.get("PENSTOCK_CRASH_KILLS", 8)), seed, closing)
    c.run()
    result = c.report()
    crash_campaign.show(result)
    print(json.dumps({k: v for k, v in result.items() if k != "list"}))
    crash_campaign.check(result)
