# SPDX-License-Identifier: BSD-3-Clause
"""A full spool refuses new mail for now and goes on with what it has."""

import penstock_run as run


MESSAGES = 800


def test_a_full_spool_answers_452_and_accepts_again_once_mail_has_left(build, folder, closing):
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif, "-r", "RCPT:100"))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "spool_size_limit": "512m",
        "minimal_backoff_time": "1s", "maximal_backoff_time": "1s"}))
    # Far more than fits; the source tries again after a 452.
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", MESSAGES, "-l", 1000000, "--give-up", 60,
                                "-f", "s@bulk.example", "-t", "r@example.test"))
    run.wait_until(lambda: gateway.json("status")["spool"]["full"], 60, "a full spool", gateway.alive)
    run.wait_until(lambda: "452 4.3.1" in gateway.log.read_text(), 10, "a refusal in the log", gateway.alive)
    assert 50 < gateway.json("status")["queue"]["messages"] < MESSAGES
    assert source.alive()
    # The receiver comes back to its senses; the gateway restarts over the full spool.
    gateway.stop()
    sink.stop()
    sink = closing(run.Sink(build, folder, memif))
    gateway.start()
    assert source.result(120)["accepted"] == MESSAGES
    run.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 60, "an empty queue", gateway.alive)
    status = sink.status(fresh=True)
    gateway.stop()  # before its receiver
    assert (status["unique"], status["duplicates"], status["corrupted"]) == (MESSAGES, 0, 0)
