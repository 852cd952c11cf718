# SPDX-License-Identifier: BSD-3-Clause
"""Event records: one JSON object for each attempt and recipient."""

import json
import re

import penstock_run as run


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ends(path):
    return [r for r in records(path) if "recipient_index" in r]


def test_a_delivery_and_a_refusal_are_recorded_with_their_tls_field(pair, submit, folder):
    events = folder / "events.json"
    _sink, gateway = pair(event_log_file=events, transport_maps="inline:{{gone.test = error:5.1.1 no such domain}}")
    submit(gateway, sender="s@bulk.example", recipients=("r@example.test", "r@gone.test"))
    run.wait_until(lambda: len(ends(events)) >= 2, 20, "two records", gateway.alive)
    by = {r["recipient"]: r for r in ends(events)}
    sent, refused = by["r@example.test"], by["r@gone.test"]
    assert (sent["type"], sent["tls"], sent["sender"]) == ("Delivery", "may:none", "s@bulk.example")
    assert sent["response"]["code"] == 250 and sent["response"]["enhanced_code"]["class"] == 2
    assert sent["peer_address"]["addr"] == run.Sink.ADDRESS
    assert sent["source_address"]["address"] == "10.99.0.2"
    assert "tls_cipher" not in sent and "bounce_classification" not in sent
    assert (refused["type"], refused["response"]["enhanced_code"]) == (
        "Bounce", {"class": 5, "subject": 1, "detail": 1})
    assert "tls" not in refused and "peer_address" not in refused
    assert sent["id"] == refused["id"]
    run.wait_until(lambda: sent["id"] in gateway.log.read_text(), 10, "a line of the log", gateway.alive)


def test_failures_are_classified_in_events_counters_and_status(pair, submit, folder):
    """A reply by its words, whatever its code is; a failure of ours by what it was; expiry as what it is."""
    events = folder / "events.json"
    sink, gateway = pair("-r", "RCPT:100", "-b", "452 4.3.0 The mailbox is over quota", event_log_file=events,
                         transport_maps="inline:{{gone.test = error:5.1.1 no such person}, "
                                        "{refused.test = smtp:[10.99.0.1]:2525}}",
                         minimal_backoff_time="1s", maximal_backoff_time="1s", maximal_queue_lifetime="3s",
                         bounce_queue_lifetime="1s")
    submit(gateway, recipients=("full@example.test", "r@gone.test", "r@refused.test"))

    def seen():
        return {(r["recipient"].split("@")[1], r["type"]): r for r in records(events)
                if r.get("sender") and isinstance(r.get("recipient"), str)}

    run.wait_until(lambda: {("example.test", "Expiration"), ("refused.test", "Expiration")} <= seen().keys(), 30,
                   "the mail to expire", gateway.alive)
    by = {key: r["bounce_classification"] for key, r in seen().items()}
    assert by[("example.test", "TransientFailure")] == "quota-issues"
    assert by[("gone.test", "Bounce")] == "bad-mailbox"
    assert by[("refused.test", "TransientFailure")] == "bad-connection"
    assert by[("example.test", "Expiration")] == by[("refused.test", "Expiration")] == "message-expired"
    counted = gateway.json("counters")["failures"]
    assert counted["bad-mailbox"] == 1 and counted["message-expired"] >= 2 and counted["quota-issues"] >= 1
    assert counted["bad-connection"] >= 1 and counted["spam-related"] == 0
    assert gateway.json("status")["reply_classes"] == {k: n for k, n in counted.items() if n > 0}
    # In the mail log it stands behind what Postfix writes, where pflogsumm does not look: it takes the reason of a
    # bounce up to the last parenthesis, and that of a deferral up to the first.
    def logged():
        return re.findall(r"to=<([^>]*)>, relay=[^,]+, (?:conn_use=[^,]+, )?delay=[^,]+, delays=[^,]+, "
                          r"(?:tls=[^,]+, )?dsn=[^,]+, status=(\w+) \((.+)\)(.*)", gateway.log.read_text())

    def said():
        return {(to.split("@")[1], status): tail for to, status, _reason, tail in logged() if to != "s@bulk.example"}

    wanted = {("example.test", "deferred"): ", class=quota-issues", ("gone.test", "bounced"): ", class=bad-mailbox",
              ("refused.test", "bounced"): ", class=message-expired"}
    run.wait_until(lambda: wanted.keys() <= said().keys(), 10, "the log", gateway.alive)
    assert {key: said()[key] for key in wanted} == wanted
    assert not any("class=" in reason for _to, _status, reason, _tail in logged())


def test_a_message_is_received_before_it_is_confirmed_and_then_delivered(pair, submit, folder):
    events = folder / "events.json"
    _sink, gateway = pair(event_log_file=events, event_log_sync="yes")
    submit(gateway, sender="s@bulk.example", recipients=("r1@example.test", "r2@example.test"))
    # The answer to the client comes after both.
    received = [r for r in records(events) if r["type"] == "Reception"]
    committed = [r for r in records(events) if r["type"] == "Commit"]
    assert received[0]["recipient"] == ["r1@example.test", "r2@example.test"]
    assert received[0]["size"] > 0 and received[0]["reception_protocol"] == "ESMTP"
    assert committed[0]["ids"] == [received[0]["id"]]
    run.wait_until(lambda: len(ends(events)) == 2, 20, "two deliveries", gateway.alive)
    assert sorted(r["recipient_index"] for r in ends(events)) == [0, 1]
    assert ends(events)[0]["egress_source"] == "s0"
    gateway.stop()
    types = [r["type"] for r in records(events)]
    assert (types[0], types[-1]) == ("Start", "Stop")


def test_a_rotation_loses_no_record(pair, submit, folder):
    events = folder / "events.json"
    _sink, gateway = pair(event_log_file=events)
    submit(gateway)
    run.wait_until(lambda: len(ends(events)) == 1, 20, "a delivery", gateway.alive)
    events.rename(folder / "events.json.1")
    gateway.process.send_signal(1)  # SIGHUP
    run.wait_until(events.exists, 20, "a new file", gateway.alive)
    submit(gateway)
    run.wait_until(lambda: len(ends(events)) == 1, 20, "another delivery", gateway.alive)
    found = gateway.json("audit")
    assert found["balanced"] and found["totals"]["delivered"] == 2
    assert [f["name"] for f in found["files"]] == [str(folder / "events.json.1"), str(events)]
