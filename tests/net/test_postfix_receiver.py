# SPDX-License-Identifier: BSD-3-Clause
"""The daemon over a veth into Postfix's smtpd and Linux TCP, found through Knot DNS."""

import email
import email.policy
import re

import make_corpus
import peers
import penstock_run as run
import pytest
from content_hash import content_hash, header

CORPUS = 1000


@pytest.fixture
def net(build, folder, closing):
    """A gateway in one namespace, Postfix in another, a veth between them."""
    mine, theirs = closing(peers.Namespace("pgw")), closing(peers.Namespace("pmx"))
    peers.Wire(mine, theirs, "10.77.0.1/24")
    postfix = closing(peers.Postfix(theirs, folder / "postfix", "10.77.0.1", tls=True))
    closing(peers.Knot(mine, folder / "knot", 5353, {"example.test": peers.ZONE.format(mx1="10.77.0.1")}))

    def start(**settings):
        return closing(run.Gateway(build, folder / "gateway", "net_af_packet0,iface=bypass0", source="10.77.0.2",
                                   netns=mine.name, settings={
                                       "dns_stub_zones": "example.test=127.0.0.1@5353", **settings}))

    start.namespace, start.postfix = mine, postfix
    return start


def deliver_corpus(net, build, folder, gateway):
    corpus = folder / "corpus"
    corpus.mkdir()
    for n in range(1, CORPUS + 1):
        (corpus / f"{n:04d}.eml").write_bytes(make_corpus.message(1, n))
    source = run.Source(build, folder, gateway.port, "--corpus", corpus, "-d", "-m", CORPUS, "-s", 4, "-f",
                        "sender@bulk.example", "-t", "reader@example.test", netns=net.namespace.name)
    assert source.result(120)["accepted"] == CORPUS
    peers.wait_until(lambda: len(net.postfix.delivered()) >= CORPUS, 180, "Postfix to have the whole corpus")


def check_corpus(net):
    """Every message arrived once, with the very bytes that were submitted."""
    seen = set()
    for path in net.postfix.delivered():
        content = path.read_bytes().replace(b"\n", b"\r\n")  # a Maildir holds bare LF
        number = header(content, "X-Penstock-Id")
        assert number is not None, path
        assert number not in seen, f"{number} came twice"
        seen.add(number)
        assert content_hash(content) == header(content, "X-Penstock-Hash"), number
    assert len(seen) == CORPUS


@pytest.mark.long
def test_the_corpus_reaches_postfix_unchanged_in_plaintext(net, build, folder):
    gateway = net(smtp_tls_security_level="none")
    deliver_corpus(net, build, folder, gateway)
    check_corpus(net)
    assert "TLS connection established" not in net.postfix.log.read_text()


@pytest.mark.long
def test_the_corpus_reaches_postfix_unchanged_over_starttls(net, build, folder):
    gateway = net(smtp_tls_security_level="encrypt")
    deliver_corpus(net, build, folder, gateway)
    check_corpus(net)
    assert "TLS connection established" in net.postfix.log.read_text()
    received = net.postfix.delivered()[0].read_text()
    assert "TLS_AES_128_GCM_SHA256" in received


def submit(net, folder, gateway, sender, recipients, text):
    """Submits with Python's own SMTP client, inside the gateway's namespace."""
    script = folder / "submit.py"
    script.write_text("import smtplib, sys\n"
                      f"s = smtplib.SMTP('127.0.0.1', {gateway.port})\n"
                      f"s.sendmail({sender!r}, {recipients!r}, {text!r})\ns.quit()\n")
    net.namespace.run("/usr/bin/python3", script)


@pytest.mark.long
def test_a_refused_recipient_sends_a_failure_dsn_to_the_sender(net, folder):
    gateway = net()
    submit(net, folder, gateway, "sender@example.test", ["nobody@example.test", "reader@example.test"],
           "From: sender@example.test\r\nSubject: half of it\r\n\r\nbody\r\n")
    peers.wait_until(lambda: len(net.postfix.delivered()) == 2, 30, "the mail and the DSN")
    mails = [email.message_from_bytes(p.read_bytes(), policy=email.policy.default) for p in net.postfix.delivered()]
    dsn = next(m for m in mails if m.get_content_type() == "multipart/report")
    assert dsn["Return-Path"] == "<>"
    assert dsn["To"] == "sender@example.test"
    assert dsn["Auto-Submitted"] == "auto-replied"
    assert dsn.get_param("report-type") == "delivery-status"
    text, status, original = dsn.iter_parts()
    assert "nobody@example.test" in text.get_content()
    assert status.get_content_type() == "message/delivery-status"
    per_message, per_recipient = status.get_payload()
    print(dsn["Subject"], [part.get_content_type() for part in dsn.iter_parts()], per_message.as_string(),
          per_recipient.as_string(), sep="\n")
    assert per_message["Reporting-MTA"] == "dns; gateway.example"
    assert per_recipient["Final-Recipient"] == "rfc822; nobody@example.test"
    assert per_recipient["Action"] == "failed"
    assert per_recipient["Status"] == "5.1.1"
    assert re.sub(r"\s+", " ", per_recipient["Diagnostic-Code"]) == (
        "smtp; 550 5.1.1 <nobody@example.test>: Recipient address rejected: no such user here")
    assert original.get_content()["Subject"] == "half of it"
    peers.wait_until(lambda: {"bounced", "sent"} <= set(re.findall(r"status=(\w+)", gateway.log.read_text())), 10,
                     "both results in the mail log")
    assert ("status=bounced (host mx1.example.test[10.77.0.1] said: 550 5.1.1 <nobody@example.test>: Recipient address "
            "rejected: no such user here (in reply to RCPT TO command))") in gateway.log.read_text()
    peers.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 10, "an empty queue")


@pytest.mark.long
def test_a_null_mx_and_an_unknown_domain_bounce_with_their_codes(net, folder):
    gateway = net()
    submit(net, folder, gateway, "sender@example.test", ["a@nullmx.example.test", "b@nosuch.example.test"], "\r\nx\r\n")
    peers.wait_until(lambda: gateway.log.read_text().count("status=bounced") == 2, 30, "two bounces")
    log = gateway.log.read_text()
    assert "dsn=5.1.10" in log and "dsn=5.4.4" in log


@pytest.mark.long
def test_a_greylisted_recipient_stays_queued_and_can_be_flushed_and_deleted(net, folder):
    gateway = net()
    submit(net, folder, gateway, "sender@example.test", ["later@example.test"], "Subject: q\r\n\r\nx\r\n")
    peers.wait_until(lambda: "status=deferred" in gateway.log.read_text(), 30, "the deferral")
    assert "dsn=4.2.1" in gateway.log.read_text()
    (entry,) = gateway.json("queue", "list")
    assert entry["recipients"][0]["address"] == "later@example.test"
    gateway.cli("queue", "flush")
    peers.wait_until(lambda: gateway.log.read_text().count("status=deferred") == 2, 30, "the second attempt")
    gateway.cli("queue", "delete", entry["queue_id"])
    peers.wait_until(lambda: gateway.json("status")["queue"]["messages"] == 0, 10, "an empty queue")


def test_a_stranger_may_not_relay(net, folder):
    gateway = net(mynetworks="192.0.2.0/24")
    with pytest.raises(RuntimeError, match="Relay access denied"):
        submit(net, folder, gateway, "a@b.example", ["reader@example.test"], "x")
