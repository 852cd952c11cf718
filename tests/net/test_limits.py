# SPDX-License-Identifier: BSD-3-Clause
"""Limits hold exactly where they count: in the receiver's own ledger, also over a reload and a restart."""

import bisect
import collections

import penstock_run as run
import pytest

# A receiver that is kept waiting sees what was sent in more than a second as if it came in one.
pytestmark = pytest.mark.alone

CONNECTIONS, RATE, PER_CONNECTION = 20, 100, 50
MESSAGES = 1500
LIMITS = """
default {{
    connections = {connections};
    message_rate = "{rate}/s";
    connection_messages = {messages};
}}
"""


class Ledger:
    """What penstock-sink wrote down: (microseconds, what, connection) in the order it happened."""

    def __init__(self, path):
        lines = [line.split() for line in path.read_text().splitlines()]
        self.events = [(int(at), what, int(conn)) for at, what, conn, _ in lines]

    def most_open(self):
        now = most = 0
        for _, what, _ in self.events:
            now += {"open": 1, "close": -1}.get(what, 0)
            most = max(most, now)
        return most

    def most_within(self, what, microseconds):
        """The most events of a kind in any interval that long, wherever it begins."""
        times = sorted(at for at, kind, _ in self.events if kind == what)
        return max((bisect.bisect_left(times, at + microseconds) - i for i, at in enumerate(times)), default=0)

    def most_per_connection(self):
        counts = collections.Counter(conn for _, what, conn in self.events if what == "message")
        return max(counts.values(), default=0)

    def messages(self):
        return sum(what == "message" for _, what, _ in self.events)


def start(build, folder, closing, rate=RATE):
    memif = folder / "memif.sock"
    closing(run.Sink(build, folder, memif, "--ledger", folder / "ledger"))
    return closing(run.Gateway(
        build, folder / "gateway", run.memif_device(memif),
        egress=LIMITS.format(connections=CONNECTIONS, rate=rate, messages=PER_CONNECTION),
        settings={"relayhost": f"[{run.Sink.ADDRESS}]:25", "initial_destination_concurrency": 50,
                  "default_destination_concurrency_limit": 100}))


def submit(build, folder, closing, gateway, messages, name):
    return closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", messages, "-l", 1024, "--run", name,
                              "-f", "s@bulk.example", "-t", "r@example.test"))


def passed(folder, n):
    ledger = folder / "ledger"
    return ledger.exists() and ledger.read_text().count(" message ") >= n


def test_no_limit_is_exceeded_with_a_reload_and_a_restart_in_the_middle(build, folder, closing):
    gateway = start(build, folder, closing)
    submit(build, folder, closing, gateway, MESSAGES, "a").result(60)
    run.wait_until(lambda: gateway.queued() < MESSAGES * 2 // 3, 60, "a third of the mail", gateway.alive)
    gateway.cli("reload")
    run.wait_until(lambda: gateway.queued() < MESSAGES // 3, 60, "two thirds of the mail", gateway.alive)
    gateway.stop()
    gateway.start()
    gateway.wait_empty(60)
    gateway.stop()
    ledger = sink_ledger(closing, folder)
    print(f"connections at once: {ledger.most_open()} of {CONNECTIONS}; messages in a second: "
          f"{ledger.most_within('message', 10**6)} of {RATE} (MAIL: {ledger.most_within('mail', 10**6)}); messages on a "
          f"connection: {ledger.most_per_connection()} of {PER_CONNECTION}; messages: {ledger.messages()}")
    assert ledger.messages() == MESSAGES
    assert ledger.most_open() <= CONNECTIONS
    assert ledger.most_within("message", 10**6) <= RATE
    assert ledger.most_within("mail", 10**6) <= RATE
    assert ledger.most_per_connection() <= PER_CONNECTION
    # And they are made use of: neither is a limit that is never reached.
    assert ledger.most_within("message", 10**6) > RATE * 8 // 10
    assert ledger.most_per_connection() > PER_CONNECTION // 10


def sink_ledger(closing, folder):
    """The sink writes the rest of its ledger when it ends."""
    for thing in closing.things:
        if isinstance(thing, run.Sink):
            thing.stop()
    return Ledger(folder / "ledger")


def test_a_lower_limit_holds_from_the_reload_on(build, folder, closing):
    gateway = start(build, folder, closing)
    submit(build, folder, closing, gateway, 600, "b").result(60)
    run.wait_until(lambda: gateway.queued() < 450, 60, "the first mails", gateway.alive)
    config = gateway.conf / "egress.conf"
    config.write_text(config.read_text().replace(f"{RATE}/s", "25/s"))
    gateway.cli("reload")
    left = gateway.queued()
    gateway.wait_empty(60)
    gateway.stop()  # before its receiver, or it waits for the answer to QUIT
    ledger = sink_ledger(closing, folder)
    last = [(at, what, conn) for at, what, conn in ledger.events if what == "message"][-(left - RATE // 4):]
    ledger.events = last
    print(f"messages in a second, after the reload to 25/s: {ledger.most_within('message', 10**6)}")
    assert ledger.most_within("message", 10**6) <= 25
