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
    assert "tls_cipher" not in sent
    assert (refused["type"], refused["response"]["enhanced_code"]) == (
        "Bounce", {"class": 5, "subject": 1, "detail": 1})
    assert "tls" not in refused and "peer_address" not in refused
    assert sent["id"] == refused["id"] and sent["id"] in gateway.log.read_text()
