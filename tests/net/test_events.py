# SPDX-License-Identifier: BSD-3-Clause
"""Event records: one JSON object for each attempt and recipient."""

import json

import penstock_run as run


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_delivery_and_a_refusal_are_recorded_with_their_tls_field(pair, submit, folder):
    events = folder / "events.json"
    _sink, gateway = pair(event_log_file=events, transport_maps="inline:{{gone.test = error:5.1.1 no such domain}}")
    submit(gateway, sender="s@bulk.example", recipients=("r@example.test", "r@gone.test"))
    run.wait_until(lambda: len(records(events)) >= 2, 20, "two records", gateway.alive)
    by = {r["recipient"]: r for r in records(events)}
    sent, refused = by["r@example.test"], by["r@gone.test"]
    assert (sent["type"], sent["tls"], sent["sender"]) == ("Delivery", "may:none", "s@bulk.example")
    assert sent["response"]["code"] == 250 and sent["response"]["enhanced_code"]["class"] == 2
    assert sent["peer_address"]["addr"] == run.Sink.ADDRESS
    assert sent["source_address"]["address"] == "10.99.0.2"
    assert "tls_cipher" not in sent and "bounce_classification" not in sent
    assert (refused["type"], refused["response"]["enhanced_code"]) == (
        "Bounce", {"class": 5, "subject": 1, "detail": 1})
    assert "tls" not in refused and "peer_address" not in refused
    assert sent["id"] == refused["id"] and sent["id"] in gateway.log.read_text()


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
        return {(r["recipient"].split("@")[1], r["type"]): r for r in records(events) if r["sender"]}

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
    # The mail log stays as Postfix writes it.
    assert "quota-issues" not in gateway.log.read_text()
