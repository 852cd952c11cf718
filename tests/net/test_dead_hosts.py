# SPDX-License-Identifier: BSD-3-Clause
"""A host that does not answer one source address is left to the others, and asked again when its time is over."""

import smtplib
import time

import penstock_run as run

OPEN, BLOCKED = "10.99.0.2", "10.99.0.77"
SECOND = f'source s1 {{\n\tport = p0;\n\taddress = "{BLOCKED}";\n\thelo = "gateway.example";\n}}\n'


def start(build, folder, closing, prefix, **settings):
    """The sink answers what is within its prefix, and has no way to anything else."""
    memif = folder / "memif.sock"
    sink = closing(run.Sink(build, folder, memif, "--address", f"{run.Sink.ADDRESS}/{prefix}"))
    gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), egress=SECOND, settings={
        "relayhost": f"[{run.Sink.ADDRESS}]:25", "smtp_connect_timeout": "2s", "minimal_backoff_time": "300s",
        "smtp_connection_cache_time_limit": "1s", **settings}))
    return sink, gateway


def send(gateway):
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:
        client.sendmail("s@bulk.example", ["r@example.test"], "Subject: x\r\n\r\nx\r\n")


def no_session(gateway):
    return gateway.json("status")["leases"] == 0


def send_and_wait(gateway):
    """One message, by a connection of its own."""
    send(gateway)
    run.wait_until(lambda: gateway.json("status")["queue"]["active"] == 0 and no_session(gateway), 20,
                   "a message to be done", gateway.alive)


def counters(gateway):
    return gateway.json("counters")["pen_dead_hosts"]


def dead_hosts(gateway):
    (site,) = gateway.json("site", "list")["sites"]
    parts = gateway.json("site", "show", site["site"])["parts"]
    return [host for part in parts for host in part["dead_hosts"]]


def test_a_blocked_source_costs_one_attempt_and_the_other_sends(build, folder, closing):
    _sink, gateway = start(build, folder, closing, 30)
    for _ in range(2):  # by turns
        send_and_wait(gateway)
    assert gateway.queued() == 1
    (host,) = dead_hosts(gateway)
    assert (host["address"], host["source"], host["failures"]) == (run.Sink.ADDRESS, BLOCKED, 1)
    assert 0 < host["dead_for"] <= 60
    assert gateway.json("status")["sites"] | {"dead": 0, "dead_hosts": 1} == gateway.json("status")["sites"]
    shown = gateway.cli("site", "show", gateway.json("site", "list")["sites"][0]["site"]).stdout
    assert f"[{run.Sink.ADDRESS}] from {BLOCKED} for " in shown

    (entry,) = gateway.json("queue", "list")
    found = gateway.json("why", entry["queue_id"])
    assert found["code"] == "retry"
    assert f"[{run.Sink.ADDRESS}] from {BLOCKED} until " in found["text"], found

    before = time.monotonic()
    for _ in range(6):
        send_and_wait(gateway)
    assert gateway.queued() == 1 and time.monotonic() - before < 6 * 2
    assert counters(gateway)["noted"] == 1 and counters(gateway)["again"] == 0


def test_one_connection_asks_a_host_that_was_dead(build, folder, closing):
    _sink, gateway = start(build, folder, closing, 30, minimal_host_backoff_time="3s", maximal_host_backoff_time="60s")
    for _ in range(2):
        send_and_wait(gateway)
    assert counters(gateway)["noted"] == 1
    time.sleep(3)
    for _ in range(3):
        send_and_wait(gateway)
    assert counters(gateway)["probes"] == counters(gateway)["again"] == 1
    (host,) = dead_hosts(gateway)
    assert host["failures"] == 2 and host["dead_for"] <= 6
    # The mail that asked waits, and nothing else.
    assert gateway.queued() == 2


def test_a_site_that_no_source_reaches_is_dead_until_a_host_is_due(build, folder, closing):
    sink, gateway = start(build, folder, closing, 24, minimal_host_backoff_time="4s", maximal_host_backoff_time="4s")
    sink.stop()
    for _ in range(2):
        send_and_wait(gateway)
    assert {host["source"] for host in dead_hosts(gateway)} == {OPEN, BLOCKED}
    send_and_wait(gateway)
    (site,) = gateway.json("site", "list")["sites"]
    assert 0 < site["dead_for"] <= 4 and run.Sink.ADDRESS in site["reason"]
    assert gateway.queued() == 3
