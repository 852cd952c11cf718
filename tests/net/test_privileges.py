# SPDX-License-Identifier: BSD-3-Clause
"""The daemon gives up root and works on."""

import os
import pathlib
import signal

import penstock_run as run


def test_the_daemon_becomes_mail_owner_and_still_logs_stores_and_delivers(build, folder, closing):
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "mail_owner": "nobody"}))
    tasks = pathlib.Path(f"/proc/{gateway.process.pid}/task")
    for task in tasks.iterdir():  # every thread, the workers too
        uids = next(line for line in (task / "status").read_text().splitlines() if line.startswith("Uid:"))
        assert uids.split()[1:] == ["65534"] * 4, task
    first = closing(run.Source(build, folder, gateway.port, "-d", "-s", 2, "-m", 100))
    assert first.result(60)["accepted"] == 100
    # logrotate: the old file is moved away, the daemon is told.
    os.rename(gateway.log, folder / "maillog.1")
    gateway.log.touch()
    os.chown(gateway.log, 65534, 65534)
    gateway.process.send_signal(signal.SIGHUP)
    second = closing(run.Source(build, folder, gateway.port, "-d", "-s", 2, "-m", 100, "--first", 100))
    assert second.result(60)["accepted"] == 100
    run.wait_until(lambda: sink.status()["messages"] == 200, 30, "all mail", gateway.alive)
    run.wait_until(lambda: "status=sent" in gateway.log.read_text(), 10, "the new log file", gateway.alive)
    assert (folder / "maillog.1").read_text().count("status=sent") + gateway.log.read_text().count(
        "status=sent") >= 100
