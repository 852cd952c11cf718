# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 in the middle of the work loses nothing that was accepted."""

import os
import random
import time

import penstock_run as run

MESSAGES = 20000
KILLS = 20


def test_twenty_kills_lose_nothing_and_duplicate_at_most_the_open_deliveries(build, folder, closing):
    seed = int(os.environ.get("PENSTOCK_SEED", time.time_ns() % 10**9))
    print(f"PENSTOCK_SEED={seed}")
    rng = random.Random(seed)
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif))
    concurrency = 20
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "minimal_backoff_time": "1s", "maximal_backoff_time": "2s",
        "default_destination_concurrency_limit": concurrency}))
    acked, accepted, open_at_kills = folder / "acked", 0, 0
    per_round = MESSAGES // KILLS
    for kill in range(KILLS):
        source = closing(run.Source(build, folder, gateway.port, "-s", 8, "-m", per_round, "--first",
                                    kill * per_round + 1, "--acked-file", acked, "-l", 4096, "-f", "s@bulk.example",
                                    "-t", "r@example.test"))
        time.sleep(rng.uniform(0.0, 0.15))
        gateway.kill()
        source.wait(60)
        open_at_kills += concurrency
        gateway.start()
    accepted = {int(n) for n in acked.read_text().split()}
    assert accepted, "nothing was accepted before the kills"

    def all_there():
        return gateway.json("status")["queue"]["messages"] == 0
    run.wait_until(all_there, 120, "an empty queue after the kills", gateway.alive)
    status = sink.status()
    received = set(status.get("numbers", [])) or {
        int(n) for n in (folder / "received").read_text().split()}
    assert not accepted - received, f"lost {sorted(accepted - received)[:10]}"
    assert status["corrupted"] == 0
    assert status["duplicates"] <= open_at_kills
    print(f"accepted {len(accepted)}, lost 0, duplicates {status['duplicates']} (bound {open_at_kills})")
