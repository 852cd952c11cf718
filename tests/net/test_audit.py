# SPDX-License-Identifier: BSD-3-Clause
"""penstock audit: a run that balances, also over crashes, and faults that were planted, each by its name."""

import json
import subprocess

import penstock_run as run
import pytest

BALANCED, BROKEN = 0, 1


def audit(gateway, *args):
    done = gateway.cli("audit", "--json", *args, check=False)
    assert done.returncode in (BALANCED, BROKEN), done.stderr
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path, records):
    path.write_text("".join(json.dumps(r) + "\n" for r in records))


@pytest.fixture
def events(folder):
    return folder / "events"


@pytest.fixture
def some(pair, submit, events, folder):
    """Three delivered recipients, one bounced, one deleted, one queued; stopped, its log copied."""
    sink, gateway = pair(event_log_file=events, minimal_backoff_time="300s", notify_classes="",
                         transport_maps="inline:{{gone.test = error:5.1.1 no such domain}, "
                         "{later.test = retry:4.3.0 not now}}")
    submit(gateway, sender="a@bulk.example", recipients=("r1@example.test", "r2@example.test"))
    submit(gateway, sender="", recipients=("r3@example.test", "r4@gone.test"))
    submit(gateway, sender="a@bulk.example", recipients=("r5@later.test",))
    submit(gateway, sender="a@bulk.example", recipients=("r6@later.test",))
    run.wait_until(lambda: sink.status()["messages"] >= 2, 20, "deliveries", gateway.alive)
    run.wait_until(lambda: gateway.queued() == 2, 20, "two queued messages", gateway.alive)
    (entry,) = gateway.json("queue", "list", "--recipient", "r6@later.test")
    gateway.cli("queue", "delete", entry["queue_id"])
    run.wait_until(lambda: gateway.queued() == 1, 20, "one queued message", gateway.alive)
    return gateway


WANTED = {"accepted": 6, "queued": 1, "in_doubt": 0, "delivered": 3, "bounced": 1, "expired": 0, "deleted": 1}


def test_a_run_balances_online_and_offline_and_over_restarts(some):
    found = audit(some)
    assert (found["balanced"], found["totals"]) == (True, WANTED)
    text = some.cli("audit").stdout
    assert text.splitlines()[0].split() == ["accepted", "6"] and text.endswith("balanced\n")
    busy = some.cli("audit", "--offline", check=False)
    assert busy.returncode == BROKEN and "a daemon has this spool" in busy.stderr
    some.stop()
    assert (lambda f: (f["balanced"], f["totals"]))(audit(some, "--offline")) == (True, WANTED)
    some.start()
    some.cli("queue", "delete", "--everything")
    some.wait_empty()
    found = audit(some)
    assert (found["balanced"], found["totals"]["deleted"], found["totals"]["queued"]) == (True, 2, 0)


def planted(some, events, folder, change):
    """The audit of a stopped gateway over a log that `change` has had its hands on."""
    some.stop()
    records = lines(events)
    change(records)
    bad = folder / "planted"
    write(bad, records)
    found = audit(some, "--spool", some.spool, "--events", bad)
    assert some.cli("audit", "--spool", some.spool, "--events", bad, check=False).returncode == (
        BALANCED if found["balanced"] else BROKEN)
    return found


def find(records, kind, address=None):
    return next(r for r in records if r["type"] == kind and (address is None or address in r.get("recipient", "")))


def test_mail_that_vanished_is_lost(some, events, folder):
    names = []

    def change(records):
        gone = find(records, "Delivery", "r1@example.test")
        names.append(gone["id"])
        records.remove(gone)

    found = planted(some, events, folder, change)
    assert not found["balanced"] and found["faults"]["lost"] == 1
    (record,) = found["records"]
    assert (record["fault"], record["id"], record["recipient_index"]) == ("lost", names[0], 0)
    assert found["totals"]["accepted"] == 6


def test_a_second_delivery_is_a_duplicate_with_both_sessions(some, events, folder):
    def change(records):
        again = dict(find(records, "Delivery", "r2@example.test"))
        again["peer_address"] = {"name": "mx2.example", "addr": "192.0.2.7"}
        records.insert(len(records) - 1, again)

    found = planted(some, events, folder, change)
    (record,) = found["records"]
    assert record["fault"] == "duplicate"
    assert record["record"]["peer_address"]["addr"] == run.Sink.ADDRESS
    assert record["second_record"]["peer_address"]["addr"] == "192.0.2.7"


def test_two_ends_of_a_recipient_are_named(some, events, folder):
    def change(records):
        again = dict(find(records, "Delivery", "r2@example.test"), type="Bounce")
        records.insert(len(records) - 1, again)

    found = planted(some, events, folder, change)
    assert found["faults"]["two fates"] == 1
    assert (found["records"][0]["recorded_fate"], found["records"][0]["fate"]) == ("delivered", "bounced")


def test_the_same_after_a_crash_is_explained(some, events, folder):
    def change(records):
        again = find(records, "Delivery", "r2@example.test")
        records[-1:] = [dict(find(records, "Start")), again]

    found = planted(some, events, folder, change)
    assert found["faults"]["duplicate"] == 0 and found["faults"]["repeated after a crash"] == 1
    assert found["crashes"] == 2  # the last life has no end, either


def test_a_fate_without_a_reception_is_named(some, events, folder):
    def change(records):
        records.remove(find(records, "Reception", "r1@example.test"))

    found = planted(some, events, folder, change)
    assert found["faults"]["no reception"] == 2 and not found["balanced"]


def test_mail_in_the_spool_that_has_its_fate_is_named(some, events, folder):
    def change(records):
        end = dict(find(records, "AdminDelete"), id=find(records, "Reception", "r5@later.test")["id"])
        records.insert(len(records) - 1, end)

    found = planted(some, events, folder, change)
    assert found["faults"]["still queued"] == 1 and not found["balanced"]


def test_a_reception_that_was_never_confirmed_is_not_lost(some, events, folder):
    def change(records):
        extra = dict(find(records, "Reception", "r5@later.test"))
        extra["id"] = extra["id"][:-1] + ("b" if extra["id"][-1] != "b" else "c")
        records.insert(len(records) - 1, extra)

    found = planted(some, events, folder, change)
    assert found["balanced"] and found["unconfirmed"] == 1


def test_cut_and_hostile_lines_are_counted(some, events, folder):
    some.stop()
    bad = folder / "planted"
    bad.write_bytes(events.read_bytes() + b'{"type":"Deliv\n\xff\xfe\x00\n' + b'{"type":"Delivery","id":"x"}\n' +
                    b'[' * 5000 + b'\n{"type":"Commit","ids":["' + b'a' * 100000)
    found = audit(some, "--spool", some.spool, "--events", bad)
    assert found["balanced"] and found["files"][0]["unreadable"] == 5


def test_rotated_logs_are_read_in_their_order(some, events, folder):
    some.stop()
    records = lines(events)
    cut = records.index(find(records, "Delivery"))
    write(folder / "new", records[cut:])
    write(folder / "old", records[:cut])
    found = audit(some, "--spool", some.spool, "--events", folder / "new", "--events", folder / "old")
    assert (found["balanced"], found["totals"]) == (True, WANTED)


def test_a_log_that_cannot_be_read_is_refused(some, folder):
    done = some.cli("audit", "--events", folder / "nosuch", check=False)
    assert done.returncode == BROKEN and "nosuch: No such file" in done.stderr


@pytest.mark.long
def test_kills_under_load_lose_nothing_by_the_books(build, folder, pair, closing, events):
    _sink, gateway = pair(event_log_file=events, minimal_backoff_time="1s", maximal_backoff_time="2s")
    source = closing(run.Source(build, folder, gateway.port, "-d", "-s", 8, "-m", 4000, "-l", 1000, "--no-resend",
                                "--give-up", 60, "-f", "s@bulk.example", "-t", "r@example.test"))
    for kill in range(5):
        run.wait_until(lambda: events.exists() and events.read_bytes().count(b'"Delivery"') > 500 * (kill + 1), 60,
                       "deliveries", gateway.alive)
        gateway.kill()
        found = audit(gateway, "--offline")
        assert found["balanced"], found
        gateway.start()
        assert audit(gateway)["balanced"]
    outcome = source.result(120, codes=(0, 1))
    gateway.wait_empty(120)
    found = audit(gateway)
    print(json.dumps({k: found[k] for k in ("totals", "faults", "unconfirmed", "crashes")}))
    assert found["balanced"] and found["crashes"] == 5
    assert outcome["accepted"] <= found["totals"]["accepted"] == found["totals"]["delivered"]
    # What is accepted beyond the answers is what the kills cut off.
    assert found["totals"]["accepted"] <= outcome["accepted"] + outcome["unknown"]


def test_help_and_usage(build):
    command = build / "tools/penstock/penstock"
    assert subprocess.run([command, "audit", "--help"], capture_output=True, timeout=20).returncode == 0
    assert subprocess.run([command, "audit", "word"], capture_output=True, timeout=20).returncode == 2
