# SPDX-License-Identifier: BSD-3-Clause
"""The suppression list: the command, submission, drops, and its survival of a kill."""

import json
import time

import penstock_run as run
import pytest
import raw_smtp


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def logged(gateway, text, count=1):
    """The log is written by a thread of its own."""
    run.wait_until(lambda: gateway.log.read_text().count(text) == count, 10, f"{count} lines with {text}", gateway.alive)
    return True


def rcpt(gateway, address, sender="s@bulk.example"):
    session = raw_smtp.Session(gateway.port)
    try:
        session.ask("EHLO c")
        session.ask(f"MAIL FROM:<{sender}>")
        return session.ask(f"RCPT TO:<{address}>")
    finally:
        session.close()


def test_the_command_and_the_refusal(pair):
    _sink, gateway = pair()
    gateway.cli("suppression", "add", "Bob@Example.test", "--reason", "bad-mailbox", "--source", "bounce")
    gateway.cli("suppression", "add", "@closed.test")
    gateway.cli("suppression", "add", ".below.test", "--tenant", "acme")
    assert rcpt(gateway, "bob@EXAMPLE.test") == \
        "550 5.7.1 <bob@EXAMPLE.test>: Recipient address suppressed (bounce: bad-mailbox)"
    assert rcpt(gateway, "any@closed.test").endswith("suppressed (operator)")
    assert rcpt(gateway, "any@x.below.test").startswith("250")  # nobody is acme here
    assert logged(gateway, "reject: RCPT from unknown[127.0.0.1]: 550 5.7.1 <any@closed.test>")
    found = gateway.json("suppression", "check", "eve@x.below.test", "--tenant", "acme")
    assert found["suppressed"] and found["entry"]["address"] == ".below.test"
    assert not gateway.json("suppression", "check", "eve@x.below.test")["suppressed"]
    listed = [json.loads(line) for line in gateway.cli("suppression", "list", "--json").stdout.splitlines()]
    assert [(e["address"], e["source"], e.get("tenant")) for e in listed] == [
        ("@closed.test", "operator", None), ("bob@example.test", "bounce", None), (".below.test", "operator", "acme")]
    assert len(gateway.cli("suppression", "list", "--tenant", "acme").stdout.splitlines()) == 1
    gateway.cli("suppression", "remove", "BOB@example.test")
    assert rcpt(gateway, "bob@example.test").startswith("250")
    for args, text in ((("remove", "bob@example.test"), "is not on the list"), (("add", "bob"), "accepted is user@domain"),
                       (("add", "a@b", "--tenant", "a b"), "tenant a b: accepted is"),
                       (("add", "a@b", "--source", "rumour"), "source rumour: accepted is")):
        done = gateway.cli("suppression", *args, check=False)
        assert done.returncode == 1 and text in done.stderr


def test_dropped_recipients_have_a_fate_and_a_record(pair, folder):
    events = folder / "events.json"
    _sink, gateway = pair("--dump-dir", folder / "dump", suppression_action="drop", event_log_file=events)
    gateway.cli("suppression", "add", "gone@example.test", "--source", "complaint")
    session = raw_smtp.Session(gateway.port)
    session.begin(recipients=("gone@example.test", "here@example.test"))
    assert session.ask("Subject: mixed\r\n\r\nx\r\n.").startswith("250 2.0.0")
    session.begin(recipients=("gone@example.test",))
    assert session.ask("Subject: alone\r\n\r\nx\r\n.").startswith("250 2.0.0")
    session.close()
    def ends():
        return [r for r in records(events) if r["type"] in ("Delivery", "Suppressed")]

    run.wait_until(lambda: len(ends()) == 3, 20, "three records", gateway.alive)
    gateway.wait_empty()
    found = gateway.json("audit")
    assert found["balanced"] and (found["totals"]["accepted"], found["totals"]["deleted"]) == (2, 1)
    kinds = sorted((r["type"], r["recipient"]) for r in ends())
    assert kinds == [("Delivery", "here@example.test"), ("Suppressed", "gone@example.test"),
                     ("Suppressed", "gone@example.test")]
    assert all(r["fate"] == "deleted" and r["response"]["content"] == "complaint"
               for r in records(events) if r["type"] == "Suppressed")
    assert logged(gateway, "status=deleted (suppressed: complaint)", 2)
    assert len(list((folder / "dump").glob("*.eml"))) == 1


def test_a_tenant_of_the_header_is_checked_after_data(pair):
    _sink, gateway = pair()
    gateway.cli("suppression", "add", "gone@example.test", "--tenant", "acme")
    session = raw_smtp.Session(gateway.port)
    session.begin(recipients=("gone@example.test",))
    assert session.ask("X-Penstock-Tenant: acme\r\n\r\nx\r\n.").startswith(
        "550 5.7.1 <gone@example.test>: Recipient address suppressed (operator)")
    session.begin(recipients=("gone@example.test", "here@example.test"))
    assert session.ask("X-Penstock-Tenant: acme\r\n\r\nx\r\n.").startswith("250")
    session.begin(recipients=("gone@example.test",))
    assert session.ask("X-Penstock-Tenant: globex\r\n\r\nx\r\n.").startswith("250")
    session.close()
    gateway.wait_empty()
    assert logged(gateway, "status=deleted") and logged(gateway, "status=sent", 2)


def test_a_list_survives_a_kill_and_comes_back_as_it_went(pair, folder):
    _sink, gateway = pair()
    lines = ["address,reason,source,since,tenant", 'a@x.test,"said ""no"", twice",bounce,2026-01-02T03:04:05Z,',
             "@y.test,,operator,2026-01-02T03:04:05Z,acme", "z@xn--bcher-kva.test,,import,2026-01-02T03:04:05Z,"]
    (folder / "in.csv").write_text("\n".join(lines) + "\n")
    out = gateway.json("suppression", "import", folder / "in.csv")
    assert out == {"entries": 3, "added": 3, "replaced": 0, "bad": 0}
    gateway.kill()
    gateway.start()
    gateway.cli("suppression", "export", folder / "out.csv")
    assert sorted((folder / "out.csv").read_text().splitlines()) == sorted(lines)
    gateway.cli("suppression", "export", folder / "out.jsonl")
    assert gateway.json("suppression", "import", folder / "out.jsonl")["replaced"] == 3
    (folder / "bad.csv").write_text("good@x.test\nnot an address\nlast@x.test\n")
    done = gateway.cli("suppression", "import", folder / "bad.csv", check=False)
    assert done.returncode == 1 and f"{folder}/bad.csv:2: accepted is user@domain" in done.stderr
    assert gateway.json("suppression", "check", "good@x.test")["suppressed"]
    assert not gateway.json("suppression", "check", "last@x.test")["suppressed"]
    done = gateway.cli("suppression", "import", folder / "bad.csv", "--skip-bad", check=False)
    assert done.returncode == 1 and "1 bad" in done.stderr
    assert gateway.json("suppression", "check", "last@x.test")["suppressed"]


@pytest.mark.long
def test_a_million_entries_come_in_while_mail_goes_on(pair, folder, submit):
    _sink, gateway = pair()
    with open(folder / "many.csv", "w") as out:
        for n in range(1_000_000):
            out.write(f"user{n * 2654435761 % 2**32:x}@d{n % 1000}.test,bad-mailbox,bounce\n")
    begun = time.monotonic()
    import subprocess
    process = subprocess.Popen([str(gateway.build / "tools/penstock/penstock"), "--socket", str(gateway.socket),
                                "suppression", "import", str(folder / "many.csv")], stderr=subprocess.PIPE, text=True)
    sent = 0
    while process.poll() is None:
        submit(gateway)
        sent += 1
        time.sleep(0.2)
    took = time.monotonic() - begun
    progress = process.stderr.read()
    print(f"1,000,000 entries in {took:.1f} s, {sent} messages meanwhile\n{progress}")
    assert process.returncode == 0 and took < 120 and sent > 0
    assert "1000000 entries in" in progress
    assert rcpt(gateway, f"user{7 * 2654435761 % 2**32:x}@d7.test").startswith("550 5.7.1 ")
    gateway.wait_empty()
