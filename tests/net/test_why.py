# SPDX-License-Identifier: BSD-3-Clause
"""penstock why: one sentence that names what holds a message, who set it and until when."""

import smtplib
import time

import penstock_run as run
import pytest


def send(gateway, recipient="r@example.test", headers=(), sender="s@bulk.example"):
    text = "".join(f"{h}\r\n" for h in headers) + "Subject: x\r\n\r\nx\r\n"
    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:
        client.sendmail(sender, [recipient], text)


def the_id(gateway, *conditions):
    (entry,) = gateway.json("queue", "list", *conditions)
    return entry["queue_id"]


def why(gateway, queue_id):
    found = gateway.json("why", queue_id)
    text = gateway.cli("why", queue_id).stdout
    assert text.startswith(f"{queue_id}: ") and text.count("\n") == 1
    return found


def until(gateway, queue_id, *codes):
    """Waits until it is held by one of these and returns why."""
    run.wait_until(lambda: gateway.json("why", queue_id)["code"] in codes, 30, f"{codes}", gateway.alive)
    return why(gateway, queue_id)


@pytest.fixture
def shaped(build, folder, closing):
    """shaped(egress, sink options, settings) is a gateway with a section of its own in egress.conf."""

    def start(egress, *options, **settings):
        memif = folder / "memif.sock"
        sink = closing(run.Sink(build, folder, memif, *options))
        gateway = closing(run.Gateway(build, folder / "gateway", run.memif_device(memif), egress=egress, settings={
            "relayhost": f"[{run.Sink.ADDRESS}]:25", **settings}))
        return sink, gateway

    return start


def test_a_message_on_hold_waits_for_the_operator(pair):
    _sink, gateway = pair("-r", "RCPT:100", "-b", "450 4.2.1 later", minimal_backoff_time="300s")
    send(gateway)
    queue_id = the_id(gateway)
    gateway.cli("queue", "hold", queue_id)
    found = until(gateway, queue_id, "hold")
    assert "until" not in found and "operator" in found["text"] + found["holder"]


def test_a_refused_message_waits_for_its_next_attempt(pair):
    _sink, gateway = pair("-r", "RCPT:100", "-b", "450 4.2.1 come back later", minimal_backoff_time="300s")
    send(gateway)
    found = until(gateway, the_id(gateway), "retry")
    assert 200 < found["until"] - time.time() <= 330
    assert "450 4.2.1 come back later" in found["text"]
    assert found["recipient"] == "r@example.test"


def test_a_dead_host_is_named(pair):
    sink, gateway = pair(minimal_backoff_time="300s", smtp_connect_timeout="2s")
    sink.stop()
    send(gateway)
    found = until(gateway, the_id(gateway), "dead-site", "dead_site", "dead", "retry")
    assert run.Sink.ADDRESS in found["text"]
    assert found["until"] > time.time()


def test_an_unknown_message_is_refused(pair):
    _sink, gateway = pair()
    for queue_id in ("4aaaaaaaaaaaaa", "no id"):
        done = gateway.cli("why", queue_id, check=False)
        assert done.returncode == 1 and "no such message" in done.stderr


def test_a_scheduled_message_names_its_time(pair):
    _sink, gateway = pair()
    at = time.time() + 7200
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
    send(gateway, headers=[f"X-Penstock-Schedule: not-before={stamp}"])
    found = until(gateway, the_id(gateway), "scheduled")
    assert abs(found["until"] - at) < 2 and found["state"] == "scheduled"
    assert gateway.json("status")["queue"]["scheduled"] == 1


def test_a_message_in_doubt_says_so(pair):
    # The sink takes the message and thinks about it for longer than anybody waits.
    _sink, gateway = pair("-W", ".:30", minimal_backoff_time="300s", smtp_data_done_timeout="2s")
    send(gateway)
    found = until(gateway, the_id(gateway), "in-doubt", "in_doubt")
    assert "doubt" in found["text"] or "may have been delivered" in found["text"]
    assert gateway.json("queue", "list", "--in-doubt", "--count")[0]["messages"] == 1
    assert gateway.json("status")["queue"]["in_doubt"] == 1


def test_a_suspended_tenant_is_named_with_the_reason(pair):
    _sink, gateway = pair()
    gateway.cli("suspend", "tenant", "acme", "--for", "1h", "--reason", "complaints at example.test")
    send(gateway, headers=["X-Penstock-Tenant: acme"])
    send(gateway, headers=["X-Penstock-Tenant: other"])
    found = until(gateway, the_id(gateway, "--tenant", "acme"), "suspended")
    assert "acme" in found["holder"] and "complaints at example.test" in found["text"]
    assert 3400 < found["until"] - time.time() < 3700
    run.wait_until(lambda: gateway.queued() == 1, 20, "the other tenant's mail to go", gateway.alive)
    gateway.cli("resume", "tenant", "acme")
    gateway.wait_empty(20)


def test_a_suspended_domain_is_the_recipients_behind_a_relayhost_too(pair):
    _sink, gateway = pair()  # everything goes to one relayhost
    gateway.cli("suspend", "domain", "Held.test", "--reason", "migration until noon")
    send(gateway, recipient="r@held.test")
    found = until(gateway, the_id(gateway), "suspended")
    assert found["holder"].lower() == "held.test" and "migration until noon" in found["text"]
    assert found["recipient"] == "r@held.test"
    ((recipient,),) = [e["recipients"] for e in gateway.json("queue", "list")]
    assert recipient["suspended"] and "Held.test is suspended by the operator" in recipient["delay_reason"]
    assert "is suspended by the operator: migration until noon)" in gateway.cli("queue", "list").stdout

    with smtplib.SMTP("127.0.0.1", gateway.port, timeout=20) as client:  # half of a message may go
        client.sendmail("s@bulk.example", ["a@held.test", "b@free.test"], "Subject: x\r\n\r\nx\r\n")
    run.wait_until(lambda: sorted(r["address"] for e in gateway.json("queue", "list") for r in e["recipients"])
                   == ["a@held.test", "r@held.test"], 20, "the rest to go", gateway.alive)

    gateway.stop()
    gateway.start()
    assert [s["name"].lower() for s in gateway.json("suspend", "list")["suspensions"]] == ["held.test"]
    assert {gateway.json("why", e["queue_id"])["code"] for e in gateway.json("queue", "list")} == {"suspended"}
    gateway.cli("resume", "domain", "held.test")
    gateway.wait_empty(20)


def test_a_rate_limit_is_named_with_its_line(shaped):
    _sink, gateway = shaped('default {\n\tmessage_rate = "1/h";\n}\n')
    send(gateway)
    gateway.wait_empty(20)
    send(gateway)
    found = until(gateway, the_id(gateway), "limit")
    assert "1/h" in found["text"] and "egress.conf line" in found["text"]
    assert 3000 < found["until"] - time.time() <= 3665  # one period, and the meter's grain
    limits = {(v["limit"], v["value"]) for s in [gateway.json("site", "list")["sites"][0]["site"]]
              for v in gateway.json("site", "show", s)["limits"]}
    assert ("message_rate", "1/h") in limits


def test_a_back_off_by_a_rule_names_the_rule(shaped):
    egress = ('default {\n\tbackoff {\n\t\tmessage_rate = "1/h";\n\t}\n}\n'
              'rule {\n\treply = "/450 4\\\\.2\\\\.1/";\n\taction = backoff;\n\tduration = "1h";\n}\n'
              'rule {\n\treply = "/450 4\\\\.2\\\\.1/";\n\taction = suspend;\n\tduration = "1h";\n}\n')
    _sink, gateway = shaped(egress, "-r", "RCPT:100", "-b", "450 4.2.1 slow down", minimal_backoff_time="1s",
                            maximal_backoff_time="1s")
    send(gateway)
    found = until(gateway, the_id(gateway), "suspended", "limit")
    assert "rule" in found["text"] and "egress.conf line" in found["text"]
    assert found["until"] > time.time() + 1000
